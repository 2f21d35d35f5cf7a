import type { ConfigDocument } from './document.ts';
import type { ConfigParts } from './effective.ts';
import type { Problem } from './problem.ts';

export function checkConfig(
  _document: ConfigDocument,
  _parts: ConfigParts,
): { problems: Problem[]; warnings: Problem[] } {
  return { problems: [], warnings: [] };
}

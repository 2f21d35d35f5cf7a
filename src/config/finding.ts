// Findings: what the checks across a config have to say, before it is put at its place in the file.
import type { Path } from './document.ts';

/** What a check found. `part` says whether the place is the key or the value of the path. */
export interface Finding {
  readonly kind: 'problem' | 'warning';
  readonly path: Path;
  readonly part?: 'key' | 'value';
  readonly message: string;
}

export function problem(path: Path, message: string, part?: 'key'): Finding {
  return { kind: 'problem', path, message, ...(part && { part }) };
}

export function warning(path: Path, message: string, part?: 'key'): Finding {
  return { kind: 'warning', path, message, ...(part && { part }) };
}

// Loading: from a file's bytes to the effective configuration, or to everything that is wrong with it at once.
import { hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import { checkConfig } from './check.ts';
import type { Config } from './config.ts';
import { isMapping, parseConfig, type Secrets } from './document.ts';
import { effectiveConfig, effectiveParts } from './effective.ts';
import type { Environment } from './expand.ts';
import { schemaProblems } from './issues.ts';
import { inFileOrder } from './problem.ts';
import type { Problem } from './problem.ts';
import { readTextFile } from './text-file.ts';

export type Loaded =
  | { readonly kind: 'config'; readonly config: Config; readonly warnings: readonly Problem[] }
  | {
      readonly kind: 'problems';
      readonly problems: readonly Problem[];
      readonly warnings: readonly Problem[];
    };

// A thousand folders fit into 200 KB: what is larger is another file.
const fileBytesMax = 1024 * 1024;

/**
 * Reads, validates and completes a config file. What is wrong is data: all problems at once, in the order of the file.
 * @param file as it shall be named in problems; absolute or relative to the working directory
 */
export function loadConfig(file: string, env: Environment, secrets: Secrets = 'needed'): Loaded {
  const atTop = (message: string): Problem => ({ file, line: 1, column: 1, message });
  const refuse = (message: string): Loaded => ({
    kind: 'problems',
    problems: [atTop(message)],
    warnings: [],
  });
  const read = readTextFile(file, fileBytesMax);
  if (read.kind === 'unreadable') return refuse(unreadable[read.code] ?? `cannot be read (${read.code})`);
  // Whoever may write it chooses what is read, and where it is sent to.
  if ((read.mode & 0o002) !== 0)
    return refuse('may be changed by every user of this machine; run: chmod o-w on it');
  const document = parseConfig(file, read.text, env, secrets);
  if (!document.readable) return { kind: 'problems', problems: inFileOrder(document.problems), warnings: [] };
  if (!isMapping(document.value)) {
    const what = document.value === null ? 'is empty' : 'is no mapping of keys and values';
    return refuse(`${what}; \`s3syncd config schema\` says what belongs here`);
  }

  const place = { file: resolve(file), directory: dirname(resolve(file)), host: hostname(), env };
  const parts = effectiveParts(document, place);
  const checked = checkConfig(document, parts, Date.now(), secrets);
  const problems = inFileOrder([
    ...document.problems,
    ...schemaProblems(document),
    ...parts.problems,
    ...checked.problems,
  ]);
  const isOfGroup = (read.mode & 0o020) !== 0 && read.gid !== process.getegid!();
  const warnings = inFileOrder([
    ...(isOfGroup
      ? [atTop(`may be changed by its group (gid ${read.gid}); run: chmod g-w on it unless all of them may`)]
      : []),
    ...checked.warnings,
  ]);
  if (problems.length > 0) return { kind: 'problems', problems, warnings };
  return { kind: 'config', config: effectiveConfig(parts, place), warnings };
}

const unreadable: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist; name the config file with --config',
  EACCES: 'cannot be read (EACCES); give this user the right to read it',
  directory: 'is a directory; name the config file in it',
  'not-a-file': 'is not a regular file',
  'too-large': 'is larger than 1MiB; is this the config file?',
  'not-utf8': 'is not UTF-8 text; save it as UTF-8',
};

// Filter: which paths of a folder are synced, in gitignore's words. An excluded directory is never entered, so nothing
// below it can be included again.
//
// The config's patterns have the last word: an ignore file lies in the folder, where others may write, and can only
// exclude more. Ignore files among each other behave as .gitignore files do: each rules its own directory and below, the
// deeper one wins, the later line wins, `!` includes again. The ignore file itself is a file as any other: it is synced
// unless it is excluded.
import ignore from 'ignore';
import type { Ignore } from 'ignore';

/** Paths are relative to the folder, with `/`, without one at either end. Immutable. */
export interface Filter {
  /** True for a directory that is not entered; false for '', the folder itself. */
  excludesDirectory(path: string): boolean;
  /** True for a file (or anything else that is no directory) that is not synced, because of itself or a directory above. */
  excludesFile(path: string): boolean;
  /**
   * This filter and the patterns of an ignore file. A walk hands the result down to the subtree; for a path out of the
   * blue take the filter of the nearest directory above it that has an ignore file. Directories may only be added from
   * the top down: the last one added wins.
   */
  withIgnoreFile(directory: string, text: string): Filter;
  /** Lines of ignore files that are not used, because matching them could take for ever. */
  readonly refusedLines: readonly string[];
}

/**
 * A filter of the config's patterns. With `include`, only files that match one of these are synced; what lies below an
 * included directory is taken out again by `exclude` only.
 */
export function makeFilter(patterns: { include: readonly string[]; exclude: readonly string[] }): Filter {
  const included = matcher(compile(patterns.include));
  const excluded = matcher(compile(patterns.exclude));
  return build(patterns.include.length === 0 ? undefined : included, excluded, undefined, []);
}

type Matches = (path: string) => boolean;

function build(
  included: Matches | undefined,
  excluded: Matches,
  ignoreFiles: Ignore | undefined,
  refusedLines: readonly string[],
): Filter {
  const ignored = ignoreFiles ? matcher(ignoreFiles) : undefined;
  const excludes = (path: string) => excluded(path) || (ignored?.(path) ?? false);
  return {
    excludesDirectory: (path) => path !== '' && excludes(`${path}/`),
    excludesFile: (path) => excludes(path) || (included !== undefined && !included(path)),
    withIgnoreFile(directory, text) {
      const { patterns, refused } = rebase(directory, text);
      const all = compile(patterns, ignoreFiles);
      return build(included, excluded, all, [...refusedLines, ...refused]);
    },
    refusedLines,
  };
}

// Names differ by case on Linux, and so do keys: the package's default would exclude README for `readme`.
const options = { ignorecase: false } as const;

function compile(patterns: readonly string[], before?: Ignore): Ignore {
  const rules = ignore(options);
  if (before) rules.add(before);
  return rules.add(patterns);
}

// The package remembers its answer for every path it ever saw, which a daemon must not. It is worth remembering those
// of the directory that is being walked and of the ones above it, so the memory is dropped every so often.
const remembered = 4096;

function matcher(rules: Ignore): Matches {
  let memory = compile([], rules);
  let asked = 0;
  return (path) => {
    // The package throws on these. They lie outside the folder, where nothing is synced.
    if (!ignore.isPathValid(path)) return true;
    if (++asked % remembered === 0) memory = compile([], rules);
    return memory.ignores(path);
  };
}

// Each `**` tries every depth, so three of them cost the cube of a path's depth: seconds to minutes per path, set off by
// anybody who can write in the folder.
const globstarsMax = 2;

/** Patterns of an ignore file in a directory as patterns of the folder. */
function rebase(directory: string, text: string): { patterns: string[]; refused: string[] } {
  const lines = text.replace(/^\ufeff/, '').split(/\r?\n/);
  // Spaces at the end do not count, unless the last is escaped.
  const used = lines
    .map((line) => line.replace(/(?<!\\) +$/, ''))
    .filter((line) => line !== '' && !line.startsWith('#'));
  const [refused, patterns] = [used.filter(tooCostly), used.filter((line) => !tooCostly(line))];
  if (directory === '') return { patterns, refused };
  const base = directory.replaceAll(/[\\*?[\]]/g, String.raw`\$&`);
  return { patterns: patterns.map((line) => rebaseLine(base, line)), refused };
}

function rebaseLine(base: string, line: string): string {
  const negated = line.startsWith('!');
  const pattern = negated ? line.slice(1) : line;
  // A slash anywhere but at the end binds a pattern to the directory of its file; others match at any depth below it.
  const bound = /\/./s.test(pattern);
  return `${negated ? '!' : ''}/${base}/${bound ? pattern.replace(/^\//, '') : `**/${pattern}`}`;
}

function tooCostly(line: string): boolean {
  return (line.match(/\*\*+/g) ?? []).length > globstarsMax;
}

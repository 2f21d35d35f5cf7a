// Selection: which names of a folder are synced at all, by the config's patterns and the ignore files in the folder.
import { makeFilter, type Filter } from '../core/filter.ts';
import { directoryOf, joinPath, nameOf } from '../core/key.ts';
import type { Files } from '../edge/files.ts';

/** Holds patterns, in gitignore's syntax, for the directory it lies in and all below. */
export const ignoreFileName = '.s3ignore';

const ignoreFileBytesMax = 1 << 20;
/** For an ignore file that cannot be read: rather nothing than what it was to keep back. The file itself shows up as unreadable. */
const everything = `*\n!/${ignoreFileName}`;

interface IgnoreFile {
  readonly text: string;
  readonly filter: Filter;
}

export class Selection {
  readonly #filter: Filter;
  readonly #hasPatterns: boolean;
  readonly #files: Files;
  /** By directory. Few directories have one, so a folder costs what these cost and not its size. */
  readonly #ignoreFiles = new Map<string, IgnoreFile>();

  constructor(
    patterns: { readonly include: readonly string[]; readonly exclude: readonly string[] },
    files: Files,
  ) {
    this.#files = files;
    this.#filter = makeFilter(patterns);
    this.#hasPatterns = patterns.include.length + patterns.exclude.length > 0;
  }

  /** True for a name that is left alone, because of itself or of a directory above it. */
  excludes(directory: string, name: string, isDirectory: boolean): boolean {
    if (!this.#hasPatterns && this.#ignoreFiles.size === 0) return false;
    const filter = this.#filterOf(directory);
    const path = joinPath(directory, name);
    return isDirectory ? filter.excludesDirectory(path) : filter.excludesFile(path);
  }

  /**
   * True for a file that is left alone by the patterns and by the ignore files above it as they are at this moment: what
   * was noticed before an ignore file was there, or before the config was changed, may be excluded by now.
   */
  excludesNow(root: string, path: string): boolean {
    const directory = directoryOf(path);
    this.#enterNow(root, directory);
    return this.excludes(directory, nameOf(path), false);
  }

  #enterNow(root: string, directory: string): void {
    if (directory !== '') this.#enterNow(root, directoryOf(directory));
    const file = joinPath(directory === '' ? root : `${root}/${directory}`, ignoreFileName);
    // Two microseconds, where an attempt to open what is not there takes twenty.
    if (this.#ignoreFiles.has(directory) || this.#files.lstat(file)) {
      this.enter(root, directory);
    }
  }

  /**
   * Takes up a directory's own ignore file as it is now. To be called from the top down, before anything is asked about
   * the directory's names.
   */
  enter(root: string, directory: string): void {
    const text = this.#read(joinPath(directory === '' ? root : `${root}/${directory}`, ignoreFileName));
    if (text === this.#ignoreFiles.get(directory)?.text) return;
    const below = this.#takeBelow(directory);
    this.#ignoreFiles.delete(directory);
    if (text !== undefined) {
      const above = directory === '' ? this.#filter : this.#filterOf(directoryOf(directory));
      this.#ignoreFiles.set(directory, { text, filter: above.withIgnoreFile(directory, text) });
    }
    for (const path of below) this.enter(root, path);
  }

  /** The walk found a directory without an ignore file. */
  leave(root: string, directory: string): void {
    if (this.#ignoreFiles.has(directory)) this.enter(root, directory);
  }

  /** Ignore files below are built upon the one above: removes them, to be taken up again from the top down. */
  #takeBelow(directory: string): string[] {
    const prefix = directory === '' ? '' : `${directory}/`;
    const below = [...this.#ignoreFiles.keys()].filter(
      (path) => path !== directory && path.startsWith(prefix),
    );
    for (const path of below) this.#ignoreFiles.delete(path);
    return below.toSorted((a, b) => a.length - b.length);
  }

  #filterOf(directory: string): Filter {
    if (this.#ignoreFiles.size === 0) return this.#filter;
    for (let at = directory; ; at = directoryOf(at)) {
      const found = this.#ignoreFiles.get(at);
      if (found) return found.filter;
      if (at === '') return this.#filter;
    }
  }

  #read(path: string): string | undefined {
    const files = this.#files;
    let fd: number;
    try {
      fd = files.open(path, 'follow');
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      return code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENXIO' ? undefined : everything;
    }
    try {
      const stats = files.fstat(fd);
      if (!stats.isFile()) return undefined;
      return stats.size > ignoreFileBytesMax ? everything : readText(files, fd);
    } catch {
      return everything;
    } finally {
      files.close(fd);
    }
  }
}

/** To the end, which may be another by now than it was when its size was asked for. */
function readText(files: Files, fd: number): string {
  const bytes = Buffer.allocUnsafe(ignoreFileBytesMax);
  let done = 0;
  for (;;) {
    const read = files.readSync(fd, bytes, done, bytes.length - done, done);
    if (read === 0) return bytes.toString('utf8', 0, done);
    done += read;
  }
}

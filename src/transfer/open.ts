// Opening and reading files of a watched folder, in which any local user may exchange a file, a directory or a link at
// any moment. What is read is fenced: the same fd is fstat'ed before and after, and a difference means "look again".
import path from 'node:path';
import type { FileState, Local, OtherType } from '../core/file.ts';
import type { SymlinkMode } from '../core/policy.ts';
import type { Surroundings } from '../core/safety.ts';
import type { Files, FileStats } from '../edge/files.ts';

export interface Root {
  /** Absolute path of the folder, links resolved. */
  path: string;
  readonly symlinks: SymlinkMode;
  /** Where it lies. */
  readonly files: Files;
}

/** What stands at a path now. @throws the system's error when that cannot be said (EACCES, EIO) */
export function look(root: Root, filePath: string): Local {
  const absolute = path.join(root.path, filePath);
  try {
    const stats = root.files.lstat(absolute);
    if (!stats) return { kind: 'absent' };
    if (root.symlinks === 'skip')
      return throughLink(root, absolute) ? { kind: 'absent' } : localFromStats(stats);
    return stats.isSymbolicLink() ? lookThrough(root, absolute) : localFromStats(stats);
  } catch (error) {
    // A parent that is a file now, or vanished meanwhile: there is nothing at this path.
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOTDIR' || code === 'ENOENT') return { kind: 'absent' };
    throw error;
  }
}

/** True when a directory above became a link: what stands behind it is not the folder's, as scans see it too. */
function throughLink({ files }: Root, absolute: string): boolean {
  const directory = path.dirname(absolute);
  return files.realpath(directory) !== directory;
}

function lookThrough({ path: root, files }: Root, absolute: string): Local {
  const stats = files.stat(absolute);
  if (!stats) return { kind: 'absent' };
  if (isInside(root, files.realpath(absolute))) return localFromStats(stats);
  const link = files.lstat(absolute);
  return link ? otherFromStats(link) : { kind: 'absent' };
}

/** What there is above a path at which nothing stands. Never through a link, which may lead anywhere, unless links are followed. */
export function surroundingsOf(root: Root, filePath: string): Surroundings {
  const { files } = root;
  let nearest = files.stat(root.path);
  if (!nearest) return { kind: 'nothing' };
  let absolute = root.path;
  for (const name of filePath.split('/').slice(0, -1)) {
    absolute = path.join(absolute, name);
    let stats = files.lstat(absolute);
    if (stats?.isSymbolicLink()) {
      stats = root.symlinks === 'follow' ? files.stat(absolute) : undefined;
      if (!stats) return { kind: 'link' };
    }
    if (!stats?.isDirectory()) break;
    nearest = stats;
  }
  return { kind: 'directory', dev: nearest.dev };
}

/** A file opened for reading, closed by `using`. */
export class OpenFile implements Disposable {
  /** As fstat saw it right after opening. */
  readonly state: FileState;
  readonly #fd: number;
  readonly #files: Files;

  constructor(fd: number, state: FileState, files: Files) {
    this.state = state;
    this.#fd = fd;
    this.#files = files;
  }

  /** @returns how many bytes there were; 0 at the end */
  read(into: Buffer, offset: number, length: number, position: number): Promise<number> {
    return this.#files.read(this.#fd, into, offset, length, position);
  }

  /** The same without the thread pool: for what comes from the page cache in no time. */
  readSync(into: Buffer, offset: number, length: number, position: number): number {
    return this.#files.readSync(this.#fd, into, offset, length, position);
  }

  /** True when the file is still what it was when it was opened. */
  unchanged(): boolean {
    const now = this.#files.fstat(this.#fd);
    return (
      Number(now.size) === this.state.size &&
      now.mtimeNs === this.state.mtimeNs &&
      now.ctimeNs === this.state.ctimeNs
    );
  }

  [Symbol.dispose](): void {
    this.#files.close(this.#fd);
  }
}

/**
 * Opens a regular file below the root. Never blocks on a FIFO, never follows a link out of the root, not even one that
 * replaced a parent directory since the scan (O_NOFOLLOW guards only the last segment).
 * @returns undefined when there is no such regular file any more
 * @throws the system's error when it is there and cannot be read
 */
export function openFile(root: Root, filePath: string): OpenFile | undefined {
  const { files } = root;
  const absolute = path.join(root.path, filePath);
  let fd: number;
  try {
    fd = files.open(absolute, root.symlinks === 'follow' ? 'follow' : 'refuse');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP' || code === 'ENXIO') return undefined;
    throw error;
  }
  const local = localFromStats(files.fstat(fd));
  const target = files.pathOf(fd);
  const expected = root.symlinks === 'follow' ? isInside(root.path, target) : target === absolute;
  if (local.kind !== 'file' || !expected) {
    files.close(fd);
    return undefined;
  }
  return new OpenFile(fd, local.file, files);
}

/** Bytes read in one turn of the event loop without going through the thread pool: ~20 µs from the page cache. */
const syncReadMax = 64 * 1024;

/** Reads the whole file. Undefined when its length is not what it was when it was opened. */
export async function readAll(file: OpenFile): Promise<Buffer | undefined> {
  const { size } = file.state;
  // One byte more than the file had, so that growth shows.
  const buffer = Buffer.allocUnsafe(size + 1);
  const bytes =
    size <= syncReadMax ? readFullySync(file, buffer) : await readFully(file, buffer, 0, size + 1);
  return bytes === size ? buffer.subarray(0, size) : undefined;
}

/** Fills `length` bytes from `position` as far as the file goes; returns how many there were. */
export async function readFully(
  file: OpenFile,
  buffer: Buffer,
  position: number,
  length: number,
): Promise<number> {
  let done = 0;
  while (done < length) {
    const read = await file.read(buffer, done, length - done, position + done);
    if (read === 0) break;
    done += read;
  }
  return done;
}

/** The file's content in pieces of 1 MiB, each valid until the next is asked for. */
export async function* pieces(file: OpenFile): AsyncGenerator<Buffer> {
  const buffer = Buffer.allocUnsafe(Math.min(1024 ** 2, Math.max(1, file.state.size)));
  let position = 0;
  while (position < file.state.size) {
    const read = await file.read(buffer, 0, buffer.length, position);
    if (read === 0) return;
    position += read;
    yield buffer.subarray(0, read);
  }
}

function readFullySync(file: OpenFile, buffer: Buffer): number {
  let done = 0;
  while (done < buffer.length) {
    const read = file.readSync(buffer, done, buffer.length - done, done);
    if (read === 0) break;
    done += read;
  }
  return done;
}

function localFromStats(stats: FileStats): Local {
  if (stats.isFile()) {
    return {
      kind: 'file',
      file: {
        size: Number(stats.size),
        mtimeNs: stats.mtimeNs,
        ctimeNs: stats.ctimeNs,
        ino: stats.ino,
        dev: stats.dev,
        mode: Number(stats.mode),
        uid: Number(stats.uid),
        gid: Number(stats.gid),
      },
    };
  }
  return otherFromStats(stats);
}

function otherFromStats(stats: FileStats): Local {
  const { mtimeNs, ctimeNs, ino } = stats;
  return {
    kind: 'other',
    type: otherType(stats),
    fingerprint: { size: Number(stats.size), mtimeNs, ctimeNs, ino },
  };
}

function otherType(stats: FileStats): OtherType {
  if (stats.isDirectory()) return 'directory';
  if (stats.isSymbolicLink()) return 'symlink';
  if (stats.isFIFO()) return 'fifo';
  return stats.isSocket() ? 'socket' : 'device';
}

function isInside(root: string, absolute: string): boolean {
  return absolute === root || absolute.startsWith(root.endsWith('/') ? root : `${root}/`);
}

// Opening and reading files of a watched folder, in which any local user may exchange a file, a directory or a link at
// any moment. What is read is fenced: the same fd is fstat'ed before and after, and a difference means "look again".
import fs from 'node:fs';
import path from 'node:path';
import type { BigIntStats } from 'node:fs';
import type { FileState, Local, OtherType } from '../core/file.ts';
import type { SymlinkMode } from '../core/policy.ts';
import type { Surroundings } from '../core/safety.ts';

export interface Root {
  /** Absolute path of the folder, links resolved. */
  path: string;
  readonly symlinks: SymlinkMode;
}

/** What stands at a path now. @throws the system's error when that cannot be said (EACCES, EIO) */
export function look(root: Root, filePath: string): Local {
  const absolute = path.join(root.path, filePath);
  try {
    const stats = fs.lstatSync(absolute, { bigint: true, throwIfNoEntry: false });
    if (!stats) return { kind: 'absent' };
    if (root.symlinks === 'skip') return throughLink(absolute) ? { kind: 'absent' } : localFromStats(stats);
    return stats.isSymbolicLink() ? lookThrough(root, absolute) : localFromStats(stats);
  } catch (error) {
    // A parent that is a file now, or vanished meanwhile: there is nothing at this path.
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOTDIR' || code === 'ENOENT') return { kind: 'absent' };
    throw error;
  }
}

/** True when a directory above became a link: what stands behind it is not the folder's, as scans see it too. */
function throughLink(absolute: string): boolean {
  const directory = path.dirname(absolute);
  return fs.realpathSync.native(directory) !== directory;
}

function lookThrough(root: Root, absolute: string): Local {
  const stats = fs.statSync(absolute, { bigint: true, throwIfNoEntry: false });
  if (!stats) return { kind: 'absent' };
  const inside = isInside(root.path, fs.realpathSync(absolute));
  return inside ? localFromStats(stats) : otherFromStats(fs.lstatSync(absolute, { bigint: true }));
}

/** What there is above a path at which nothing stands. Never through a link, which may lead anywhere, unless links are followed. */
export function surroundingsOf(root: Root, filePath: string): Surroundings {
  let nearest = fs.statSync(root.path, { bigint: true, throwIfNoEntry: false });
  if (!nearest) return { kind: 'nothing' };
  let absolute = root.path;
  for (const name of filePath.split('/').slice(0, -1)) {
    absolute = path.join(absolute, name);
    let stats = fs.lstatSync(absolute, { bigint: true, throwIfNoEntry: false });
    if (stats?.isSymbolicLink()) {
      stats =
        root.symlinks === 'follow'
          ? fs.statSync(absolute, { bigint: true, throwIfNoEntry: false })
          : undefined;
      if (!stats) return { kind: 'link' };
    }
    if (!stats?.isDirectory()) break;
    nearest = stats;
  }
  return { kind: 'directory', dev: nearest.dev };
}

/** A file opened for reading, closed by `using`. */
export class OpenFile implements Disposable {
  readonly fd: number;
  /** As fstat saw it right after opening. */
  readonly state: FileState;

  constructor(fd: number, state: FileState) {
    this.fd = fd;
    this.state = state;
  }

  /** True when the file is still what it was when it was opened. */
  unchanged(): boolean {
    const now = fs.fstatSync(this.fd, { bigint: true });
    return (
      Number(now.size) === this.state.size &&
      now.mtimeNs === this.state.mtimeNs &&
      now.ctimeNs === this.state.ctimeNs
    );
  }

  [Symbol.dispose](): void {
    fs.closeSync(this.fd);
  }
}

/**
 * Opens a regular file below the root. Never blocks on a FIFO, never follows a link out of the root, not even one that
 * replaced a parent directory since the scan (O_NOFOLLOW guards only the last segment).
 * @returns undefined when there is no such regular file any more
 * @throws the system's error when it is there and cannot be read
 */
export function openFile(root: Root, filePath: string): OpenFile | undefined {
  const follow = root.symlinks === 'follow' ? 0 : fs.constants.O_NOFOLLOW;
  const absolute = path.join(root.path, filePath);
  let fd: number;
  try {
    fd = fs.openSync(
      absolute,
      fs.constants.O_RDONLY | fs.constants.O_NONBLOCK | fs.constants.O_NOCTTY | follow,
    );
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP' || code === 'ENXIO') return undefined;
    throw error;
  }
  const local = localFromStats(fs.fstatSync(fd, { bigint: true }));
  const target = fs.readlinkSync(`/proc/self/fd/${fd}`);
  const expected = root.symlinks === 'follow' ? isInside(root.path, target) : target === absolute;
  if (local.kind !== 'file' || !expected) {
    fs.closeSync(fd);
    return undefined;
  }
  return new OpenFile(fd, local.file);
}

/** Bytes read in one turn of the event loop without going through the thread pool: ~20 µs from the page cache. */
const syncReadMax = 64 * 1024;

/** Reads the whole file. Undefined when its length is not what it was when it was opened. */
export async function readAll(file: OpenFile): Promise<Buffer | undefined> {
  const { size } = file.state;
  // One byte more than the file had, so that growth shows.
  const buffer = Buffer.allocUnsafe(size + 1);
  const bytes =
    size <= syncReadMax ? readFullySync(file.fd, buffer) : await readFully(file.fd, buffer, 0, size + 1);
  return bytes === size ? buffer.subarray(0, size) : undefined;
}

/** Fills `length` bytes from `position` as far as the file goes; returns how many there were. */
export async function readFully(
  fd: number,
  buffer: Buffer,
  position: number,
  length: number,
): Promise<number> {
  let done = 0;
  while (done < length) {
    const read = await readOnce(fd, buffer, done, length - done, position + done);
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
    const read = await readOnce(file.fd, buffer, 0, buffer.length, position);
    if (read === 0) return;
    position += read;
    yield buffer.subarray(0, read);
  }
}

function readFullySync(fd: number, buffer: Buffer): number {
  let done = 0;
  while (done < buffer.length) {
    const read = fs.readSync(fd, buffer, done, buffer.length - done, done);
    if (read === 0) break;
    done += read;
  }
  return done;
}

function readOnce(fd: number, buffer: Buffer, offset: number, length: number, position: number) {
  return new Promise<number>((resolve, reject) => {
    fs.read(fd, buffer, offset, length, position, (error, read) => (error ? reject(error) : resolve(read)));
  });
}

function localFromStats(stats: BigIntStats): Local {
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

function otherFromStats(stats: BigIntStats): Local {
  const { mtimeNs, ctimeNs, ino } = stats;
  return {
    kind: 'other',
    type: otherType(stats),
    fingerprint: { size: Number(stats.size), mtimeNs, ctimeNs, ino },
  };
}

function otherType(stats: BigIntStats): OtherType {
  if (stats.isDirectory()) return 'directory';
  if (stats.isSymbolicLink()) return 'symlink';
  if (stats.isFIFO()) return 'fifo';
  return stats.isSocket() ? 'socket' : 'device';
}

function isInside(root: string, absolute: string): boolean {
  return absolute === root || absolute.startsWith(root.endsWith('/') ? root : `${root}/`);
}

// Files: what the program asks of the file system that its folders are in. It only ever reads. Handed down by whoever
// starts a daemon, so that a test can have a disk go away, or a file change at any moment.
//
// Synchronous on purpose, but for content: `readdirSync` and `lstatSync` need about 3 µs of CPU per file, their promises
// 10 to 13.
import fs, { type BigIntStats } from 'node:fs';

export interface Files {
  /** What stands at a path, links not followed; undefined for nothing. */
  lstat(path: string | Buffer): FileStats | undefined;
  /** Links followed. */
  stat(path: string): FileStats | undefined;
  /** In a directory; bytes that are not UTF-8 become U+FFFD. */
  names(directory: string): string[];
  rawNames(directory: string): Buffer[];
  /** Only those of directories, without a look at each. */
  directories(directory: string): string[];
  /** By reading it: access(2) leaves capabilities out of account, and a service may read by CAP_DAC_READ_SEARCH. */
  isEmpty(directory: string): boolean;
  /** Without links. */
  realpath(path: string): string;
  /** Number of the kind of file system, as statfs(2) has it. */
  fileSystem(path: string): number;
  /** For reading. Never waits for the other end of a FIFO. `refuse`: a link at the end of the path is an error, ELOOP. */
  open(path: string, links: 'follow' | 'refuse'): number;
  fstat(fd: number): FileStats;
  /** The path of an open file as it is now, without links. */
  pathOf(fd: number): string;
  /** @returns how many bytes there were; 0 at the end */
  read(fd: number, into: Uint8Array, offset: number, length: number, position: number): Promise<number>;
  readSync(fd: number, into: Uint8Array, offset: number, length: number, position: number): number;
  close(fd: number): void;
}

export type FileStats = Pick<
  BigIntStats,
  | 'dev'
  | 'ino'
  | 'mode'
  | 'uid'
  | 'gid'
  | 'size'
  | 'mtimeNs'
  | 'ctimeNs'
  | 'birthtimeNs'
  | 'isFile'
  | 'isDirectory'
  | 'isSymbolicLink'
  | 'isFIFO'
  | 'isSocket'
>;

const { O_RDONLY, O_NONBLOCK, O_NOCTTY, O_NOFOLLOW } = fs.constants;
const forReading = O_RDONLY | O_NONBLOCK | O_NOCTTY;
const nanoseconds = { bigint: true, throwIfNoEntry: false } as const;

/** Those of the system. */
export const systemFiles: Files = {
  lstat: (path) => fs.lstatSync(path, nanoseconds),
  stat: (path) => fs.statSync(path, nanoseconds),
  names: (directory) => fs.readdirSync(directory),
  rawNames: (directory) => fs.readdirSync(directory, { encoding: 'buffer' }),
  directories: (directory) =>
    fs
      .readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name),
  isEmpty(directory) {
    const opened = fs.opendirSync(directory);
    const first = opened.readSync();
    opened.closeSync();
    return first === null;
  },
  realpath: (path) => fs.realpathSync.native(path),
  fileSystem: (path) => fs.statfsSync(path).type,
  open: (path, links) => fs.openSync(path, links === 'follow' ? forReading : forReading | O_NOFOLLOW),
  fstat: (fd) => fs.fstatSync(fd, { bigint: true }),
  pathOf: (fd) => fs.readlinkSync(`/proc/self/fd/${fd}`),
  read: (fd, into, offset, length, position) =>
    new Promise((resolve, reject) => {
      fs.read(fd, into, offset, length, position, (error, read) => (error ? reject(error) : resolve(read)));
    }),
  readSync: (fd, into, offset, length, position) => fs.readSync(fd, into, offset, length, position),
  close: (fd) => fs.closeSync(fd),
};

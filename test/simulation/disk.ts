// Disk: a file system in memory, with what of Linux the daemon depends upon: inodes, hard and symbolic links, renames,
// timestamps that stand still within a tick of the kernel's clock, open files that live on without a name, and file
// systems that come and go. It remembers every state that each path was in.
import { createHash } from 'node:crypto';
import type { Files, FileStats } from '../../src/edge/files.ts';
import type { Chance } from './chance.ts';
import type { Life, Time } from './time.ts';

type Node = Directory | File | Symlink;

interface Inode {
  readonly ino: bigint;
  readonly dev: bigint;
  readonly birthtimeNs: bigint;
  mode: number;
  mtimeNs: bigint;
  ctimeNs: bigint;
}

interface Directory extends Inode {
  readonly type: 'directory';
  names: Map<string, Node>;
  /** The root of a file system that is mounted over it. */
  mounted?: Directory;
}

interface File extends Inode {
  readonly type: 'file';
  bytes: Buffer;
}

interface Symlink extends Inode {
  readonly type: 'symlink';
  readonly target: string;
}

interface Open {
  readonly node: File;
  readonly path: string;
}

/** What the world is told of: a name in a directory came, went, or is another now. */
export type OnChange = (directory: string, name: string, isDirectory: boolean) => void;

export type Operation = 'lstat' | 'stat' | 'names' | 'open' | 'read' | 'realpath';

const types = { directory: 0o040000, file: 0o100000, symlink: 0o120000 } as const;
/** Two writes within a tick of the kernel's clock have the same timestamp. */
const tickNs = 4_000_000n;
const linksMax = 40;

export class Disk {
  /** Digests of what stood at a path at any time. */
  readonly states = new Map<string, Set<string>>();
  /** When there was a file at a path the last time, for those where there is none. */
  readonly absentSinceMs = new Map<string, number>();
  /** Paths of files that nobody removed: they went with their root, or are hidden by a file system. */
  readonly unmounted = new Set<string>();
  /** Paths of files that nobody removed: they got another name. */
  readonly renamed = new Set<string>();
  /** Asked before each call; throws what the call fails with. */
  onCall: (operation: Operation, path: string) => void = () => undefined;
  readonly #time: Time;
  readonly #chance: Chance;
  readonly #onChange: OnChange;
  readonly #root: Directory;
  readonly #open = new Map<number, Open>();
  readonly #mounts = new Set<string>();
  #lastFd = 100;
  #lastIno = 1000n;
  #lastDev = 40n;
  /** Numbers of deleted files, which ext4 gives to the next ones. */
  readonly #freeInos: bigint[] = [];

  constructor(time: Time, chance: Chance, onChange: OnChange) {
    this.#time = time;
    this.#chance = chance;
    this.#onChange = onChange;
    this.#root = this.#makeDirectory(this.#newDev());
    // A root whose birth is its last change tells that births are not known here.
    this.#root.ctimeNs += 1n;
  }

  // What people and programs do

  makeDirectory(path: string): void {
    let at = this.#root;
    let prefix = '';
    for (const name of path.split('/').filter((each) => each !== '')) {
      let next = at.names.get(name);
      if (!next) {
        next = this.#makeDirectory(at.dev);
        this.#link(prefix, at, name, next);
      }
      prefix += `/${name}`;
      if (next.type !== 'directory') throw error('ENOTDIR', path);
      at = next.mounted ?? next;
    }
  }

  write(path: string, bytes: Buffer): void {
    const { directory, name, at } = this.#place(path);
    const before = directory.names.get(name);
    if (before?.type === 'file') this.#change(before, bytes, at, name);
    else this.#link(at, directory, name, this.#makeFile(directory.dev, bytes));
  }

  /** Writes into the file as it is, without another name or number. */
  overwrite(path: string, position: number, bytes: Buffer): void {
    const file = this.#file(path);
    const changed = Buffer.alloc(Math.max(file.bytes.length, position + bytes.length));
    file.bytes.copy(changed);
    bytes.copy(changed, position);
    const { at, name } = this.#place(path);
    this.#change(file, changed, at, name);
  }

  truncate(path: string, size: number): void {
    const { at, name } = this.#place(path);
    const file = this.#file(path);
    this.#change(file, Buffer.from(file.bytes.subarray(0, size)), at, name);
  }

  /** As `touch -d`. */
  setTime(path: string, mtimeMs: number): void {
    const { at, name } = this.#place(path);
    const file = this.#file(path);
    file.mtimeNs = BigInt(Math.round(mtimeMs)) * 1_000_000n;
    file.ctimeNs = this.#stampNs();
    this.#onChange(at, name, false);
  }

  setMode(path: string, mode: number): void {
    const { at, name } = this.#place(path);
    const file = this.#file(path);
    file.mode = mode;
    file.ctimeNs = this.#stampNs();
    this.#onChange(at, name, false);
  }

  remove(path: string): void {
    const { directory, name, at } = this.#place(path);
    const node = directory.names.get(name);
    if (!node) throw error('ENOENT', path);
    this.#refuseMounted(path);
    this.#unlink(at, directory, name, node);
    if (node.type === 'file' && !this.#isLinked(node)) this.#freeInos.push(node.ino);
  }

  rename(from: string, to: string): void {
    const [source, target] = [this.#place(from), this.#place(to)];
    const node = source.directory.names.get(source.name);
    if (!node) throw error('ENOENT', from);
    this.#refuseMounted(from);
    if (source.directory.dev !== target.directory.dev) throw error('EXDEV', from);
    const replaced = target.directory.names.get(target.name);
    if (replaced === node) return;
    if (replaced?.type === 'directory' || (replaced && node.type === 'directory')) throw error('EEXIST', to);
    if (replaced) this.#unlink(target.at, target.directory, target.name, replaced, 'replaced');
    const gone = node.type === 'directory' ? this.#filesBelow(from) : [from];
    this.#unlink(source.at, source.directory, source.name, node);
    for (const file of gone) this.renamed.add(file);
    // Linux gives what is renamed another ctime, not another mtime.
    node.ctimeNs = this.#stampNs();
    this.#link(target.at, target.directory, target.name, node);
  }

  linkHard(from: string, to: string): void {
    const { directory, name, at } = this.#place(to);
    const file = this.#file(from);
    file.ctimeNs = this.#stampNs();
    this.#link(at, directory, name, file);
  }

  linkSymbolic(target: string, path: string): void {
    const { directory, name, at } = this.#place(path);
    const stamp = this.#stampNs();
    const inode = { ...this.#inode(directory.dev, stamp), mode: 0o777 };
    this.#link(at, directory, name, { ...inode, type: 'symlink', target });
  }

  /** Another file system stands at a directory, empty: what was there is hidden, and no watcher is told. */
  mount(path: string): void {
    const node = this.#at(path);
    if (node?.type !== 'directory') throw error('ENOTDIR', path);
    const below = this.#filesBelow(path);
    this.#directoryAt(path).mounted = this.#makeDirectory(this.#newDev());
    this.#mounts.add(path);
    for (const file of below) this.#unmount(file);
  }

  unmount(path: string): void {
    for (const file of this.#filesBelow(path)) this.#hidden(file);
    delete this.#directoryAt(path).mounted;
    this.#mounts.delete(path);
    for (const file of this.#filesBelow(path)) this.#shown(file, this.#file(file));
  }

  /** As a rename, but of all that a folder is. */
  moveAway(root: string, to: string): void {
    const below = this.#filesBelow(root);
    this.rename(root, to);
    for (const file of below) this.unmounted.add(file);
  }

  exists(path: string): boolean {
    return this.#at(path) !== undefined;
  }

  isDirectory(path: string): boolean {
    return this.#at(path)?.type === 'directory';
  }

  content(path: string): Buffer | undefined {
    const node = this.#at(path);
    return node?.type === 'file' ? node.bytes : undefined;
  }

  mtimeMs(path: string): number {
    return Number(this.#file(path).mtimeNs / 1_000_000n);
  }

  /** Absolute paths of regular files below a directory, sorted; not through links. */
  filesBelow(path: string): string[] {
    return this.#filesBelow(path).toSorted();
  }

  directoriesBelow(path: string): string[] {
    const found: string[] = [];
    const walk = (at: string, node: Node | undefined) => {
      if (node?.type !== 'directory') return;
      found.push(at);
      for (const [name, child] of (node.mounted ?? node).names) walk(`${at}/${name}`, child);
    };
    walk(path, this.#at(path));
    return found.toSorted();
  }

  // What the daemon sees

  filesFor(life: Life): Files {
    const call = <T>(operation: Operation, path: string, act: () => T): T => {
      this.onCall(operation, path);
      return act();
    };
    const fileOf = (fd: number): Open => {
      const open = this.#open.get(fd);
      if (!open) throw error('EBADF', String(fd));
      return open;
    };
    const readSync = (fd: number, into: Uint8Array, offset: number, length: number, position: number) => {
      const { node, path } = fileOf(fd);
      this.onCall('read', path);
      const bytes = node.bytes.subarray(position, position + length);
      into.set(bytes, offset);
      return bytes.length;
    };
    return {
      lstat: (path) => call('lstat', String(path), () => statsOf(this.#resolve(String(path), false)?.node)),
      stat: (path) => call('stat', path, () => statsOf(this.#resolve(path, true)?.node)),
      names: (path) => call('names', path, () => [...this.#listed(path).names.keys()]),
      rawNames: (path) =>
        call('names', path, () => [...this.#listed(path).names.keys()].map((name) => Buffer.from(name))),
      directories: (path) =>
        call('names', path, () =>
          [...this.#listed(path).names].flatMap(([name, node]) => (node.type === 'directory' ? [name] : [])),
        ),
      isEmpty: (path) => call('names', path, () => this.#listed(path).names.size === 0),
      realpath: (path) =>
        call('realpath', path, () => {
          const resolved = this.#resolve(path, true);
          if (!resolved) throw error('ENOENT', path);
          return resolved.path;
        }),
      fileSystem: () => 0xef53,
      open: (path, links) =>
        call('open', path, () => {
          const resolved = this.#resolve(path, links === 'follow');
          if (!resolved) throw error('ENOENT', path);
          if (resolved.node.type === 'symlink') throw error('ELOOP', path);
          if (resolved.node.type === 'directory') throw error('EISDIR', path);
          if ((resolved.node.mode & 0o400) === 0) throw error('EACCES', path);
          this.#lastFd += 1;
          this.#open.set(this.#lastFd, { node: resolved.node, path: resolved.path });
          return this.#lastFd;
        }),
      fstat: (fd) => statsOf(fileOf(fd).node)!,
      pathOf: (fd) => fileOf(fd).path,
      // A read takes time, in which others may write; and gives less than was asked for when it pleases.
      read: (fd, into, offset, length, position) =>
        new Promise((resolve, reject) => {
          const part = this.#chance.is(0.3) ? this.#chance.between(1, Math.max(1, length)) : length;
          const read = () => {
            try {
              resolve(readSync(fd, into, offset, part, position));
            } catch (failure) {
              reject(failure);
            }
          };
          if (this.#chance.is(0.3)) this.#time.after(life, this.#chance.between(1, 50), read);
          else this.#time.soon(life, read);
        }),
      readSync,
      close: (fd) => void this.#open.delete(fd),
    };
  }

  /** What is open when the process ends is closed. */
  closeAll(): void {
    this.#open.clear();
  }

  /** How many files are open. */
  get openCount(): number {
    return this.#open.size;
  }

  /** Number of the directory at a path, for a watcher. */
  inoOf(path: string): bigint | undefined {
    return this.#at(path)?.ino;
  }

  // Within

  #listed(path: string): Directory {
    const node = this.#resolve(path, true)?.node;
    if (!node) throw error('ENOENT', path);
    if (node.type !== 'directory') throw error('ENOTDIR', path);
    if ((node.mode & 0o400) === 0) throw error('EACCES', path);
    return node;
  }

  #at(path: string): Node | undefined {
    try {
      return this.#resolve(path, false)?.node;
    } catch {
      return undefined;
    }
  }

  /** @throws ENOTDIR, ELOOP, as the system does */
  #resolve(path: string, follow: boolean): { node: Node; path: string } | undefined {
    let rest = path.split('/').filter((name) => name !== '' && name !== '.');
    let trail: { node: Directory; path: string }[] = [{ node: this.#root, path: '' }];
    let links = 0;
    while (rest.length > 0) {
      const [name = '', ...after] = rest;
      const { node: directory, path: at } = trail.at(-1)!;
      rest = after;
      if (name === '..') {
        if (trail.length > 1) trail.pop();
        continue;
      }
      const child = directory.names.get(name);
      if (!child) return undefined;
      if (child.type === 'symlink' && (rest.length > 0 || follow)) {
        links += 1;
        if (links > linksMax) throw error('ELOOP', path);
        if (child.target.startsWith('/')) trail = trail.slice(0, 1);
        rest = [...child.target.split('/').filter((each) => each !== '' && each !== '.'), ...rest];
        continue;
      }
      if (child.type === 'directory') {
        trail.push({ node: child.mounted ?? child, path: `${at}/${name}` });
        continue;
      }
      if (rest.length > 0) throw error('ENOTDIR', path);
      return { node: child, path: `${at}/${name}` };
    }
    const last = trail.at(-1)!;
    return { node: last.node, path: last.path === '' ? '/' : last.path };
  }

  #place(path: string): { directory: Directory; at: string; name: string } {
    const slash = path.lastIndexOf('/');
    const [above, name] = [path.slice(0, slash) || '/', path.slice(slash + 1)];
    const resolved = this.#resolve(above, true);
    if (!resolved) throw error('ENOENT', path);
    if (resolved.node.type !== 'directory') throw error('ENOTDIR', path);
    return { directory: resolved.node, at: resolved.path === '/' ? '' : resolved.path, name };
  }

  /** The directory itself, not what is mounted over it. */
  #directoryAt(path: string): Directory {
    const { directory, name } = this.#place(path);
    const node = directory.names.get(name);
    if (node?.type !== 'directory') throw error('ENOTDIR', path);
    return node;
  }

  #file(path: string): File {
    const node = this.#at(path);
    if (node?.type !== 'file') throw error('ENOENT', path);
    return node;
  }

  #filesBelow(path: string): string[] {
    const found: string[] = [];
    const walk = (at: string, node: Node | undefined) => {
      if (node?.type === 'file') found.push(at);
      if (node?.type === 'directory')
        for (const [name, child] of (node.mounted ?? node).names) walk(`${at}/${name}`, child);
    };
    walk(path, this.#at(path));
    return found;
  }

  #isLinked(file: File): boolean {
    return [...this.#open.values()].some(({ node }) => node === file) || this.#pathsOf(file).length > 0;
  }

  #pathsOf(file: File): string[] {
    return this.#filesBelow('/sim').filter((path) => this.#at(path) === file);
  }

  #link(at: string, directory: Directory, name: string, node: Node): void {
    directory.names.set(name, node);
    this.#touch(directory);
    for (const [path, file] of filesIn(`${at}/${name}`, node)) this.#shown(path, file);
    this.#onChange(at, name, node.type === 'directory');
  }

  #unlink(at: string, directory: Directory, name: string, node: Node, how?: 'replaced'): void {
    directory.names.delete(name);
    this.#touch(directory);
    if (node.type === 'file') node.ctimeNs = this.#stampNs();
    if (how === 'replaced') return;
    for (const [path] of filesIn(`${at}/${name}`, node)) this.#hidden(path);
    this.#onChange(at, name, node.type === 'directory');
  }

  #change(file: File, bytes: Buffer, at: string, name: string): void {
    file.bytes = bytes;
    file.mtimeNs = file.ctimeNs = this.#stampNs();
    // A hard link elsewhere is the same file, but only the name through which it is written is told of.
    for (const path of this.#pathsOf(file)) this.#shown(path, file);
    this.#onChange(at, name, false);
  }

  #shown(path: string, file: File): void {
    this.absentSinceMs.delete(path);
    this.unmounted.delete(path);
    this.renamed.delete(path);
    const states = this.states.get(path) ?? new Set();
    states.add(digestOf(file.bytes));
    this.states.set(path, states);
  }

  #hidden(path: string): void {
    this.absentSinceMs.set(path, this.#time.elapsedMs);
    this.unmounted.delete(path);
  }

  #refuseMounted(path: string): void {
    if ([...this.#mounts].some((mount) => mount === path || mount.startsWith(`${path}/`)))
      throw error('EBUSY', path);
  }

  #unmount(path: string): void {
    this.#hidden(path);
    this.unmounted.add(path);
  }

  #touch(directory: Directory): void {
    directory.mtimeNs = directory.ctimeNs = this.#stampNs();
  }

  #makeDirectory(dev: bigint): Directory {
    const inode = { ...this.#inode(dev, this.#stampNs()), mode: 0o755 };
    return { ...inode, type: 'directory', names: new Map() };
  }

  #makeFile(dev: bigint, bytes: Buffer): File {
    return { ...this.#inode(dev, this.#stampNs()), mode: 0o644, type: 'file', bytes };
  }

  #inode(dev: bigint, stampNs: bigint) {
    const ino = this.#freeInos.pop() ?? (this.#lastIno += 1n);
    return { ino, dev, birthtimeNs: stampNs + ino, mtimeNs: stampNs, ctimeNs: stampNs };
  }

  #newDev(): bigint {
    this.#lastDev += 1n;
    return this.#lastDev;
  }

  #stampNs(): bigint {
    const nowNs = BigInt(this.#time.nowMs) * 1_000_000n;
    return nowNs - (nowNs % tickNs);
  }
}

export function digestOf(bytes: Uint8Array): string {
  return createHash('md5').update(bytes).digest('hex');
}

function* filesIn(path: string, node: Node): Generator<[string, File]> {
  if (node.type === 'file') yield [path, node];
  if (node.type === 'directory')
    for (const [name, child] of (node.mounted ?? node).names) yield* filesIn(`${path}/${name}`, child);
}

function statsOf(node: Node | undefined): FileStats | undefined {
  if (!node) return undefined;
  const { dev, ino, mtimeNs, ctimeNs, birthtimeNs } = node;
  const size = node.type === 'file' ? BigInt(node.bytes.length) : 0n;
  return {
    ...{ dev, ino, size, mtimeNs, ctimeNs, birthtimeNs, uid: 1000n, gid: 1000n },
    mode: BigInt(types[node.type] | node.mode),
    isFile: () => node.type === 'file',
    isDirectory: () => node.type === 'directory',
    isSymbolicLink: () => node.type === 'symlink',
    isFIFO: () => false,
    isSocket: () => false,
  };
}

export function error(code: string, path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${path}`), { code, path });
}

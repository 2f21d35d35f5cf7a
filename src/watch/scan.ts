// Scan: walks a folder and says which names differ from what the journal knows. It finds what no event told of, and
// nothing else: an unchanged tree yields no finding.
//
// Invariant: an error is never read as "empty" or "absent". What could not be read is an obstacle, and whatever the
// journal knows below it stays as it is.
//
// The walk is synchronous (`Files` says why). The generator yields every few milliseconds instead, so that its thread stays
// responsive.
import { isUtf8 } from 'node:buffer';
import type { BlockReason } from '../core/action.ts';
import type { Fingerprint, Sighting } from '../core/file.ts';
import { directoryOf, joinPath, nameOf } from '../core/key.ts';
import type { Observation, Obstacle } from '../core/observation.ts';
import type { SymlinkMode } from '../core/policy.ts';
import type { DescribedFile } from '../core/rules.ts';
import type { Clock } from '../edge/clock.ts';
import type { Files, FileStats } from '../edge/files.ts';
import type { Known, KnownDirectory } from '../journal/known.ts';
import type { Cleared } from './messages.ts';
import { ignoreFileName, type Selection } from './selection.ts';

/** What is scanned and what it is compared with. */
export interface ScanSubject {
  readonly folderId: number;
  /** Absolute, without symlinks. */
  readonly root: string;
  readonly routeIds: readonly number[];
  readonly symlinks: SymlinkMode;
  readonly selection: Selection;
  readonly files: Files;
  readonly clock: Pick<Clock, 'monotonic'>;
  /** Whether a route takes a file; absent where all routes take all. */
  readonly selects?: ((routeId: number, path: string, file: DescribedFile) => boolean) | undefined;
  readonly known: Pick<Known, 'directory'>;
  /** Paths of the obstacles that this run has reported: each is told once. */
  readonly reported: Set<string>;
  /** False while it is in doubt whether the root is the folder that the journal knows: then nothing is said to be absent. */
  readonly tellAbsent: boolean;
  /** Told of every symlink that is followed, and the path in the folder to which it leads. */
  readonly onSymlink?: (path: string, target: string) => void;
}

/** Where to scan: a directory's own names, or everything at and below a path. `''` is the folder itself. */
export interface Extent {
  readonly path: string;
  readonly depth: 'directory' | 'tree';
}

export const wholeFolder: Extent = { path: '', depth: 'tree' };

/** The folder itself cannot be listed. */
export class RootUnreadable extends Error {
  override readonly name = 'RootUnreadable';
}

export interface Findings {
  readonly observations: readonly Observation[];
  readonly obstacles: readonly Obstacle[];
  readonly cleared: readonly Cleared[];
}

export interface ScanCounts {
  /** Names that are not directories. */
  files: number;
  directories: number;
  skippedSymlinks: number;
  /** Names of which the journal knows a file, by whether there is still something. */
  recognised: number;
  missed: number;
}

/** 8 ms: a scan never delays an event, or the answer to a request, by more than a blink. */
const sliceMs = 8;
/** Bounds what waits in memory when everything is new. */
const sliceFindingsMax = 500;

/**
 * Walks `extent`, yielding after every slice of work; most slices are empty.
 * @throws RootUnreadable when the folder itself cannot be listed
 */
export function* scan(subject: ScanSubject, extent: Extent = wholeFolder): Generator<Findings, ScanCounts> {
  const slice = new Slice(subject.clock);
  const counts: ScanCounts = { files: 0, directories: 0, skippedSymlinks: 0, recognised: 0, missed: 0 };
  const walk = new Walk(subject, slice, counts);
  const start = yield* walk.begin(extent.path);
  if (start) {
    const places: Place[] = [start];
    for (let place = places.pop(); place; place = places.pop()) {
      yield* walk.directory(place, extent.depth === 'tree' ? places : undefined);
    }
  }
  yield slice.take();
  return counts;
}

/** A directory to walk. */
interface Place {
  readonly path: string;
  /** What the journal holds for the directory's own name if that is no file: an obstacle, or an event. */
  readonly knownAs: KnownName | undefined;
  /** The directories above, itself included: kept only where symlinks are followed, to see loops. */
  readonly ancestry: Ancestry | undefined;
}

type Followed =
  | { readonly kind: 'file' | 'directory'; readonly stats: FileStats; readonly target: string }
  | { readonly kind: 'nowhere' }
  | { readonly kind: 'obstacle'; readonly reason: BlockReason; readonly message: string };

interface Ancestry {
  readonly identity: string;
  readonly above: Ancestry | undefined;
}

type KnownName = readonly (Sighting | undefined)[];

const typeMask = 0o170000n;
const directoryType = 0o040000n;
const symlinkType = 0o120000n;

class Walk {
  readonly #subject: ScanSubject;
  readonly #files: Files;
  readonly #slice: Slice;
  readonly #counts: ScanCounts;
  readonly #prefix: string;

  constructor(subject: ScanSubject, slice: Slice, counts: ScanCounts) {
    this.#subject = subject;
    this.#files = subject.files;
    this.#slice = slice;
    this.#counts = counts;
    this.#prefix = subject.root === '/' ? '/' : `${subject.root}/`;
  }

  /**
   * Where a scan of `path` begins: at the path itself if it is a directory that is part of the folder. A path that is
   * none is settled here, with everything that the journal knows below it.
   */
  *begin(path: string): Generator<Findings, Place | undefined> {
    const { root, selection, symlinks } = this.#subject;
    const follow = symlinks === 'follow';
    let ancestry = follow ? this.#enterRoot(root) : undefined;
    // From the top, because a directory above may have become a symlink that leads out of the folder.
    for (const current of withParents(path)) {
      const [directory, name] = [directoryOf(current), nameOf(current)];
      if (selection.excludes(directory, name, true)) return undefined;
      let stats: FileStats | undefined;
      try {
        stats = this.#files.lstat(this.#absolute(current));
      } catch (error) {
        this.#unreadable(current, error);
        return undefined;
      }
      if (follow && stats && typeOf(stats) === symlinkType) {
        const followed = this.#follow(current, ancestry);
        // The walk of the directory above knows what to say of any other.
        if (followed.kind !== 'directory') return { path: directory, knownAs: undefined, ancestry };
        stats = followed.stats;
      }
      if (!stats || typeOf(stats) !== directoryType) {
        yield* this.#notADirectory(directory, name, stats);
        return undefined;
      }
      if (ancestry) ancestry = enter(stats, ancestry);
    }
    return { path, knownAs: undefined, ancestry };
  }

  #enterRoot(root: string): Ancestry {
    const stats = this.#files.stat(root);
    if (!stats) throw new RootUnreadable(`${root} is gone`);
    return enter(stats, undefined);
  }

  /** Compares one directory with the journal, and adds the directories below it to `places`. */
  *directory(place: Place, places: Place[] | undefined): Generator<Findings> {
    const { path } = place;
    const listing = this.#list(path);
    if (listing.kind === 'gone') return;
    if (listing.kind === 'unreadable') {
      this.#unreadable(path, listing.error);
      return;
    }
    const { names } = listing;
    this.#counts.directories += 1;
    if (names.includes(ignoreFileName)) this.#subject.selection.enter(this.#subject.root, path);
    else this.#subject.selection.leave(this.#subject.root, path);
    const known = this.#subject.known.directory(this.#subject.folderId, path);
    const base = this.#inside(path);
    // Names that the journal knows and that are not to be reported absent; directories likewise.
    const present = new Set<string>();
    const entered = new Set<string>();
    for (const name of names) {
      if (this.#slice.isOver()) yield* this.#slice.pause();
      let stats: FileStats | undefined;
      try {
        stats = this.#files.lstat(base + name);
      } catch (error) {
        // A directory that may be listed but not entered: its names are known, their files are not.
        if (codeOf(error) === 'EACCES') {
          this.#unreadable(path, error);
          return;
        }
        present.add(name);
        this.#obstacle(path, name, known, reasonOf(error), `cannot look at it: ${messageOf(error)}`);
        continue;
      }
      if (!stats) continue;
      const type = typeOf(stats);
      if (type === directoryType) this.#child(place, name, stats, known, entered, places);
      else if (type === symlinkType) this.#symlink(place, name, known, present, entered, places);
      else if (!this.#subject.selection.excludes(path, name, false)) {
        this.#sight(path, name, known.names.get(name), stats);
        if (known.names.has(name)) present.add(name);
      }
    }
    // It could be read: an obstacle that stood for the directory's own name is over.
    if (place.knownAs) this.#absent(directoryOf(path), nameOf(path), place.knownAs);
    this.#subject.reported.delete(path);
    if (listing.bytes || known.blockedBytes.size > 0) this.#unspeakable(path, listing.bytes ?? [], known);
    if (present.size < known.names.size) yield* this.#missing(path, base, known, present, entered);
    if (places) yield* this.#vanished(known, entered, places);
  }

  #child(
    place: Place,
    name: string,
    stats: FileStats,
    known: KnownDirectory,
    entered: Set<string>,
    places: Place[] | undefined,
  ): void {
    const path = joinPath(place.path, name);
    entered.add(path);
    if (!places || this.#subject.selection.excludes(place.path, name, true)) return;
    const ancestry = place.ancestry && enter(stats, place.ancestry);
    const knownAs = known.names.get(name);
    places.push({ path, knownAs: knownAs?.some(isFile) ? undefined : knownAs, ancestry });
  }

  #symlink(
    place: Place,
    name: string,
    known: KnownDirectory,
    present: Set<string>,
    entered: Set<string>,
    places: Place[] | undefined,
  ): void {
    const { selection, symlinks } = this.#subject;
    if (selection.excludes(place.path, name, false)) return;
    if (symlinks === 'skip') {
      this.#counts.skippedSymlinks += 1;
      return;
    }
    const path = joinPath(place.path, name);
    const followed = this.#follow(path, place.ancestry);
    switch (followed.kind) {
      case 'nowhere':
        // As good as absent.
        this.#counts.skippedSymlinks += 1;
        return;
      case 'obstacle':
        present.add(name);
        entered.add(path);
        this.#obstacle(place.path, name, known, followed.reason, followed.message);
        return;
      case 'file':
        this.#subject.onSymlink?.(path, followed.target);
        this.#sight(place.path, name, known.names.get(name), followed.stats);
        present.add(name);
        return;
      case 'directory':
        this.#subject.onSymlink?.(path, followed.target);
        this.#child(place, name, followed.stats, known, entered, places);
    }
  }

  /** What a symlink leads to. */
  #follow(path: string, ancestry: Ancestry | undefined): Followed {
    try {
      const absolute = this.#files.realpath(this.#absolute(path));
      if (absolute !== this.#subject.root && !absolute.startsWith(this.#prefix)) {
        return {
          kind: 'obstacle',
          reason: 'symlink-outside',
          message: 'the link leads out of the folder: remove the link, or exclude it',
        };
      }
      const stats = this.#files.stat(absolute);
      if (!stats) return { kind: 'nowhere' };
      const target = absolute.slice(this.#prefix.length);
      if (typeOf(stats) !== directoryType) return { kind: 'file', stats, target };
      if (!leadsBack(stats, ancestry)) return { kind: 'directory', stats, target };
      const message = 'the link leads back to a directory above it: remove the link, or exclude it';
      return { kind: 'obstacle', reason: 'symlink-loop', message };
    } catch (error) {
      const code = codeOf(error);
      if (code === 'ENOENT' || code === 'ENOTDIR') return { kind: 'nowhere' };
      if (code === 'ELOOP') {
        return { kind: 'obstacle', reason: 'symlink-loop', message: 'the symlink leads to itself' };
      }
      return {
        kind: 'obstacle',
        reason: reasonOf(error),
        message: `cannot follow the symlink: ${messageOf(error)}`,
      };
    }
  }

  /** A scan was asked for at a path that is a file, or gone: then so is all below it. */
  *#notADirectory(directory: string, name: string, stats: FileStats | undefined): Generator<Findings> {
    const { folderId, known, selection } = this.#subject;
    const above = known.directory(folderId, directory);
    const knownAs = above.names.get(name);
    if (!selection.excludes(directory, name, false)) {
      if (stats && typeOf(stats) !== symlinkType) this.#sight(directory, name, knownAs, stats);
      else if (knownAs) this.#absent(directory, name, knownAs);
    }
    const path = joinPath(directory, name);
    if (above.directories.includes(path)) yield* this.#absentBelow(path);
  }

  /** Says what stands at a name, to the routes that do not know it. */
  #sight(directory: string, name: string, known: KnownName | undefined, stats: FileStats): void {
    this.#counts.files += 1;
    if (known?.some(isFile)) this.#counts.recognised += 1;
    const { routeIds, selects, tellAbsent } = this.#subject;
    const stale = routeIds.filter((_, index) => !sameAs(known?.[index], stats));
    if (stale.length === 0) return;
    const seen = fingerprintOf(stats);
    const path = joinPath(directory, name);
    const taking = selects ? stale.filter((routeId) => selects(routeId, path, seen)) : stale;
    if (taking.length > 0) this.#slice.observe(directory, name, seen, taking);
    if (taking.length === stale.length || !tellAbsent) return;
    // For a route that does not take it, it is not there: said once, to a route that knows it.
    const leaving = stale.filter(
      (routeId) => !taking.includes(routeId) && isFile(known?.[routeIds.indexOf(routeId)]),
    );
    if (leaving.length > 0) this.#slice.observe(directory, name, 'absent', leaving);
  }

  /**
   * Says that nothing stands at a name, to the routes that know a file there, and to those of which an event stands for the
   * name: its file may be on its way at this moment.
   */
  #absent(directory: string, name: string, known: KnownName): void {
    const { routeIds, tellAbsent } = this.#subject;
    const isKnown = known.some(isFile);
    if (isKnown) this.#counts.missed += 1;
    if (isKnown ? !tellAbsent : known.includes('absent')) return;
    const unaware = routeIds.filter((_, index) => known[index] !== 'absent');
    this.#slice.observe(directory, name, 'absent', unaware);
  }

  /** Names of a directory that the journal knows and the listing does not. */
  *#missing(
    path: string,
    base: string,
    known: KnownDirectory,
    present: ReadonlySet<string>,
    entered: ReadonlySet<string>,
  ): Generator<Findings> {
    for (const [name, knownAs] of known.names) {
      if (present.has(name)) continue;
      if (this.#slice.isOver()) yield* this.#slice.pause();
      if (this.#subject.selection.excludes(path, name, false)) continue;
      // What the journal knows of a directory's name is settled when the directory itself was read.
      if (entered.has(joinPath(path, name)) && !knownAs.some(isFile)) continue;
      if (this.#isAbsent(base + name)) this.#absent(path, name, knownAs);
    }
  }

  /** Looks again, because slices pass between the listing and this: a file that came meanwhile is not absent. */
  #isAbsent(absolute: string): boolean {
    try {
      const stats = this.#files.lstat(absolute);
      return !stats || typeOf(stats) === directoryType || typeOf(stats) === symlinkType;
    } catch {
      return false;
    }
  }

  /** Directories that the journal knows and the walk did not meet. */
  *#vanished(known: KnownDirectory, entered: ReadonlySet<string>, places: Place[]): Generator<Findings> {
    for (const path of known.directories) {
      if (entered.has(path) || this.#subject.selection.excludes(directoryOf(path), nameOf(path), true))
        continue;
      let stats: FileStats | undefined;
      try {
        stats = this.#files.lstat(this.#absolute(path));
      } catch {
        continue;
      }
      if (stats && typeOf(stats) === directoryType)
        places.push({ path, knownAs: undefined, ancestry: undefined });
      else yield* this.#absentBelow(path);
    }
  }

  /** Everything that the journal knows below a directory which does not exist. */
  *#absentBelow(top: string): Generator<Findings> {
    const { folderId, known, selection } = this.#subject;
    const paths = [top];
    for (let path = paths.pop(); path !== undefined; path = paths.pop()) {
      selection.leave(this.#subject.root, path);
      const directory = known.directory(folderId, path);
      for (const [name, knownAs] of directory.names) {
        if (this.#slice.isOver()) yield* this.#slice.pause();
        if (!selection.excludes(path, name, false)) this.#absent(path, name, knownAs);
      }
      for (const hex of directory.blockedBytes) this.#slice.clear(path, Buffer.from(hex, 'hex'));
      for (const below of directory.directories) {
        if (!selection.excludes(directoryOf(below), nameOf(below), true)) paths.push(below);
      }
    }
  }

  /** Names that are not UTF-8: no key can be made of them, and nothing below such a directory is walked. */
  #unspeakable(path: string, names: readonly Buffer[], known: KnownDirectory): void {
    const standing = new Set(known.blockedBytes);
    const base = Buffer.from(this.#inside(path));
    for (const name of names) {
      if (standing.delete(name.toString('hex'))) continue;
      const stats = this.#files.lstat(Buffer.concat([base, name]));
      if (!stats) continue;
      if (typeOf(stats) === symlinkType && this.#subject.symlinks === 'skip') {
        this.#counts.skippedSymlinks += 1;
        continue;
      }
      const what = typeOf(stats) === directoryType ? 'the directory with all below it' : 'the file';
      const message = `its name is not UTF-8, so it has no key: ${what} is synced once it is renamed`;
      this.#slice.obstruct({ directory: path, name, reason: 'name-not-utf8', message });
    }
    for (const hex of standing) this.#slice.clear(path, Buffer.from(hex, 'hex'));
  }

  #unreadable(path: string, error: unknown): void {
    if (path === '') throw new RootUnreadable(messageOf(error), { cause: error });
    const [directory, name] = [directoryOf(path), nameOf(path)];
    const known = this.#subject.known.directory(this.#subject.folderId, directory);
    this.#obstacle(directory, name, known, reasonOf(error), `cannot read the directory: ${messageOf(error)}`);
  }

  /** Once per run, and again only if the journal lost it. */
  #obstacle(
    directory: string,
    name: string,
    known: KnownDirectory,
    reason: BlockReason,
    message: string,
  ): void {
    const path = joinPath(directory, name);
    const knownAs = known.names.get(name);
    if (this.#subject.reported.has(path) && knownAs && !knownAs.some(isFile)) return;
    this.#subject.reported.add(path);
    this.#slice.obstruct({ directory, name, reason, message });
  }

  #list(path: string): Listing {
    try {
      return list(this.#files, this.#absolute(path));
    } catch (error) {
      const code = codeOf(error);
      // Vanished or replaced between the look from above and this one: its event, or the next scan, tells.
      if (path !== '' && (code === 'ENOENT' || code === 'ENOTDIR')) return { kind: 'gone' };
      return { kind: 'unreadable', error };
    }
  }

  /** What a directory's names are appended to. */
  #inside(path: string): string {
    return path === '' ? this.#prefix : `${this.#prefix}${path}/`;
  }

  #absolute(path: string): string {
    return path === '' ? this.#subject.root : this.#prefix + path;
  }
}

type Listing =
  | { readonly kind: 'listed'; readonly names: readonly string[]; readonly bytes?: readonly Buffer[] }
  | { readonly kind: 'gone' }
  | { readonly kind: 'unreadable'; readonly error: unknown };

/** Strings are a fifth cheaper than Buffers; only a directory with a replacement character is read as bytes. */
function list(files: Files, absolute: string): Listing {
  const names = files.names(absolute);
  if (!names.some((name) => name.includes('\ufffd'))) return { kind: 'listed', names };
  const all = files.rawNames(absolute);
  return {
    kind: 'listed',
    names: all.filter((name) => isUtf8(name)).map((name) => name.toString()),
    bytes: all.filter((name) => !isUtf8(name)),
  };
}

/** Collects what a scan finds until it is time to pause. */
class Slice {
  #observations: Observation[] = [];
  #obstacles: Obstacle[] = [];
  #cleared: Cleared[] = [];
  readonly #clock: ScanSubject['clock'];
  #endsAtMs: number;

  constructor(clock: ScanSubject['clock']) {
    this.#clock = clock;
    this.#endsAtMs = clock.monotonic() + sliceMs;
  }

  observe(directory: string, name: string, seen: Sighting, routeIds: readonly number[]): void {
    this.#observations.push({ directory, name, seen, routeIds });
  }

  obstruct(obstacle: Obstacle): void {
    this.#obstacles.push(obstacle);
  }

  clear(directory: string, name: Uint8Array): void {
    this.#cleared.push({ directory, name });
  }

  isOver(): boolean {
    return (
      this.#observations.length + this.#obstacles.length + this.#cleared.length >= sliceFindingsMax ||
      this.#clock.monotonic() >= this.#endsAtMs
    );
  }

  /** Hands over the findings; the next slice begins when the caller comes back. */
  *pause(): Generator<Findings> {
    yield this.take();
    this.#endsAtMs = this.#clock.monotonic() + sliceMs;
  }

  take(): Findings {
    const findings = { observations: this.#observations, obstacles: this.#obstacles, cleared: this.#cleared };
    this.#observations = [];
    this.#obstacles = [];
    this.#cleared = [];
    return findings;
  }
}

/** `a/b/c` as `a`, `a/b`, `a/b/c`; nothing for the folder itself. */
function withParents(path: string): string[] {
  const names = path === '' ? [] : path.split('/');
  return names.map((_, index) => names.slice(0, index + 1).join('/'));
}

function typeOf(stats: FileStats): bigint {
  return stats.mode & typeMask;
}

function enter(stats: FileStats, above: Ancestry | undefined): Ancestry {
  return { identity: identityOf(stats), above };
}

function leadsBack(stats: FileStats, ancestry: Ancestry | undefined): boolean {
  const identity = identityOf(stats);
  for (let at = ancestry; at; at = at.above) if (at.identity === identity) return true;
  return false;
}

function identityOf(stats: FileStats): string {
  return `${stats.dev}:${stats.ino}`;
}

function isFile(sighting: Sighting | undefined): boolean {
  return sighting !== undefined && sighting !== 'absent';
}

function sameAs(sighting: Sighting | undefined, stats: FileStats): boolean {
  return (
    sighting !== undefined &&
    sighting !== 'absent' &&
    sighting.mtimeNs === stats.mtimeNs &&
    sighting.size === Number(stats.size) &&
    sighting.ctimeNs === stats.ctimeNs &&
    sighting.ino === stats.ino
  );
}

function fingerprintOf(stats: FileStats): Fingerprint {
  return { size: Number(stats.size), mtimeNs: stats.mtimeNs, ctimeNs: stats.ctimeNs, ino: stats.ino };
}

/** A path of more than 4,095 bytes cannot be looked at, and could not be a key of 1,024 either. */
function reasonOf(error: unknown): BlockReason {
  return codeOf(error) === 'ENAMETOOLONG' ? 'key-too-long' : 'unreadable';
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

// Watcher: turns chokidar's events into marks. The only importer of chokidar. An event means "look at this name" and
// nothing more: what happened is found out by whoever looks.
//
// Two forms behind one interface. `directories` is chokidar on a lean diet: it tracks directories only, and events of
// files go past its engine. For 100,000 files in 1,000 directories it is ready after 0.21 s of CPU with 30 MB, and sees
// 5,000 new files in 0.1 s; `files`, chokidar as documented, takes 1.97 s, 455 MB and 0.5 s. But `directories` rests on
// members that chokidar calls internal, so it is used with the one version that the tests know, and on Linux.
import { FSWatcher, type ChokidarOptions } from 'chokidar';
import { lstatSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { directoryOf, nameOf } from '../core/key.ts';
import { Listings } from './listing.ts';
import type { Extent } from './scan.ts';
import type { Selection } from './selection.ts';

export interface WatchEvents {
  mark(directory: string, name: string): void;
  /** Names came or went that no event names: a new directory, one that is gone, a name that is not UTF-8. */
  scan(extent: Extent): void;
  /** A directory came, went or changed its name. */
  directoryChanged(): void;
  /** Every event of the system, as it arrives. */
  count(): void;
  /** The root itself was removed, moved or made anew. */
  rootChanged(): void;
  failed(error: NodeJS.ErrnoException): void;
}

export interface Watcher {
  /** Fulfilled when changes are seen; after errors too, so those count. */
  readonly ready: Promise<void>;
  close(): Promise<void>;
}

export type WatcherForm = 'directories' | 'files';

/** @param root absolute, without symlinks, without a backslash (chokidar takes it for a slash) */
export function openWatcher(
  root: string,
  selection: Selection,
  events: WatchEvents,
  form: WatcherForm = preferredForm(),
): Watcher {
  const places = new Places(root, selection, events);
  const watcher =
    form === 'directories' ? new DirectoryWatcher(places) : new FSWatcher(optionsFor(places, 'files'));
  const mark = (absolute: string): void => {
    const path = places.pathOf(absolute);
    if (path === '') events.rootChanged();
    else if (path !== undefined) events.mark(directoryOf(path), nameOf(path));
  };
  const scanTree = (absolute: string): void => {
    const path = places.pathOf(absolute);
    if (path === '') events.rootChanged();
    else if (path !== undefined) {
      events.scan({ path, depth: 'tree' });
      events.directoryChanged();
    }
  };
  watcher.on('add', mark).on('unlink', mark);
  watcher.on('change', (absolute, stats) => {
    mark(absolute);
    // Chokidar says no more of a symlink that took a directory's place.
    if (stats?.isSymbolicLink()) scanTree(absolute);
  });
  watcher.on('addDir', scanTree).on('unlinkDir', scanTree);
  watcher.on('raw', (_event, name, details) => places.onRawEvent(name, details));
  watcher.on('error', (error) => events.failed(error instanceof Error ? error : new Error(String(error))));

  const { promise: ready, resolve } = Promise.withResolvers<void>();
  const patience = setInterval(() => {
    if (!(watcher instanceof DirectoryWatcher) || watcher.hasListed()) return;
    events.failed(new Error('it did not get ready'));
    waitNoMore();
  }, patienceMs).unref();
  const waitNoMore = (): void => {
    clearInterval(patience);
    resolve();
  };
  watcher.once('ready', waitNoMore);
  selection.enter(root, '');
  watcher.add(root);
  return {
    ready,
    close: async () => {
      await Promise.race([watcher.close(), sleep(closeMaxMs, undefined, { ref: false })]);
      waitNoMore();
    },
  };
}

/**
 * Chokidar lets go of its handles at once, and then waits for its own tasks. Where directories are exchanged for others
 * while it looks at them, some of those never end (test/system/deputy.test.ts on a busy machine, 1 of 10 times): the folder
 * would wait for them and see nothing any more.
 */
const closeMaxMs = 1_000;
/** The same before it is ready; a large tree takes its time, but is listed meanwhile. */
const patienceMs = 10_000;

/** The version whose internals `DirectoryWatcher` builds upon; package.json asks for exactly this one. */
const knownVersion = '6.0.0';
let preferred: WatcherForm | undefined;

/** `directories` where it is known to work: on Linux, with the version that the tests know. */
function preferredForm(): WatcherForm {
  preferred ??= process.platform === 'linux' && chokidarVersion() === knownVersion ? 'directories' : 'files';
  return preferred;
}

function chokidarVersion(): string | undefined {
  try {
    const manifest: unknown = JSON.parse(
      readFileSync(new URL('package.json', import.meta.resolve('chokidar')), 'utf8'),
    );
    const isVersioned = typeof manifest === 'object' && manifest !== null && 'version' in manifest;
    return isVersioned ? String(manifest.version) : undefined;
  } catch {
    return undefined;
  }
}

function optionsFor(places: Places, form: WatcherForm): ChokidarOptions {
  return {
    // `auto` is one inotify watch per directory on Linux; `native-recursive` would be one per file.
    backend: 'auto',
    ignored: (absolute, stats) => {
      if (places.excludes(absolute, stats)) return true;
      // It is about to be entered, with a listing that this file does not see.
      if (stats?.isDirectory() && form === 'files') places.enter(places.pathOf(absolute), true);
      return false;
    },
    ignoreInitial: true,
    followSymlinks: false,
    // `true` would hide names like `report~`, which are files like any other.
    atomic: false,
    awaitWriteFinish: false,
    persistent: true,
  };
}

/** Between chokidar's absolute paths and the folder's. */
class Places {
  readonly root: string;
  readonly events: WatchEvents;
  readonly #prefix: string;
  readonly #selection: Selection;

  constructor(root: string, selection: Selection, events: WatchEvents) {
    this.root = root;
    this.events = events;
    this.#prefix = root === '/' ? '/' : `${root}/`;
    this.#selection = selection;
  }

  /** Undefined for what lies outside the folder. */
  pathOf(absolute: string): string | undefined {
    if (absolute === this.root) return '';
    return absolute.startsWith(this.#prefix) ? absolute.slice(this.#prefix.length) : undefined;
  }

  excludes(absolute: string, stats?: { isDirectory(): boolean }): boolean {
    const path = this.pathOf(absolute);
    if (path === undefined || path === '') return false;
    const [directory, name] = [directoryOf(path), nameOf(path)];
    // Asked before it is known what it is: excluded only if it is so either way.
    if (!stats) {
      return (
        this.#selection.excludes(directory, name, true) && this.#selection.excludes(directory, name, false)
      );
    }
    return this.#selection.excludes(directory, name, stats.isDirectory());
  }

  /** To be called before anything is asked about the directory's names. */
  enter(path: string | undefined, hasIgnoreFile: boolean): void {
    if (path === undefined) return;
    if (hasIgnoreFile) this.#selection.enter(this.root, path);
    else this.#selection.leave(this.root, path);
  }

  /** @returns the directory and the name that a raw event tells of; undefined when it names none */
  onRawEvent(name: unknown, details: unknown): { directory: string; name: string } | undefined {
    this.events.count();
    const directory = this.pathOf(watchedPath(details));
    if (directory === undefined) return undefined;
    // A name that is not UTF-8 arrives mangled, and a missing one stands for any.
    if (typeof name !== 'string' || name.includes('\ufffd')) {
      this.events.scan({ path: directory, depth: 'directory' });
      return undefined;
    }
    return { directory, name };
  }
}

/** Chokidar that tracks directories only. */
class DirectoryWatcher extends FSWatcher {
  readonly #places: Places;
  readonly #listings = new Listings();
  /** The path of the event that is being handed on, when chokidar's engine has nothing to do with it. */
  #passedBy: string | undefined;

  constructor(places: Places) {
    super(optionsFor(places, 'directories'));
    this.#places = places;
  }

  /** Whether directories were listed since it was asked last. */
  hasListed(): boolean {
    return this.#listings.takeCount() > 0;
  }

  /** Called for every event, right before the engine gets it. */
  override emitRaw(...[event, name, details]: Parameters<FSWatcher['emitRaw']>): void {
    if (this.closed) return;
    this.#passedBy = undefined;
    const told = this.#places.onRawEvent(name, details);
    if (told) this.#places.events.mark(told.directory, told.name);
    if (typeof name !== 'string') return;
    const watched = watchedPath(details);
    const absolute = watched === '/' ? `/${name}` : `${watched}/${name}`;
    if (this.#concernsDirectory(event, watched, name, absolute)) this.#places.events.directoryChanged();
    else this.#passedBy = absolute;
  }

  /** The engine's first question about an event's path, and what it asks before it keeps a new watch. */
  override isUnwatched(path: string): boolean {
    if (path !== this.#passedBy) return super.isUnwatched(path);
    this.#passedBy = undefined;
    return true;
  }

  /** Called for a directory that is watched already: what is scanned from now on misses nothing. */
  override createScanStream(directory: string) {
    if (this.closed) return undefined;
    const path = this.#places.pathOf(directory.length > 1 ? directory.replace(/\/$/, '') : directory);
    if (this.readyEmitted && path !== undefined) this.#places.events.scan({ path, depth: 'directory' });
    const listing = this.#listings.list(directory, {
      onBegin: (hasIgnoreFile) => this.#places.enter(path, hasIgnoreFile),
      accepts: (entry) => !this.#places.excludes(entry.fullPath, entry.stats),
    });
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- chokidar uses no more of a stream than Listing has
    const stream = listing as unknown as NonNullable<ReturnType<FSWatcher['createScanStream']>>;
    this.streams.add(stream);
    const forget = (): void => void this.streams.delete(stream);
    listing.once('end', forget).once('close', forget).once('error', forget);
    return stream;
  }

  /** True for the events that the engine needs in order to know which directories there are. */
  #concernsDirectory(event: string, watched: string, name: string, absolute: string): boolean {
    // `change` is a write or another attribute; `rename` is everything that adds or removes a name.
    if (event !== 'rename') return false;
    // So is told, too, that the watched directory itself is gone.
    if (name === nameOf(watched)) return true;
    if (this.tree.peekDirectory(absolute)) return true;
    try {
      return lstatSync(absolute, { throwIfNoEntry: false })?.isDirectory() ?? false;
    } catch {
      return true;
    }
  }
}

/** Of the watch that a raw event came from. */
function watchedPath(details: unknown): string {
  const has = typeof details === 'object' && details !== null && 'watchedPath' in details;
  return has ? String(details.watchedPath) : '';
}

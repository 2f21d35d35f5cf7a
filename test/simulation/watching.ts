// Watching: the watch thread of a simulated daemon. The real folder watch and the real scans, on the same thread as all
// else, behind a watcher that delivers events late, in another order, or not at all.
import { openKnown } from '../../src/journal/known.ts';
import { FolderWatch, type Watching } from '../../src/watch/folder.ts';
import type { FromWatch, WatchThreadData } from '../../src/watch/messages.ts';
import type { WatchHandlers, WatchThread } from '../../src/watch/thread.ts';
import type { WatchEvents, Watcher } from '../../src/watch/watcher.ts';
import type { Chance } from './chance.ts';
import type { Disk } from './disk.ts';
import type { Life, Time } from './time.ts';

/** What goes wrong between the kernel and the watcher, as probabilities. */
export interface Haze {
  readonly delayMaxMs: number;
  /** An event is dropped, and nobody hears of it. */
  readonly lost: number;
  /** A burst overflows the queue: events are dropped, and that is suspected. */
  readonly overflow: number;
  /** The limit of watches is reached. */
  readonly failing: number;
}

export const clear: Haze = { delayMaxMs: 20, lost: 0, overflow: 0, failing: 0 };

class Watched {
  readonly root: string;
  readonly events: WatchEvents;
  /** Absolute paths of directories. */
  readonly directories = new Set<string>();
  isClosed = false;

  constructor(root: string, events: WatchEvents) {
    this.root = root;
    this.events = events;
  }
}

export class WatchSystem {
  #haze: Haze = clear;
  #clearSinceMs = -Infinity;
  readonly #watched = new Set<Watched>();
  readonly #time: Time;
  readonly #chance: Chance;
  readonly disk: Disk;
  #suspect: () => void = () => undefined;

  constructor(time: Time, chance: Chance, disk: Disk) {
    this.#time = time;
    this.#chance = chance;
    this.disk = disk;
  }

  get haze(): Haze {
    return this.#haze;
  }

  set haze(haze: Haze) {
    this.#haze = haze;
    this.#clearSinceMs = this.#time.elapsedMs;
  }

  /** For so long no event was lost or held up. */
  isTrusted(ms: number): boolean {
    return this.#haze === clear && this.#time.elapsedMs - this.#clearSinceMs > ms;
  }

  /** Told by the disk of everything that happens on it. */
  changed(directory: string, name: string, isDirectory: boolean): void {
    for (const watched of this.#watched) {
      const absolute = `${directory}/${name}`;
      if (absolute === watched.root) this.#deliver(() => watched.events.rootChanged(), watched);
      if (directory !== watched.root && !directory.startsWith(`${watched.root}/`)) continue;
      if (!watched.directories.has(directory)) continue;
      watched.events.count();
      if (this.#chance.is(this.haze.lost)) continue;
      if (this.#chance.is(this.haze.overflow)) {
        this.#deliver(() => this.#suspect(), watched);
        continue;
      }
      const above = relativeTo(watched.root, directory);
      if (!isDirectory) this.#deliver(() => watched.events.mark(above, name), watched);
      else this.#deliver(() => this.#directoryChanged(watched, absolute), watched);
    }
  }

  #directoryChanged(watched: Watched, absolute: string): void {
    const path = relativeTo(watched.root, absolute);
    for (const each of watched.directories)
      if (each === absolute || each.startsWith(`${absolute}/`)) watched.directories.delete(each);
    this.#watchBelow(watched, absolute);
    watched.events.mark(path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '', nameIn(path));
    watched.events.scan({ path, depth: 'tree' });
    watched.events.directoryChanged();
  }

  #deliver(tell: () => void, watched: Watched): void {
    this.#time.after(this.#time.world, this.#chance.between(0, this.haze.delayMaxMs), () => {
      if (!watched.isClosed) tell();
    });
  }

  #watchBelow(watched: Watched, directory: string): void {
    for (const each of this.disk.directoriesBelow(directory)) {
      if (!this.#chance.is(this.haze.failing)) watched.directories.add(each);
      else watched.events.failed(Object.assign(new Error('ENOSPC'), { code: 'ENOSPC', path: each }));
    }
  }

  #watchingFor(life: Life): Watching {
    return {
      load: () => Promise.resolve((root, _selection, events) => this.#open(life, root, events)),
      watchedInodes: () =>
        new Set(
          [...this.#watched]
            .flatMap(({ directories }) => [...directories])
            .flatMap((path) => this.disk.inoOf(path) ?? []),
        ),
    };
  }

  #open(life: Life, root: string, events: WatchEvents): Watcher {
    const watched = new Watched(root, events);
    this.#watched.add(watched);
    const { promise: ready, resolve } = Promise.withResolvers<void>();
    this.#time.after(life, this.#chance.between(0, 30), () => {
      if (!watched.isClosed) this.#watchBelow(watched, root);
      resolve();
    });
    const close = () => {
      watched.isClosed = true;
      this.#watched.delete(watched);
      return new Promise<void>((closed) => this.#time.soon(life, closed));
    };
    return { ready, close };
  }

  /** Nothing of a process is left that ended without a word. */
  forget(): void {
    for (const watched of this.#watched) watched.isClosed = true;
    this.#watched.clear();
  }

  /** What `startWatchThread` is to the real daemon. @param onOpen told of what has to be closed when the process dies */
  startThread(
    life: Life,
    data: WatchThreadData,
    handlers: WatchHandlers,
    onOpen: (close: () => void) => void,
  ): WatchThread {
    const mailbox: FromWatch[] = [];
    let isStopping = false;
    const post = (message: FromWatch) => {
      mailbox.push(message);
      // Messages keep their order, whatever comes between them.
      this.#time.soon(life, () => deliver(mailbox.shift()!));
    };
    const folders = new Map(
      data.folders.map((folder) => {
        const known = openKnown(data.journalFile, folder.routeIds);
        onOpen(() => known.close());
        const watch = new FolderWatch(folder, {
          known,
          post,
          watching: this.#watchingFor(life),
          files: this.disk.filesFor(life),
          clock: this.#time.clockOf(life),
        });
        return [folder.folderId, watch];
      }),
    );
    this.#suspect = () => {
      for (const folder of folders.values()) folder.suspectOverflow();
    };
    const deliver = (message: FromWatch): void => {
      if (isStopping) return;
      switch (message.kind) {
        case 'observed': {
          const { folderId, batch } = message;
          const acknowledge = () => folders.get(folderId)?.acknowledge(batch);
          void Promise.resolve(handlers.onObserved(message)).then(() => this.#time.soon(life, acknowledge));
          return;
        }
        case 'scanning':
          return handlers.onScanning(message);
        case 'scanned':
          return handlers.onScanned(message);
        case 'watching':
          return handlers.onWatching(message);
        case 'degraded':
          return handlers.onDegraded(message);
        case 'root':
          return handlers.onRoot(message);
        case 'alive':
      }
    };
    this.#time.soon(life, () => {
      for (const folder of folders.values()) folder.start(data.watch);
    });
    return {
      scan: (folderId) => this.#time.soon(life, () => folders.get(folderId)?.scan()),
      proveAlive: () => undefined,
      async stop() {
        isStopping = true;
        await Promise.all([...folders.values()].map((folder) => folder.stop()));
      },
    };
  }
}

function relativeTo(root: string, absolute: string): string {
  return absolute === root ? '' : absolute.slice(root.length + 1);
}

function nameIn(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

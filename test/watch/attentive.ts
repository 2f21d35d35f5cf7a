// A main thread for one folder: acknowledges every batch, looks at what it names as the drain would, and remembers.
import { existsSync, lstatSync, readdirSync, realpathSync, type BigIntStats } from 'node:fs';
import { isUtf8 } from 'node:buffer';
import { systemClock } from '../../src/edge/clock.ts';
import { systemFiles, type Files } from '../../src/edge/files.ts';
import type { Sighting } from '../../src/core/file.ts';
import { directoryOf, joinPath } from '../../src/core/key.ts';
import { FolderWatch, type Pace } from '../../src/watch/folder.ts';
import type { FromWatch, Message, WatchedFolder } from '../../src/watch/messages.ts';
import { watchedInodes } from '../../src/watch/watched.ts';
import { openWatcher, type WatcherForm } from '../../src/watch/watcher.ts';
import { MemoryKnown } from './memory-known.ts';

/** Everything at once, so that no test waits for a clock; and no second scan that would find what events missed. */
const quick: Pace = {
  collectMs: 2,
  rootLookMs: 20,
  pollMinMs: 20,
  rewatchMs: 20,
  suspicionMs: 2,
  auditMs: 20,
};

export function folderAt(path: string, options: Partial<WatchedFolder> = {}): WatchedFolder {
  return {
    folderId: 1,
    name: 'test',
    path,
    routeIds: [1],
    include: [],
    exclude: [],
    symlinks: 'skip',
    selectors: [],
    rules: [],
    rescanMs: 3_600_000,
    ...options,
  };
}

export class Attentive {
  readonly messages: FromWatch[] = [];
  readonly known = new MemoryKnown();
  readonly watch: FolderWatch;
  /** False: batches are left unacknowledged. */
  acknowledges = true;
  readonly #folder: WatchedFolder;
  readonly #waiting = new Set<() => void>();
  #isAsking = false;
  #askedForMs = 0;

  constructor(
    folder: WatchedFolder,
    options: {
      form?: WatcherForm;
      pace?: Partial<Pace>;
      watch?: boolean;
      countEvent?: () => void;
      files?: Files;
    } = {},
  ) {
    this.#folder = folder;
    this.watch = new FolderWatch(folder, {
      known: this.known,
      post: (message) => queueMicrotask(() => this.#receive(message)),
      watching: {
        load: () => Promise.resolve((...watched) => openWatcher(...watched, options.form)),
        watchedInodes,
      },
      files: options.files ?? systemFiles,
      clock: systemClock,
      pace: { ...quick, ...options.pace },
      ...(options.countEvent && { countEvent: options.countEvent }),
    });
    this.watch.start(options.watch ?? true);
  }

  /** Fulfilled when `holds` does, which is asked after every message; fails after ten seconds. */
  async until(what: string, holds: () => boolean): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const ask = () => holds() && resolve();
    const deadline = setTimeout(() => reject(new Error(`never: ${what}. Heard: ${this.#heard()}`)), 10_000);
    this.#waiting.add(ask);
    ask();
    try {
      await promise;
    } finally {
      clearTimeout(deadline);
      this.#waiting.delete(ask);
    }
  }

  /** Fulfilled when every file that is there was looked at as it is now, and every other is known to be absent. */
  async catchesUp(): Promise<void> {
    await this.until('journal and folder agree', () => this.difference().length === 0);
  }

  /** Paths of which the journal believes something else than what is there. */
  difference(): string[] {
    const there = filesIn(this.#folder.path);
    const known = this.known.files();
    const paths = new Set([...there.keys(), ...known.keys()]);
    return [...paths].filter((path) => there.get(path) !== known.get(path));
  }

  all<Kind extends FromWatch['kind']>(kind: Kind): Message<Kind>[] {
    return this.messages.filter((message): message is Message<Kind> => message.kind === kind);
  }

  async scanned(times = 1): Promise<void> {
    await this.until(`scan ${times}`, () => this.all('scanned').length >= times);
  }

  #receive(message: FromWatch): void {
    this.messages.push(message);
    if (message.kind === 'observed') {
      this.known.settle({
        ...message,
        observations: message.observations.map(({ directory, name }) => {
          const seen = lookAt(this.#folder.path, joinPath(directory, name));
          return { directory, name, seen, routeIds: [1] };
        }),
      });
      if (this.acknowledges) this.watch.acknowledge(message.batch);
    }
    // Asking may mean to look at every file: once for the messages of a moment, and at most a third of the time.
    if (this.#isAsking) return;
    this.#isAsking = true;
    setTimeout(() => {
      this.#isAsking = false;
      const startedAt = performance.now();
      for (const ask of this.#waiting) ask();
      this.#askedForMs = performance.now() - startedAt;
    }, 2 * this.#askedForMs);
  }

  #heard(): string {
    const text = (_: string, value: unknown) => (typeof value === 'bigint' ? undefined : value);
    return JSON.stringify(this.messages, text).slice(-2000);
  }
}

function lookAt(root: string, path: string): Sighting {
  try {
    // As the drain: never through a directory that is a symlink.
    const parent = joinPath(realpathSync.native(root), directoryOf(path));
    if (realpathSync.native(parent) !== parent.replace(/\/$/, '')) return 'absent';
    return sightingOf(lstatSync(joinPath(root, path), { bigint: true }));
  } catch {
    return 'absent';
  }
}

function sightingOf(stats: BigIntStats): Sighting {
  if (stats.isDirectory() || stats.isSymbolicLink()) return 'absent';
  return { size: Number(stats.size), mtimeNs: stats.mtimeNs, ctimeNs: stats.ctimeNs, ino: stats.ino };
}

/** Fingerprints by path, of all that a scan would see. */
export function filesIn(root: string, directory = ''): Map<string, string> {
  const files = new Map<string, string>();
  if (directory === '' && !existsSync(root)) return files;
  for (const bytes of readdirSync(joinPath(root, directory), { encoding: 'buffer' })) {
    if (!isUtf8(bytes)) continue;
    const path = joinPath(directory, bytes.toString());
    const stats = lstatSync(joinPath(root, path), { bigint: true });
    if (stats.isDirectory()) for (const [below, print] of filesIn(root, path)) files.set(below, print);
    const seen = sightingOf(stats);
    if (seen !== 'absent') files.set(path, [seen.size, seen.mtimeNs, seen.ctimeNs, seen.ino].join(' '));
  }
  return files;
}

// One folder in the watch thread: its watcher, its scans and its root, and what of them the main thread hears.
//
// Order at the start of a session (a root that is there): the watcher first, then a scan of everything, so that nothing
// falls between. Whatever shakes the watcher (an error, a suspected overflow, a root that went away) ends in a scan of
// everything, because only a scan knows what was missed.
import { hostname } from 'node:os';
import { directoryOf, joinPath, nameOf } from '../core/key.ts';
import { compileSelector } from '../core/selector.ts';
import type { Clock, Timer } from '../edge/clock.ts';
import type { Files } from '../edge/files.ts';
import type { Known } from '../journal/known.ts';
import { Aliases } from './aliases.ts';
import { Auditor, type AuditPace } from './auditor.ts';
import { networkFileSystem, watchFailureReason } from './limits.ts';
import { Marks } from './marks.ts';
import type { FromWatch, RootState, WatchedFolder } from './messages.ts';
import { Outbox, type Batch } from './outbox.ts';
import { lookAtRoot, type RootLook } from './root.ts';
import {
  RootUnreadable,
  scan,
  wholeFolder,
  type Extent,
  type Findings,
  type ScanCounts,
  type ScanSubject,
} from './scan.ts';
import { ScanQueue } from './scan-queue.ts';
import { Selection, ignoreFileName } from './selection.ts';
import type { WatchEvents, Watcher } from './watcher.ts';

/** Everything that takes time, so that tests can take less of it. */
export interface Pace extends AuditPace {
  /** Events of so long become one batch. */
  readonly collectMs: number;
  readonly rootLookMs: number;
  /** A folder that cannot be watched is scanned this often, but at most a tenth of the time. */
  readonly pollMinMs: number;
  /** After so long a failed watcher is tried again; doubled each time. */
  readonly rewatchMs: number;
  /** Between a suspicion and the new watcher: a burst is waited out. */
  readonly suspicionMs: number;
}

const usualPace: Pace = {
  collectMs: 50,
  rootLookMs: 5_000,
  pollMinMs: 5_000,
  rewatchMs: 60_000,
  suspicionMs: 1_000,
  auditMs: 1_000,
};

const rewatchMaxMs = 3_600_000;
const batchMax = 1_000;
const marksMax = 100_000;
/** Audits in succession that find unwatched directories, each after a new watcher, until the folder is polled. */
const unwatchedMax = 5;
/** setTimeout's longest. */
const timeoutMaxMs = 2 ** 31 - 1;

/** What lasts as long as a root stays where it is. */
interface Session {
  readonly root: string;
  readonly identity: string;
  readonly dev: bigint;
  ended: boolean;
  /** Another directory may stand in the root's place; cleared by a scan that finds most of what the journal knows. */
  inDoubt: boolean;
  watcher: Watcher | undefined;
  isWatching: boolean;
  readonly marks: Marks;
  readonly scans: ScanQueue;
  isPosting: boolean;
  isScanning: boolean;
  readonly auditor: Auditor;
  /** Why the folder is polled. */
  readonly degradedFor: Set<string>;
  rewatchAtMs: number;
  rewatchMs: number;
}

/** What tells of changes in directories. */
export interface Watching {
  /** Not before it is needed: `once` saves the memory. */
  load(): Promise<(root: string, selection: Selection, events: WatchEvents) => Watcher>;
  /** Numbers of the inodes that are watched; undefined where the system does not say. */
  watchedInodes(): ReadonlySet<bigint> | undefined;
}

export class FolderWatch {
  readonly #folder: WatchedFolder;
  readonly #known: Known;
  readonly #post: (message: FromWatch) => void;
  readonly #countEvent: () => void;
  readonly #pace: Pace;
  readonly #watching: Watching;
  readonly #files: Files;
  readonly #clock: Clock;
  readonly #selection: Selection;
  readonly #selects: ScanSubject['selects'];
  readonly #outbox: Outbox;
  readonly #reported = new Set<string>();
  #aliases = new Aliases();
  #watch = false;
  #session: Session | undefined;
  #stopped = false;
  /** The first root of this run: what the journal knows belongs to it. */
  #home: string | undefined;
  #rootTold: RootState = 'ok';
  #degradedTold = '';
  #closing: Promise<void> = Promise.resolve();
  #collecting: Timer | undefined;
  #rootTimer: Timer | undefined;
  #scanTimer: Timer | undefined;
  #rewatchTimer: Timer | undefined;

  constructor(
    folder: WatchedFolder,
    parts: {
      readonly known: Known;
      readonly post: (message: FromWatch) => void;
      readonly watching: Watching;
      readonly files: Files;
      readonly clock: Clock;
      /** Told of every event of the system. */
      readonly countEvent?: () => void;
      readonly pace?: Pace;
    },
  ) {
    this.#folder = folder;
    this.#known = parts.known;
    this.#post = parts.post;
    this.#countEvent = parts.countEvent ?? (() => undefined);
    this.#pace = parts.pace ?? usualPace;
    this.#watching = parts.watching;
    this.#files = parts.files;
    this.#clock = parts.clock;
    this.#selection = new Selection(folder, parts.files);
    this.#selects = compileSelectors(folder, parts.clock);
    this.#outbox = new Outbox(folder.folderId, parts.post);
  }

  /** @param watch false: scan once, then only when asked */
  start(watch: boolean): void {
    this.#watch = watch;
    this.#rootIsHere();
    if (watch) this.#keepLookingAtRoot();
  }

  #keepLookingAtRoot(): void {
    this.#rootTimer = this.#clock.after(this.#pace.rootLookMs, () => {
      this.#rootIsHere();
      this.#keepLookingAtRoot();
    });
  }

  /** Scans everything as soon as possible. */
  scan(): void {
    if (this.#rootIsHere() && this.#session) this.#requestScan(this.#session, wholeFolder, 0);
  }

  acknowledge(batch: number): void {
    this.#outbox.acknowledge(batch);
  }

  /** Events may be missing, and directories of which nobody heard are not watched: only a new watcher knows them all. */
  suspectOverflow(): void {
    this.#rewatchSoon();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#clock.cancel(this.#rootTimer);
    this.#endSession();
    await this.#closing;
    this.#known.close();
  }

  // Root

  /** Looks at the root, and begins or ends the session that depends on it. True while a session goes on. */
  #rootIsHere(): boolean {
    if (this.#stopped) return false;
    const look = lookAtRoot(this.#files, this.#folder.name, this.#folder.path);
    if (
      look.state === 'ok' &&
      look.identity === this.#session?.identity &&
      look.path === this.#session.root
    ) {
      return true;
    }
    this.#endSession();
    if (look.state === 'ok') this.#beginSession(look);
    else this.#tellRoot(look.state, look.message);
    return false;
  }

  #beginSession(look: Extract<RootLook, { state: 'ok' }>): void {
    this.#home ??= look.identity;
    const replaced = look.identity !== this.#home;
    // One that was missing may have come back under the same number, but empty: ext4 uses them again at once.
    const inDoubt = replaced || this.#rootTold === 'missing' || this.#rootTold === 'replaced';
    if (replaced) this.#tellReplaced();
    const session: Session = {
      root: look.path,
      identity: look.identity,
      dev: look.dev,
      ended: false,
      inDoubt,
      watcher: undefined,
      isWatching: false,
      marks: new Marks(),
      scans: new ScanQueue(),
      isPosting: false,
      isScanning: false,
      auditor: new Auditor(
        { root: look.path, selection: this.#selection, files: this.#files, clock: this.#clock },
        () => this.#watching.watchedInodes(),
        this.#pace,
        (unwatchedInSuccession) => this.#audited(session, unwatchedInSuccession),
      ),
      degradedFor: new Set(),
      rewatchAtMs: 0,
      rewatchMs: this.#pace.rewatchMs,
    };
    this.#session = session;
    if (!inDoubt) this.#tellRoot('ok', `folder "${this.#folder.name}": ${this.#folder.path} can be read`);
    if (this.#watch) void this.#startWatching(session);
    else this.#requestScan(session, wholeFolder, 0);
  }

  #endSession(): void {
    const session = this.#session;
    if (!session) return;
    session.ended = true;
    session.auditor.stop();
    this.#session = undefined;
    this.#clock.cancel(this.#collecting);
    this.#clock.cancel(this.#scanTimer);
    this.#clock.cancel(this.#rewatchTimer);
    this.#collecting = this.#rewatchTimer = undefined;
    this.#closeWatcher(session);
  }

  #tellRoot(state: RootState, message: string): void {
    if (state === this.#rootTold) return;
    this.#rootTold = state;
    this.#post({ kind: 'root', folderId: this.#folder.folderId, state, message });
  }

  #tellReplaced(): void {
    const { name, path } = this.#folder;
    this.#tellRoot(
      'replaced',
      `folder "${name}": another directory stands at ${path} (unmounted, or mounted over?). ` +
        'What is there is synced, nothing is deleted. If it is meant to be there, restart s3syncd',
    );
  }

  // Watching

  async #startWatching(session: Session): Promise<void> {
    const unwatchable = unwatchableReason(session.root, this.#files);
    if (unwatchable !== undefined) session.degradedFor.add(unwatchable);
    else {
      const openWatcher = await this.#watching.load();
      // The old handles first: two watchers of a path share one, and it may be dead.
      await this.#closing;
      if (session.ended) return;
      session.degradedFor.clear();
      const events = this.#eventsOf(session);
      const watcher = openWatcher(session.root, this.#selection, events);
      session.watcher = watcher;
      await watcher.ready;
      if (session.ended || session.watcher !== watcher) return;
    }
    session.isWatching = true;
    this.#tellDegraded(session);
    this.#post({ kind: 'watching', folderId: this.#folder.folderId });
    this.#requestScan(session, wholeFolder, 0);
  }

  #eventsOf(session: Session): WatchEvents {
    const unlessEnded = (act: () => void): void => {
      if (!session.ended) act();
    };
    return {
      mark: (directory, name) => this.#mark(session, directory, name),
      scan: (extent) =>
        unlessEnded(() => {
          this.#requestScan(session, extent);
          for (const path of this.#aliases.of(extent.path)) this.#requestScan(session, { ...extent, path });
        }),
      count: this.#countEvent,
      rootChanged: () => unlessEnded(() => this.#rootChanged(session)),
      directoryChanged: () => session.auditor.directoryChanged(),
      failed: (error) => unlessEnded(() => this.#watchFailed(session, error)),
    };
  }

  #closeWatcher(session: Session): void {
    const { watcher } = session;
    session.watcher = undefined;
    session.isWatching = false;
    if (watcher) this.#closing = Promise.all([this.#closing, watcher.close()]).then(() => undefined);
  }

  #mark(session: Session, directory: string, name: string): void {
    if (session.ended) return;
    for (const alias of this.#aliases.of(joinPath(directory, name))) {
      this.#markName(session, directoryOf(alias), nameOf(alias));
    }
    if (name === ignoreFileName) {
      // What is watched changes with it; what is not synced any more, at once.
      this.#selection.enter(session.root, directory);
      this.#rewatchSoon();
    }
    this.#markName(session, directory, name);
  }

  #markName(session: Session, directory: string, name: string): void {
    if (session.scans.covers(directory) || this.#selection.excludes(directory, name, false)) return;
    if (!session.marks.add(directory, name))
      this.#requestScan(session, { path: directory, depth: 'directory' });
    else if (session.marks.size < marksMax) this.#collect(session);
    else {
      // The main thread takes none, its disk may be full: a scan will know better than a list of everything.
      session.marks.clear();
      this.#requestScan(session, wholeFolder);
    }
  }

  /** The root was deleted or moved, or is new: whatever stands there now needs another watcher. */
  #rootChanged(session: Session): void {
    if (this.#session !== session) return;
    this.#endSession();
    this.#tellRoot('missing', `folder "${this.#folder.name}": ${this.#folder.path} was removed or moved`);
    this.#rootIsHere();
  }

  #watchFailed(session: Session, error: NodeJS.ErrnoException): void {
    // A directory without permission: the scan says so, and an audit sees when it can be watched.
    if (error.code === 'EACCES' || error.code === 'EPERM') {
      this.#requestScan(session, this.#extentOf(session, error.path));
      return;
    }
    session.degradedFor.add(watchFailureReason(error));
    this.#tellDegraded(session);
    // While the watcher starts, a thousand directories may fail one by one; the scan comes when it is ready.
    if (session.isWatching) this.#requestScan(session, wholeFolder);
  }

  #audited(session: Session, unwatchedInSuccession: number): void {
    // Where watches are lacking it is known; and a watcher that is starting has not come to all of them yet.
    if (session.degradedFor.size > 0 || !session.isWatching) return;
    if (unwatchedInSuccession === 0) this.#requestScan(session, wholeFolder);
    // A new watcher finds all directories, and the scan after it what happened in them.
    else if (unwatchedInSuccession < unwatchedMax) this.#rewatchSoon();
    else {
      session.degradedFor.add('directories are replaced faster than they can be watched');
      this.#tellDegraded(session);
      this.#requestScan(session, wholeFolder);
    }
  }

  #extentOf(session: Session, absolute: string | undefined): Extent {
    if (!absolute?.startsWith(`${session.root}/`)) return wholeFolder;
    return { path: absolute.slice(session.root.length + 1), depth: 'tree' };
  }

  #tellDegraded(session: Session): void {
    const reasons = [...session.degradedFor];
    if (reasons.join('\n') === this.#degradedTold) return;
    this.#degradedTold = reasons.join('\n');
    if (reasons.length > 0 && session.rewatchAtMs === 0) {
      session.rewatchAtMs = this.#clock.monotonic() + session.rewatchMs;
    }
    this.#post({ kind: 'degraded', folderId: this.#folder.folderId, reasons });
  }

  /** A new watcher and a scan of everything, once what shook the old one is over. */
  #rewatchSoon(): void {
    const session = this.#session;
    if (!session?.watcher || this.#rewatchTimer) return;
    this.#rewatchTimer = this.#clock.after(this.#pace.suspicionMs, () => {
      this.#rewatchTimer = undefined;
      this.#rewatch(session);
    });
  }

  #rewatch(session: Session): void {
    if (session.ended) return;
    this.#closeWatcher(session);
    void this.#startWatching(session);
  }

  // Marks and scans

  #requestScan(session: Session, extent: Extent, delayMs = this.#pace.collectMs): void {
    session.scans.add(extent);
    this.#collect(session, delayMs);
  }

  #collect(session: Session, delayMs = this.#pace.collectMs): void {
    this.#collecting ??= this.#clock.after(delayMs, () => {
      this.#collecting = undefined;
      void this.#postMarks(session);
      void this.#runScans(session);
    });
  }

  async #postMarks(session: Session): Promise<void> {
    if (session.isPosting) return;
    session.isPosting = true;
    try {
      while (!session.ended && session.marks.size > 0) {
        const observations = session.marks.take(batchMax);
        await this.#send(session, { cause: 'event', observations, obstacles: [], cleared: [] });
      }
    } finally {
      session.isPosting = false;
    }
  }

  async #runScans(session: Session): Promise<void> {
    if (session.isScanning) return;
    session.isScanning = true;
    try {
      for (let extent = session.scans.take(); extent && !session.ended; extent = session.scans.take()) {
        await this.#runScan(session, extent);
      }
    } finally {
      session.isScanning = false;
    }
  }

  async #runScan(session: Session, extent: Extent): Promise<void> {
    const startedAt = this.#clock.monotonic();
    if (extent === wholeFolder) this.#post({ kind: 'scanning', folderId: this.#folder.folderId });
    const aliases = new Aliases();
    const { folderId, routeIds, symlinks } = this.#folder;
    const steps = scan(
      {
        folderId,
        root: session.root,
        routeIds,
        symlinks,
        selection: this.#selection,
        files: this.#files,
        clock: this.#clock,
        selects: this.#selects,
        known: this.#known,
        reported: this.#reported,
        tellAbsent: !session.inDoubt,
        onSymlink: (path, target) => {
          aliases.add(path, target);
          this.#aliases.add(path, target);
        },
      },
      extent,
    );
    let workMs = 0;
    let pending: Batch = { cause: 'scan', observations: [], obstacles: [], cleared: [] };
    try {
      for (;;) {
        const sliceAt = this.#clock.monotonic();
        const step = steps.next();
        workMs += this.#clock.monotonic() - sliceAt;
        if (session.ended) return;
        if (step.done) {
          if (sizeOf(pending) > 0) await this.#send(session, pending);
          if (session.ended || extent !== wholeFolder) return;
          this.#aliases = aliases;
          this.#scanned(session, step.value, startedAt, workMs);
          return;
        }
        pending = merge(pending, step.value);
        if (sizeOf(pending) >= batchMax / 2) {
          await this.#send(session, pending);
          pending = { cause: 'scan', observations: [], obstacles: [], cleared: [] };
        } else {
          await this.#clock.turn();
        }
        // A new directory does not wait until a large folder was walked to its end.
        if (extent === wholeFolder) {
          for (let part = session.scans.takePart(); part && !session.ended; part = session.scans.takePart()) {
            await this.#runScan(session, part);
          }
        }
        if (session.ended) return;
      }
    } catch (error) {
      if (!(error instanceof RootUnreadable)) throw error;
      if (this.#session !== session) return;
      this.#endSession();
      this.#tellRoot('unreadable', `folder "${this.#folder.name}": cannot read its files: ${error.message}`);
    }
  }

  #scanned(session: Session, counts: ScanCounts, startedAt: number, workMs: number): void {
    if (session.inDoubt) {
      if (counts.recognised < counts.missed) this.#tellReplaced();
      else {
        session.inDoubt = false;
        this.#home = session.identity;
        this.#tellRoot('ok', `folder "${this.#folder.name}": ${this.#folder.path} is back`);
        // What is absent was not told: now it can be.
        if (counts.missed > 0) {
          this.#requestScan(session, wholeFolder, 0);
          return;
        }
      }
    }
    const { identity, dev } = session;
    this.#post({
      kind: 'scanned',
      folderId: this.#folder.folderId,
      root: { identity, dev },
      ...counts,
      durationMs: Math.round(this.#clock.monotonic() - startedAt),
      nextInMs: this.#scanAgainLater(session, workMs),
    });
    if (session.isWatching) session.auditor.scanned(workMs);
  }

  /** @returns in which time; undefined: never */
  #scanAgainLater(session: Session, workMs: number): number | undefined {
    this.#clock.cancel(this.#scanTimer);
    if (!this.#watch) return undefined;
    // Jitter: folders of one start must not all be walked in the same minute.
    let delayMs = this.#folder.rescanMs * (0.9 + this.#clock.random() * 0.2);
    if (session.degradedFor.size > 0)
      delayMs = Math.min(delayMs, Math.max(this.#pace.pollMinMs, 10 * workMs));
    this.#scanTimer = this.#clock.after(Math.min(delayMs, timeoutMaxMs), () => {
      const watchable = session.watcher !== undefined;
      if (session.degradedFor.size > 0 && watchable && this.#clock.monotonic() >= session.rewatchAtMs) {
        session.rewatchMs = Math.min(rewatchMaxMs, session.rewatchMs * 2);
        session.rewatchAtMs = this.#clock.monotonic() + session.rewatchMs;
        this.#rewatch(session);
      } else this.#requestScan(session, wholeFolder, 0);
    });
    return delayMs;
  }

  /** Posts a batch unless the root is not what it was when the batch was found. */
  #send(session: Session, batch: Batch): Promise<void> {
    return this.#outbox.post(batch, () => !session.ended && this.#rootIsHere());
  }
}

function unwatchableReason(root: string, files: Files): string | undefined {
  const network = networkFileSystem(files.fileSystem(root));
  if (network) return `${network} does not tell of changes made elsewhere: the folder is polled`;
  if (root.includes('\\'))
    return 'the path of the folder has a backslash, with which it cannot be watched: it is polled';
  return undefined;
}

function merge(batch: Batch, findings: Findings): Batch {
  return {
    cause: batch.cause,
    observations: [...batch.observations, ...findings.observations],
    obstacles: [...batch.obstacles, ...findings.obstacles],
    cleared: [...batch.cleared, ...findings.cleared],
  };
}

function sizeOf(batch: Batch): number {
  return batch.observations.length + batch.obstacles.length + batch.cleared.length;
}

function compileSelectors({ selectors, rules, name }: WatchedFolder, clock: Clock): ScanSubject['selects'] {
  if (selectors.length === 0) return undefined;
  const context = { host: hostname(), folder: name };
  const byRoute = new Map(
    selectors.map(({ routeId, when }) => [routeId, compileSelector(when, rules, context)]),
  );
  return (routeId, path, file) => byRoute.get(routeId)?.(path, file, clock.now()) ?? true;
}

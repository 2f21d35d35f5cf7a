// The daemon: the only file that knows all parts. The watcher says "look there", the journal remembers it, the drain
// looks, decides and acts, the journal records it.
import { routeIdentity, type Config, type FolderConfig, type RouteConfig } from './config/config.ts';
import { decideConflicts, type Decided, type Decision } from './conflicts.ts';
import type { Halt, HaltReason } from './core/halt.ts';
import { answerDeletes, type Answer, type Answered } from './deletes.ts';
import { driftPages, leftObject, type LeftObject } from './drain/apply.ts';
import { FolderDeletes } from './drain/deletes.ts';
import { Drain } from './drain/drain.ts';
import type { Handled } from './drain/handled.ts';
import type { Route } from './drain/route.ts';
import { systemClock } from './edge/clock.ts';
import { systemFiles } from './edge/files.ts';
import { retry, type Retried, type Retry } from './failures.ts';
import { resume, type Resume, type Resumed } from './halts.ts';
import type { TriesMax } from './journal/disk.ts';
import { journalFile, Journal, type Claim } from './journal/journal.ts';
import type { Logger } from './observe/log.ts';
import { readStatus, recoveryText, statusLine, type Status } from './observe/status.ts';
import { openRoutes, realPath, type RouteEdges } from './routes.ts';
import { connect } from './transfer/connect.ts';
import { ByteBudget } from './transfer/limits.ts';
import { S3Destination } from './transfer/s3.ts';
import { patient } from './transfer/timing.ts';
import type { Message } from './watch/messages.ts';
import { lookAtRoot } from './watch/root.ts';
import { startWatchThread, type WatchThread } from './watch/thread.ts';
import { version } from './version.ts';

/** All that a daemon has to do with the world, but for its journal: a test may give it another one. */
export interface Edges extends RouteEdges {
  readonly startWatchThread: typeof startWatchThread;
}

const realEdges: Edges = {
  clock: systemClock,
  files: systemFiles,
  connect(config, line) {
    const client = connect(config, patient, line);
    return {
      route: (customerKeys, meter) => new S3Destination(config, client, customerKeys, meter),
      close: () => client.destroy(),
    };
  },
  startWatchThread,
};

/** Memory for bodies, over all destinations: with what Node and the SDK take, the daemon stays below 300 MiB. */
const smallBodyBytesMax = 32 * 1024 ** 2;
/** Six parts of 16 MiB. */
const partBytesMax = 96 * 1024 ** 2;

/** Whoever started `once` or `apply` would wait for nothing on a disk that stays full: seven seconds. */
const triesOnce: TriesMax = { full: 3, failing: 3 };

/** What the daemon knows of a folder besides the journal. */
export interface FolderState {
  readonly folderId: number;
  readonly config: FolderConfig;
  /** Changes are seen as they happen. */
  watching: boolean;
  /** Why parts of it are polled. */
  degraded: readonly string[];
  /** Why it is in doubt whether its root is the one that its files are known in. */
  doubt: string | undefined;
  /** Why nothing is done for it at the moment. */
  halt: Halt | undefined;
  /** That of the run before. */
  readonly formerHalt: Halt | undefined;
  /** The scan at start has ended. */
  scanned: boolean;
  /** When it is next scanned as a whole. */
  nextScanMs: number | undefined;
  readonly deletes: FolderDeletes;
}

export interface DaemonOptions {
  readonly log: Logger;
  /** `run` watches; `once` scans, works off what it found, and ends; `apply` waits for `apply`, works that off, and ends. */
  readonly mode: 'run' | 'once' | 'apply';
  readonly onHandled?: (route: Route, claim: Claim, handled: Handled) => void;
}

export interface ApplyReport {
  /** Objects that are brought in line from now on. */
  readonly marked: number;
  /** Objects that somebody else wrote before, of which it is not known whether they differ. */
  readonly unknown: number;
  readonly left: readonly LeftObject[];
  /** Folders that could not be looked at. */
  readonly problems: readonly string[];
}

export class Daemon {
  readonly config: Config;
  readonly journal: Journal;
  readonly folders: readonly FolderState[];
  readonly drains: readonly Drain[];
  readonly startedMs: number;
  readonly #options: DaemonOptions;
  readonly #edges: Edges;
  readonly #watch: WatchThread;
  readonly #closeConnections: () => void;
  readonly #ended: Promise<void>;
  readonly #watching = Promise.withResolvers<void>();

  /**
   * Opens the journal, starts the drains and the watch thread.
   * @throws JournalInUse when another daemon has the journal; Error when the state directory cannot be used
   */
  constructor(config: Config, options: DaemonOptions, edges: Edges = realEdges) {
    this.config = config;
    this.#options = options;
    this.#edges = edges;
    this.startedMs = edges.clock.now();
    this.journal = Journal.open(config.stateDir, edges.clock);
    const { recovery } = this.journal;
    if (recovery && recovery.atMs >= this.startedMs) options.log.error(`journal: ${recoveryText(recovery)}`);
    this.#listenToDisk();
    const { routes, close } = openRoutes(config, this.journal, options.log, edges);
    this.#closeConnections = close;
    this.journal.uploads.leaveAllBut(routes.map(({ routeId }) => routeId));
    const budgets = ByteBudget.divide(smallBodyBytesMax, routes.length);
    const partBudgets = ByteBudget.divide(partBytesMax, routes.length);
    const { log, onHandled = () => undefined } = options;
    this.folders = config.folders.map((folder) => {
      const { folderId } = routes.find((route) => route.folder === folder)!;
      const lookAtFolder = () => lookAtRoot(edges.files, folder.name, folder.path);
      return {
        folderId,
        config: folder,
        watching: false,
        degraded: [],
        doubt: undefined,
        halt: undefined,
        formerHalt: this.#takeHalt(folderId),
        scanned: false,
        nextScanMs: undefined,
        deletes: new FolderDeletes({
          folder,
          folderId,
          journal: this.journal,
          lookAtRoot: lookAtFolder,
          log,
        }),
      };
    });
    this.drains = routes.map((route, index) => {
      const [budget, partBudget] = [budgets[index]!, partBudgets[index]!];
      const { deletes } = this.#folder(route.folderId);
      return new Drain(route, { journal: this.journal, budget, partBudget, deletes, log, onHandled });
    });
    this.#watch = this.#startWatching();
    this.#ended = Promise.all(this.drains.map((drain) => drain.run())).then(() => undefined);
  }

  /** Resolves when the drains have ended: after `stop`, and in mode `once` when all that can be done is done. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /** Resolves when every folder is watched, or is not there to be. */
  get watching(): Promise<void> {
    return this.#watching.promise;
  }

  status(): Status {
    const folders = this.folders.map(({ config, watching, nextScanMs, degraded, doubt, halt }) => ({
      name: config.name,
      watching,
      nextScanMs,
      degraded: doubt === undefined ? degraded : [doubt, ...degraded],
      halt,
    }));
    const identity = (folder: FolderConfig, route: RouteConfig) =>
      routeIdentity(folder, route, this.config.destinations.get(route.destination)!);
    const routes = new Map(this.drains.map((drain) => [drain.route.routeId, drain.status]));
    const live = { sinceMs: this.startedMs, folders, routes };
    return readStatus(this.config, this.journal, identity, version, live);
  }

  /** For a progress line: cheap enough to ask for several times a second. */
  progress(): { handled: number; pending: number; bytes: number; scanning: boolean } {
    const sum = (count: (drain: Drain) => number) =>
      this.drains.reduce((total, drain) => total + count(drain), 0);
    return {
      handled: sum((drain) => drain.handled),
      pending: sum((drain) => this.journal.openCount(drain.route.routeId)),
      bytes: sum((drain) => drain.sentBytes),
      scanning: this.folders.some((folder) => !folder.scanned && folder.halt === undefined),
    };
  }

  /** Lets held deletes go, or keeps their objects. */
  answerDeletes(answer: Answer): Answered {
    const answered = answerDeletes(this.config, this.journal, answer, this.#edges);
    for (const drain of this.drains) drain.poke();
    return answered;
  }

  /** Records decisions on conflicts, and has them carried out. */
  decideConflicts(decision: Decision): Decided {
    const decided = decideConflicts(this.config, this.journal, decision, this.#edges.clock.now());
    for (const drain of this.drains) drain.poke();
    return decided;
  }

  /** Tries again what failed, is blocked or waits for its next try, and looks whether conflicts are some still. */
  retry(wanted: Retry): Retried {
    const retried = retry(this.config, this.journal, wanted, this.#edges.clock.now());
    if (retried.problems.length > 0) return retried;
    for (const drain of this.drains) {
      if (wanted.folder === undefined || drain.route.folder.name === wanted.folder) drain.retryNow();
    }
    return retried;
  }

  /** Has halts end that wait for a person. */
  resume(wanted: Resume): Promise<Resumed> {
    return resume(this.config, this.journal, wanted, async (routeId) => {
      const drain = this.drains.find(({ route }) => route.routeId === routeId)!;
      await drain.resume();
      this.#watch.scan(drain.route.folderId);
    });
  }

  /**
   * A disk that is full or failing is told of by `status` and waited for: a restart would not mend it.
   * @throws when the watch thread hangs, or a drain does not get to its work
   */
  proveHealth(): void {
    this.journal.disk.note('heartbeat', () => this.journal.proveWritable(this.#edges.clock.now()));
    this.#watch.proveAlive();
    for (const drain of this.drains) drain.proveProgress(this.#edges.clock.now());
  }

  /**
   * Has every object that differs from the rules brought in line, as far as that can be done where it is.
   * @param names of folders; none for all
   * @throws Error when the rules are not those of the config file any more
   */
  async apply(names: readonly string[]): Promise<ApplyReport> {
    this.#refuseStaleRules();
    const report = { marked: 0, unknown: 0, left: [] as LeftObject[], problems: [] as string[] };
    for (const drain of this.drains) {
      const { route } = drain;
      const { name, path } = route.folder;
      if (names.length > 0 && !names.includes(name)) continue;
      // Files that are not there must not look deleted.
      const root = lookAtRoot(this.#edges.files, name, path);
      if (root.state !== 'ok') report.problems.push(root.message);
      else await this.#applyRoute(route, report);
      drain.poke();
    }
    if (this.#options.mode === 'apply') for (const drain of this.drains) drain.finish();
    return report;
  }

  async #applyRoute(
    route: Route,
    report: { marked: number; unknown: number; left: LeftObject[] },
  ): Promise<void> {
    const nowMs = this.#edges.clock.now();
    for (const { drifted, unknown } of driftPages(route, this.journal, nowMs)) {
      const { can = [], cannot = [] } = Object.groupBy(drifted, ({ drift: { remedy } }) =>
        remedy.kind === 'put' || remedy.kind === 'copy' ? 'can' : 'cannot',
      );
      this.journal.markForApply(
        route.routeId,
        can.map(({ known }) => known),
        nowMs,
      );
      report.marked += can.length;
      report.unknown += unknown.length;
      report.left.push(...cannot.map((object) => leftObject(route, object)));
      await this.#edges.clock.turn();
    }
  }

  #refuseStaleRules(): void {
    const { file } = this.config;
    const changedMs = Number((this.#edges.files.stat(file)?.mtimeNs ?? 0n) / 1_000_000n);
    if (changedMs <= this.startedMs) return;
    throw new Error(
      `${file} was changed after the daemon started, which goes by the rules it had then; restart it first`,
    );
  }

  statusLine(): string {
    return statusLine(this.status());
  }

  /** Ends the drains early; `ended` resolves, and `stop` is still to be called. */
  interrupt(): void {
    for (const drain of this.drains) drain.stop();
  }

  /** Ends orderly: what is in flight is finished or can be gone on with; nothing new is started. */
  async stop(): Promise<void> {
    for (const drain of this.drains) drain.stop();
    await Promise.all([this.#watch.stop(), this.#ended]);
    this.#closeConnections();
    this.journal.close();
  }

  #startWatching(): WatchThread {
    return this.#edges.startWatchThread(
      {
        journalFile: journalFile(this.config.stateDir),
        watch: this.#options.mode === 'run',
        folders: (this.#options.mode === 'apply' ? [] : this.folders).map(({ folderId, config }) => ({
          folderId,
          name: config.name,
          path: config.path,
          routeIds: this.#drainsOf(folderId).map((drain) => drain.route.routeId),
          include: config.include,
          exclude: config.exclude,
          symlinks: config.symlinks,
          selectors: this.#drainsOf(folderId).flatMap(({ route: { routeId, to } }) =>
            to.when ? [{ routeId, when: to.when }] : [],
          ),
          rules: config.rules,
          rescanMs: config.rescanMs,
        })),
      },
      {
        onObserved: (message) => this.#observe(message),
        onScanning: ({ folderId }) => void (this.#folder(folderId).deletes.isScanned = false),
        onScanned: (message) => this.#scanned(message),
        onWatching: ({ folderId }) => {
          this.#folder(folderId).watching = true;
          this.#tellWhenWatching();
        },
        onDegraded: (message) => this.#degrade(message),
        onRoot: (message) => this.#rootChanged(message),
        onCrash: (error) => this.#crashed(error),
      },
    );
  }

  /** As long as this is not fulfilled the watch thread sends no more of the folder, and coalesces what it sees. */
  async #observe({ folderId, observations, obstacles, cleared }: Message<'observed'>): Promise<void> {
    const { config } = this.#folder(folderId);
    const drains = this.#drainsOf(folderId);
    const routeIds = drains.map((drain) => drain.route.routeId);
    // `once` takes files as they are; a file that is being written is caught when it is read.
    const settle = this.#options.mode === 'once' ? { settleMs: 0, settleMaxMs: 0 } : config;
    await this.journal.disk.write(() => {
      const nowMs = this.#edges.clock.now();
      this.journal.observe(folderId, routeIds, observations, settle, nowMs);
      this.journal.observeObstacles(folderId, routeIds, obstacles, nowMs);
      this.journal.clearObstacles(folderId, cleared);
    });
    for (const drain of drains) drain.poke();
  }

  #scanned(message: Message<'scanned'>): void {
    try {
      this.#recordScan(message);
    } catch (error) {
      // The scan that follows when the journal takes writes again says it anew.
      if (!this.journal.disk.begin(error)) throw error;
    }
  }

  #recordScan(message: Message<'scanned'>): void {
    const folder = this.#folder(message.folderId);
    // What failed for good may have been mended in the store: as often as a rescan, for one request each.
    if (folder.scanned) {
      const nowMs = this.#edges.clock.now();
      for (const { route } of this.#drainsOf(message.folderId)) this.journal.retry(route.routeId, nowMs);
    }
    folder.scanned = true;
    folder.nextScanMs =
      message.nextInMs === undefined ? undefined : this.#edges.clock.now() + message.nextInMs;
    folder.deletes.scanned(message);
    this.journal.recordScan(message.folderId, this.#edges.clock.now());
    const { files, directories, durationMs } = message;
    this.#options.log.debug({ folder: folder.config.name, files, directories, durationMs }, 'scanned');
    for (const drain of this.#drainsOf(message.folderId)) drain.poke();
    this.#finish(folder);
  }

  #degrade({ folderId, reasons }: Message<'degraded'>): void {
    const folder = this.#folder(folderId);
    folder.degraded = reasons;
    const subject = { folder: folder.config.name };
    if (reasons.length === 0) this.#options.log.info(subject, 'folder is watched in full again');
    else this.#options.log.warn({ ...subject, reasons }, 'folder cannot be watched in full; it is polled');
  }

  #rootChanged({ folderId, state, message }: Message<'root'>): void {
    const folder = this.#folder(folderId);
    const ok = state === 'ok';
    // Another directory in the root's place is no reason to hold its files back: the watch thread says nothing absent.
    const halted = state !== 'ok' && state !== 'replaced';
    folder.halt = halted ? this.#haltOf(folder, `root-${state}`, message) : undefined;
    folder.nextScanMs = undefined;
    folder.deletes.isScanned = false;
    folder.doubt = state === 'replaced' ? message : undefined;
    this.journal.disk.note(`halt of folder ${folderId}`, () =>
      this.journal.halts.recordFolder(folderId, folder.halt),
    );
    for (const drain of this.#drainsOf(folderId)) {
      drain.route.root.path = realPath(this.#edges.files, folder.config.path);
      drain.halt(halted);
    }
    const subject = { folder: folder.config.name };
    if (ok) this.#options.log.info(subject, 'folder is there again');
    else this.#options.log.error(subject, message);
    this.#tellWhenWatching();
    if (halted) this.#finish(folder);
  }

  /** Since when it is halted is known from before a restart. */
  #haltOf({ halt, formerHalt }: FolderState, reason: HaltReason, message: string): Halt {
    const same = [halt, formerHalt].find((each) => each?.reason === reason);
    return { reason, message, sinceMs: same?.sinceMs ?? this.#edges.clock.now() };
  }

  /** The watch thread tells anew what is not there. `apply` has none. */
  #takeHalt(folderId: number): Halt | undefined {
    const halt = this.journal.halts.ofFolder(folderId);
    if (halt && this.#options.mode !== 'apply') this.journal.halts.recordFolder(folderId, undefined);
    return halt;
  }

  #tellWhenWatching(): void {
    if (this.folders.every((folder) => folder.watching || folder.halt !== undefined))
      this.#watching.resolve();
  }

  #listenToDisk(): void {
    const { log, mode } = this.#options;
    this.journal.disk.listen(
      {
        began: ({ message }) => log.error(message),
        ended: () => {
          log.info('the journal can be written again: every folder is scanned for what was missed');
          for (const { folderId } of this.folders) this.#watch.scan(folderId);
          for (const drain of this.drains) drain.poke();
        },
        gaveUp: ({ message }) => {
          log.error(`s3syncd ends, because it does nothing that it cannot remember: ${message}`);
          this.interrupt();
        },
      },
      mode === 'run' ? undefined : triesOnce,
    );
  }

  /** In mode `once` a folder is done when it was scanned, or cannot be. */
  #finish(folder: FolderState): void {
    if (this.#options.mode !== 'once') return;
    for (const drain of this.#drainsOf(folder.folderId)) drain.finish();
  }

  /** Without the watch thread nothing is seen any more: better to end, and be started again, than to lie. */
  #crashed(error: Error): void {
    this.#options.log.error({ err: error }, 'the watch thread ended; stopping');
    throw error;
  }

  #folder(folderId: number): FolderState {
    return this.folders.find((folder) => folder.folderId === folderId)!;
  }

  #drainsOf(folderId: number): Drain[] {
    return this.drains.filter((drain) => drain.route.folderId === folderId);
  }
}

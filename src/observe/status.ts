// Status: what is in S3 and what is not, since when and why. Read from the journal, completed by a running daemon with
// what only it knows.
import type {
  Config,
  DestinationConfig,
  FolderConfig,
  RouteConfig,
  RouteIdentity,
} from '../config/config.ts';
import { isTemporary, type FailureState } from '../core/failure.ts';
import { needsResume, type Halt, type HaltReason } from '../core/halt.ts';
import { costOfRequests, priceList, pricedRegion } from '../core/prices.ts';
import { dayOf, firstOfMonth, nearsEnd, requestsByOperation, type Usage } from '../core/usage.ts';
import type { ListedFailure } from '../journal/failures.ts';
import type { DiskTrouble } from '../journal/disk.ts';
import type { Journal, Recovery, RouteRow, RouteTrouble } from '../journal/journal.ts';

/** A path that is not in S3 as it is here, for a reason of its own. */
export interface ProblemPath {
  readonly path: string;
  readonly state: FailureState;
  readonly code: string;
  readonly message: string;
  readonly since: string;
  /** Tries since the file changed, the daemon started or `retry` was run. */
  readonly attempts: number;
  /** Null where time alone brings no other try: it is tried with the next rescan, by `retry`, or when the file changes. */
  readonly nextTry: string | null;
}

interface Trouble {
  readonly code: string;
  readonly message: string;
  readonly since: string;
  /** Time may mend it, or space. */
  readonly temporary: boolean;
}

export interface HaltStatus {
  readonly reason: HaltReason;
  /** What is wrong, and what ends it. */
  readonly message: string;
  readonly since: string;
  /** It waits for `resume`; others end by themselves. */
  readonly needsResume: boolean;
}

export interface RouteStatus {
  readonly destination: string;
  readonly policy: string;
  /** Paths whose state is settled, decisions not to act included. */
  readonly settled: number;
  readonly pending: number;
  readonly inFlight: number;
  readonly retrying: number;
  readonly failed: number;
  readonly blocked: number;
  readonly conflicts: number;
  readonly held: number;
  /** Since when the oldest change is not in S3 that could be, in seconds: the number to alert on. Deletes in their grace do not count. */
  readonly lagSeconds: number;
  readonly lastSuccess: string | undefined;
  readonly trouble: Trouble | undefined;
  /** Why nothing is sent there. */
  readonly halt: HaltStatus | undefined;
  /** When a route in trouble is tried again. */
  readonly nextTry: string | undefined;
  readonly usage: {
    readonly today: UsageStatus;
    readonly month: UsageStatus;
    /** Whose prices the costs are estimated by. Undefined: what the store charges is not known. */
    readonly prices: string | undefined;
  };
  /** Of the destination, for all folders that go there. Undefined: no limit. */
  readonly budget: BudgetStatus | undefined;
  /** Paths that are being handled right now. */
  readonly sending: readonly string[];
  readonly problems: readonly ProblemPath[];
}

/** What was asked for, by UTC day or month. */
export interface UsageStatus {
  readonly requests: Readonly<Record<string, number>>;
  /** Of content that was sent. */
  readonly bytes: number;
  /** Of the requests, in USD; storage and transfer come on top. */
  readonly cost: number | undefined;
}

interface BudgetStatus {
  readonly requestsPerDay: number;
  readonly used: number;
  /** The rest is spread over what is left of the day. */
  readonly slowed: boolean;
}

export interface FolderStatus {
  readonly name: string;
  readonly path: string;
  readonly state: 'ok' | 'halted' | 'degraded' | 'starting' | 'stopped';
  /** Why it is halted or degraded. */
  readonly reasons: readonly string[];
  /** Why nothing is done for it at all. */
  readonly halt: HaltStatus | undefined;
  readonly lastScan: string | undefined;
  /** When all of it is looked through next, whatever events tell. A halted folder has none, nor one without a daemon. */
  readonly nextScan: string | undefined;
  readonly routes: readonly RouteStatus[];
}

export interface Status {
  readonly running: boolean;
  readonly pid: number | undefined;
  readonly version: string;
  readonly since: string | undefined;
  readonly stateDir: string;
  /** What was wrong with the journal, for a week after it was found. */
  readonly journal: readonly string[];
  /** Why it cannot be written at the moment: nothing new is sent. */
  readonly journalTrouble: Trouble | undefined;
  readonly folders: readonly FolderStatus[];
}

/** What a running daemon adds. */
export interface Live {
  readonly sinceMs: number;
  readonly folders: readonly {
    readonly name: string;
    readonly watching: boolean;
    readonly nextScanMs: number | undefined;
    readonly degraded: readonly string[];
    readonly halt: Halt | undefined;
  }[];
  readonly routes: ReadonlyMap<
    number,
    { readonly inFlight: readonly string[]; readonly nextTryMs: number | undefined }
  >;
}

const recoveryShownMs = 7 * 86_400_000;

function journalNotes(journal: Journal, nowMs: number): string[] {
  const { recovery, unsoundRows } = journal;
  const notes = recovery && nowMs - recovery.atMs < recoveryShownMs ? [recoveryText(recovery)] : [];
  if (unsoundRows > 0)
    notes.push(`${unsoundRows} of its rows were damaged; their files are compared with their objects anew`);
  return notes;
}

/** For the log and for `status`. */
export function recoveryText({ kind, atMs, why, kept }: Recovery): string {
  const at = isoTime(atMs);
  switch (kind) {
    case 'damaged':
      return `it was damaged (${why}) and is kept as ${kept}; since ${at} another one is built from files and objects`;
    case 'copy':
      return `since ${at} it is one from a backup, which is believed as far as a new listing agrees`;
    case 'lost':
      return `it was gone at ${at}, and is built anew from files and objects`;
  }
}

/** How many paths of each kind are named; the counts are complete. */
const problemsMax = 20;

/**
 * @param routeOf the identity of a folder's way to a destination, by which the journal knows it
 * @param live undefined when no daemon runs
 */
export function readStatus(
  config: Config,
  journal: Journal,
  routeOf: (folder: FolderConfig, route: RouteConfig) => RouteIdentity,
  version: string,
  live: Live | undefined,
): Status {
  const nowMs = Date.now();
  return {
    running: live !== undefined,
    pid: live ? process.pid : undefined,
    version,
    since: live && isoTime(live.sinceMs),
    stateDir: config.stateDir,
    journal: journalNotes(journal, nowMs),
    journalTrouble: describeDisk(journal.disk.trouble),
    folders: config.folders.map((folder) => {
      const rows = folder.to.map((route) => ({ route, row: journal.findRoute(routeOf(folder, route)) }));
      const folderId = rows.find(({ row }) => row)?.row?.folderId;
      const scannedAtMs = folderId === undefined ? undefined : journal.scannedAtMs(folderId);
      const state = live?.folders.find(({ name }) => name === folder.name);
      const remembered = folderId === undefined ? undefined : journal.halts.ofFolder(folderId);
      const halt = state ? state.halt : remembered;
      return {
        name: folder.name,
        path: folder.path,
        state: folderState(halt, state),
        reasons: halt === undefined ? (state?.degraded ?? []) : [halt.message],
        halt: halt && describeHalt(halt),
        lastScan: scannedAtMs === undefined ? undefined : isoTime(scannedAtMs),
        nextScan: state?.nextScanMs === undefined ? undefined : isoTime(state.nextScanMs),
        routes: rows.map(({ route, row }) =>
          row
            ? {
                ...routeStatus(journal, route, row.routeId, nowMs, live?.routes.get(row.routeId)),
                ...usageStatus(journal, config.destinations.get(route.destination)!, row, nowMs),
              }
            : emptyRoute(route),
        ),
      };
    }),
  };
}

function folderState(
  halt: Halt | undefined,
  live: Live['folders'][number] | undefined,
): FolderStatus['state'] {
  if (halt !== undefined) return 'halted';
  if (!live) return 'stopped';
  if (live.degraded.length > 0) return 'degraded';
  return live.watching ? 'ok' : 'starting';
}

function routeStatus(
  journal: Journal,
  { destination, policy }: RouteConfig,
  routeId: number,
  nowMs: number,
  live: { readonly inFlight: readonly string[]; readonly nextTryMs: number | undefined } | undefined,
): Omit<RouteStatus, 'usage' | 'budget'> {
  const counts = journal.counts(routeId, nowMs);
  const succeededAtMs = journal.succeededAtMs(routeId);
  const halt = journal.halts.ofRoute(routeId);
  return {
    destination,
    policy,
    settled: counts.baselines,
    pending: counts.pending,
    inFlight: counts.claimed,
    retrying: counts.retrying,
    failed: counts.failed,
    blocked: counts.blocked,
    conflicts: counts.conflict,
    held: counts.held,
    lagSeconds:
      counts.oldestReadyMs === undefined ? 0 : Math.max(0, Math.round((nowMs - counts.oldestReadyMs) / 1000)),
    lastSuccess: succeededAtMs === undefined ? undefined : isoTime(succeededAtMs),
    trouble: describeTrouble(journal.trouble(routeId)),
    halt: halt && describeHalt(halt),
    nextTry: live?.nextTryMs === undefined ? undefined : isoTime(live.nextTryMs),
    sending: live?.inFlight.slice(0, problemsMax) ?? [],
    problems: journal.failures.list(routeId, problemsMax).map(problemPath),
  };
}

/** As it is told to people and programs. */
export function problemPath({ path, state, code, message, ...failure }: ListedFailure): ProblemPath {
  return {
    path,
    state,
    code,
    message,
    since: isoTime(failure.sinceMs),
    attempts: failure.attempts,
    nextTry: failure.nextTryMs === undefined ? null : isoTime(failure.nextTryMs),
  };
}

function usageStatus(
  journal: Journal,
  { endpoint, region, requestsPerDay }: DestinationConfig,
  { routeId, destinationId }: RouteRow,
  nowMs: number,
): Pick<RouteStatus, 'usage' | 'budget'> {
  const today = dayOf(nowMs);
  const sum = (usages: readonly Usage[]): UsageStatus => ({
    requests: requestsByOperation(usages),
    bytes: usages.reduce((total, { bytes }) => total + bytes, 0),
    cost: endpoint === undefined ? costOfRequests(usages, region) : undefined,
  });
  const used = journal.usages.requestsTo(destinationId, today);
  return {
    usage: {
      today: sum(journal.usages.since(routeId, today)),
      month: sum(journal.usages.since(routeId, firstOfMonth(today))),
      prices: endpoint === undefined ? `${pricedRegion(region)}, ${priceList.date}` : undefined,
    },
    budget:
      requestsPerDay === undefined
        ? undefined
        : { requestsPerDay, used, slowed: nearsEnd(requestsPerDay, used) },
  };
}

const nothingUsed: UsageStatus = { requests: {}, bytes: 0, cost: undefined };

function emptyRoute({ destination, policy }: RouteConfig): RouteStatus {
  return {
    destination,
    policy,
    settled: 0,
    pending: 0,
    inFlight: 0,
    retrying: 0,
    failed: 0,
    blocked: 0,
    conflicts: 0,
    held: 0,
    lagSeconds: 0,
    lastSuccess: undefined,
    trouble: undefined,
    halt: undefined,
    nextTry: undefined,
    usage: { today: nothingUsed, month: nothingUsed, prices: undefined },
    budget: undefined,
    sending: [],
    problems: [],
  };
}

/** As it is told to people and programs. */
export function describeHalt(halt: Halt): HaltStatus {
  const { reason, message, sinceMs } = halt;
  return { reason, message, since: isoTime(sinceMs), needsResume: needsResume(halt) };
}

function describeDisk(trouble: DiskTrouble | undefined): Trouble | undefined {
  if (!trouble) return undefined;
  const { kind, code, message, sinceMs } = trouble;
  return { code, message, since: isoTime(sinceMs), temporary: kind === 'full' };
}

/** As it is told to people and programs. */
export function describeTrouble(trouble: RouteTrouble | undefined): Trouble | undefined {
  if (!trouble) return undefined;
  const { code, message, sinceMs } = trouble;
  const temporary = trouble.class !== 'unenforceable' && isTemporary(trouble.class);
  return { code, message, since: isoTime(sinceMs), temporary };
}

/** The exit code that tells the state: what needs a person first, then what time may mend. */
export function exitCodeOf(status: Status): 0 | 1 | 5 | 75 {
  const routes = status.folders.flatMap((folder) => folder.routes);
  const { journalTrouble } = status;
  if (journalTrouble && !journalTrouble.temporary) return 1;
  if (status.folders.some((folder) => folder.halt) || routes.some((route) => route.halt)) return 1;
  if (routes.some((route) => route.failed + route.blocked > 0)) return 1;
  if (routes.some((route) => route.trouble && !route.trouble.temporary)) return 1;
  if (routes.some((route) => route.conflicts + route.held > 0)) return 5;
  if (journalTrouble || routes.some((route) => route.trouble || route.retrying > 0)) return 75;
  if (routes.some((route) => route.budget?.slowed && route.pending > 0)) return 75;
  return 0;
}

/** One line that a person reads in `systemctl status`. */
export function statusLine(status: Status): string {
  const routes = status.folders.flatMap((folder) => folder.routes);
  const sum = (count: (route: RouteStatus) => number) =>
    routes.reduce((total, route) => total + count(route), 0);
  const parts = [
    `${status.folders.length} ${status.folders.length === 1 ? 'folder' : 'folders'}`,
    `${sum((route) => route.settled).toLocaleString('en')} synced`,
    `${sum((route) => route.pending + route.inFlight).toLocaleString('en')} pending`,
  ];
  const failed = sum((route) => route.failed + route.blocked);
  const conflicts = sum((route) => route.conflicts + route.held);
  const halted = [...status.folders, ...routes].filter(({ halt }) => halt).length;
  const degraded = status.folders.filter((folder) => folder.state === 'degraded').length;
  const troubled = routes.filter((route) => route.trouble).length;
  if (status.journalTrouble) parts.push(`JOURNAL CANNOT BE WRITTEN (${status.journalTrouble.code})`);
  if (failed > 0) parts.push(`${failed.toLocaleString('en')} failed or blocked`);
  if (conflicts > 0) parts.push(`${conflicts.toLocaleString('en')} waiting for a decision`);
  if (halted > 0) parts.push(`${halted} halted`);
  if (degraded > 0) parts.push(`${degraded} degraded`);
  if (troubled > 0) parts.push(`${troubled} ${troubled === 1 ? 'destination' : 'destinations'} in trouble`);
  return parts.join(', ');
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

// What is not in S3, across the folders of a config: every path with its reason, and what keeps whole folders and
// destinations. For the daemon, and for verbs that find none.
import type { Config, FolderConfig } from './config/config.ts';
import { halts } from './halts.ts';
import type { Journal } from './journal/journal.ts';
import { covers, namedRoutes, unknownFolder } from './naming.ts';
import { describeTrouble, problemPath, type ProblemPath } from './observe/status.ts';

export interface FailureReport extends ProblemPath {
  readonly folder: string;
  readonly destination: string;
}

/** What keeps all files of a folder, or all that go to one destination. */
export interface TroubleReport {
  readonly folder: string;
  /** Null where it is the folder's. */
  readonly destination: string | null;
  readonly message: string;
  /** Time alone may mend it. */
  readonly temporary: boolean;
}

/** What a person wants tried again. */
export interface Retry {
  /** Absent: of every folder. */
  readonly folder?: string | undefined;
  /** Files, and directories with all that failed below them. Empty: all that failed. */
  readonly paths: readonly string[];
}

export interface Retried {
  readonly retried: number;
  /** Why nothing was done. */
  readonly problems: readonly string[];
}

interface Found {
  readonly folder: FolderConfig;
  readonly changeId: number;
  readonly report: FailureReport;
}

/** Folder by folder. @param paths files, and directories with all below them; none for all */
export function failures(
  config: Config,
  journal: Journal,
  folder: string | undefined,
  paths: readonly string[] = [],
): FailureReport[] {
  return found(config, journal, folder, paths).map(({ report }) => report);
}

export function troubles(config: Config, journal: Journal, folder: string | undefined): TroubleReport[] {
  const halted = halts(config, journal, { folder }).map(({ folder: name, destination, message }) => {
    return { folder: name, destination, message, temporary: false };
  });
  const ofRoutes = namedRoutes(config, journal, folder).flatMap((place): TroubleReport[] => {
    const trouble = describeTrouble(journal.trouble(place.row.routeId));
    if (!trouble) return [];
    const { message, temporary } = trouble;
    return [{ folder: place.folder.name, destination: place.destination, message, temporary }];
  });
  return [...halted, ...ofRoutes];
}

/** Tries again now: everything that is asked for, or nothing. Held deletes are not among it: they wait for an answer. */
export function retry(config: Config, journal: Journal, { folder, paths }: Retry, nowMs: number): Retried {
  const unknown = unknownFolder(config, folder);
  if (unknown !== undefined) return { retried: 0, problems: [unknown] };
  if (paths.length === 0) {
    const routes = namedRoutes(config, journal, folder).map(({ row }) => row.routeId);
    const retried = routes.reduce((sum, routeId) => sum + journal.failures.retryAll(routeId, nowMs), 0);
    return { retried, problems: [] };
  }
  const chosen = found(config, journal, folder, paths).filter(({ report }) => report.state !== 'held');
  const problems = paths
    .filter((path) => !chosen.some((each) => covers(each.folder, path, each.report.path)))
    .map((path) => `${path}: nothing that may be tried again is there; \`s3syncd failures\` lists what is`);
  if (problems.length > 0) return { retried: 0, problems };
  const changeIds = chosen.map(({ changeId }) => changeId);
  return { retried: journal.failures.retry(changeIds, nowMs), problems };
}

function found(
  config: Config,
  journal: Journal,
  folderName: string | undefined,
  paths: readonly string[],
): Found[] {
  return namedRoutes(config, journal, folderName).flatMap(({ folder, destination, row }) =>
    journal.failures
      .list(row.routeId)
      .filter(({ path }) => paths.length === 0 || paths.some((typed) => covers(folder, typed, path)))
      .map((failure) => ({
        folder,
        changeId: failure.changeId,
        report: { folder: folder.name, destination, ...problemPath(failure) },
      })),
  );
}

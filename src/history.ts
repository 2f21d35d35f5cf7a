// What happened to paths, across the folders of a config: from the journal, newest first.
import type { Config } from './config/config.ts';
import type { Outcome } from './core/action.ts';
import type { ListedEntry } from './journal/history.ts';
import type { Journal } from './journal/journal.ts';
import { namedRoutes, pathIn, type NamedRoute } from './naming.ts';

/** An entry of the history as it is told to people and programs; null where there is nothing to tell. */
export interface HistoryReport {
  readonly at: string;
  readonly folder: string;
  readonly destination: string;
  readonly path: string;
  readonly key: string;
  readonly outcome: Outcome;
  /** Why, or the code of what failed. */
  readonly reason: string;
  readonly bytes: number;
  readonly attempts: number;
  /** Of the failure before, where it took several tries. */
  readonly lastCode: string | null;
  readonly versionId: string | null;
  /** S3's, of a request that it refused. */
  readonly requestId: string | null;
}

/** @param paths files, and directories with all below them; none for all */
export function history(
  config: Config,
  journal: Journal,
  { folder, paths, limit }: { folder: string | undefined; paths: readonly string[]; limit: number },
  nowMs: number,
): HistoryReport[] {
  return namedRoutes(config, journal, folder)
    .flatMap((route) => {
      const meant = paths.length === 0 ? [''] : paths.map((typed) => pathIn(route.folder, typed));
      return meant
        .flatMap((path) => journal.history.list(route.row.routeId, path, limit, nowMs))
        .map((entry) => reportOf(route, entry));
    })
    .toSorted((one, other) => other.at.localeCompare(one.at))
    .slice(0, limit);
}

function reportOf({ folder, destination, prefix }: NamedRoute, entry: ListedEntry): HistoryReport {
  const { atMs, path, tail, outcome, reason, bytes, attempts } = entry;
  return {
    at: new Date(atMs).toISOString(),
    folder: folder.name,
    destination,
    path,
    key: prefix + (tail ?? path),
    outcome,
    reason,
    bytes,
    attempts,
    lastCode: entry.lastCode ?? null,
    versionId: entry.versionId ?? null,
    requestId: entry.requestId ?? null,
  };
}

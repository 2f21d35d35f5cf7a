// Halts across the folders of a config: what is halted, why, and ending it. For the daemon, and for verbs that find none.
import type { Config } from './config/config.ts';
import type { Halt } from './core/halt.ts';
import type { Journal } from './journal/journal.ts';
import { namedRoutes, unknownFolder } from './naming.ts';
import { describeHalt, type HaltStatus } from './observe/status.ts';

export interface HaltReport extends HaltStatus {
  readonly folder: string;
  /** Null where the whole folder is halted. */
  readonly destination: string | null;
}

/** What a person wants to go on. */
export interface Resume {
  /** Absent: every folder. */
  readonly folder?: string | undefined;
  /** Absent: every destination. */
  readonly destination?: string | undefined;
}

export interface Resumed {
  readonly resumed: readonly HaltReport[];
  /** Halted still: these end by themselves, when what they say is mended. */
  readonly left: readonly HaltReport[];
  /** Why nothing was done. */
  readonly problems: readonly string[];
}

interface Found {
  readonly routeId: number;
  readonly report: HaltReport;
}

/** Folder by folder. */
export function halts(config: Config, journal: Journal, wanted: Resume): HaltReport[] {
  return found(config, journal, wanted).map(({ report }) => report);
}

/**
 * Has those go on that wait for it: all that is known of their stores is forgotten, and everything is compared anew.
 * @param beginAnew of a route
 */
export async function resume(
  config: Config,
  journal: Journal,
  wanted: Resume,
  beginAnew: (routeId: number) => void | Promise<void>,
): Promise<Resumed> {
  const problems = [unknownFolder(config, wanted.folder), unknownDestination(config, wanted.destination)];
  const known = problems.filter((problem) => problem !== undefined);
  if (known.length > 0) return { resumed: [], left: [], problems: known };
  const all = found(config, journal, wanted);
  const waiting = all.filter(({ report }) => report.needsResume);
  for (const { routeId } of waiting) await beginAnew(routeId);
  const left = all.filter(({ report }) => !report.needsResume).map(({ report }) => report);
  return { resumed: waiting.map(({ report }) => report), left, problems: [] };
}

function unknownDestination({ destinations }: Config, name: string | undefined): string | undefined {
  if (name === undefined || destinations.has(name)) return undefined;
  return `there is no destination "${name}"; known are ${[...destinations.keys()].join(', ')}`;
}

function found(config: Config, journal: Journal, { folder, destination }: Resume): Found[] {
  const routes = namedRoutes(config, journal, folder);
  const folders = [...new Map(routes.map((route) => [route.folder.name, route])).values()];
  const report = (halt: Halt | undefined, routeId: number, folderName: string, to: string | null): Found[] =>
    halt ? [{ routeId, report: { folder: folderName, destination: to, ...describeHalt(halt) } }] : [];
  return [
    ...folders.flatMap(({ folder: { name }, row }) =>
      report(journal.halts.ofFolder(row.folderId), row.routeId, name, null),
    ),
    ...routes
      .filter((route) => destination === undefined || route.destination === destination)
      .flatMap(({ folder: { name }, destination: to, row }) =>
        report(journal.halts.ofRoute(row.routeId), row.routeId, name, to),
      ),
  ];
}

// Conflicts across the folders of a config: what is open, and what a person decided. For the daemon, and for verbs that
// find none.
import type { Config, FolderConfig } from './config/config.ts';
import type { ConflictReason } from './core/action.ts';
import type { Resolution } from './core/conflict.ts';
import type { Policy } from './core/policy.ts';
import type { ListedConflict } from './journal/conflicts.ts';
import type { Journal } from './journal/journal.ts';
import { namedRoutes, pathIn, unknownFolder } from './naming.ts';

/** An open conflict as it is told to people and programs. */
export interface ConflictReport {
  readonly folder: string;
  readonly destination: string;
  readonly path: string;
  readonly key: string;
  readonly reason: ConflictReason;
  readonly policy: Policy;
  readonly since: string;
  /** Null where it was deleted. */
  readonly file: { readonly size: number; readonly mtime: string } | null;
  readonly object: {
    readonly etag: string;
    readonly size: number;
    readonly lastModified: string;
    /** Of the file that it was made of, where its metadata tells. */
    readonly mtime?: string;
    readonly versionId?: string;
  };
}

/** What a person wants done about which conflicts. */
export interface Decision {
  readonly resolution: Resolution;
  /** Absent: of every folder. */
  readonly folder?: string | undefined;
  /** Absent: all that are open. */
  readonly paths?: readonly string[] | undefined;
}

export interface Decided {
  readonly decided: readonly ConflictReport[];
  /** Why nothing was decided. */
  readonly problems: readonly string[];
}

/** Longest open first, folder by folder. */
export function openConflicts(config: Config, journal: Journal, folder?: string): ConflictReport[] {
  return found(config, journal, folder).map(({ report }) => report);
}

/**
 * Records decisions, all of those that are asked for or none; the drain carries them out.
 * @returns what was decided, or why nothing was
 */
export function decideConflicts(config: Config, journal: Journal, wanted: Decision, nowMs: number): Decided {
  const { folder, paths, resolution } = wanted;
  const unknown = unknownFolder(config, folder);
  if (unknown !== undefined) return { decided: [], problems: [unknown] };
  const open = found(config, journal, folder);
  const chosen = paths === undefined ? open : open.filter((each) => paths.some((path) => names(path, each)));
  const problems = (paths ?? []).flatMap((path) => problemWith(path, chosen));
  if (problems.length > 0) return { decided: [], problems };
  const decided = journal.transaction(() =>
    chosen.filter(({ changeId }) => journal.conflicts.decide(changeId, resolution, nowMs)),
  );
  return { decided: decided.map(({ report }) => report), problems };
}

interface Found {
  readonly changeId: number;
  readonly folder: FolderConfig;
  readonly report: ConflictReport;
}

function found(config: Config, journal: Journal, folderName?: string): Found[] {
  return namedRoutes(config, journal, folderName).flatMap(({ folder, destination, row }) =>
    journal.conflicts.open(row.routeId).map((conflict) => ({
      changeId: conflict.changeId,
      folder,
      report: reportOf(conflict, folder.name, destination),
    })),
  );
}

function names(path: string, { folder, report }: Found): boolean {
  return pathIn(folder, path) === report.path;
}

function problemWith(path: string, chosen: readonly Found[]): string[] {
  const folders = new Set(chosen.filter((each) => names(path, each)).map(({ folder }) => folder.name));
  if (folders.size === 0) return [`${path}: no conflict is open there; \`s3syncd conflicts\` lists them`];
  if (folders.size === 1) return [];
  return [`${path}: is in conflict in folders ${[...folders].join(', ')}; say which with --folder`];
}

function reportOf(conflict: ListedConflict, folder: string, destination: string): ConflictReport {
  const { path, key, reason, policy, sinceMs, file, object } = conflict;
  return {
    folder,
    destination,
    path,
    key,
    reason,
    policy,
    since: isoTime(sinceMs),
    file: file ? { size: file.size, mtime: isoTime(Number(file.mtimeNs / 1_000_000n)) } : null,
    object: {
      etag: object.etag,
      size: object.size,
      lastModified: isoTime(object.lastModifiedMs),
      ...(object.mtimeNs !== undefined && { mtime: isoTime(Number(object.mtimeNs / 1_000_000n)) }),
      ...(object.versionId !== undefined && { versionId: object.versionId }),
    },
  };
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

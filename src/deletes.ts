// Held deletes across the folders of a config: what is open, and what a person decided. For the daemon, and for verbs that
// find none.
import type { Config, FolderConfig } from './config/config.ts';
import type { HoldReason } from './core/safety.ts';
import type { Clock } from './edge/clock.ts';
import type { Files } from './edge/files.ts';
import type { HeldDelete } from './journal/deletes.ts';
import type { Journal } from './journal/journal.ts';
import { covers, namedRoutes, unknownFolder } from './naming.ts';
import { lookAtRoot } from './watch/root.ts';

/** A held delete as it is told to people and programs. */
export interface HeldReport {
  readonly folder: string;
  readonly destination: string;
  readonly path: string;
  readonly key: string;
  readonly reason: HoldReason;
  readonly message: string;
  /** When the file was first seen absent. */
  readonly since: string;
}

/** What a person wants done about which held deletes. */
export interface Answer {
  readonly answer: 'approve' | 'discard';
  /** Absent: of every folder. */
  readonly folder?: string | undefined;
  /** Files, and directories with all that is held below them. Empty: all that are held. */
  readonly paths: readonly string[];
}

export interface Answered {
  readonly answered: readonly HeldReport[];
  /** How many are still held. */
  readonly left: number;
  /** Why nothing was done. */
  readonly problems: readonly string[];
}

/** Longest absent first, folder by folder. */
export function heldDeletes(
  config: Config,
  journal: Journal,
  folder: string | undefined,
  paths: readonly string[],
) {
  const held = found(config, journal, folder);
  return held
    .filter((each) => paths.length === 0 || paths.some((path) => names(path, each)))
    .map(({ report }) => report);
}

/**
 * Lets held deletes go, or ends them and keeps their objects: all of those that are asked for, or none. Those that are let
 * go are looked at once more before they are sent.
 */
export function answerDeletes(
  config: Config,
  journal: Journal,
  wanted: Answer,
  { clock, files }: { readonly clock: Clock; readonly files: Files },
): Answered {
  const nowMs = clock.now();
  const { answer, folder, paths } = wanted;
  const held = found(config, journal, folder);
  const problems = problemsWith(config, folder, paths, held);
  if (problems.length > 0) return { answered: [], left: held.length, problems };
  const chosen = held.filter((each) => paths.length === 0 || paths.some((path) => names(path, each)));
  if (answer === 'discard')
    journal.deletes.discard(
      chosen.map(({ held: each }) => each),
      nowMs,
    );
  else {
    for (const each of foldersOf(chosen)) acceptRoot(each, journal, files);
    journal.deletes.approve(
      chosen.map(({ held: each }) => each),
      nowMs,
    );
  }
  return { answered: chosen.map(({ report }) => report), left: held.length - chosen.length, problems };
}

interface Found {
  readonly folder: FolderConfig;
  readonly folderId: number;
  readonly held: HeldDelete;
  readonly report: HeldReport;
}

function found(config: Config, journal: Journal, folderName: string | undefined): Found[] {
  return namedRoutes(config, journal, folderName).flatMap(({ folder, destination, prefix, row }) =>
    journal.deletes.list(row.routeId).flatMap((held): Found[] => {
      const { path, tail, heldFor, message, absentSinceMs } = held;
      if (heldFor === undefined) return [];
      const since = new Date(absentSinceMs).toISOString();
      const place = { folder: folder.name, destination, path, key: prefix + (tail ?? path) };
      const report = { ...place, reason: heldFor, message, since };
      return [{ folder, folderId: row.folderId, held, report }];
    }),
  );
}

function names(path: string, { folder, report }: Found): boolean {
  return covers(folder, path, report.path);
}

function problemsWith(
  config: Config,
  folder: string | undefined,
  paths: readonly string[],
  held: readonly Found[],
): string[] {
  const unknown = unknownFolder(config, folder);
  if (unknown !== undefined) return [unknown];
  return paths
    .filter((path) => !held.some((each) => names(path, each)))
    .map((path) => `${path}: no delete is held there; \`s3syncd deletes list\` shows them`);
}

function foldersOf(chosen: readonly Found[]): Found[] {
  const doubtful = chosen.filter(({ held }) => held.heldFor === 'root-replaced');
  return [...new Map(doubtful.map((each) => [each.folderId, each])).values()];
}

/** The person who lets deletes of another root go says that it is the folder's from now on. */
function acceptRoot({ folder, folderId }: Found, journal: Journal, files: Files): void {
  const root = lookAtRoot(files, folder.name, folder.path);
  if (root.state === 'ok') journal.deletes.recordRoot(folderId, root);
}

// Safety: may a DELETE be sent now? Pure predicates, after Mutagen's safety.go: a file that is absent says nothing yet,
// because an unmounted disk, an emptied root and a user who deleted everything look the same from the inside.
//
// A delete goes only if every guard agrees; `test/core/safety.test.ts` has a law for each. When in doubt the delete is
// held, which costs a person a look; a delete that should not have been sent costs the file.

/** Why a delete waits for a person. Those that begin with `root` concern every delete of the folder, as does `too-many`. */
export const holdReasons = [
  'root-missing',
  'root-unreadable',
  'root-replaced',
  'root-empty',
  'other-device',
  'link-in-path',
  'too-many',
] as const;
export type HoldReason = (typeof holdReasons)[number];

/** True where the reason is not about one path. */
export function concernsFolder(reason: HoldReason): boolean {
  return reason !== 'other-device' && reason !== 'link-in-path';
}

/** The folder's root at this moment. */
export type RootFacts =
  | {
      readonly state: 'ok';
      /** Changes when another directory or file system stands there. */
      readonly identity: string;
      readonly dev: bigint;
      readonly isEmpty: boolean;
    }
  | { readonly state: 'missing' | 'unreadable' };

/** What exists of the path of an absent file: the nearest directory above it, or a link in a directory's place; not even the root. */
export type Surroundings =
  | { readonly kind: 'directory'; readonly dev: bigint }
  | { readonly kind: 'link' | 'nothing' };

/** How many deletes a folder may see before a person is asked. */
export interface DeleteLimits {
  readonly count: number;
  readonly percent: number;
}

/** The deletes of a route. */
export interface DeleteCounts {
  /** Sent within the last hour without having been asked for. */
  readonly recent: number;
  /** Files that are absent now and whose deletes have not ended, held ones included. */
  readonly waiting: number;
  /** Files that the route knows; those that wait are among them. Need not be counted beyond what `percent` asks for. */
  readonly tracked: number;
}

export interface DeleteFacts {
  readonly nowMs: number;
  /** The first look that found nothing at the path; undefined when this is the first. */
  readonly absentSinceMs: number | undefined;
  readonly graceMs: number;
  /** The second look, right now: nothing stands at the path. */
  readonly isAbsent: boolean;
  /** The whole folder was scanned since the start, and no scan is under way: what is missing is known. */
  readonly isScanned: boolean;
  readonly root: RootFacts;
  /** The root that the journal knows the files of. */
  readonly knownRoot: string | undefined;
  readonly surroundings: Surroundings;
  /** Of the file system that the file was on; 0 where that was not recorded. */
  readonly fileDev: bigint;
  /** Undefined: more changes wait than can be looked at, or files that were renamed, so nobody knows how many are deleted. */
  readonly counts: DeleteCounts | undefined;
  /** When the folder's last absence was found. */
  readonly newestAbsenceMs: number;
  readonly limits: DeleteLimits;
  /** Why it was held before; only a person's answer ends that, or the file's return. */
  readonly heldFor: HoldReason | undefined;
  /** A person was asked about exactly this path. */
  readonly isApproved: boolean;
}

export type Verdict =
  | { readonly kind: 'go' }
  /** Not yet: ask again then. */
  | { readonly kind: 'wait'; readonly untilMs: number }
  | { readonly kind: 'hold'; readonly reason: HoldReason }
  /** There is something at the path. */
  | { readonly kind: 'back' };

/** A burst that goes on is waited out no longer than so many graces. */
const quietGracesMax = 12;

/** While the facts are not complete. */
const askAgainMs = 1_000;

/** Judges one delete by everything that is known the moment before it would be sent. */
export function judgeDelete(facts: DeleteFacts): Verdict {
  const { nowMs, absentSinceMs = nowMs, graceMs, isApproved, root } = facts;
  if (!facts.isAbsent) return { kind: 'back' };
  if (facts.heldFor !== undefined && !isApproved) return { kind: 'hold', reason: facts.heldFor };
  if (nowMs < absentSinceMs + graceMs || facts.absentSinceMs === undefined) {
    return { kind: 'wait', untilMs: absentSinceMs + graceMs };
  }
  const rootReason = rootDoubt(root, facts.knownRoot);
  if (rootReason !== undefined && !(rootReason === 'root-empty' && isApproved)) {
    return { kind: 'hold', reason: rootReason };
  }
  if (!facts.isScanned || facts.knownRoot === undefined || facts.counts === undefined) {
    return { kind: 'wait', untilMs: nowMs + askAgainMs };
  }
  if (isApproved) return { kind: 'go' };
  const pathReason = pathDoubt(facts);
  if (pathReason !== undefined) return { kind: 'hold', reason: pathReason };
  if (areTooMany(facts.counts, facts.limits)) return { kind: 'hold', reason: 'too-many' };
  // A long `rm -r` is not over: the next ones count too, so this one waits until all are known.
  const quietMs = Math.min(facts.newestAbsenceMs + graceMs, absentSinceMs + quietGracesMax * graceMs);
  return nowMs < quietMs ? { kind: 'wait', untilMs: quietMs } : { kind: 'go' };
}

/** Why nothing may be said to be absent below the root. An approval answers for an empty root, not for another one. */
export function rootDoubt(root: RootFacts, knownRoot: string | undefined): HoldReason | undefined {
  if (root.state !== 'ok') return `root-${root.state}`;
  if (knownRoot !== undefined && root.identity !== knownRoot) return 'root-replaced';
  return root.isEmpty ? 'root-empty' : undefined;
}

/** Something was mounted over a directory of the folder, or unmounted below it, or a link took a directory's place. */
export function pathDoubt({
  surroundings,
  fileDev,
  root,
}: Pick<DeleteFacts, 'surroundings' | 'fileDev' | 'root'>): HoldReason | undefined {
  if (surroundings.kind !== 'directory')
    return surroundings.kind === 'link' ? 'link-in-path' : 'root-missing';
  const rootDev = root.state === 'ok' ? root.dev : undefined;
  return surroundings.dev === (fileDev === 0n ? rootDev : fileDev) ? undefined : 'other-device';
}

/** One or two files are never too many by percentage, unless they are all there is. */
export function areTooMany({ recent, waiting, tracked }: DeleteCounts, limits: DeleteLimits): boolean {
  const deletes = recent + waiting;
  const all = recent + tracked;
  if (deletes > limits.count) return true;
  if (deletes <= 2 && deletes < all) return false;
  return deletes * 100 > limits.percent * all;
}

/** How many tracked files have to be counted for `areTooMany` to know. */
export function trackedEnough(deletes: number, { percent }: DeleteLimits): number {
  return percent === 0 ? deletes + 1 : Math.max(deletes + 1, Math.ceil((deletes * 100) / percent));
}

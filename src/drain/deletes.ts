// Deletes: whether one may be sent, and sending it. `decide` says which object a deleted file leaves behind; here the guards
// of core/safety.ts are given the facts of the moment before the request, and asked again before each request.
import type { FolderConfig } from '../config/config.ts';
import type { Action } from '../core/action.ts';
import { archiveKeyFor } from '../core/key.ts';
import type { Remote } from '../core/object.ts';
import {
  concernsFolder,
  judgeDelete,
  trackedEnough,
  type DeleteCounts,
  type HoldReason,
  type RootFacts,
  type Verdict,
} from '../core/safety.ts';
import type { Claim, Journal } from '../journal/journal.ts';
import type { Logger } from '../observe/log.ts';
import { describeBody } from '../transfer/metadata.ts';
import { look, surroundingsOf } from '../transfer/open.ts';
import type { Message } from '../watch/messages.ts';
import type { RootLook } from '../watch/root.ts';
import { tailIn } from './keys.ts';
import type { Subject } from './look.ts';
import type { Route } from './route.ts';

export type DeleteAction = Extract<Action, { kind: 'delete' }>;

/** Changes that may be looked at for absent files before a delete; while more wait, deletes come last. */
const unlookedMax = 1_000;

/**
 * A count serves the absences that it knows for so long: a burst of deletes must not count itself for every file. That
 * nothing could be counted serves all: a look at every file that waits, for every file that waits, would take minutes.
 */
const countForMs = 500;

/** A change that failed so often does not end soon: `once` leaves it then, too. */
const triesMax = 3;

/** What the routes of a folder share about its deletes. */
export class FolderDeletes {
  /** Every file of the folder was looked for since the start, and no scan is under way. */
  isScanned = false;
  readonly folder: FolderConfig;
  readonly folderId: number;
  readonly #journal: Journal;
  readonly #lookAtRoot: () => RootLook;
  readonly #log: Pick<Logger, 'error'>;
  /** Reasons that were logged since a delete last went. */
  readonly #told = new Set<HoldReason>();
  readonly #counted = new Map<number, { readonly atMs: number; readonly counts: DeleteCounts | undefined }>();

  constructor(parts: {
    readonly folder: FolderConfig;
    readonly folderId: number;
    readonly journal: Journal;
    readonly lookAtRoot: () => RootLook;
    readonly log: Pick<Logger, 'error'>;
  }) {
    this.folder = parts.folder;
    this.folderId = parts.folderId;
    this.#journal = parts.journal;
    this.#lookAtRoot = parts.lookAtRoot;
    this.#log = parts.log;
  }

  /** May the delete of a claim be sent at this moment? @throws the system's error when the path cannot be looked at */
  judge(route: Route, claim: Claim): Verdict {
    const nowMs = route.clock.now();
    const { deletes } = this.#journal;
    const { kind, ...local } = look(route.root, claim.path);
    const verdict = judgeDelete({
      nowMs,
      absentSinceMs: claim.absentSinceMs,
      graceMs: this.folder.deleteGraceMs,
      isAbsent: kind === 'absent' || ('type' in local && local.type === 'directory'),
      isScanned: this.isScanned,
      root: this.rootFacts(),
      knownRoot: deletes.root(this.folderId),
      surroundings: surroundingsOf(route.root, claim.path),
      fileDev: claim.baseline?.file.dev ?? 0n,
      counts: this.#count(route, claim, nowMs),
      newestAbsenceMs: deletes.newestAbsenceMs(route.routeId),
      limits: this.folder.maxDelete,
      heldFor: claim.heldFor,
      isApproved: claim.isApproved,
    });
    if (verdict.kind === 'go' && !claim.isApproved) this.#told.clear();
    return verdict;
  }

  /**
   * A scan of the whole folder has ended. The first one says which directory the folder's files are known in; another one
   * is taken for it when every file is there as the journal knows it, as after a restart that numbered devices anew. Else
   * deletes are held until a person says that it is meant to be there.
   */
  scanned({ root, recognised, missed }: Pick<Message<'scanned'>, 'root' | 'recognised' | 'missed'>): void {
    this.isScanned = true;
    const { deletes } = this.#journal;
    const known = deletes.root(this.folderId);
    if (known === root.identity) return;
    const neverDeletes = this.folder.to.every(({ delete: mode }) => mode === 'keep');
    const isSame = () => missed === 0 && recognised >= deletes.trackedNames(this.folderId);
    if (known === undefined || neverDeletes || isSame()) deletes.recordRoot(this.folderId, root);
  }

  rootFacts(): RootFacts {
    const root = this.#lookAtRoot();
    if (root.state === 'ok') return root;
    return { state: root.state === 'unreadable' ? 'unreadable' : 'missing' };
  }

  /** Holds the delete of a claim, and where the reason is the folder's every other one that waits. @returns the message */
  hold(route: Route, reason: HoldReason): string {
    const message = this.#messageOf(route, reason);
    if (concernsFolder(reason)) this.#journal.deletes.holdAll(this.folderId, reason, message);
    if (!this.#told.has(reason)) {
      const subject = { folder: this.folder.name, destination: route.destination.name, reason };
      this.#log.error(subject, `deletes are held: ${message}. \`s3syncd deletes list\` shows them`);
      this.#told.add(reason);
    }
    return message;
  }

  #messageOf(route: Route, reason: HoldReason): string {
    const { path, maxDelete } = this.folder;
    switch (reason) {
      case 'root-missing':
        return `${path} does not exist`;
      case 'root-unreadable':
        return `${path} cannot be read`;
      case 'root-replaced':
        return `another directory stands at ${path} than the one that its files are known in`;
      case 'root-empty':
        return `${path} is empty`;
      case 'other-device':
        return 'its directory is on another file system than the file was: something was mounted or unmounted';
      case 'link-in-path':
        return 'a symbolic link stands where one of its directories was';
      case 'too-many': {
        const waiting = this.#journal.deletes.waiting(route.routeId, Number.MAX_SAFE_INTEGER);
        const recent = this.#journal.deletes.recent(route.routeId, route.clock.now());
        const sent = recent === 0 ? '' : ` and ${recent} went within the last hour`;
        return `${waiting} deletes wait${sent}: max-delete allows ${maxDelete.count}, and ${maxDelete.percent} % of the files`;
      }
    }
  }

  /** What is absent, also where the drain has not come to look at it yet; undefined while that cannot be told. */
  #count(route: Route, claim: Claim, nowMs: number): DeleteCounts | undefined {
    const { routeId } = route;
    const counted = this.#counted.get(routeId);
    // A clock that was set back must not make it last for hours.
    if (counted && Math.abs(nowMs - counted.atMs) < countForMs) {
      if (!counted.counts || (claim.absentSinceMs ?? nowMs) < counted.atMs) return counted.counts;
    }
    const counts = this.#countNow(route, nowMs);
    this.#counted.set(routeId, { atMs: nowMs, counts });
    return counts;
  }

  #countNow(route: Route, nowMs: number): DeleteCounts | undefined {
    const { routeId } = route;
    const { deletes } = this.#journal;
    const { maxDelete: limits } = this.folder;
    const unlooked = deletes.unlooked(routeId, unlookedMax);
    if (!unlooked) return undefined;
    let waiting = deletes.waiting(routeId, limits.count + 1);
    for (const { path, isKnown: isTracked, attempts } of unlooked) {
      const local = look(route.root, path);
      if (local.kind === 'file') {
        // What was renamed is not deleted: it is known for that when it has arrived, so it is not counted before.
        if (attempts < triesMax && deletes.isOrigin(routeId, path, local.file)) return undefined;
      } else if (isTracked && local.kind === 'absent' && !this.#isMoved(route, path)) {
        waiting += 1;
      }
    }
    const recent = deletes.recent(routeId, nowMs);
    const tracked = deletes.tracked(routeId, trackedEnough(waiting + recent, limits));
    return { recent, waiting, tracked };
  }

  /** The file has another path by now, under which it is in S3. */
  #isMoved({ routeId }: Route, path: string): boolean {
    const baseline = this.#journal.baseline(routeId, path);
    return (
      baseline !== undefined &&
      this.#journal.origins.heir(routeId, { path, file: baseline.file }) === 'synced'
    );
  }
}

/** How a delete went. */
export type DeleteResult =
  | { readonly kind: 'removed' }
  /** The guards say no, or not yet. */
  | { readonly kind: 'stopped'; readonly verdict: Exclude<Verdict, { kind: 'go' }> }
  /** The object is not what was decided about: decide again. */
  | { readonly kind: 'looked'; readonly remote: Remote }
  | { readonly kind: 'busy' }
  | { readonly kind: 'archive-key-too-long' };

/** Deletes a file's object, archived first where that was decided. Every request is preceded by the guards. */
export async function deleteObject(
  route: Route,
  claim: Claim,
  { path, key }: Subject,
  action: DeleteAction,
  remote: Remote | undefined,
  deletes: FolderDeletes,
): Promise<DeleteResult> {
  const { destination } = route;
  const verdict = deletes.judge(route, claim);
  if (verdict.kind !== 'go') return { kind: 'stopped', verdict };
  const { precondition } = action;
  // The store would ignore the condition: it is looked at first, and what is left is the time between two requests.
  if (precondition.kind === 'etag' && route.looksBeforeDelete && remote?.kind !== 'object') {
    return { kind: 'looked', remote: await destination.head(key) };
  }
  if (action.outcome === 'archived' && precondition.kind === 'etag') {
    const archived = await archive(route, claim, { path, key }, precondition.etag);
    if (archived.kind !== 'written') return archived;
    const second = deletes.judge(route, claim);
    if (second.kind !== 'go') return { kind: 'stopped', verdict: second };
  }
  const removed = await destination.remove(key, precondition);
  switch (removed.kind) {
    case 'removed':
    case 'missing':
      return { kind: 'removed' };
    case 'busy':
      return removed;
    case 'precondition-failed':
      return { kind: 'looked', remote: await destination.head(key) };
  }
}

/** Copies an object to where it is kept. Never over another one: the key has the time in it, and the copy must find none. */
async function archive(
  route: Route,
  claim: Claim,
  { path, key }: Subject,
  etag: string,
): Promise<DeleteResult | { readonly kind: 'written' }> {
  const { destination, clock } = route;
  const archived = archiveKeyFor(route.folder.archivePrefix, tailIn(route, key), clock.now());
  if (archived.kind === 'blocked') return { kind: 'archive-key-too-long' };
  const baseline = claim.baseline!;
  const description = describeBody(route.describe(path, baseline.file), baseline);
  const customerKey =
    description.encryption?.sse === 'customer' ? { customerKey: description.encryption.key } : {};
  const precondition = route.capabilities?.putIfAbsent
    ? ({ kind: 'absent' } as const)
    : ({ kind: 'none' } as const);
  const result = await destination.copy(
    { key, etag, ...customerKey },
    archived.key,
    description,
    precondition,
  );
  switch (result.kind) {
    case 'written':
      return { kind: 'written' };
    case 'busy':
      return result;
    case 'source-changed':
    case 'missing':
    case 'precondition-failed':
      // The source is another object, or the key is taken, which takes the clock to have been set back: with another time.
      await clock.sleep(1);
      return { kind: 'looked', remote: await destination.head(key) };
  }
}

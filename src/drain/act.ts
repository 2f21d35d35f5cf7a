// Act: handles one claimed change from the first look to the way it ended. Never throws for what can be expected of
// files and stores; what it throws is a bug.
import { setTimeout as delay } from 'node:timers/promises';
import type { Action, BlockReason, ConflictReason, Outcome } from '../core/action.ts';
import { agreed, type Baseline } from '../core/baseline.ts';
import type { Facts } from '../core/decide.ts';
import { Failure, unlessDenied } from '../core/failure.ts';
import type { FileState, Local, Sighting } from '../core/file.ts';
import { comparableChecksum, type Remote } from '../core/object.ts';
import type { Origin } from '../core/origin.ts';
import { backoffMs } from '../core/schedule.ts';
import type { Claim, Completion, Journal } from '../journal/journal.ts';
import type { ByteBudget } from '../transfer/limits.ts';
import { look } from '../transfer/open.ts';
import { likelyPartSize, singlePutMax } from '../transfer/part-size.ts';
import { endUpload } from '../transfer/begun.ts';
import type { UploadMemory, UploadResult } from '../transfer/request.ts';
import { upload } from '../transfer/upload.ts';
import { applyRules, driftOf, recordedOf } from './apply.ts';
import { copy, isCopy, type Copied, type CopyAction } from './copy.ts';
import { deleteObject, type DeleteAction, type DeleteResult, type FolderDeletes } from './deletes.ts';
import { conflictOf, keyBeside } from './conflicts.ts';
import { occupantOf, tailIn } from './keys.ts';
import { firstLook, resolve, type Remembered, type Subject } from './look.ts';
import type { Route } from './route.ts';

export interface Tools {
  readonly journal: Journal;
  readonly budget: ByteBudget;
  readonly partBudget: ByteBudget;
  readonly deletes: FolderDeletes;
  /** Another change is to be copied from the path's object and is not done yet. */
  readonly isNeeded: boolean;
  readonly signal: AbortSignal;
  readonly onBytes: (bytes: number) => void;
}

/** What came of a change. */
export interface Handled {
  readonly end: Completion['end'];
  readonly outcome: Outcome;
  /** A `Reason`, a `BlockReason`, or the code of what failed. */
  readonly reason: string;
  /** Uploaded with success. */
  readonly bytes: number;
  /** The store answered a request that this change needed. */
  readonly answered?: boolean;
  /** There is something at the path. */
  readonly isBack?: boolean;
  /** Concerns the route or its endpoint too. */
  readonly failure?: Failure;
}

/** A file whose last write is younger than this may be written again within the same tick of the kernel's clock, unseen. */
const clockTickMs = 20;

/** When a file is looked at again whose key another one is just being sent to. */
const keyInFlightMs = 100;

/** How often a refused precondition may lead to another decision before the change waits. */
const roundsMax = 4;

/** @param origin under which other path the file is known */
export async function handle(
  route: Route,
  claim: Claim,
  origin: Origin | undefined,
  tools: Tools,
): Promise<Handled> {
  try {
    const { facts, keyed } = firstLook(route, remembered(claim, origin, tools.journal));
    if (facts.local.kind === 'file') {
      if (keyed.kind === 'blocked') return blocked(keyed.reason, facts.local);
      const refused = facts.baseline
        ? undefined
        : refuseKey(route, claim, keyed.key, facts.local, tools.journal);
      if (refused) return refused;
    }
    await untilTickPassed(facts.local);
    const key = keyed.kind === 'key' ? keyed.key : '';
    const uploads = uploadMemory(tools.journal, claim);
    const handled = isExcluded(route, claim.path, facts.local)
      ? excluded
      : await bringInLine(route, claim, { path: claim.path, key }, facts, { ...tools, uploads });
    if (handled.end.kind === 'settled') await uploads.endLeft(route.destination);
    const ended = withTail(handled, claim.path, tailIn(route, key));
    return facts.local.kind === 'file' ? { ...ended, isBack: true } : ended;
  } catch (error) {
    return failed(route, claim, error);
  }
}

/** Excluded after it was noticed: by an ignore file that came later, or by another config. */
function isExcluded(route: Route, path: string, local: Local): boolean {
  return local.kind === 'file' && route.selection.excludesNow(route.root.path, path);
}

const excluded: Handled = { end: { kind: 'settled' }, outcome: 'unchanged', reason: 'excluded', bytes: 0 };

function remembered(claim: Claim, origin: Origin | undefined, journal: Journal): Remembered {
  const { routeId, path, baseline, noticed, tried, writeId, conflict } = claim;
  return {
    path,
    baseline,
    noticed,
    origin,
    listed: (tail) => (tail === path ? claim.listed : journal.listed(routeId, tail)),
    writeId: tried ? writeId : undefined,
    conflict,
  };
}

/** Undefined when the file may have the key, which it then has while it is handled. */
function refuseKey(
  route: Route,
  claim: Claim,
  key: string,
  local: Local,
  journal: Journal,
): Handled | undefined {
  if (route.sharing.length === 0) return undefined;
  if (!route.keysInFlight.take(key, claim)) {
    const readyAtMs = Date.now() + keyInFlightMs;
    return {
      end: { kind: 'released', readyAtMs, tried: false },
      outcome: 'retry',
      reason: 'key-in-flight',
      bytes: 0,
    };
  }
  const occupant = occupantOf(route, claim.path, key, journal);
  if (occupant === undefined) return undefined;
  const message = `its key is that of ${JSON.stringify(occupant)} already: ${blockMessage['key-collision']}`;
  return stuck('blocked', 'key-collision', local, message);
}

/** Whoever settles a path says which object that is about. */
function withTail(handled: Handled, path: string, tail: string): Handled {
  const { end } = handled;
  if (tail === path || end.kind !== 'settled' || !end.baseline) return handled;
  return { ...handled, end: { ...end, baseline: { ...end.baseline, tail } } };
}

async function bringInLine(
  route: Route,
  claim: Claim,
  subject: Subject,
  first: Facts,
  tools: ClaimTools,
): Promise<Handled> {
  let facts = first;
  for (let round = 1; round <= roundsMax; round++) {
    const resolved = await resolve(route, subject, facts);
    if (resolved.kind === 'changed') return lookAgain(route, claim, 'changed while it was read');
    facts = resolved.facts;
    if (isCopy(resolved.action)) {
      const result = await copy(route, claim, subject, resolved.action, facts, tools.journal);
      if (result.kind === 'written') return copied(route, resolved.action, result, facts);
      if (result.kind === 'busy') return busy(claim);
      facts = { ...facts, ...result.facts };
      continue;
    }
    if (resolved.action.kind === 'delete') {
      const deleted = await deleteFile(route, claim, subject, resolved.action, facts, tools);
      if (!('kind' in deleted)) return deleted;
      facts = { ...facts, remote: deleted };
      continue;
    }
    if (resolved.action.kind !== 'upload') {
      if (resolved.action.reason === 'own-lost-answer') await supplement(route, subject, facts);
      if (resolved.action.kind === 'keep-both') return keepBoth(route, claim, subject, facts, tools);
      const handled = finish(route, subject, resolved.action, facts);
      return claim.apply ? await bringRulesToBear(route, claim, subject, facts, handled, tools) : handled;
    }
    if (route.emulates && !wasAsked(facts.remote)) {
      facts = { ...facts, remote: await route.destination.head(subject.key), content: undefined };
      continue;
    }

    const beganMs = Date.now();
    const result = await send(route, claim, subject, resolved.action, tools);
    switch (result.kind) {
      case 'written':
        tools.uploads.completed();
        return uploaded(route, resolved.action, result, beganMs);
      case 'changed':
      case 'vanished':
        return lookAgain(route, claim, 'changed while it was read');
      case 'interrupted':
        return {
          end: { kind: 'released', readyAtMs: Date.now(), tried: false },
          outcome: 'retry',
          reason: 'stopped',
          bytes: 0,
        };
      case 'too-large':
        return blocked('too-large', facts.local);
      case 'unfit':
        return stuck('failed', result.reason, facts.local, result.message);
      case 'cannot-enforce':
        return blocked('store-cannot-enforce', facts.local);
      case 'busy':
        return busy(claim);
      case 'uncertain':
      case 'precondition-failed':
      case 'missing': {
        // New facts: look at the object, and decide again.
        const mayDoWithout =
          route.judgement.policy === 'skip-existing' && result.kind === 'precondition-failed';
        const head = route.destination.head(subject.key);
        const remote = mayDoWithout ? await unlessDenied(head) : await head;
        // Without the right to look, S3's refusal says all that skip-existing needs to know.
        if (!remote) return { ...finish(route, subject, existsUnseen, facts), answered: true };
        facts = {
          ...facts,
          remote,
          content: undefined,
          // Whatever was refused now: a try before it, of ours or of the SDK, may have landed.
          writeId: claim.writeId,
        };
      }
    }
  }
  return retry(claim, 'PreconditionFailed', 'the object kept changing while it was looked at');
}

/** The file is gone, and its object is to follow. @returns the object where it is not what was decided about */
async function deleteFile(
  route: Route,
  claim: Claim,
  subject: Subject,
  action: DeleteAction,
  { local, remote }: Facts,
  { deletes, journal, isNeeded }: ClaimTools,
): Promise<Handled | Remote> {
  if (subject.key === '') return blocked('key-too-long', local);
  if (route.selection.excludesNow(route.root.path, subject.path)) return excluded;
  if (occupantOf(route, subject.path, subject.key, journal) !== undefined) return keptFor('key-collision');
  // A file that has another name by now is not gone: its object goes when it is in S3 under that.
  if (isNeeded)
    return retry(claim, 'rename-pending', 'its file was renamed and is not in S3 under its new name yet');
  const heir = journal.origins.heir(claim.routeId, { path: subject.path, file: claim.baseline!.file });
  if (heir === 'unsynced') return keptAsGone(claim.baseline!);
  const result = await deleteObject(route, claim, subject, action, remote, deletes);
  switch (result.kind) {
    case 'removed':
      return {
        end: { kind: 'settled', baseline: null, isDelete: heir !== 'synced' },
        outcome: action.outcome,
        reason: action.reason,
        bytes: 0,
        answered: true,
      };
    case 'looked':
      return result.remote;
    case 'busy':
      return retry(claim, 'ConditionalRequestConflict', 'another write to the key was under way');
    case 'archive-key-too-long':
      return blocked('archive-key-too-long', local);
    case 'stopped':
      return stopped(route, claim, result.verdict, deletes);
  }
}

/** The guards stopped a delete. */
function stopped(
  route: Route,
  claim: Claim,
  verdict: Extract<DeleteResult, { kind: 'stopped' }>['verdict'],
  deletes: FolderDeletes,
): Handled {
  switch (verdict.kind) {
    case 'wait': {
      const end = { kind: 'absent', readyAtMs: verdict.untilMs } as const;
      return { end, outcome: 'unchanged', reason: 'delete-grace', bytes: 0 };
    }
    case 'back':
      return { ...lookAgain(route, claim, 'it came back'), isBack: true };
    case 'hold': {
      const { reason } = verdict;
      const end = { kind: 'held', reason, message: deletes.hold(route, reason) } as const;
      return { end, outcome: 'held', reason, bytes: 0 };
    }
  }
}

/** Under its new name the file did not get to S3, so the object of the old one may be all that there is of it. */
function keptAsGone(baseline: Baseline): Handled {
  const kept: Baseline = { ...baseline, outcome: 'kept-remote', gone: true };
  const end = { kind: 'settled', baseline: agreed(baseline) ? kept : null } as const;
  return { end, outcome: 'kept-remote', reason: 'renamed', bytes: 0 };
}

/** The object is not this path's alone. */
function keptFor(reason: BlockReason): Handled {
  return { end: { kind: 'settled', baseline: null }, outcome: 'kept-remote', reason, bytes: 0 };
}

/** The file is as it was settled: whether the object is as the rules have it is the question now. */
async function bringRulesToBear(
  route: Route,
  claim: Claim,
  { path, key }: Subject,
  facts: Facts,
  handled: Handled,
  tools: ClaimTools,
): Promise<Handled> {
  if (facts.local.kind !== 'file' || handled.end.kind !== 'settled') return handled;
  const baseline = handled.end.baseline ?? facts.baseline;
  const drift = baseline && driftOf(route, path, baseline, Date.now());
  if (!drift) return handled;
  const applied = await applyRules(route, key, baseline, drift, tools.journal);
  const reason = drift.fields.join(', ');
  switch (applied.kind) {
    case 'applied': {
      const end = { kind: 'settled', baseline: applied.baseline } as const;
      return { end, outcome: 'meta-updated', reason, bytes: 0, answered: true };
    }
    case 'remote-changed': {
      const remote = await route.destination.head(key);
      // One that is gone is written anew, as the rules have it.
      return remote.kind === 'absent'
        ? bringInLine(route, claim, { path, key }, { ...facts, remote, content: undefined }, tools)
        : inConflict(route, key, 'remote-changed', { ...facts, remote });
    }
    case 'busy':
      return retry(claim, 'ConditionalRequestConflict', 'another write to the key was under way');
    case 'left':
      return handled;
  }
}

/** The file goes beside the object that it is in conflict with, as a new one would: it replaces nothing there either. */
async function keepBoth(
  route: Route,
  claim: Claim,
  { path }: Subject,
  facts: Facts,
  tools: ClaimTools,
): Promise<Handled> {
  const beside = keyBeside(route, facts.conflict!);
  if (beside.kind === 'blocked') return blocked(beside.reason, facts.local);
  const judgement = { ...route.judgement, policy: 'if-unchanged' } as const;
  const alone = { ...facts, baseline: undefined, remote: undefined, content: undefined, conflict: undefined };
  const kept = await bringInLine({ ...route, judgement }, claim, { path, key: beside.key }, alone, tools);
  if (kept.end.kind !== 'settled' || !kept.end.baseline) return kept;
  // What went up is what the object was left alone for.
  const local = { kind: 'file', file: kept.end.baseline.file } as const;
  const baseline = settledBaseline(leftAlone, { ...facts, local });
  return { ...kept, end: { kind: 'settled', baseline }, reason: 'resolved' };
}

const leftAlone = { kind: 'settle', outcome: 'skipped-existing', reason: 'resolved', owned: false } as const;

/** Our upload landed, but perhaps we never got to what follows it where a store forgets tags and locks of multipart uploads. */
async function supplement(route: Route, { path, key }: Subject, { local, remote }: Facts): Promise<void> {
  if (local.kind !== 'file' || local.file.size <= singlePutMax || remote?.kind !== 'object') return;
  const description = route.describe(path, local.file);
  await route.destination.supplement('parts', key, description, remote.object.versionId);
}

function send(
  route: Route,
  { writeId }: Claim,
  subject: Subject,
  action: Extract<Action, { kind: 'upload' }>,
  tools: ClaimTools,
): Promise<UploadResult> {
  return upload({
    destination: route.destination,
    root: route.root,
    path: subject.path,
    key: subject.key,
    describe: (file) => route.describe(subject.path, file),
    writeId,
    precondition: route.emulates ? { kind: 'none' } : action.precondition,
    checksum: route.checksum,
    capabilities: route.capabilities,
    memory: tools.uploads,
    budget: tools.budget,
    partBudget: tools.partBudget,
    signal: tools.signal,
    onBytes: tools.onBytes,
  });
}

interface ClaimTools extends Tools {
  readonly uploads: ReturnType<typeof uploadMemory>;
}

function uploadMemory(journal: Journal, claim: Claim) {
  const { routeId, path } = claim;
  let uploadRow: number | undefined;
  let completedRow: number | undefined;
  const memory: UploadMemory = {
    find() {
      const record = journal.uploads.find(routeId, path);
      uploadRow = record?.uploadRow;
      return record;
    },
    begin(upload) {
      const begun = { ...upload, uploadId: '' };
      ({ uploadRow } = journal.uploads.begin(routeId, path, begun, Date.now()));
    },
    created(uploadId) {
      if (uploadRow !== undefined) journal.uploads.created(uploadRow, uploadId);
    },
    recordParts(parts) {
      if (uploadRow !== undefined) journal.uploads.recordParts(uploadRow, parts);
    },
    end() {
      if (uploadRow !== undefined) journal.uploads.end(uploadRow);
      uploadRow = undefined;
    },
  };
  return {
    ...memory,
    /** The object was written; where it was in parts, the journal forgets the upload together with the change. */
    completed() {
      completedRow = uploadRow;
    },
    /** Ends an upload that was begun for what the file was before. */
    async endLeft(destination: Route['destination']): Promise<void> {
      const left = journal.uploads.find(routeId, path);
      if (!left || left.uploadRow === completedRow) return;
      await endUpload(destination, left);
      journal.uploads.end(left.uploadRow);
    },
  };
}

function uploaded(
  route: Route,
  action: Extract<Action, { kind: 'upload' }>,
  result: Extract<UploadResult, { kind: 'written' }>,
  beganMs: number,
): Handled {
  const baseline: Baseline = {
    outcome: action.outcome,
    owned: true,
    gone: false,
    file: result.file,
    etag: result.etag,
    ...(result.versionId !== undefined && { versionId: result.versionId }),
    ...(result.transform !== undefined && { transform: result.transform }),
    recorded: recordedOf(route, result.description, beganMs),
    checksum: result.checksum,
  };
  return {
    end: { kind: 'settled', baseline },
    outcome: action.outcome,
    reason: action.reason,
    bytes: result.file.size,
    answered: true,
  };
}

function copied(
  route: Route,
  action: CopyAction,
  { file, etag, versionId, description }: Extract<Copied, { kind: 'written' }>,
  { baseline, origin }: Facts,
): Handled {
  const isCopy = action.kind === 'copy';
  const outcome = isCopy ? 'copied' : 'meta-updated';
  const { transform, checksum } = (isCopy ? origin?.baseline : baseline) ?? {};
  const settled: Baseline = {
    outcome,
    owned: isCopy || baseline?.owned === true,
    gone: false,
    file,
    etag,
    ...(versionId !== undefined && { versionId }),
    ...(transform !== undefined && { transform }),
    recorded: recordedOf(route, description, Date.now()),
    ...(checksum && { checksum }),
  };
  const end = { kind: 'settled', baseline: settled } as const;
  return { end, outcome, reason: action.reason, bytes: 0, answered: true };
}

const existsUnseen = { kind: 'settle', outcome: 'skipped-existing', reason: 'exists', owned: false } as const;

/** Actions that take no request themselves. */
type Requestless = Exclude<
  Action,
  { kind: 'upload' | 'delete' | 'copy' | 'describe' | 'look' | 'keep-both' }
>;

function finish(route: Route, subject: Subject, action: Requestless, facts: Facts): Handled {
  return { ...withoutRequest(route, subject, action, facts), answered: wasAsked(facts.remote) };
}

/** Only a HEAD tells that there is no object; a listing tells only what there is. */
function wasAsked(remote: Remote | undefined): boolean {
  return remote?.kind === 'object' ? remote.object.source === 'head' : remote !== undefined;
}

function withoutRequest(route: Route, { key }: Subject, action: Requestless, facts: Facts): Handled {
  switch (action.kind) {
    case 'settle':
      return {
        end: { kind: 'settled', baseline: settledBaseline(action, facts) },
        outcome: action.outcome,
        reason: action.reason,
        bytes: 0,
      };
    case 'forget':
      return {
        end: { kind: 'settled', baseline: null },
        outcome: action.outcome,
        reason: action.reason,
        bytes: 0,
      };
    case 'drop':
      return { end: { kind: 'settled' }, outcome: action.outcome, reason: action.reason, bytes: 0 };
    case 'conflict':
      return inConflict(route, key, action.reason, facts);
    case 'block':
      return blocked(action.reason, facts.local);
  }
}

/** A person has to decide. */
function inConflict(route: Route, key: string, reason: ConflictReason, facts: Facts): Handled {
  const conflict = conflictOf(route, key, reason, facts);
  const end = { kind: 'conflict', conflict, seen: sightingOf(facts.local) } as const;
  return { end, outcome: 'conflict', reason, bytes: 0 };
}

/** The baseline after a decision not to write: the file as it is, and the object as it is known. */
function settledBaseline(action: Extract<Action, { kind: 'settle' }>, facts: Facts): Baseline {
  const { baseline, remote, local, conflict } = facts;
  const object = remote?.kind === 'object' ? remote.object : undefined;
  const file = local.kind === 'file' ? local.file : baseline!.file;
  const { etag, versionId } = object ?? conflict?.object ?? baseline ?? {};
  const transform = object ? object.content?.transform : baseline?.transform;
  const checksum = object ? comparableChecksum(object, likelyPartSize) : baseline?.checksum;
  // The object's is the file's only where they were compared; that of a file that is gone stays what it was.
  const isOfBoth = local.kind !== 'file' || facts.content === 'same';
  return {
    outcome: action.outcome,
    owned: action.owned,
    gone: local.kind !== 'file',
    file,
    ...(etag !== undefined && { etag }),
    ...(versionId !== undefined && { versionId }),
    // Of the object that somebody else put there the rules have said nothing.
    ...(baseline?.recorded && etag === baseline.etag && { recorded: baseline.recorded }),
    ...(checksum !== undefined && isOfBoth && { checksum }),
    ...(transform !== undefined && { transform }),
  };
}

const blockMessage: Readonly<Record<BlockReason, string>> = {
  'name-not-utf8': 'its name is not valid UTF-8, which S3 keys must be: rename it',
  'key-too-long': 'its key is longer than the 1,024 bytes that S3 allows: shorten the path or the prefix',
  'key-collision':
    "put {folder}/ into the prefix where it is of another folder, {path} or {name} into the rule's key, or rename it",
  'key-not-portable': 'its key is not one that every S3 store takes: rename it',
  unreadable: 'it cannot be read: give the service user read access, or exclude it',
  'symlink-loop': 'the link leads back to a directory above it: remove the link, or exclude it',
  'symlink-outside': 'the link leads out of the folder: remove the link, or exclude it',
  fifo: 'it is a named pipe, which has no content to upload: exclude it',
  socket: 'it is a socket, which has no content to upload: exclude it',
  device: 'it is a device, which has no content to upload: exclude it',
  'too-large': 'it is larger than an S3 object can be',
  'too-large-to-archive':
    'its object is larger than 5 GiB, which S3 does not copy in one piece: archive and delete it yourself',
  'archive-key-too-long':
    'the key it would be archived at is longer than the 1,024 bytes that S3 allows: shorten archive-prefix',
  'store-cannot-enforce':
    'the store ignores conditions on multipart uploads, so this policy cannot protect an object of more than 5 GiB',
};

function blocked(reason: BlockReason, local: Local | undefined): Handled {
  return stuck('blocked', reason, local, blockMessage[reason]);
}

function stuck(
  state: 'blocked' | 'failed',
  code: string,
  local: Local | undefined,
  message: string,
): Handled {
  return {
    end: { kind: 'stuck', state, code, message, seen: sightingOf(local) },
    outcome: state,
    reason: code,
    bytes: 0,
  };
}

function sightingOf(local: Local | undefined): Sighting {
  switch (local?.kind) {
    case 'file':
      return local.file;
    case 'other':
      return local.fingerprint;
    case 'absent':
    case 'unselected':
    case undefined:
      return 'absent';
  }
}

function busy(claim: Claim): Handled {
  return retry(claim, 'ConditionalRequestConflict', 'another write to the key was under way');
}

function retry(claim: Claim, code: string, message: string, random = Math.random()): Handled {
  const readyAtMs = Date.now() + backoffMs(claim.attempts + 1, random);
  return { end: { kind: 'retry', readyAtMs, code, message }, outcome: 'retry', reason: code, bytes: 0 };
}

/** The file is being written: leave it alone for as long as it takes to settle. */
function lookAgain(route: Route, claim: Claim, message: string): Handled {
  const readyAtMs = Date.now() + Math.max(100, Math.min(route.folder.settleMs, 2_000) * (claim.attempts + 1));
  return {
    end: { kind: 'retry', readyAtMs, code: 'changed-while-read', message },
    outcome: 'retry',
    reason: 'changed-while-read',
    bytes: 0,
  };
}

function failed(route: Route, claim: Claim, error: unknown): Handled {
  if (error instanceof Failure) return failedRequest(route, claim, error);
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return blocked('unreadable', localOf(route, claim));
    case undefined:
      throw error;
    default:
      return retry(claim, code, message);
  }
}

/** A file that cannot be opened can still be looked at: so that it is tried again when its mode changes. */
function localOf(route: Route, claim: Claim): Local | undefined {
  try {
    return look(route.root, claim.path);
  } catch {
    return undefined;
  }
}

function failedRequest(route: Route, claim: Claim, failure: Failure): Handled {
  const { code, message } = failure;
  switch (failure.class) {
    case 'denied':
    case 'permanent': {
      const local = localOf(route, claim);
      return { ...stuck('failed', code, local, message), failure };
    }
    case 'unreachable':
    case 'refused':
      return {
        // The SDK may have tried before, and have been heard, when nobody was there the last time.
        end: { kind: 'released', readyAtMs: Date.now(), tried: failure.mayHaveLanded },
        outcome: 'retry',
        reason: code,
        bytes: 0,
        failure,
      };
    case 'transient':
    case 'throttled':
      return { ...retry(claim, code, message), failure };
  }
}

/**
 * Waits until a write that comes now would get another timestamp than the last one: the fence around reading compares
 * timestamps, and on kernels before 6.13 two writes within a tick (4 to 10 ms) have the same.
 */
async function untilTickPassed(local: Local): Promise<void> {
  if (local.kind !== 'file') return;
  const ageMs = Date.now() - lastWriteMs(local.file);
  if (ageMs >= 0 && ageMs < clockTickMs) await delay(clockTickMs - ageMs);
}

function lastWriteMs(file: FileState): number {
  return Number((file.ctimeNs > file.mtimeNs ? file.ctimeNs : file.mtimeNs) / 1_000_000n);
}

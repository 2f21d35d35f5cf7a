// Handled: every way in which a change can end, and what the journal then remembers.
import type { Action, BlockReason, ConflictReason, Outcome } from '../core/action.ts';
import type { Baseline } from '../core/baseline.ts';
import type { Facts } from '../core/decide.ts';
import { Failure } from '../core/failure.ts';
import type { Local, Sighting } from '../core/file.ts';
import { historyOf, type HistoryEntry } from '../core/history.ts';
import { comparableChecksum, type Remote } from '../core/object.ts';
import { backoffMs } from '../core/schedule.ts';
import { diskTroubleIn } from '../journal/disk.ts';
import type { Claim, Completion } from '../journal/journal.ts';
import { look } from '../transfer/open.ts';
import { likelyPartSize } from '../transfer/part-size.ts';
import type { UploadResult } from '../transfer/request.ts';
import { recordedOf } from './apply.ts';
import { conflictOf } from './conflicts.ts';
import type { Copied, CopyAction } from './copy.ts';
import type { Subject } from './look.ts';
import type { Route } from './route.ts';

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

/** What is remembered of it. What only waited for its route says nothing of the path. */
export function entryOf(claim: Claim, handled: Handled): HistoryEntry | undefined {
  if (handled.end.kind === 'released') return undefined;
  return historyOf(handled, handled.failure?.requestId, claim);
}

export const excluded: Handled = {
  end: { kind: 'settled' },
  outcome: 'unchanged',
  reason: 'excluded',
  bytes: 0,
};

export function uploaded(
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

export function copied(
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
    recorded: recordedOf(route, description, route.clock.now()),
    ...(checksum && { checksum }),
  };
  const end = { kind: 'settled', baseline: settled } as const;
  return { end, outcome, reason: action.reason, bytes: 0, answered: true };
}

/** Actions that take no request themselves. */
export type Requestless = Exclude<
  Action,
  { kind: 'upload' | 'delete' | 'copy' | 'describe' | 'look' | 'keep-both' }
>;

export function finish(route: Route, subject: Subject, action: Requestless, facts: Facts): Handled {
  return { ...withoutRequest(route, subject, action, facts), answered: wasAsked(facts.remote) };
}

/** Only a HEAD tells that there is no object; a listing tells only what there is. */
export function wasAsked(remote: Remote | undefined): boolean {
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
export function inConflict(route: Route, key: string, reason: ConflictReason, facts: Facts): Handled {
  const conflict = conflictOf(route, key, reason, facts);
  const end = { kind: 'conflict', conflict, seen: sightingOf(facts.local) } as const;
  return { end, outcome: 'conflict', reason, bytes: 0 };
}

/** The baseline after a decision not to write: the file as it is, and the object as it is known. */
export function settledBaseline(action: Extract<Action, { kind: 'settle' }>, facts: Facts): Baseline {
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

export const blockMessage: Readonly<Record<BlockReason, string>> = {
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

export function blocked(reason: BlockReason, local: Local | undefined): Handled {
  return stuck('blocked', reason, local, blockMessage[reason]);
}

export function stuck(
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

/** We stop: what was sent of it is gone on with next time. */
export function interrupted(route: Route): Handled {
  return released(route, 'stopped', false);
}

/** Not the change's fault. @param tried a request may have been carried out */
function released({ clock }: Route, reason: string, tried: boolean): Handled {
  return { end: { kind: 'released', readyAtMs: clock.now(), tried }, outcome: 'retry', reason, bytes: 0 };
}

export function busy(route: Route, claim: Claim): Handled {
  return retry(route, claim, 'ConditionalRequestConflict', 'another write to the key was under way');
}

export function retry({ clock }: Route, claim: Claim, code: string, message: string): Handled {
  const readyAtMs = clock.now() + backoffMs(claim.attempts + 1, clock.random());
  return { end: { kind: 'retry', readyAtMs, code, message }, outcome: 'retry', reason: code, bytes: 0 };
}

/** The file is being written: leave it alone for as long as it takes to settle. */
export function lookAgain(route: Route, claim: Claim, message: string): Handled {
  const settleMs = Math.min(route.folder.settleMs, 2_000) * (claim.attempts + 1);
  const readyAtMs = route.clock.now() + Math.max(100, settleMs);
  return {
    end: { kind: 'retry', readyAtMs, code: 'changed-while-read', message },
    outcome: 'retry',
    reason: 'changed-while-read',
    bytes: 0,
  };
}

export function failed(route: Route, claim: Claim, error: unknown): Handled {
  if (error instanceof Failure) return failedRequest(route, claim, error);
  const { code, message } = error as NodeJS.ErrnoException;
  // Recorded when the journal takes writes again, and tried then.
  if (diskTroubleIn(error)) return released(route, code!, true);
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return blocked('unreadable', localOf(route, claim));
    case undefined:
      throw error;
    default:
      return retry(route, claim, code, message);
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
      // The SDK may have tried before, and have been heard, when nobody was there the last time.
      return { ...released(route, code, failure.mayHaveLanded), failure };
    case 'transient':
    case 'throttled':
      return { ...retry(route, claim, code, message), failure };
  }
}

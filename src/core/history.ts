// History: which ends of changes are remembered, so that `history` can tell later what happened to a path.
import type { Outcome } from './action.ts';

/** How a change ended, as far as it is remembered. */
export interface HistoryEntry {
  readonly outcome: Outcome;
  /** Why, or the code of what failed. */
  readonly reason: string;
  /** Uploaded. */
  readonly bytes: number;
  /** This one included. */
  readonly attempts: number;
  /** Of a try before this one that failed. */
  readonly lastCode: string | undefined;
  /** Of the request that S3 refused, by which its owner finds it. */
  readonly requestId: string | undefined;
}

/** What was known of the change before this try. */
interface Before {
  readonly attempts: number;
  /** Of its last failure, or the reason for which it waited. */
  readonly lastCode: string | undefined;
}

/**
 * Undefined for what nobody asks about later: nothing was done, or the same failed as before. Of a thousand tries that fail
 * the first is remembered, and the one that ends them says how many there were; one poisoned folder must not push out
 * what happened to all others.
 */
export function historyOf(
  { outcome, reason, bytes }: Pick<HistoryEntry, 'outcome' | 'reason' | 'bytes'>,
  requestId: string | undefined,
  { attempts, lastCode }: Before,
): HistoryEntry | undefined {
  const isAgain = lastCode === reason;
  const entry = {
    outcome,
    reason,
    bytes,
    attempts: attempts + 1,
    lastCode: attempts > 0 ? lastCode : undefined,
  };
  switch (outcome) {
    case 'unchanged':
    case 'vanished':
    case 'touched':
    case 'meta-deferred':
      return undefined;
    case 'retry':
      return isAgain || attempts > 0 ? undefined : { ...entry, requestId };
    case 'failed':
    case 'blocked':
    case 'held':
    case 'conflict':
      return isAgain ? undefined : { ...entry, requestId };
    case 'uploaded':
    case 'recreated':
    case 'copied':
    case 'adopted':
    case 'meta-updated':
    case 'skipped-existing':
    case 'skipped-not-newer':
    case 'remote-newer':
    case 'kept-remote':
    case 'deleted':
    case 'archived':
      return { ...entry, requestId: undefined };
  }
}

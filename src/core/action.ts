// What can be decided about a change, why, and what came of it. Closed lists: `once --json`, `plan`, status, logs and
// metrics use these words and no others.
import type { Precondition } from './object.ts';

/** Outcomes that end a change and leave a baseline. */
export const settledOutcomes = [
  'uploaded',
  'recreated',
  'copied',
  'adopted',
  'meta-updated',
  'meta-deferred',
  'touched',
  'skipped-existing',
  'skipped-not-newer',
  'remote-newer',
  'kept-remote',
] as const;
export type SettledOutcome = (typeof settledOutcomes)[number];

/** Every outcome that a handled change can have. */
export const outcomes = [
  ...settledOutcomes,
  'deleted',
  'archived',
  'unchanged',
  'vanished',
  'conflict',
  'held',
  'blocked',
  'failed',
  'retry',
] as const;
export type Outcome = (typeof outcomes)[number];

/** Why an action was chosen. */
const reasons = [
  'missing',
  'new',
  'changed',
  'size-differs',
  'content-differs',
  'newer',
  'older',
  'same',
  'exists',
  'identical',
  'times-only',
  'deleted-locally',
  'not-a-file',
  'never-synced',
  'not-selected',
  'remote-deleted',
  'remote-changed',
  'foreign',
  'ambiguous',
  'own-lost-answer',
  'renamed',
  'resolved',
] as const;
export type Reason = (typeof reasons)[number];

const conflictReasons = ['foreign', 'remote-changed', 'ambiguous'] as const;
export type ConflictReason = (typeof conflictReasons)[number];

/** Why a path cannot be synced at all until something outside the daemon changes. */
const blockReasons = [
  'name-not-utf8',
  'key-too-long',
  'key-not-portable',
  'key-collision',
  'unreadable',
  'symlink-loop',
  'symlink-outside',
  'fifo',
  'socket',
  'device',
  'too-large',
  'too-large-to-archive',
  'archive-key-too-long',
  'store-cannot-enforce',
] as const;
export type BlockReason = (typeof blockReasons)[number];

/** What `decide` asks of the drain. */
export type Action =
  /** The facts do not suffice: look at the object, or compare the file's content, and decide again. */
  | { readonly kind: 'look'; readonly at: 'remote' | 'content' | 'origin' }
  | {
      readonly kind: 'upload';
      readonly precondition: Precondition;
      readonly outcome: 'uploaded' | 'recreated';
      readonly reason: Reason;
    }
  /** The store copies the bytes from the object of another path, as long as that is the one we know: nothing is uploaded. */
  | {
      readonly kind: 'copy';
      readonly from: string;
      readonly etag: string;
      readonly precondition: Precondition;
      readonly reason: Reason;
    }
  /** The object keeps its bytes, as long as it is the one we know, and is described anew: copied onto itself. */
  | { readonly kind: 'describe'; readonly etag: string; readonly reason: Reason }
  /** The file goes beside the object, under a key of its own; the object is left alone. */
  | { readonly kind: 'keep-both'; readonly reason: 'resolved' }
  /** No request: the baseline takes the outcome. */
  | {
      readonly kind: 'settle';
      readonly outcome: SettledOutcome;
      readonly reason: Reason;
      readonly owned: boolean;
    }
  /** The object is deleted, once the guards of `safety.ts` agree; archived first where that is asked for. */
  | {
      readonly kind: 'delete';
      readonly precondition: Exclude<Precondition, { kind: 'absent' }>;
      readonly outcome: 'deleted' | 'archived';
      readonly reason: Reason;
    }
  /** No request, and the baseline is dropped. */
  | { readonly kind: 'forget'; readonly outcome: 'kept-remote' | 'deleted'; readonly reason: Reason }
  /** No request and nothing to remember. */
  | { readonly kind: 'drop'; readonly outcome: 'unchanged' | 'vanished'; readonly reason: Reason }
  | { readonly kind: 'conflict'; readonly reason: ConflictReason }
  | { readonly kind: 'block'; readonly reason: BlockReason };

import type { Recorded } from './drift.ts';
import type { FileState } from './file.ts';
import type { Checksum } from './object.ts';
import type { SettledOutcome } from './action.ts';

/**
 * What file and object were when the daemon last settled a path: by a confirmed write, by adopting an equal object,
 * or by a decision not to act, which is recorded too so that it does not come back.
 */
export interface Baseline {
  readonly outcome: SettledOutcome;
  /** We wrote the object, or adopted it under `overwrite`: the only objects that we may ever delete. */
  readonly owned: boolean;
  /** The file as it was; for a file that is gone, as it last was. */
  readonly file: FileState;
  /** The file was deleted and its object kept. */
  readonly gone: boolean;
  /** What follows the prefix in the object's key, where that is not the path. */
  readonly tail?: string;
  /** Absent where no answer named one (a skip decided by S3's 412 without rights to HEAD). */
  readonly etag?: string;
  readonly versionId?: string;
  /** What the object's body is, as `transformName` calls it; absent where it is the content itself. */
  readonly transform?: string;
  /** What the rules said of the object; absent where we did not write it. */
  readonly recorded?: Recorded;
  /** Of the content that both sides had. */
  readonly checksum?: Checksum;
}

/** Outcomes after which file and object are known to have agreed, so that later changes are judged against them. */
const agreedOutcomes: readonly SettledOutcome[] = [
  'uploaded',
  'recreated',
  'copied',
  'adopted',
  'meta-updated',
  'meta-deferred',
  'touched',
  'kept-remote',
  'skipped-not-newer',
];

/** True when the baseline says what the object was, not only that we decided to leave it alone. */
export function agreed(baseline: Baseline): boolean {
  return agreedOutcomes.includes(baseline.outcome);
}

// Conflicts: what stood on both sides when a policy found no safe action, and what a person made of it. A conflict changes
// nothing in S3.
import type { ConflictReason } from './action.ts';
import type { FileState } from './file.ts';
import type { ObjectState } from './object.ts';
import type { Policy } from './policy.ts';

/** How a person ends a conflict. */
export const resolutions = ['overwrite', 'skip', 'keep-both'] as const;
export type Resolution = (typeof resolutions)[number];

export const conflictMessages: Readonly<Record<ConflictReason, string>> = {
  foreign: 'somebody else put another object there',
  'remote-changed': 'somebody else changed the object since it was last synced',
  ambiguous: 'file and object differ and neither is newer',
};

/** Both sides as they were shown, so that a decision is about exactly these. */
export interface Conflict {
  readonly reason: ConflictReason;
  /** Under which it is one. */
  readonly policy: Policy;
  /** Of the object. */
  readonly key: string;
  /** Undefined where it was deleted, and its object is to be. */
  readonly file: Pick<FileState, 'size' | 'mtimeNs'> | undefined;
  readonly object: ShownObject;
}

type ShownObject = Pick<ObjectState, 'etag' | 'size' | 'lastModifiedMs' | 'mtimeNs' | 'versionId'>;

/** A conflict that was found earlier and is still there, with the decision if there is one. */
export interface OpenConflict extends Conflict {
  readonly sinceMs: number;
  readonly decision?: { readonly resolution: Resolution; readonly atMs: number };
}

/**
 * The key under which a file is kept beside the object that it is in conflict with. The same decision gives the same key,
 * so that one which is carried out again after a crash makes no second copy.
 * @param digest hexadecimal, of what was shown: two decisions of one second have two keys
 */
export function keptKey(key: string, host: string, decidedAtMs: number, digest: string): string {
  const utc = new Date(decidedAtMs).toISOString().replaceAll(/[-:]|\.\d+/g, '');
  return `${key}.conflict-${host}-${utc}-${digest.slice(0, 8)}`;
}

// Usage: what was asked of a store, as far as it is billed by.

export interface Usage {
  /** The S3 operation: `PutObject`. */
  readonly operation: string;
  /** That the request named, by which S3 charges for it; '' where it named none. */
  readonly storageClass: string;
  readonly requests: number;
  /** Of objects, that were sent. */
  readonly bytes: number;
}

/** A UTC day, counted from 1970: what is billed and budgeted by. */
export type Day = number;

const dayMs = 86_400_000;

export function dayOf(ms: number): Day {
  return Math.floor(ms / dayMs);
}

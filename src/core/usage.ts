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

export function beginOf(day: Day): number {
  return day * dayMs;
}

/** The first day of the month that a day is in. */
export function firstOfMonth(day: Day): Day {
  const date = new Date(beginOf(day));
  return dayOf(Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1));
}

/** The part of a day's budget of requests that is spent as it comes. */
const freeShare = 0.8;

/** True when what is left of a day's budget is spread over what is left of the day. */
export function nearsEnd(perDay: number, used: number): boolean {
  return used >= perDay * freeShare;
}

export function requestsByOperation(usages: readonly Usage[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const { operation, requests } of usages) sums[operation] = (sums[operation] ?? 0) + requests;
  return sums;
}

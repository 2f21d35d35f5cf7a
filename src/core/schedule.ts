// When a change is ready. One column, `ready_at`, does settling, backoff and scheduled retries; times are arguments.

/** A path is left alone until it was quiet for `settleMs`, but never longer than `settleMaxMs` after its first event. */
export function readyAtMs(
  nowMs: number,
  firstSeenMs: number,
  settle: { settleMs: number; settleMaxMs: number },
): number {
  return Math.min(nowMs + settle.settleMs, firstSeenMs + Math.max(settle.settleMs, settle.settleMaxMs));
}

const backoffFirstMs = 1_000;
const backoffMaxMs = 60_000;

/**
 * Exponential backoff with half jitter: between half and all of 1 s, 2 s, 4 s … 60 s. Half, so that a retry is never
 * immediate; jitter, so that a thousand failed files do not come back in one instant.
 * @param attempt 1 after the first failure
 * @param random in [0, 1)
 */
export function backoffMs(attempt: number, random: number): number {
  const ceiling = Math.min(backoffMaxMs, backoffFirstMs * 2 ** Math.min(attempt - 1, 16));
  return Math.round(ceiling * (0.5 + random / 2));
}

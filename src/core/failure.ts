// Failures: every unsuccessful request or read is classified once, at the edge, and decided upon by its class only.

/**
 * - `transient`: 5xx, timeouts, resets: the change is retried with backoff, without a limit of attempts
 * - `throttled`: 503 SlowDown, 429: as transient, and concurrency is reduced
 * - `unreachable`: nobody answers at the endpoint: the route pauses, one change at a time probes it
 * - `refused`: nothing on this route can work (wrong secret, no such bucket): the route pauses, probing seldom
 * - `denied`: this request is not allowed: the change is `failed` until the next rescan; several in a row pause the route
 * - `permanent`: this object cannot be written as asked: the change is `failed` until its file changes or `retry`
 */
const failureClasses = ['transient', 'throttled', 'unreachable', 'refused', 'denied', 'permanent'] as const;
export type FailureClass = (typeof failureClasses)[number];

/** True when time alone may mend it. */
export function isTemporary(failureClass: FailureClass): boolean {
  return failureClass === 'transient' || failureClass === 'throttled' || failureClass === 'unreachable';
}

/**
 * How a path is not in S3 for a reason of its own: `retrying` will be tried again by itself, ever less often; the rest waits
 * for its file to change, for something to be mended, or for a person's word.
 */
const failureStates = ['failed', 'blocked', 'retrying', 'conflict', 'held'] as const;
export type FailureState = (typeof failureStates)[number];

/** Undefined where the credentials lack the right to ask, and the answer can be done without. */
export async function unlessDenied<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof Failure && error.class === 'denied') return undefined;
    throw error;
  }
}

/** Undefined where the store will not do it for a reason that stays, a missing right or ability, and it can be done without. */
export async function unlessForbidden<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof Failure && (error.class === 'denied' || error.class === 'permanent'))
      return undefined;
    throw error;
  }
}

/** An unsuccessful request with what a person needs to mend it. Expected outcomes (412, 404) are data, not failures. */
export class Failure extends Error {
  override readonly name = 'Failure';
  readonly class: FailureClass;
  /** S3's error code, or the system's (ECONNREFUSED). */
  readonly code: string;
  readonly status: number | undefined;
  readonly requestId: string | undefined;
  /** The request may have been carried out although its answer never came. */
  readonly mayHaveLanded: boolean;

  constructor(
    message: string,
    facts: {
      class: FailureClass;
      code: string;
      status?: number | undefined;
      requestId?: string | undefined;
      mayHaveLanded?: boolean;
      cause?: unknown;
    },
  ) {
    super(message, { cause: facts.cause });
    this.class = facts.class;
    this.code = facts.code;
    this.status = facts.status;
    this.requestId = facts.requestId;
    this.mayHaveLanded = facts.mayHaveLanded ?? false;
  }
}

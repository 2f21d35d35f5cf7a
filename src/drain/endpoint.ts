// What the routes to one destination share: how much it takes at once and in a day, and whether anybody answers there. Another
// destination may be at the same address and still be another thing: S3 throttles by bucket and prefix, and a wrong
// certificate, a firewall or a name that does not resolve may concern one of them only.
import { backoffMs } from '../core/schedule.ts';
import type { Failure } from '../core/failure.ts';
import type { Line } from '../transfer/connect.ts';
import { Concurrency } from '../transfer/limits.ts';
import type { RequestBudget } from './request-budget.ts';

/**
 * Something is wrong that concerns more than one change. While it lasts one change at a time tries again, at growing
 * intervals, and everything else waits: no storm of equal errors, no herd when the trouble ends.
 */
export class Trouble {
  #failure: Failure | undefined;
  #sinceMs = 0;
  #tries = 0;
  #nextTryMs = 0;

  /** @param random in [0, 1) */
  begin(failure: Failure, nowMs: number, random: number): void {
    // Requests that were in flight together fail together: that is one try.
    if (this.#failure && nowMs < this.#nextTryMs) return;
    if (!this.#failure) this.#sinceMs = nowMs;
    this.#failure = failure;
    this.#tries += 1;
    this.#nextTryMs = nowMs + backoffMs(this.#tries, random);
  }

  end(): void {
    this.#failure = undefined;
    this.#tries = 0;
    this.#nextTryMs = 0;
  }

  get current() {
    return (
      this.#failure && {
        failure: this.#failure,
        sinceMs: this.#sinceMs,
        tries: this.#tries,
        nextTryMs: this.#nextTryMs,
      }
    );
  }
}

/**
 * Requests in a row without any answer after which they say something of the endpoint. Fewer may be about their files: a
 * box on the way that resets what it takes for harmful.
 */
const unansweredInRowMax = 5;

export class Endpoint implements Line {
  readonly name: string;
  readonly concurrency = new Concurrency();
  readonly trouble = new Trouble();
  /** Undefined: it may get any number of requests. */
  readonly requestBudget: RequestBudget | undefined;
  /** When it last looked as if another store stood there: every route asks for what it knows, then. */
  doubtedAtMs = -Infinity;
  /** Requests under way, by route. */
  readonly #inFlight = new Map<number, number>();
  readonly #waiting = new Set<() => void>();
  #unansweredInRow = 0;

  constructor(name: string, requestBudget?: RequestBudget) {
    this.name = name;
    this.requestBudget = requestBudget;
  }

  doubt(nowMs: number): void {
    this.doubtedAtMs = nowMs;
  }

  /** Announces a route, which has its share of the places from then on. */
  join(routeId: number): void {
    this.#inFlight.set(routeId, 0);
  }

  /**
   * True when a route may start another request. Half of the places are shared out evenly and kept free for their
   * routes: a bucket that does not answer must not take the places of the others.
   */
  hasPlaceFor(routeId: number): boolean {
    const { limit } = this.concurrency;
    const share = limit / 2 / this.#inFlight.size;
    let free = limit;
    for (const [id, count] of this.#inFlight) free -= id === routeId ? count : Math.max(share, count);
    return free > 0;
  }

  get inFlight(): number {
    return [...this.#inFlight.values()].reduce((sum, count) => sum + count, 0);
  }

  take(routeId: number): void {
    this.#inFlight.set(routeId, (this.#inFlight.get(routeId) ?? 0) + 1);
  }

  release(routeId: number): void {
    this.#inFlight.set(routeId, (this.#inFlight.get(routeId) ?? 0) - 1);
    this.#wakeAll();
  }

  #wakeAll(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }

  get isSilent(): boolean {
    return this.trouble.current !== undefined;
  }

  /** Nobody answered a request. @returns true when that says something of the endpoint */
  unanswered(): boolean {
    this.#unansweredInRow += 1;
    return this.#unansweredInRow >= unansweredInRowMax;
  }

  answered(): void {
    this.#unansweredInRow = 0;
    if (!this.isSilent) return;
    this.trouble.end();
    this.concurrency.restart();
    this.#wakeAll();
  }

  /** Calls back once, when a request of any route ends or may begin again. */
  onRelease(wake: () => void): void {
    this.#waiting.add(wake);
  }
}

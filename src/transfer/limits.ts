// Bounds on what is in flight. Concurrency follows what the endpoint takes; memory follows byte budgets, whatever the
// length of the queue.

/** Hands out bytes in the order in which they were asked for. A request larger than the budget gets all of it. */
export class ByteBudget {
  readonly #limit: number;
  #used = 0;
  readonly #waiting: { bytes: number; grant: () => void }[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  async acquire(bytes: number): Promise<Disposable> {
    const granted = this.tryAcquire(bytes);
    if (granted) return granted;
    const wanted = Math.min(bytes, this.#limit);
    await new Promise<void>((grant) => this.#waiting.push({ bytes: wanted, grant }));
    return { [Symbol.dispose]: () => this.#release(wanted) };
  }

  /** Undefined when it would have to wait. */
  tryAcquire(bytes: number): Disposable | undefined {
    const wanted = Math.min(bytes, this.#limit);
    if (this.#waiting.length > 0 || this.#used + wanted > this.#limit) return undefined;
    this.#used += wanted;
    return { [Symbol.dispose]: () => this.#release(wanted) };
  }

  #release(bytes: number): void {
    this.#used -= bytes;
    for (;;) {
      const next = this.#waiting[0];
      if (!next || this.#used + next.bytes > this.#limit) return;
      this.#waiting.shift();
      this.#used += next.bytes;
      next.grant();
    }
  }
}

const concurrencyMin = 4;
const concurrencyMax = 256;
const concurrencyStart = 32;

/**
 * How many requests an endpoint gets at once: additive increase while it answers, halved when it says "slow down", as
 * TCP does. Halved at most once per `settleMs`, because one overload answers many requests at once.
 */
export class Concurrency {
  #limit = concurrencyStart;
  #successes = 0;
  #lastCutMs = -Infinity;
  readonly #settleMs = 1_000;

  get limit(): number {
    return this.#limit;
  }

  succeeded(): void {
    this.#successes += 1;
    if (this.#successes < this.#limit) return;
    this.#successes = 0;
    this.#limit = Math.min(concurrencyMax, this.#limit + 1);
  }

  /** @param nowMs of a monotonic clock */
  throttled(nowMs: number): void {
    this.#successes = 0;
    if (nowMs - this.#lastCutMs < this.#settleMs) return;
    this.#lastCutMs = nowMs;
    this.#limit = Math.max(concurrencyMin, Math.floor(this.#limit / 2));
  }
}

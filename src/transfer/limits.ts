// Bounds on what is in flight. Concurrency follows what the endpoint takes; memory follows byte budgets, whatever the
// length of the queue.

/** What budgets that were divided have in common. */
interface Pool {
  free: number;
  readonly members: ByteBudget[];
}

/**
 * Hands out bytes in the order in which they were asked for. Who holds nothing gets whatever it asks for, however much,
 * so that nobody waits for ever.
 */
export class ByteBudget {
  readonly #own: number;
  readonly #pool: Pool;
  #used = 0;
  readonly #waiting: { bytes: number; grant: () => void }[] = [];

  constructor(limit: number, pool: Pool = { free: 0, members: [] }) {
    this.#own = limit;
    this.#pool = pool;
    pool.members.push(this);
  }

  /**
   * Divides a budget among those of whom none may starve another: half of it evenly, and half is for whoever needs it.
   * Bodies that wait for a destination which does not answer then leave room for those of the others.
   */
  static divide(limit: number, count: number): ByteBudget[] {
    const pool: Pool = { free: limit / 2, members: [] };
    return Array.from({ length: count }, () => new ByteBudget(limit / 2 / count, pool));
  }

  async acquire(bytes: number): Promise<Disposable> {
    const granted = this.tryAcquire(bytes);
    if (granted) return granted;
    await new Promise<void>((grant) => this.#waiting.push({ bytes, grant }));
    return this.#releasing(bytes);
  }

  /** Undefined when it would have to wait. */
  tryAcquire(bytes: number): Disposable | undefined {
    if (this.#waiting.length > 0 || !this.#fits(bytes)) return undefined;
    this.#use(bytes);
    return this.#releasing(bytes);
  }

  /** What is its own it always gets, also when others have taken more than the pool had. */
  #fits(bytes: number): boolean {
    const borrowed = this.#borrowed(this.#used + bytes) - this.#borrowed(this.#used);
    return this.#used === 0 || borrowed === 0 || borrowed <= this.#pool.free;
  }

  #use(bytes: number): void {
    this.#pool.free -= this.#borrowed(this.#used + bytes) - this.#borrowed(this.#used);
    this.#used += bytes;
  }

  #releasing(bytes: number): Disposable {
    return {
      [Symbol.dispose]: () => {
        this.#use(-bytes);
        for (const member of this.#pool.members) member.#grantNext();
      },
    };
  }

  #grantNext(): void {
    for (let next = this.#waiting[0]; next && this.#fits(next.bytes); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#use(next.bytes);
      next.grant();
    }
  }

  /** How much of so many bytes comes out of the pool. */
  #borrowed(used: number): number {
    return Math.max(0, used - this.#own);
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

  /** Nobody was there: what it takes now is found out from below, so that the end of an outage is no storm. */
  restart(): void {
    this.#successes = 0;
    this.#limit = concurrencyMin;
  }

  /** @param nowMs of a monotonic clock */
  throttled(nowMs: number): void {
    this.#successes = 0;
    if (nowMs - this.#lastCutMs < this.#settleMs) return;
    this.#lastCutMs = nowMs;
    this.#limit = Math.max(concurrencyMin, Math.floor(this.#limit / 2));
  }
}

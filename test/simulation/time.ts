// Time: a clock that stands still while anything can be done, and the order in which it is done. One task at a time, which
// chance chooses among those that are ready; what a task sets off in microtasks is over before the next one begins.
import { setImmediate } from 'node:timers/promises';
import type { Clock, Timer } from '../../src/edge/clock.ts';
import type { Chance } from './chance.ts';

interface Task {
  readonly life: Life;
  readonly run: () => void;
  isCancelled: boolean;
  readonly atMs: number;
}

/** What dies together: a daemon from its start to its end, or the world around it. */
export class Life {
  isOver = false;
}

/** 2026-01-01T00:00:00Z. */
const beginning = Date.UTC(2026, 0, 1);

export class Time {
  readonly world = new Life();
  /** Tasks that were run. */
  turns = 0;
  #elapsedMs = 0;
  /** What somebody set the wall clock ahead, or back. */
  aheadMs = 0;
  readonly #chance: Chance;
  #ready: Task[] = [];
  /** Sorted, the next one last. */
  #waiting: Task[] = [];
  readonly #timers = new Map<number, Task>();
  #lastTimer = 0;

  constructor(chance: Chance) {
    this.#chance = chance;
  }

  get nowMs(): number {
    return beginning + this.#elapsedMs + this.aheadMs;
  }

  get elapsedMs(): number {
    return this.#elapsedMs;
  }

  /** True when a life has nothing to do and nothing to wait for. */
  isIdle(life: Life): boolean {
    return ![...this.#ready, ...this.#waiting].some((task) => task.life === life && !task.isCancelled);
  }

  /** Has something done when it is its turn. */
  soon(life: Life, run: () => void): void {
    this.#ready.push({ life, run, isCancelled: false, atMs: this.#elapsedMs });
  }

  after(life: Life, ms: number, run: () => void): Task {
    const task: Task = { life, run, isCancelled: false, atMs: this.#elapsedMs + Math.max(0, Math.ceil(ms)) };
    let [low, high] = [0, this.#waiting.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#waiting[middle]!.atMs > task.atMs) low = middle + 1;
      else high = middle;
    }
    this.#waiting.splice(low, 0, task);
    return task;
  }

  /** Of a process: its tasks are not run when its life is over. */
  clockOf(life: Life): Clock {
    return {
      now: () => this.nowMs,
      monotonic: () => this.#elapsedMs,
      after: (ms, callback) => {
        const timer = (this.#lastTimer += 1);
        const run = () => {
          this.#timers.delete(timer);
          callback();
        };
        // As Node's: at least a millisecond, and late rather than early.
        this.#timers.set(timer, this.after(life, Math.max(1, ms), run));
        return timer;
      },
      cancel: (timer: Timer | undefined) => {
        const task = typeof timer === 'number' ? this.#timers.get(timer) : undefined;
        if (task) task.isCancelled = true;
      },
      sleep: (ms) => new Promise((resolve) => void this.after(life, Math.max(1, ms), resolve)),
      turn: () => new Promise((resolve) => this.soon(life, resolve)),
      random: () => this.#chance.next(),
    };
  }

  /** Runs tasks until `isOver`, or for so long. @returns false when there is nothing left to be done */
  async run(untilMs: number, isOver: () => boolean = () => false): Promise<boolean> {
    await setImmediate();
    while (!isOver()) {
      if (this.#ready.length === 0 && !this.#advance(untilMs)) return this.#waiting.length > 0;
      const [task] = this.#ready.splice(this.#chance.between(0, this.#ready.length - 1), 1);
      if (!task || task.isCancelled || task.life.isOver) continue;
      this.turns += 1;
      task.run();
      // Microtasks and ticks, to the last one.
      await setImmediate();
    }
    return true;
  }

  /** To the next moment at which something is to be done, unless that is later than `untilMs`. */
  #advance(untilMs: number): boolean {
    const next = this.#waiting.at(-1);
    if (!next || next.atMs > untilMs) {
      this.#elapsedMs = Math.max(this.#elapsedMs, untilMs);
      return false;
    }
    this.#elapsedMs = Math.max(this.#elapsedMs, next.atMs);
    while (this.#waiting.at(-1) && this.#waiting.at(-1)!.atMs <= this.#elapsedMs)
      this.#ready.push(this.#waiting.pop()!);
    return true;
  }
}

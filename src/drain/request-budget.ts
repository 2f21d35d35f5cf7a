// Request budget: how many requests a destination may get in a UTC day. Most of it is spent as it comes; the rest is
// spread over what is left of the day. Nothing is dropped: changes wait in the journal.
import { beginOf, dayOf, nearsEnd } from '../core/usage.ts';

export class RequestBudget {
  readonly perDay: number;
  readonly #onSlowed: (used: number) => void;
  #day: number;
  #used: number;
  #nextMs = 0;
  #toldSlowed = false;

  /**
   * @param used of today, before the start
   * @param onSlowed called once a day, when the budget nears its end
   */
  constructor(perDay: number, used: number, nowMs: number, onSlowed: (used: number) => void) {
    this.perDay = perDay;
    this.#used = used;
    this.#day = dayOf(nowMs);
    this.#onSlowed = onSlowed;
    this.#tell();
  }

  /** A request leaves. Those of what is under way leave in any case: a change that was begun is ended. */
  spend(nowMs: number): void {
    this.#turnDay(nowMs);
    this.#used += 1;
    if (!nearsEnd(this.perDay, this.#used)) return;
    this.#tell();
    const endMs = beginOf(this.#day + 1);
    const left = this.perDay - this.#used;
    const stepMs = left > 0 ? (endMs - nowMs) / left : Infinity;
    this.#nextMs = Math.min(endMs, Math.max(this.#nextMs, nowMs) + stepMs);
  }

  slowed(nowMs: number): boolean {
    this.#turnDay(nowMs);
    return nearsEnd(this.perDay, this.#used);
  }

  /** When the next change may begin; in the past when it may at once. */
  nextStartMs(nowMs: number): number {
    this.#turnDay(nowMs);
    return this.#used >= this.perDay ? beginOf(this.#day + 1) : this.#nextMs;
  }

  #turnDay(nowMs: number): void {
    const day = dayOf(nowMs);
    if (day === this.#day) return;
    this.#day = day;
    this.#used = 0;
    this.#nextMs = 0;
    this.#toldSlowed = false;
  }

  #tell(): void {
    if (this.#toldSlowed || !nearsEnd(this.perDay, this.#used)) return;
    this.#toldSlowed = true;
    this.#onSlowed(this.#used);
  }
}

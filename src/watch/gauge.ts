// Overflow gauge: the kernel drops events when its queue is full, and nobody tells Node. But libuv empties the queue in
// one turn of the event loop, so a turn in which nearly a whole queue arrived is one after which events may be missing.

/** One per thread: all watchers of a thread share libuv's one queue. */
export class OverflowGauge {
  readonly #threshold: number;
  readonly #onSuspicion: () => void;
  #thisTurn = 0;

  constructor(threshold: number, onSuspicion: () => void) {
    this.#threshold = threshold;
    this.#onSuspicion = onSuspicion;
  }

  count(): void {
    this.#thisTurn += 1;
    if (this.#thisTurn === 1) setImmediate(() => (this.#thisTurn = 0));
    if (this.#thisTurn === this.#threshold) this.#onSuspicion();
  }
}

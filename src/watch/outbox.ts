// Outbox: posts a folder's batches one at a time. The next one waits until the main thread has committed the last, so
// that a slow disk holds up the scan instead of filling the memory.
import type { Message } from './messages.ts';

export type Batch = Pick<Message<'observed'>, 'cause' | 'observations' | 'obstacles' | 'cleared'>;

export class Outbox {
  readonly #folderId: number;
  readonly #send: (message: Message<'observed'>) => void;
  #last = Promise.resolve();
  #batch = 0;
  #acknowledge: (() => void) | undefined;

  constructor(folderId: number, send: (message: Message<'observed'>) => void) {
    this.#folderId = folderId;
    this.#send = send;
  }

  /**
   * @param isStillTrue asked when it is the batch's turn: false drops it
   * @returns when the batch was acknowledged or dropped
   */
  async post(batch: Batch, isStillTrue: () => boolean): Promise<void> {
    const before = this.#last;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#last = promise;
    await before;
    if (isStillTrue()) {
      const acknowledged = new Promise<void>((resolve) => (this.#acknowledge = resolve));
      this.#batch += 1;
      this.#send({ kind: 'observed', batch: this.#batch, folderId: this.#folderId, ...batch });
      await acknowledged;
    }
    resolve();
  }

  acknowledge(batch: number): void {
    if (batch === this.#batch) this.#acknowledge?.();
  }
}

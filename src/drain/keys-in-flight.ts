/**
 * Keys of one bucket that are being handled, so that no two files go to one key at once. A key is held until what came of
 * its claim is recorded: from then on the journal knows who has it.
 */
export class KeysInFlight {
  readonly #holders = new Map<string, object>();
  readonly #keys = new Map<object, string>();

  /**
   * @param holder a claim, or whatever else is about one path
   * @returns whether it has the key now
   */
  take(key: string, holder: object): boolean {
    if (this.#holders.has(key)) return false;
    this.#holders.set(key, holder);
    this.#keys.set(holder, key);
    return true;
  }

  release(holder: object): void {
    const key = this.#keys.get(holder);
    if (key === undefined) return;
    this.#keys.delete(holder);
    this.#holders.delete(key);
  }
}

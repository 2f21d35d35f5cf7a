// Marks: the names that events told of and that were not posted yet. Many events about a name are one mark; very many
// names in a directory are one scan of that directory.
import type { Observation } from '../core/observation.ts';

/** A scan of a directory costs about 3 µs per name, a mark that goes through the journal 20 or more. */
const namesPerDirectoryMax = 512;

export class Marks {
  readonly #names = new Map<string, Set<string>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** @returns false when the directory has too many: its marks are dropped, and it is to be scanned instead */
  add(directory: string, name: string): boolean {
    const names = this.#names.get(directory);
    if (!names) this.#names.set(directory, new Set([name]));
    else if (names.has(name)) return true;
    else if (names.size < namesPerDirectoryMax) names.add(name);
    else {
      this.#names.delete(directory);
      this.#size -= names.size;
      return false;
    }
    this.#size += 1;
    return true;
  }

  /** Takes the oldest marks, at most `max`. */
  take(max: number): Observation[] {
    const taken: Observation[] = [];
    for (const [directory, names] of this.#names) {
      for (const name of names) {
        if (taken.length === max) break;
        taken.push({ directory, name });
        names.delete(name);
      }
      if (names.size === 0) this.#names.delete(directory);
      if (taken.length === max) break;
    }
    this.#size -= taken.length;
    return taken;
  }

  clear(): void {
    this.#names.clear();
    this.#size = 0;
  }
}

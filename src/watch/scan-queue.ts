// The scans that a folder still needs. A scan of the whole folder answers every request that came before it began.
import { directoryOf } from '../core/key.ts';
import { wholeFolder, type Extent } from './scan.ts';

/** More requests than this cost more than one scan of everything. */
const requestsMax = 1_000;

export class ScanQueue {
  readonly #requests = new Map<string, Extent['depth']>();

  add({ path, depth }: Extent): void {
    if (this.#requests.size >= requestsMax) this.clear();
    else if (path !== '' || depth !== 'tree') {
      if (this.#requests.get(path) !== 'tree') this.#requests.set(path, depth);
      return;
    }
    this.#requests.set('', 'tree');
  }

  /** True when a scan that has not begun will look at every name of the directory. */
  covers(directory: string): boolean {
    return this.#requests.has(directory) || this.#isBelowAnother(directory);
  }

  take(): Extent | undefined {
    if (this.#requests.get('') !== 'tree') return this.takePart();
    this.clear();
    return wholeFolder;
  }

  /** Undefined, too, when the whole folder waits: that scan would answer it. */
  takePart(): Extent | undefined {
    if (this.#requests.get('') === 'tree') return undefined;
    for (const [path, depth] of this.#requests) {
      this.#requests.delete(path);
      if (!this.#isBelowAnother(path)) return { path, depth };
    }
    return undefined;
  }

  clear(): void {
    this.#requests.clear();
  }

  #isBelowAnother(path: string): boolean {
    for (let above = path; above !== '';) {
      above = directoryOf(above);
      if (this.#requests.get(above) === 'tree') return true;
    }
    return false;
  }
}

// Listings for chokidar's engine: the directories in a directory, and nothing else. Chokidar's own scan looks at every
// file and at all directories of a level at once, which costs ten times the CPU and, for 300,000 files, a gigabyte.
import { EventEmitter } from 'node:events';
import { lstatSync, readdirSync, type Stats } from 'node:fs';
import { ignoreFileName } from './selection.ts';

/** What chokidar reads of a listing: an object-mode stream of these. */
export interface ListedDirectory {
  readonly path: string;
  readonly fullPath: string;
  readonly basename: string;
  readonly stats: Stats;
}

export interface ListingOptions {
  /** Called first, with whether the directory has an ignore file. */
  readonly onBegin: (hasIgnoreFile: boolean) => void;
  readonly accepts: (entry: ListedDirectory) => boolean;
}

/** As long as a scan's slice: events go first. */
const sliceMs = 8;

/** Reads directories one after the other, in slices, the last that was asked for first: so few are open at a time. */
export class Listings {
  readonly #waiting: Listing[] = [];
  #isRunning = false;
  #count = 0;

  list(directory: string, options: ListingOptions): Listing {
    const listing = new Listing(directory, options);
    this.#waiting.push(listing);
    this.#runSoon();
    return listing;
  }

  /** How many were read since it was asked last. */
  takeCount(): number {
    const count = this.#count;
    this.#count = 0;
    return count;
  }

  #runSoon(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    setImmediate(() => {
      const endsAtMs = performance.now() + sliceMs;
      for (let next = this.#waiting.pop(); next; next = this.#waiting.pop()) {
        next.read();
        this.#count += 1;
        if (performance.now() >= endsAtMs) break;
      }
      this.#isRunning = false;
      if (this.#waiting.length > 0) this.#runSoon();
    });
  }
}

/** The part of a readable stream that chokidar uses. */
export class Listing extends EventEmitter<{
  data: [ListedDirectory];
  error: [unknown];
  end: [];
  close: [];
}> {
  readonly #directory: string;
  readonly #options: ListingOptions;
  #ended = false;

  constructor(directory: string, options: ListingOptions) {
    super();
    this.#directory = directory;
    this.#options = options;
  }

  read(): void {
    if (this.#ended) return;
    const base = this.#directory.endsWith('/') ? this.#directory : `${this.#directory}/`;
    try {
      const entries = readdirSync(this.#directory, { withFileTypes: true });
      this.#options.onBegin(entries.some((entry) => entry.name === ignoreFileName));
      for (const entry of entries) {
        if (entry.isFile() || entry.isSymbolicLink()) continue;
        // Some file systems do not say what an entry is, and an unreadable name cannot be looked at.
        const stats = lstatSync(base + entry.name, { throwIfNoEntry: false });
        if (!stats?.isDirectory()) continue;
        const listed = { path: entry.name, fullPath: base + entry.name, basename: entry.name, stats };
        if (this.#options.accepts(listed)) this.emit('data', listed);
      }
    } catch (error) {
      this.#ended = true;
      this.emit('error', error);
      return;
    }
    this.#ended = true;
    this.emit('end');
    this.emit('close');
  }

  /** Called by chokidar when it closes: whoever waits for the end waits no more. */
  destroy(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.emit('close');
  }
}

// What the watcher and the scans say to the journal: "look there". Never what to do: only the drain looks and decides.
import type { BlockReason } from './action.ts';
import type { Sighting } from './file.ts';

/** A name that may need work. */
export interface Observation {
  /** Path of the directory in the folder, '' for the folder itself. */
  readonly directory: string;
  readonly name: string;
  /** What a scan saw. Absent for an event: it says only that something happened. */
  readonly seen?: Sighting;
  /** The routes that do not know this yet; absent for all routes of the folder. */
  readonly routeIds?: readonly number[];
}

/** A name that no route can sync, found by a scan. Names that are not UTF-8 come as bytes. */
export interface Obstacle {
  readonly directory: string;
  readonly name: string | Uint8Array;
  readonly reason: BlockReason;
  readonly message: string;
}

// Origins: under which other path the journal knows a file, before a rename or after it. Asked for new paths only, many at
// a time (one short transaction costs as much locking as one question outside of it), and before a delete.
import type { Database } from 'better-sqlite3';
import { agreed } from '../core/baseline.ts';
import type { FileState } from '../core/file.ts';
import { directoryOf, joinPath, nameOf } from '../core/key.ts';
import type { Origin } from '../core/origin.ts';
import { baselineColumns, baselineFromRow, rowFromFingerprint, type BaselineRow } from './rows.ts';

/** A file, and where it stands, or stood. */
export interface Newcomer {
  readonly path: string;
  readonly file: FileState;
}

export class Origins {
  readonly #database: Database;
  readonly #sql: ReturnType<typeof prepare>;

  constructor(database: Database) {
    this.#database = database;
    this.#sql = prepare(database);
  }

  /** Where each was before, in the order of the question. */
  of(routeId: number, newcomers: readonly Newcomer[]): (Origin | undefined)[] {
    if (newcomers.length === 0) return [];
    return this.#database.transaction(() => newcomers.map((each) => this.#originOf(routeId, each)))();
  }

  /** Whether a file that is gone from its path has another one by now, and is in S3 under that; undefined when it has none. */
  heir(routeId: number, gone: Newcomer): 'synced' | 'unsynced' | undefined {
    const place = placeOf(routeId, gone);
    if (this.#sql.isStuck.get(place) === 1) return 'unsynced';
    const row = this.#sql.heir.get(place);
    if (!row) return undefined;
    const isSynced = agreed(baselineFromRow(row)) && row.outcome !== 'skipped-not-newer';
    return isSynced ? 'synced' : 'unsynced';
  }

  #originOf(routeId: number, newcomer: Newcomer): Origin | undefined {
    const row = this.#sql.origin.get(placeOf(routeId, newcomer));
    return row && { path: joinPath(row.directory, row.name), baseline: baselineFromRow(row) };
  }
}

function placeOf(routeId: number, { path, file }: Newcomer) {
  return {
    routeId,
    directory: directoryOf(path),
    name: nameOf(path),
    dev: BigInt.asIntN(64, file.dev),
    ...rowFromFingerprint(file),
  };
}

function prepare(database: Database) {
  type Place = ReturnType<typeof placeOf>;
  /** The same file at another path; what was settled last is nearest to what it is now. */
  const elsewhere = (condition: string) =>
    database
      .prepare<[Place], BaselineRow & { directory: string }>(
        `SELECT directory.path AS directory, ${baselineColumns}
         FROM baseline INDEXED BY baseline_by_inode JOIN directory USING (dir_id)
         WHERE route_id = @routeId AND ino = @ino AND dev = @dev AND size = @size AND mtime_ns = @mtime_ns
           AND ${condition} AND NOT (name = @name AND directory.path = @directory)
         ORDER BY settled_at DESC LIMIT 1`,
      )
      .safeIntegers();
  return {
    // Where no checksum is known the object need not be the file, and without an ETag nothing is copied.
    origin: elsewhere('checksum IS NOT NULL AND etag IS NOT NULL'),
    heir: elsewhere('gone = 0'),
    isStuck: database
      .prepare<[Place], number>(
        `SELECT EXISTS (SELECT 1 FROM change INDEXED BY change_stuck
           WHERE route_id = @routeId AND state NOT IN ('pending', 'claimed') AND state <> 'held'
             AND seen_ino = @ino AND seen_size = @size AND seen_mtime_ns = @mtime_ns)`,
      )
      .pluck(),
  };
}

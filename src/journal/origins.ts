// Origins: under which other path the journal knows a file, before a rename or after it. Asked for new paths only, many at
// a time (one short transaction costs as much locking as one question outside of it), and before a delete.
import type { Database } from 'better-sqlite3';
import { agreed } from '../core/baseline.ts';
import type { FileState } from '../core/file.ts';
import { joinPath } from '../core/key.ts';
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
    if (this.#sql.isStuck.get(fileOf(routeId, gone)) === 1) return 'unsynced';
    const heir = this.#elsewhere(this.#sql.heirs, routeId, gone)?.baseline;
    if (!heir) return undefined;
    return agreed(heir) && heir.outcome !== 'skipped-not-newer' ? 'synced' : 'unsynced';
  }

  #originOf(routeId: number, newcomer: Newcomer): Origin | undefined {
    return this.#elsewhere(this.#sql.origins, routeId, newcomer);
  }

  /** The same file at another path; what was settled last is nearest to what it is now. */
  #elsewhere(find: ReturnType<typeof sameFile>, routeId: number, newcomer: Newcomer): Origin | undefined {
    return find
      .all(fileOf(routeId, newcomer))
      .toSorted((a, b) => Number(b.settled_at - a.settled_at))
      .map((row) => ({
        path: joinPath(this.#sql.directoryPath.get(row.dir_id)!, row.name),
        baseline: baselineFromRow(row),
      }))
      .find(({ path }) => path !== newcomer.path);
  }
}

function fileOf(routeId: number, { file }: Newcomer) {
  return { routeId, dev: BigInt.asIntN(64, file.dev), ...rowFromFingerprint(file) };
}

type SoughtFile = ReturnType<typeof fileOf>;

/** Without a join and an order, which take thirty times as long: 3 µs, where nearly always nothing is found. */
function sameFile(database: Database, condition: string) {
  return database
    .prepare<[SoughtFile], BaselineRow & { dir_id: bigint; settled_at: bigint }>(
      `SELECT ${baselineColumns} FROM baseline INDEXED BY baseline_by_inode
       WHERE route_id = @routeId AND ino = @ino AND dev = @dev AND size = @size AND mtime_ns = @mtime_ns
         AND ${condition}`,
    )
    .safeIntegers();
}

function prepare(database: Database) {
  return {
    // Where no checksum is known the object need not be the file, and without an ETag nothing is copied.
    origins: sameFile(database, 'checksum IS NOT NULL AND etag IS NOT NULL'),
    heirs: sameFile(database, 'gone = 0'),
    directoryPath: database.prepare<[bigint], string>('SELECT path FROM directory WHERE dir_id = ?').pluck(),
    isStuck: database
      .prepare<[SoughtFile], number>(
        `SELECT EXISTS (SELECT 1 FROM change INDEXED BY change_stuck
           WHERE route_id = @routeId AND state NOT IN ('pending', 'claimed') AND state <> 'held'
             AND seen_ino = @ino AND seen_size = @size AND seen_mtime_ns = @mtime_ns)`,
      )
      .pluck(),
  };
}

// Origins: under which other path the journal knows a file. Asked for new paths only, many at a time: one short
// transaction costs as much locking as one question outside of it.
import type { Database } from 'better-sqlite3';
import type { FileState } from '../core/file.ts';
import { directoryOf, joinPath, nameOf } from '../core/key.ts';
import type { Origin } from '../core/origin.ts';
import { baselineFromRow, rowFromFingerprint, type BaselineRow } from './rows.ts';

/** A file, and where it stands now. */
export interface Newcomer {
  readonly path: string;
  readonly file: FileState;
}

export class Origins {
  readonly #database: Database;
  readonly #find: ReturnType<typeof prepare>;

  constructor(database: Database) {
    this.#database = database;
    this.#find = prepare(database);
  }

  /** Where each was before, in the order of the question. */
  of(routeId: number, newcomers: readonly Newcomer[]): (Origin | undefined)[] {
    if (newcomers.length === 0) return [];
    return this.#database.transaction(() => newcomers.map((each) => this.#originOf(routeId, each)))();
  }

  #originOf(routeId: number, { path, file }: Newcomer): Origin | undefined {
    const row = this.#find.get({
      routeId,
      directory: directoryOf(path),
      name: nameOf(path),
      dev: BigInt.asIntN(64, file.dev),
      ...rowFromFingerprint(file),
    });
    return row && { path: joinPath(row.directory, row.name), baseline: baselineFromRow(row) };
  }
}

/**
 * What was settled last is nearest to what the file is now. Where no checksum is known the object need not be the file,
 * and without an ETag nothing is copied.
 */
function prepare(database: Database) {
  return database
    .prepare<[Record<string, unknown>], BaselineRow & { directory: string }>(
      `SELECT directory.path AS directory, baseline.*
       FROM baseline INDEXED BY baseline_by_inode JOIN directory USING (dir_id)
       WHERE route_id = @routeId AND ino = @ino AND dev = @dev AND size = @size AND mtime_ns = @mtime_ns
         AND checksum IS NOT NULL AND etag IS NOT NULL
         AND NOT (name = @name AND directory.path = @directory)
       ORDER BY settled_at DESC LIMIT 1`,
    )
    .safeIntegers();
}

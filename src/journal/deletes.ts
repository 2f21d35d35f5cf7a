// Deletes that wait: for the second look, for quiet, or for a person. A change is absent (`absent_at`) from the first look
// that found no file at its path until it ends or the file is back; how many there are is what the guards count.
import type { Database } from 'better-sqlite3';
import type { HoldReason } from '../core/safety.ts';
import type { FileState } from '../core/file.ts';
import { directoryOf, joinPath, nameOf } from '../core/key.ts';
import { isSound, sumOf } from './soundness.ts';

export interface HeldDelete {
  readonly routeId: number;
  readonly path: string;
  /** What follows the prefix in the object's key, where that is not the path. */
  readonly tail: string | undefined;
  /** Absent while it only waits for its second look. */
  readonly heldFor: HoldReason | undefined;
  readonly message: string;
  /** When the file was first seen absent. */
  readonly absentSinceMs: number;
}

export interface UnlookedChange {
  readonly path: string;
  /** A file of this path is in S3. */
  readonly isKnown: boolean;
  readonly attempts: number;
}

interface HeldRow {
  route_id: number;
  path: string;
  name: string;
  tail: string | null;
  held_for: HoldReason | null;
  message: string | null;
  absent_at: number | null;
  since_at: number;
}

const minuteMs = 60_000;
/** Deletes count for so long. */
const windowMinutes = 60;

export class Deletes {
  readonly #database: Database;
  readonly #sql: ReturnType<typeof prepare>;

  constructor(database: Database) {
    this.#database = database;
    this.#sql = prepare(database);
  }

  /**
   * Files that are absent and whose deletes have not ended, counted up to a limit. Left out are approved ones, and files that
   * were renamed and are in S3 under their new path: with them nothing is lost.
   */
  waiting(routeId: number, limit: number): number {
    return this.#sql.waiting.get(routeId, limit)!;
  }

  /** When the route's last absence was found; 0 when nothing is absent. */
  newestAbsenceMs(routeId: number): number {
    return this.#sql.newestAbsence.get(routeId) ?? 0;
  }

  /** Deletes that were sent within the last hour, approved ones left out. */
  recent(routeId: number, nowMs: number): number {
    return this.#sql.recent.get(routeId, Math.floor(nowMs / minuteMs) - windowMinutes)!;
  }

  /** Files that are known to be in S3, counted up to a limit. */
  tracked(routeId: number, limit: number): number {
    return this.#sql.tracked.get(routeId, limit)!;
  }

  /**
   * Changes that are not known to be of absent files, and have not ended.
   * @returns undefined when more than `limit` of them wait
   */
  unlooked(routeId: number, limit: number): UnlookedChange[] | undefined {
    const rows = this.#sql.unlooked.all(routeId, limit + 1);
    if (rows.length > limit) return undefined;
    return rows.map((row) => ({
      path: joinPath(row.path, row.name),
      isKnown: row.known === 1,
      attempts: row.attempts,
    }));
  }

  /** True when another path waits whose file was the one at this path: it was renamed, or its number went to another file. */
  isOrigin(routeId: number, filePath: string, { dev, ino }: Pick<FileState, 'dev' | 'ino'>): boolean {
    const place = { routeId, directory: directoryOf(filePath), name: nameOf(filePath) };
    const inode = { ino: BigInt.asIntN(64, ino), dev: BigInt.asIntN(64, dev) };
    return this.#sql.isOrigin.get({ ...place, ...inode }) === 1;
  }

  /** The path of the file whose object, which the route has or kept, has the key that ends so. */
  ownerOf(routeId: number, tail: string): string | undefined {
    const place = { routeId, directory: directoryOf(tail), name: nameOf(tail) };
    const owner = this.#sql.ownerOf.get({ ...place, tail });
    return owner && joinPath(owner.path, owner.name);
  }

  /** Nothing is known of a path any more. */
  forget(routeId: number, filePath: string): void {
    this.#sql.forget.run({ routeId, directory: directoryOf(filePath), name: nameOf(filePath) });
  }

  /** Holds every delete of a folder that waits, on all its routes. @returns how many */
  holdAll(folderId: number, reason: HoldReason, message: string): number {
    return this.#sql.holdAll.run({ folderId, reason, message }).changes;
  }

  /** Deletes of a route that wait for a person or for their second look, oldest first. */
  list(routeId: number): HeldDelete[] {
    return this.#sql.list.all(routeId).map((row) => ({
      routeId: row.route_id,
      path: joinPath(row.path, row.name),
      tail: row.tail ?? undefined,
      heldFor: row.held_for ?? undefined,
      message: row.message ?? '',
      absentSinceMs: row.absent_at ?? row.since_at,
    }));
  }

  /** Lets held deletes go: they are looked at once more, and are not counted as too many. */
  approve(deletes: readonly HeldDelete[], nowMs: number): void {
    this.#database
      .transaction(() => {
        for (const { routeId, path } of deletes) {
          this.#sql.approve.run({ routeId, directory: directoryOf(path), name: nameOf(path), nowMs });
        }
      })
      .immediate();
  }

  /** Ends held deletes and keeps their objects, as `delete: keep` would have. */
  discard(deletes: readonly HeldDelete[], nowMs: number): void {
    this.#database
      .transaction(() => {
        for (const { routeId, path } of deletes) {
          const place = { routeId, directory: directoryOf(path), name: nameOf(path) };
          this.#sql.keep.run({ ...place, nowMs });
          this.#sql.drop.run(place);
        }
      })
      .immediate();
  }

  /** The first look found nothing, or a later one still does not. */
  absent(changeId: number, generation: number, readyAtMs: number, nowMs: number): boolean {
    return this.#sql.absent.run({ changeId, generation, readyAtMs, nowMs }).changes === 1;
  }

  /** Remembers why a change is held until a person answers. */
  held(changeId: number, reason: HoldReason, nowMs: number): void {
    this.#sql.held.run(reason, nowMs, changeId);
  }

  /** The file is back. */
  returned(changeId: number): void {
    this.#sql.returned.run(changeId);
  }

  /** Counts a delete that nobody was asked about. */
  sent(routeId: number, nowMs: number): void {
    const minute = Math.floor(nowMs / minuteMs);
    this.#sql.countSent.run(routeId, minute);
    this.#sql.forgetSent.run(routeId, minute - windowMinutes);
  }

  /** The root that the files of a folder are known in; undefined before its first scan. */
  root(folderId: number): string | undefined {
    return this.#sql.root.get(folderId) ?? undefined;
  }

  /**
   * From now on the folder's files are those below this root. Files that were on the file system of the root before are taken
   * to be on this one: a restart of the machine may number devices anew.
   */
  recordRoot(folderId: number, root: { readonly identity: string; readonly dev: bigint }): void {
    const dev = BigInt.asIntN(64, root.dev);
    this.#database
      .transaction(() => {
        const before = this.#sql.rootDevice.get(folderId) ?? undefined;
        if (before !== undefined && before !== dev) this.#sql.moveDevice.run(dev, before, folderId);
        this.#sql.recordRoot.run(root.identity, dev, folderId);
      })
      .immediate();
  }

  /** How many names of a folder have a file that is known to be in S3. */
  trackedNames(folderId: number): number {
    return this.#sql.trackedNames.get(folderId)!;
  }
}

type Place = { routeId: number; directory: string; name: string };

function prepare(database: Database) {
  const integer = <P extends unknown[]>(sql: string) => database.prepare<P, number>(sql).pluck();
  const directoryAt = `SELECT dir_id FROM route JOIN directory USING (folder_id)
    WHERE route_id = @routeId AND directory.path = @directory`;
  const changeAt = `route_id = @routeId AND name = @name AND state = 'held' AND dir_id IN (${directoryAt})`;
  // The same file under another path: a rename keeps all of these. That its object has the same content tells the checksum.
  const isHeir = `heir.route_id = before.route_id AND heir.ino = before.ino AND heir.dev = before.dev
    AND heir.size = before.size AND heir.mtime_ns = before.mtime_ns AND heir.gone = 0
    AND NOT (heir.dir_id = before.dir_id AND heir.name = before.name)`;
  const isStored = `(heir.outcome IN ('uploaded', 'recreated', 'copied', 'adopted', 'touched', 'meta-updated', 'meta-deferred')
    AND heir.etag IS NOT NULL AND heir.checksum = before.checksum AND heir.checksum_algorithm = before.checksum_algorithm)`;
  return {
    // A held delete that was told of again has no `absent_at` until it is looked at.
    waiting: integer<[number, number]>(
      `SELECT count(*) FROM (SELECT 1 FROM change
         LEFT JOIN baseline AS before USING (route_id, dir_id, name)
         WHERE route_id = ? AND (absent_at IS NOT NULL OR held_for IS NOT NULL) AND approved_at IS NULL
           AND state IN ('pending', 'claimed', 'held')
           AND NOT EXISTS (SELECT 1 FROM baseline AS heir INDEXED BY baseline_by_inode
                           WHERE ${isHeir} AND ${isStored})
         LIMIT ?)`,
    ),
    isOrigin: integer<[Place & { ino: bigint; dev: bigint }]>(
      `SELECT EXISTS (SELECT 1 FROM baseline INDEXED BY baseline_by_inode JOIN change USING (route_id, dir_id, name)
         WHERE route_id = @routeId AND ino = @ino AND dev = @dev AND gone = 0 AND state IN ('pending', 'claimed')
           AND NOT (name = @name AND dir_id IN (${directoryAt})))`,
    ),
    ownerOf: database.prepare<[Place & { tail: string }], { path: string; name: string }>(
      `SELECT path, name FROM baseline INDEXED BY baseline_by_tail JOIN directory USING (dir_id)
       WHERE route_id = @routeId AND tail = @tail
       UNION ALL
       SELECT path, name FROM baseline JOIN directory USING (dir_id)
       WHERE route_id = @routeId AND tail IS NULL AND name = @name AND dir_id IN (${directoryAt})`,
    ),
    forget: database.prepare<[Place]>(
      `DELETE FROM baseline WHERE route_id = @routeId AND name = @name AND dir_id IN (${directoryAt})`,
    ),
    newestAbsence: integer<[number]>(
      `SELECT max(absent_at) FROM change WHERE route_id = ? AND absent_at IS NOT NULL AND held_for IS NULL`,
    ),
    recent: integer<[number, number]>(
      'SELECT coalesce(sum(count), 0) FROM sent_delete WHERE route_id = ? AND minute > ?',
    ),
    tracked: integer<[number, number]>(
      'SELECT count(*) FROM (SELECT 1 FROM baseline WHERE route_id = ? AND gone = 0 LIMIT ?)',
    ),
    unlooked: database.prepare<
      [number, number],
      { path: string; name: string; known: number; attempts: number }
    >(
      `SELECT directory.path, change.name, attempts, EXISTS (SELECT 1 FROM baseline
         WHERE route_id = change.route_id AND dir_id = change.dir_id AND name = change.name AND gone = 0) AS known
       FROM (SELECT route_id, dir_id, name, attempts FROM change
             WHERE route_id = ? AND state IN ('pending', 'claimed') AND absent_at IS NULL AND held_for IS NULL
             LIMIT ?) AS change
       JOIN directory USING (dir_id)`,
    ),
    holdAll: database.prepare<[{ folderId: number; reason: string; message: string }]>(
      `UPDATE change SET state = 'held', held_for = @reason, code = @reason, message = @message
       WHERE route_id IN (SELECT route_id FROM route WHERE folder_id = @folderId)
         AND state = 'pending' AND absent_at IS NOT NULL AND approved_at IS NULL`,
    ),
    list: database.prepare<[number], HeldRow>(
      `SELECT route_id, directory.path, name, tail, held_for, message, absent_at, since_at
       FROM change JOIN directory USING (dir_id) LEFT JOIN baseline USING (route_id, dir_id, name)
       WHERE route_id = ? AND (state = 'held' OR (state = 'pending' AND absent_at IS NOT NULL))
       ORDER BY absent_at, directory.path, name`,
    ),
    approve: database.prepare(
      `UPDATE change SET state = 'pending', approved_at = @nowMs, held_for = NULL, code = NULL, message = NULL,
                         ready_at = @nowMs, attempts = 0
       WHERE ${changeAt}`,
    ),
    keep: database.prepare(
      `UPDATE baseline SET outcome = 'kept-remote', gone = 1, settled_at = @nowMs,
                           sum = iif(${isSound}, ${sumOf({ outcome: `'kept-remote'`, gone: '1' })}, sum)
       WHERE (route_id, dir_id, name) IN (SELECT route_id, dir_id, name FROM change WHERE ${changeAt})`,
    ),
    drop: database.prepare(`DELETE FROM change WHERE ${changeAt}`),
    absent: database.prepare(
      `UPDATE change SET state = 'pending', absent_at = coalesce(absent_at, @nowMs), ready_at = @readyAtMs,
                         seen_size = -1, seen_mtime_ns = 0, seen_ctime_ns = 0, seen_ino = 0
       WHERE change_id = @changeId AND generation = @generation`,
    ),
    held: database.prepare<[string, number, number]>(
      `UPDATE change SET held_for = ?, absent_at = coalesce(absent_at, ?), approved_at = NULL WHERE change_id = ?`,
    ),
    returned: database.prepare<[number]>(
      'UPDATE change SET absent_at = NULL, held_for = NULL, approved_at = NULL WHERE change_id = ?',
    ),
    countSent: database.prepare<[number, number]>(
      `INSERT INTO sent_delete (route_id, minute, count) VALUES (?, ?, 1)
       ON CONFLICT (route_id, minute) DO UPDATE SET count = count + 1`,
    ),
    forgetSent: database.prepare<[number, number]>(
      'DELETE FROM sent_delete WHERE route_id = ? AND minute <= ?',
    ),
    root: database.prepare<[number], string | null>('SELECT root FROM folder WHERE folder_id = ?').pluck(),
    rootDevice: database
      .prepare<[number], bigint | null>('SELECT root_dev FROM folder WHERE folder_id = ?')
      .pluck()
      .safeIntegers(),
    moveDevice: database.prepare<[bigint, bigint, number]>(
      `UPDATE baseline SET dev = ? WHERE dev = ? AND route_id IN (SELECT route_id FROM route WHERE folder_id = ?)`,
    ),
    recordRoot: database.prepare<[string, bigint, number]>(
      'UPDATE folder SET root = ?, root_dev = ? WHERE folder_id = ?',
    ),
    trackedNames: integer<[number]>(
      `SELECT count(*) FROM (SELECT DISTINCT dir_id, name FROM baseline
         WHERE gone = 0 AND route_id IN (SELECT route_id FROM route WHERE folder_id = ?))`,
    ),
  };
}

// Open conflicts: what was found on both sides, for a person to decide, and the decision until it is carried out.
// Invariant: an open conflict belongs to a change, whatever that one's state; both end together.
import type { Database } from 'better-sqlite3';
import type { ConflictReason } from '../core/action.ts';
import type { Conflict, OpenConflict, Resolution } from '../core/conflict.ts';
import { directoryOf, joinPath, nameOf } from '../core/key.ts';
import type { Policy } from '../core/policy.ts';

/** A conflict that waits for a decision. */
export interface ListedConflict extends OpenConflict {
  readonly changeId: number;
  readonly path: string;
}

interface ConflictRow {
  change_id: bigint;
  reason: ConflictReason;
  policy: Policy;
  key: string;
  file_size: bigint | null;
  file_mtime_ns: bigint | null;
  etag: string;
  size: bigint;
  modified_at: bigint;
  mtime_ns: bigint | null;
  version_id: string | null;
  since_at: bigint;
  resolution: Resolution | null;
  decided_at: bigint | null;
}

export class Conflicts {
  readonly #database: Database;
  readonly #sql: ReturnType<typeof prepare>;

  constructor(database: Database) {
    this.#database = database;
    this.#sql = prepare(database);
  }

  /** Of a change, decided or not. */
  find(changeId: number): OpenConflict | undefined {
    const row = this.#sql.find.get(changeId);
    return row && conflictFromRow(row);
  }

  /** Of a path, for readers. */
  at(routeId: number, filePath: string): OpenConflict | undefined {
    const row = this.#sql.at.get(routeId, directoryOf(filePath), nameOf(filePath));
    return row && conflictFromRow(row);
  }

  /**
   * Remembers what was found, and since when there is a conflict. A decision about another object is void, and so is one
   * that was tried; one that came while the path was being looked at stays.
   */
  record(
    {
      changeId,
      routeId,
      conflict: before,
    }: { changeId: number; routeId: number; conflict: OpenConflict | undefined },
    { reason, policy, key, file, object }: Conflict,
    nowMs: number,
  ): void {
    this.#sql.record.run({
      isTried: before?.decision ? 1 : 0,
      changeId,
      routeId,
      reason,
      policy,
      key,
      fileSize: file?.size ?? null,
      fileMtimeNs: file?.mtimeNs ?? null,
      etag: object.etag,
      size: object.size,
      modifiedAt: object.lastModifiedMs,
      mtimeNs: object.mtimeNs ?? null,
      versionId: object.versionId ?? null,
      nowMs,
    });
  }

  /** The change was settled, and has yet to be looked at again. */
  end(changeId: number): void {
    this.#sql.end.run(changeId);
  }

  count(routeId: number): number {
    return this.#sql.count.get(routeId)!;
  }

  /** Those that wait for a decision, longest first. */
  open(routeId: number, limit = Number.MAX_SAFE_INTEGER): ListedConflict[] {
    return this.#sql.open.all(routeId, limit).map((row) => ({
      ...conflictFromRow(row),
      changeId: Number(row.change_id),
      path: joinPath(row.directory, row.name),
    }));
  }

  /** Records a decision; the drain carries it out. @returns false where the conflict has ended meanwhile */
  decide(changeId: number, resolution: Resolution, nowMs: number): boolean {
    return this.#database.transaction(() => {
      if (this.#sql.decide.run(resolution, nowMs, changeId).changes === 0) return false;
      this.#sql.wake.run(nowMs, this.#sql.nextGeneration.get()!, changeId);
      return true;
    })();
  }

  /** Has the open conflicts of a route looked at again: perhaps both sides are equal by now. @returns how many */
  lookAgain(routeId: number, nowMs: number): number {
    return this.#sql.lookAgain.run(nowMs, routeId).changes;
  }
}

function conflictFromRow(row: ConflictRow): OpenConflict {
  return {
    reason: row.reason,
    policy: row.policy,
    key: row.key,
    file:
      row.file_size === null || row.file_mtime_ns === null
        ? undefined
        : { size: Number(row.file_size), mtimeNs: row.file_mtime_ns },
    object: {
      etag: row.etag,
      size: Number(row.size),
      lastModifiedMs: Number(row.modified_at),
      ...(row.mtime_ns !== null && { mtimeNs: row.mtime_ns }),
      ...(row.version_id !== null && { versionId: row.version_id }),
    },
    sinceMs: Number(row.since_at),
    ...(row.resolution !== null && {
      decision: { resolution: row.resolution, atMs: Number(row.decided_at) },
    }),
  };
}

function prepare(database: Database) {
  return {
    find: database
      .prepare<[number], ConflictRow>('SELECT * FROM conflict WHERE change_id = ?')
      .safeIntegers(),
    at: database
      .prepare<[number, string, string], ConflictRow>(
        `SELECT conflict.* FROM conflict JOIN change USING (change_id) JOIN directory USING (dir_id)
         WHERE conflict.route_id = ? AND directory.path = ? AND change.name = ?`,
      )
      .safeIntegers(),
    record: database.prepare(
      `INSERT INTO conflict (change_id, route_id, reason, policy, key, file_size, file_mtime_ns, etag, size, modified_at,
                             mtime_ns, version_id, since_at)
       VALUES (@changeId, @routeId, @reason, @policy, @key, @fileSize, @fileMtimeNs, @etag, @size, @modifiedAt,
               @mtimeNs, @versionId, @nowMs)
       ON CONFLICT (change_id) DO UPDATE SET
         reason = excluded.reason, policy = excluded.policy, key = excluded.key, file_size = excluded.file_size,
         file_mtime_ns = excluded.file_mtime_ns, etag = excluded.etag, size = excluded.size,
         modified_at = excluded.modified_at, mtime_ns = excluded.mtime_ns, version_id = excluded.version_id,
         resolution = iif(@isTried OR key <> excluded.key OR etag <> excluded.etag, NULL, resolution)`,
    ),
    end: database.prepare<[number]>('DELETE FROM conflict WHERE change_id = ?'),
    count: database
      .prepare<[number], number>('SELECT count(*) FROM conflict WHERE route_id = ? AND resolution IS NULL')
      .pluck(),
    open: database
      .prepare<[number, number], ConflictRow & { directory: string; name: string }>(
        `SELECT conflict.*, directory.path AS directory, change.name AS name
         FROM conflict JOIN change USING (change_id) JOIN directory USING (dir_id)
         WHERE conflict.route_id = ? AND resolution IS NULL ORDER BY conflict.since_at, change_id LIMIT ?`,
      )
      .safeIntegers(),
    decide: database.prepare<[string, number, number]>(
      'UPDATE conflict SET resolution = ?, decided_at = ? WHERE change_id = ? AND resolution IS NULL',
    ),
    // Without what was seen of it, a scan and `plan` tell of the path as long as the decision is not carried out.
    // A new generation, so that a look under way leads to another one.
    wake: database.prepare<[number, number, number]>(
      `UPDATE change SET state = iif(state = 'conflict', 'pending', state), ready_at = ?, generation = ?, attempts = 0,
                         seen_size = NULL
       WHERE change_id = ?`,
    ),
    nextGeneration: database
      .prepare<[], number>(`UPDATE meta SET value = value + 1 WHERE key = 'generation' RETURNING value`)
      .pluck(),
    lookAgain: database.prepare<[number, number]>(
      `UPDATE change SET state = 'pending', ready_at = ?, attempts = 0 WHERE route_id = ? AND state = 'conflict'`,
    ),
  };
}

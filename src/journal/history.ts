// History: how changes ended, for people who ask later. Nothing is decided by it, so its rows carry no sums, and losing it
// costs nothing but the answer.
import type { Database } from 'better-sqlite3';
import type { Outcome } from '../core/action.ts';
import type { HistoryEntry } from '../core/history.ts';
import { joinPath } from '../core/key.ts';

export interface ListedEntry extends HistoryEntry {
  readonly atMs: number;
  readonly path: string;
  /** What follows the prefix in the object's key, where that is not the path. */
  readonly tail: string | undefined;
  readonly versionId: string | undefined;
}

interface HistoryRow {
  at: number;
  path: string;
  name: string;
  outcome: Outcome;
  reason: string;
  bytes: number;
  attempts: number;
  tail: string | null;
  version_id: string | null;
  last_code: string | null;
  request_id: string | null;
}

/** About 10 MB. Rows are added at the end and removed at the beginning, so the file does not grow beyond that. */
const rowsMax = 100_000;
const keptMs = 30 * 86_400_000;

/** Looked for that often: what is too much is never more than this. */
const sweepEvery = 500;
/** Removed in one transaction: a millisecond. */
const sweepRows = 2_000;

export class History {
  readonly #sql: ReturnType<typeof prepare>;

  constructor(database: Database) {
    this.#sql = prepare(database);
  }

  /** To be called within the transaction that ends the change: it costs no fsync of its own. */
  record(
    { routeId, directoryId }: { routeId: number; directoryId: number },
    entry: HistoryEntry & { name: string; tail: string | undefined; versionId: string | undefined },
    nowMs: number,
  ): void {
    const { name, outcome, reason, bytes, attempts } = entry;
    const { lastInsertRowid } = this.#sql.record.run(
      nowMs,
      routeId,
      directoryId,
      name,
      outcome,
      reason,
      bytes,
      attempts,
      entry.tail ?? null,
      entry.versionId ?? null,
      entry.lastCode ?? null,
      entry.requestId ?? null,
    );
    if (Number(lastInsertRowid) % sweepEvery === 0) this.#sweep(nowMs);
  }

  /** Newest first. @param path of a file, or of a directory for all below it; '' for all */
  list(routeId: number, path: string, limit: number, nowMs: number): ListedEntry[] {
    return this.#sql.list.all({ routeId, path, limit, sinceMs: nowMs - keptMs }).map((row) => ({
      atMs: row.at,
      path: joinPath(row.path, row.name),
      outcome: row.outcome,
      reason: row.reason,
      bytes: row.bytes,
      attempts: row.attempts,
      tail: row.tail ?? undefined,
      versionId: row.version_id ?? undefined,
      lastCode: row.last_code ?? undefined,
      requestId: row.request_id ?? undefined,
    }));
  }

  /** After a long rest: removes all that is too old. */
  sweepAll(nowMs: number): void {
    for (let removed = sweepRows; removed > 0;) removed = this.#sweep(nowMs);
  }

  /** @returns how many of the oldest were too old or too much */
  #sweep(nowMs: number): number {
    const { first, last } = this.#sql.ends.get()!;
    return first === null
      ? 0
      : this.#sql.sweep.run(first + sweepRows, last - rowsMax, nowMs - keptMs).changes;
  }
}

function prepare(database: Database) {
  return {
    record: database.prepare<
      [
        number,
        number,
        number,
        string,
        string,
        string,
        number,
        number,
        string | null,
        string | null,
        string | null,
        string | null,
      ]
    >(
      `INSERT INTO history (at, route_id, dir_id, name, outcome, reason, bytes, attempts, tail, version_id, last_code, request_id)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    // Reads through all of it, which takes 0.1 s: an index by path would double what every entry costs.
    list: database.prepare<[{ routeId: number; path: string; limit: number; sinceMs: number }], HistoryRow>(
      `SELECT * FROM (
         SELECT history.*, directory.path,
                iif(directory.path = '', name, directory.path || '/' || name) AS whole
         FROM history JOIN directory USING (dir_id) WHERE route_id = @routeId AND at >= @sinceMs)
       WHERE @path = '' OR whole = @path OR substr(whole, 1, length(@path) + 1) = @path || '/'
       ORDER BY history_id DESC LIMIT @limit`,
    ),
    ends: database.prepare<[], { first: number | null; last: number }>(
      'SELECT (SELECT min(history_id) FROM history) AS first, (SELECT max(history_id) FROM history) AS last',
    ),
    sweep: database.prepare<[number, number, number]>(
      'DELETE FROM history WHERE history_id < ? AND (history_id <= ? OR at < ?)',
    ),
  };
}

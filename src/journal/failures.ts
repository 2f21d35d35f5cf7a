// Failures: the changes that are not in S3 for a reason of their own, each with its reason, and trying them again.
import type { Database } from 'better-sqlite3';
import { conflictMessages } from '../core/conflict.ts';
import type { ConflictReason } from '../core/action.ts';
import type { FailureState } from '../core/failure.ts';
import { bytesName, joinPath } from '../core/key.ts';

export interface ListedFailure {
  readonly changeId: number;
  readonly path: string;
  readonly state: FailureState;
  /** Of S3, of the system, or a reason. */
  readonly code: string;
  readonly message: string;
  /** Since when the path is not in S3 as it is here. */
  readonly sinceMs: number;
  /** Tries since the file changed, the daemon started or somebody asked for another one. */
  readonly attempts: number;
  /** Absent where time alone brings no other try. */
  readonly nextTryMs: number | undefined;
}

interface FailureRow {
  change_id: number;
  path: string;
  name: string | Buffer;
  state: FailureState;
  code: string | null;
  message: string | null;
  since_at: number;
  attempts: number;
  ready_at: number;
}

export class Failures {
  readonly #database: Database;
  readonly #sql: ReturnType<typeof prepare>;

  constructor(database: Database) {
    this.#database = database;
    this.#sql = prepare(database);
  }

  /**
   * Conflicts first, then what waits for something other than time, then what is tried again by itself; each longest first.
   * @param limit of each of the three
   */
  list(routeId: number, limit = Number.MAX_SAFE_INTEGER): ListedFailure[] {
    const { conflicts, stuck, retrying } = this.#sql;
    return [conflicts, stuck, retrying].flatMap((some) => some.all(routeId, limit)).map(failureFromRow);
  }

  /** Makes changes pending again, held deletes apart, which wait for an answer. @returns how many */
  retry(changeIds: readonly number[], nowMs: number): number {
    const { retryOne } = this.#sql;
    const retry = () => changeIds.reduce((sum, id) => sum + retryOne.run(nowMs, id).changes, 0);
    return this.#database.transaction(retry).immediate();
  }

  /** The same for all changes of a route. */
  retryAll(routeId: number, nowMs: number): number {
    return this.#sql.retryAll.run(nowMs, routeId).changes;
  }
}

function failureFromRow(row: FailureRow): ListedFailure {
  const { state } = row;
  return {
    changeId: row.change_id,
    path: joinPath(row.path, typeof row.name === 'string' ? row.name : bytesName(row.name)),
    state,
    code: row.code ?? '',
    message: state === 'conflict' ? conflictMessages[row.code as ConflictReason] : (row.message ?? ''),
    sinceMs: row.since_at,
    // A change counts the tries that led to another one; the one that failed for good is the last.
    attempts: state === 'failed' ? row.attempts + 1 : row.attempts,
    nextTryMs: state === 'retrying' ? row.ready_at : undefined,
  };
}

/** What may be tried again: a name that is not UTF-8 cannot be before it is renamed. */
const retryable = `(state IN ('failed', 'blocked', 'conflict') OR (state = 'pending' AND attempts > 0)) AND typeof(name) = 'text'`;

function prepare(database: Database) {
  const list = (state: string, code: string, since: string, from: string) =>
    database.prepare<[number, number], FailureRow>(
      `SELECT change.change_id, directory.path, change.name, ${state} AS state, ${code} AS code, change.message,
              ${since} AS since_at, attempts, ready_at
       FROM ${from} ORDER BY ${since}, change.change_id LIMIT ?`,
    );
  return {
    conflicts: list(
      `'conflict'`,
      'conflict.reason',
      'conflict.since_at',
      `conflict JOIN change USING (change_id) JOIN directory USING (dir_id)
       WHERE conflict.route_id = ? AND resolution IS NULL`,
    ),
    stuck: list(
      'state',
      'code',
      'since_at',
      `change JOIN directory USING (dir_id)
       WHERE route_id = ? AND state NOT IN ('pending', 'claimed', 'conflict')`,
    ),
    // Also while it is being tried: a path that fails is not in S3 for that.
    retrying: list(
      `'retrying'`,
      'code',
      'since_at',
      `change JOIN directory USING (dir_id)
       WHERE route_id = ? AND state IN ('pending', 'claimed') AND attempts > 0`,
    ),
    retryOne: database.prepare<[number, number]>(
      `UPDATE change SET state = 'pending', ready_at = ?, attempts = 0 WHERE change_id = ? AND ${retryable}`,
    ),
    retryAll: database.prepare<[number, number]>(
      `UPDATE change SET state = 'pending', ready_at = ?, attempts = 0 WHERE route_id = ? AND ${retryable}`,
    ),
  };
}

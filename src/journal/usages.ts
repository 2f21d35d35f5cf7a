// What was asked of every store, by route and day: for what it costs, and for budgets that outlive a restart.
import type { Database } from 'better-sqlite3';
import type { Day, Usage } from '../core/usage.ts';

/** A year and the month before: what anybody compares a bill with. */
const daysKept = 400;

export class Usages {
  readonly #sql: ReturnType<typeof prepare>;

  constructor(database: Database) {
    this.#sql = prepare(database);
  }

  /** Adds to a day. To be called within the transaction of what the requests led to: it costs no fsync of its own. */
  record(routeId: number, usages: readonly Usage[], day: Day): void {
    for (const usage of usages) this.#sql.add.run({ ...usage, routeId, day });
  }

  /** The sums of the days from `first` on. */
  since(routeId: number, first: Day): Usage[] {
    return this.#sql.since.all(routeId, first);
  }

  /** Requests of all routes to a destination. */
  requestsTo(destinationId: number, day: Day): number {
    return this.#sql.requestsTo.get(destinationId, day)!;
  }

  forgetOld(today: Day): void {
    this.#sql.forget.run(today - daysKept);
  }
}

function prepare(database: Database) {
  return {
    add: database.prepare<[Usage & { routeId: number; day: Day }]>(
      `INSERT INTO usage (route_id, day, operation, storage_class, requests, bytes)
       VALUES (@routeId, @day, @operation, @storageClass, @requests, @bytes)
       ON CONFLICT (route_id, day, operation, storage_class) DO UPDATE SET
         requests = requests + excluded.requests, bytes = bytes + excluded.bytes`,
    ),
    since: database.prepare<[number, Day], Usage>(
      `SELECT operation, storage_class AS storageClass, sum(requests) AS requests, sum(bytes) AS bytes
       FROM usage WHERE route_id = ? AND day >= ? GROUP BY operation, storage_class ORDER BY operation, storage_class`,
    ),
    requestsTo: database
      .prepare<[number, Day], number>(
        `SELECT coalesce(sum(requests), 0) FROM usage JOIN route USING (route_id)
         WHERE destination_id = ? AND day = ?`,
      )
      .pluck(),
    forget: database.prepare<[Day]>('DELETE FROM usage WHERE day < ?'),
  };
}

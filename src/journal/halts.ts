// Halts, and by what the store of a route is known again: the objects that it held when it was last asked.
import type { Database } from 'better-sqlite3';
import type { Baseline } from '../core/baseline.ts';
import type { Halt } from '../core/halt.ts';
import { directoryOf, joinPath, nameOf } from '../core/key.ts';
import { baselineColumns, baselineFromRow, type BaselineRow } from './rows.ts';
import { sealed, unsealed } from './soundness.ts';

/** An object that a store must hold, or it is not the one that it was. */
export interface KnownObject {
  readonly path: string;
  readonly baseline: Baseline;
}

export class Halts {
  readonly #sql: ReturnType<typeof prepare>;

  constructor(database: Database) {
    this.#sql = prepare(database);
  }

  ofFolder(folderId: number): Halt | undefined {
    return parsed(this.#sql.folder.get(folderId));
  }

  ofRoute(routeId: number): Halt | undefined {
    return parsed(this.#sql.route.get(routeId));
  }

  recordFolder(folderId: number, halt: Halt | undefined): void {
    this.#sql.recordFolder.run(textOf(halt), folderId);
  }

  recordRoute(routeId: number, halt: Halt | undefined): void {
    this.#sql.recordRoute.run(textOf(halt), routeId);
  }

  /** When the store was last known for what it was, or could not be told; undefined before the first time. */
  provedAtMs(routeId: number): number | undefined {
    return this.#sql.provedAt.get(routeId) ?? undefined;
  }

  recordProof(routeId: number, nowMs: number): void {
    this.#sql.recordProof.run(nowMs, routeId);
  }

  /** Any object that the store holds since before a time. */
  objectBefore(routeId: number, timeMs: number): KnownObject | undefined {
    const row = this.#sql.anyBefore.get(routeId, timeMs);
    return row && { path: joinPath(row.path, row.name), baseline: baselineFromRow(row) };
  }

  /** What the store holds of a file since before a time. */
  knownBefore(routeId: number, path: string, timeMs: number): Baseline | undefined {
    const row = this.#sql.before.get(routeId, directoryOf(path), nameOf(path), timeMs);
    return row && baselineFromRow(row);
  }
}

function textOf(halt: Halt | undefined): string | null {
  return halt ? sealed(JSON.stringify(halt)) : null;
}

function parsed(text: string | null | undefined): Halt | undefined {
  const json = unsealed(text ?? '');
  return json === undefined ? undefined : (JSON.parse(json) as Halt);
}

function prepare(database: Database) {
  const held = `FROM baseline JOIN directory USING (dir_id)
    WHERE route_id = ? AND gone = 0 AND etag IS NOT NULL`;
  type Known = BaselineRow & { path: string };
  return {
    folder: database.prepare<[number], string | null>('SELECT halt FROM folder WHERE folder_id = ?').pluck(),
    route: database.prepare<[number], string | null>('SELECT halt FROM route WHERE route_id = ?').pluck(),
    recordFolder: database.prepare<[string | null, number]>('UPDATE folder SET halt = ? WHERE folder_id = ?'),
    recordRoute: database.prepare<[string | null, number]>('UPDATE route SET halt = ? WHERE route_id = ?'),
    provedAt: database
      .prepare<[number], number | null>('SELECT proved_at FROM route WHERE route_id = ?')
      .pluck(),
    recordProof: database.prepare<[number, number]>('UPDATE route SET proved_at = ? WHERE route_id = ?'),
    anyBefore: database
      .prepare<[number, number], Known>(
        `SELECT ${baselineColumns}, directory.path AS path ${held} AND settled_at <= ? LIMIT 1`,
      )
      .safeIntegers(),
    before: database
      .prepare<[number, string, string, number], Known>(
        `SELECT ${baselineColumns}, directory.path AS path ${held}
           AND directory.folder_id = (SELECT folder_id FROM route WHERE route.route_id = baseline.route_id)
           AND directory.path = ? AND name = ? AND settled_at <= ?`,
      )
      .safeIntegers(),
  };
}

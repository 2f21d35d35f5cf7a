// A journal that knows a folder's files as they are.
import Database from 'better-sqlite3';
import type { Sighting } from '../../src/core/file.ts';
import { directoryOf } from '../../src/core/key.ts';
import { migrate } from '../../src/journal/schema.ts';
import { rowFromFingerprint } from '../../src/journal/rows.ts';
import type { Findings } from '../../src/watch/scan.ts';

/** Folder 1 with the given routes, in a new file. */
export function createJournal(file: string, routeIds: readonly number[] = [1]): Database.Database {
  const database = new Database(file);
  database.pragma('journal_mode = WAL');
  migrate(database);
  const insert = (table: string, row: Record<string, unknown>) => {
    const names = Object.keys(row);
    database
      .prepare(`INSERT INTO ${table} (${names.join()}) VALUES (${names.map((name) => `@${name}`).join()})`)
      .run(row);
  };
  insert('folder', { folder_id: 1, name: 'test', path: '' });
  for (const id of routeIds) {
    insert('destination', { destination_id: id, name: `d${id}`, identity: '' });
    insert('route', { route_id: id, folder_id: 1, destination_id: id, identity: '', judgement: '' });
  }
  return database;
}

/** Records what a scan saw as settled, which is what the drain does when all went well. */
export function settle(database: Database.Database, { observations, obstacles }: Findings): void {
  const directoryId = (path: string): number => {
    const id = database
      .prepare('SELECT dir_id FROM directory WHERE folder_id = 1 AND path = ?')
      .pluck()
      .get(path);
    if (typeof id === 'number') return id;
    const parent = path === '' ? null : directoryId(directoryOf(path));
    return Number(
      database
        .prepare('INSERT INTO directory (folder_id, parent_id, path) VALUES (1, ?, ?)')
        .run(parent, path).lastInsertRowid,
    );
  };
  const put = database.prepare(
    `INSERT OR REPLACE INTO baseline (route_id, dir_id, name, outcome, owned, gone, size, mtime_ns, ctime_ns, ino, mode, uid, gid, settled_at)
     VALUES (@routeId, @dirId, @name, 'uploaded', 1, 0, @size, @mtime_ns, @ctime_ns, @ino, 0, 0, 0, 0)`,
  );
  const remove = database.prepare(
    'DELETE FROM baseline WHERE route_id = @routeId AND dir_id = @dirId AND name = @name',
  );
  const block = database.prepare(
    `INSERT INTO change (route_id, dir_id, name, state, generation, ready_at, since_at) VALUES (1, @dirId, @name, 'blocked', 1, 0, 0)`,
  );
  database.transaction(() => {
    for (const { directory, name, seen, routeIds } of observations) {
      for (const routeId of routeIds ?? []) {
        const row = { routeId, dirId: directoryId(directory), name };
        if (isFile(seen)) put.run({ ...row, ...rowFromFingerprint(seen) });
        else remove.run(row);
      }
    }
    for (const { directory, name } of obstacles) {
      block.run({ dirId: directoryId(directory), name: typeof name === 'string' ? name : Buffer.from(name) });
    }
  })();
}

function isFile(seen: Sighting | undefined): seen is Exclude<Sighting, 'absent'> {
  return seen !== undefined && seen !== 'absent';
}

// The journal's statements: named like functions, prepared once. Each takes a few microseconds; none reads through a table
// but the ones that `status` asks for.
import type { Database } from 'better-sqlite3';
import type { SettledOutcome } from '../core/action.ts';
import type { HoldReason } from '../core/safety.ts';
import { baselineColumns, type BaselineRow, type StuckState } from './rows.ts';
import { isSound, sumOf } from './soundness.ts';

export type Statements = ReturnType<typeof prepareStatements>;

/** Outcomes by which an object that differs was left alone: another policy or comparison may do otherwise. */
const inaction = ['skipped-existing', 'skipped-not-newer', 'remote-newer'] satisfies SettledOutcome[];

/** Columns whose values are bound by other names. */
const bound = { route_id: '@routeId', dir_id: '@directoryId', description_id: '@descriptionId' };

/** Of which the listing does not say that the store holds it as it was written. */
const unconfirmed = `route_id = @routeId AND NOT EXISTS
  (SELECT 1 FROM listed JOIN directory ON directory.dir_id = baseline.dir_id
   WHERE listed.route_id = @routeId AND listed.etag = baseline.etag AND listed.tail =
     coalesce(baseline.tail, iif(directory.path = '', '', directory.path || '/') || baseline.name))`;

export function prepareStatements(database: Database) {
  const integer = <P extends unknown[]>(sql: string) => database.prepare<P, number>(sql).pluck();
  const text = <P extends unknown[]>(sql: string) => database.prepare<P, string>(sql).pluck();
  return {
    upsertFolder: integer<[string, string]>(
      `INSERT INTO folder (name, path) VALUES (?, ?)
       ON CONFLICT (name) DO UPDATE SET path = excluded.path RETURNING folder_id`,
    ),
    upsertDestination: integer<[string, string]>(
      `INSERT INTO destination (name, identity) VALUES (?, ?)
       ON CONFLICT (name) DO UPDATE SET
         capabilities = iif(identity = excluded.identity, capabilities, NULL),
         identity = excluded.identity
       RETURNING destination_id`,
    ),
    findRoute: database.prepare<[number, number], { route_id: number; identity: string; judgement: string }>(
      'SELECT route_id, identity, judgement FROM route WHERE folder_id = ? AND destination_id = ?',
    ),
    findRouteByNames: database.prepare<
      [string, string],
      {
        route_id: number;
        folder_id: number;
        destination_id: number;
        identity: string;
        listed_at: number | null;
      }
    >(
      `SELECT route_id, folder_id, destination_id, route.identity, listed_at
       FROM route JOIN folder USING (folder_id) JOIN destination USING (destination_id)
       WHERE folder.name = ? AND destination.name = ?`,
    ),
    upsertRoute: database.prepare<
      [number, number, string, string],
      { route_id: number; listed_at: number | null }
    >(
      `INSERT INTO route (folder_id, destination_id, identity, judgement) VALUES (?, ?, ?, ?)
       ON CONFLICT (folder_id, destination_id) DO UPDATE SET
         listed_at = iif(identity = excluded.identity, listed_at, NULL),
         halt = iif(identity = excluded.identity, halt, NULL),
         proved_at = iif(identity = excluded.identity, proved_at, NULL),
         identity = excluded.identity,
         judgement = excluded.judgement
       RETURNING route_id, listed_at`,
    ),
    forgetRoute: [
      database.prepare<[number]>('DELETE FROM baseline WHERE route_id = ?'),
      database.prepare<[number]>('DELETE FROM change WHERE route_id = ?'),
      database.prepare<[number]>('DELETE FROM listed WHERE route_id = ?'),
      database.prepare<[number]>('DELETE FROM sent_delete WHERE route_id = ?'),
      // It tells keys without their prefix, which is another one now.
      database.prepare<[number]>('DELETE FROM history WHERE route_id = ?'),
    ],
    forgetStore: database.prepare<[number]>(
      'UPDATE route SET halt = NULL, proved_at = NULL, listed_at = NULL, unverified = 0, trouble = NULL WHERE route_id = ?',
    ),
    forgetCapabilities: database.prepare<[number]>(
      `UPDATE destination SET capabilities = NULL
       WHERE destination_id = (SELECT destination_id FROM route WHERE route_id = ?)`,
    ),
    forgetInaction: database.prepare<[number]>(
      `DELETE FROM baseline WHERE route_id = ? AND outcome IN (${inaction.map((outcome) => `'${outcome}'`).join()})`,
    ),

    findDirectory: integer<[number, string]>('SELECT dir_id FROM directory WHERE folder_id = ? AND path = ?'),
    insertDirectory: integer<[number, number | null, string]>(
      'INSERT INTO directory (folder_id, parent_id, path) VALUES (?, ?, ?) RETURNING dir_id',
    ),
    directoryPath: database.prepare<[number], string>('SELECT path FROM directory WHERE dir_id = ?').pluck(),

    nextGeneration: integer<[]>(
      `INSERT INTO meta (key, value) VALUES ('generation', 1)
       ON CONFLICT (key) DO UPDATE SET value = value + 1 RETURNING value`,
    ),
    firstSeen: integer<[number, number, string]>(
      'SELECT first_seen_at FROM change WHERE route_id = ? AND dir_id = ? AND name = ?',
    ),
    // A conflict is looked at again, and stays listed. A held delete is looked at again unless it was seen absent
    // once more. What tells of the path, but no file there, begins the time anew for which it is absent.
    observe: database.prepare(
      `INSERT INTO change (route_id, dir_id, name, state, generation, first_seen_at, ready_at, since_at,
                           seen_size, seen_mtime_ns, seen_ctime_ns, seen_ino)
       VALUES (@routeId, @directoryId, @name, 'pending', @generation, @firstSeenMs, @readyAtMs, @nowMs,
               @seenSize, @seenMtimeNs, @seenCtimeNs, @seenIno)
       ON CONFLICT (route_id, dir_id, name) DO UPDATE SET
         state = iif(state IN ('failed', 'blocked', 'conflict') OR (state = 'held' AND excluded.seen_size IS NOT -1), 'pending', state),
         absent_at = iif(excluded.seen_size IS -1, absent_at, NULL),
         approved_at = iif(excluded.seen_size IS -1, approved_at, NULL),
         generation = excluded.generation,
         first_seen_at = excluded.first_seen_at,
         ready_at = excluded.ready_at,
         attempts = iif(state = 'claimed', attempts, 0),
         seen_size = excluded.seen_size, seen_mtime_ns = excluded.seen_mtime_ns,
         seen_ctime_ns = excluded.seen_ctime_ns, seen_ino = excluded.seen_ino`,
    ),
    observeObstacle: database.prepare(
      `INSERT INTO change (route_id, dir_id, name, state, generation, ready_at, since_at, code, message)
       VALUES (@routeId, @directoryId, @name, 'blocked', @generation, @nowMs, @nowMs, @reason, @message)
       ON CONFLICT (route_id, dir_id, name) DO UPDATE SET
         state = iif(state IN ('claimed', 'conflict', 'held'), state, 'blocked'),
         generation = excluded.generation,
         code = iif(state IN ('conflict', 'held'), code, excluded.code),
         message = iif(state IN ('conflict', 'held'), message, excluded.message)`,
    ),

    markForApply: database.prepare(
      `INSERT INTO change (route_id, dir_id, name, state, generation, ready_at, since_at, apply,
                           seen_size, seen_mtime_ns, seen_ctime_ns, seen_ino)
       VALUES (@routeId, @directoryId, @name, 'pending', @generation, @nowMs, @nowMs, 1,
               @seenSize, @seenMtimeNs, @seenCtimeNs, @seenIno)
       ON CONFLICT (route_id, dir_id, name) DO UPDATE SET
         apply = 1,
         generation = excluded.generation,
         state = iif(state = 'failed', 'pending', state)`,
    ),
    clearObstacle: database.prepare<[number, Buffer]>(
      `DELETE FROM change WHERE dir_id = ? AND name = ? AND state = 'blocked'`,
    ),

    nextReadyAt: integer<[number, number]>(
      `SELECT ready_at FROM change WHERE route_id = ? AND state = 'pending' AND attempts < ? ORDER BY ready_at LIMIT 1`,
    ),
    claimOldest: claimInOrder(database, 'ready_at'),
    claimNewest: claimInOrder(database, 'ready_at DESC'),
    startAfresh: database.prepare<[number]>(
      `UPDATE change SET state = 'pending', attempts = 0, ready_at = min(ready_at, ?),
                         tried = iif(state = 'claimed', 1, tried)
       WHERE state = 'claimed' OR (state = 'pending' AND attempts > 0)
          OR (state IN ('failed', 'blocked') AND typeof(name) = 'text')`,
    ),
    // A file may have come and gone while nobody looked: its grace begins with the first look of this start.
    witnessAbsenceAnew: database.prepare<[number]>(
      `UPDATE change SET absent_at = NULL, ready_at = min(ready_at, ?)
       WHERE absent_at IS NOT NULL AND held_for IS NULL AND approved_at IS NULL`,
    ),
    deleteChange: database.prepare<[number, number]>(
      'DELETE FROM change WHERE change_id = ? AND generation = ?',
    ),
    beginAgain: database.prepare<[number, number]>(
      `UPDATE change SET state = 'pending', attempts = 0, tried = 0, write_id = NULL, since_at = ?, code = NULL, message = NULL
       WHERE change_id = ?`,
    ),
    lookAgain: database.prepare<[number, number]>(
      `UPDATE change SET state = 'pending', attempts = 0, since_at = ?, code = NULL, message = NULL
       WHERE change_id = ?`,
    ),
    retryLater: database.prepare<[number, string, string, number]>(
      `UPDATE change SET state = 'pending', attempts = attempts + 1, tried = 1,
                         ready_at = max(?, ready_at), code = ?, message = ?
       WHERE change_id = ?`,
    ),
    release: database.prepare<[number, number, number]>(
      `UPDATE change SET state = 'pending', ready_at = max(?, ready_at), tried = max(?, tried) WHERE change_id = ?`,
    ),
    markStuck: database.prepare(
      `UPDATE change SET state = @state, code = @code, message = @message,
                         seen_size = @seenSize, seen_mtime_ns = @seenMtimeNs,
                         seen_ctime_ns = @seenCtimeNs, seen_ino = @seenIno
       WHERE change_id = @changeId AND generation = @generation`,
    ),
    reopenCollisions: database.prepare<[number, number]>(
      `UPDATE change SET state = 'pending', ready_at = ?, attempts = 0
       WHERE route_id = ? AND state = 'blocked' AND code = 'key-collision'`,
    ),
    retry: database.prepare<[number, number]>(
      `UPDATE change SET state = 'pending', ready_at = ?, attempts = 0
       WHERE route_id = ? AND state IN ('failed', 'blocked') AND typeof(name) = 'text'`,
    ),

    baseline: database
      .prepare<[number, number, string], BaselineRow & { sound: bigint }>(
        `SELECT ${baselineColumns}, ${isSound} AS sound FROM baseline WHERE route_id = ? AND dir_id = ? AND name = ?`,
      )
      .safeIntegers(),
    baselineByPath: database
      .prepare<[number, string, string], BaselineRow>(
        `SELECT ${baselineColumns} FROM route JOIN directory USING (folder_id) JOIN baseline USING (route_id, dir_id)
         WHERE route_id = ? AND directory.path = ? AND name = ? AND ${isSound}`,
      )
      .safeIntegers(),
    occupant: database.prepare<
      [{ routeId: number; tail: string; directory: string; name: string }],
      { directory: string; name: string }
    >(
      // The index by name: the planner, which knows nothing of the tables' sizes, would read through the whole route.
      `SELECT directory.path AS directory, name
       FROM baseline INDEXED BY baseline_by_tail JOIN directory USING (dir_id)
       WHERE route_id = @routeId AND tail = @tail AND gone = 0
       UNION ALL
       SELECT directory.path, name FROM route JOIN directory USING (folder_id) JOIN baseline USING (route_id, dir_id)
       WHERE route_id = @routeId AND directory.path = @directory AND name = @name AND tail IS NULL AND gone = 0`,
    ),
    anyTail: integer<[number]>('SELECT 1 FROM baseline WHERE route_id = ? AND tail IS NOT NULL LIMIT 1'),
    forgetFormer: database.prepare<[{ routeId: number; tail: string; directory: string; name: string }]>(
      `DELETE FROM baseline INDEXED BY baseline_by_tail WHERE route_id = @routeId AND tail = @tail AND gone = 1
         AND NOT (name = @name AND (SELECT path FROM directory WHERE dir_id = baseline.dir_id) = @directory)`,
    ),
    forgetFormerPath: database.prepare<[{ routeId: number; directory: string; name: string }]>(
      `DELETE FROM baseline WHERE route_id = @routeId AND name = @name AND tail IS NULL AND gone = 1
         AND dir_id = (SELECT dir_id FROM route JOIN directory USING (folder_id)
                       WHERE route_id = @routeId AND directory.path = @directory)`,
    ),
    upsertBaseline: database.prepare(
      `INSERT OR REPLACE INTO baseline
         (route_id, dir_id, name, outcome, owned, gone, size, mtime_ns, ctime_ns, ino, dev, mode, uid, gid,
          tail, description_id, described_at, etag, version_id, checksum_algorithm, checksum, part_size, transform,
          settled_at, sum)
       VALUES (@routeId, @directoryId, @name, @outcome, @owned, @gone, @size, @mtime_ns, @ctime_ns, @ino, @dev, @mode,
               @uid, @gid, @tail, @descriptionId, @described_at, @etag, @version_id, @checksum_algorithm, @checksum,
               @part_size, @transform, @nowMs, ${sumOf(bound, '@')})`,
    ),
    deleteBaseline: database.prepare<[number, number, string]>(
      'DELETE FROM baseline WHERE route_id = ? AND dir_id = ? AND name = ?',
    ),

    baselinesAfter: database
      .prepare<[number, number, string, number], BaselineRow & { dir_id: bigint }>(
        `SELECT ${baselineColumns} FROM baseline WHERE route_id = ? AND (dir_id, name) > (?, ?)
         ORDER BY dir_id, name LIMIT ?`,
      )
      .safeIntegers(),
    findDescription: integer<[Buffer]>('SELECT description_id FROM description WHERE digest = ?'),
    insertDescription: integer<[Buffer, string]>(
      'INSERT INTO description (digest, text) VALUES (?, ?) RETURNING description_id',
    ),
    descriptionCount: integer<[]>('SELECT count(*) FROM description'),
    sweepDescriptions: database.prepare(
      `DELETE FROM description WHERE description_id NOT IN
         (SELECT description_id FROM baseline WHERE description_id IS NOT NULL)`,
    ),

    insertListed: database.prepare<[number, string, number, string, number]>(
      'INSERT OR REPLACE INTO listed (route_id, tail, size, etag, modified_at) VALUES (?, ?, ?, ?, ?)',
    ),
    findListed: database.prepare<[number, string], { size: number; etag: string; modified_at: number }>(
      'SELECT size, etag, modified_at FROM listed WHERE route_id = ? AND tail = ?',
    ),
    anyListed: integer<[number]>('SELECT 1 FROM listed WHERE route_id = ? LIMIT 1'),
    dropListed: database.prepare<[number, string]>('DELETE FROM listed WHERE route_id = ? AND tail = ?'),
    clearListed: database.prepare<[number]>('DELETE FROM listed WHERE route_id = ?'),
    listedAt: integer<[number]>('SELECT listed_at FROM route WHERE route_id = ?'),
    finishListing: database.prepare<[number, number]>('UPDATE route SET listed_at = ? WHERE route_id = ?'),
    distrust: database.prepare('UPDATE route SET unverified = 1, listed_at = NULL'),
    isUnverified: integer<[number]>('SELECT unverified FROM route WHERE route_id = ?'),
    lookAtUnconfirmed: database.prepare<[{ routeId: number; generation: number; nowMs: number }]>(
      `INSERT INTO change (route_id, dir_id, name, state, generation, ready_at, since_at)
       SELECT route_id, dir_id, name, 'pending', @generation, @nowMs, @nowMs FROM baseline WHERE ${unconfirmed}
       ON CONFLICT (route_id, dir_id, name) DO NOTHING`,
    ),
    forgetUnconfirmed: database.prepare<[{ routeId: number }]>(`DELETE FROM baseline WHERE ${unconfirmed}`),
    verified: database.prepare<[number]>('UPDATE route SET unverified = 0 WHERE route_id = ?'),

    capabilities: database.prepare<[number], { capabilities: string | null; probed_at: number | null }>(
      'SELECT capabilities, probed_at FROM destination WHERE destination_id = ?',
    ),
    recordCapabilities: database.prepare<[string, number, number]>(
      'UPDATE destination SET capabilities = ?, probed_at = ? WHERE destination_id = ?',
    ),
    recordScan: database.prepare<[number, number]>('UPDATE folder SET scanned_at = ? WHERE folder_id = ?'),
    scannedAt: integer<[number]>('SELECT scanned_at FROM folder WHERE folder_id = ?'),

    recordTrouble: database.prepare<[string | null, number]>(
      'UPDATE route SET trouble = ? WHERE route_id = ?',
    ),
    trouble: text<[number]>('SELECT trouble FROM route WHERE route_id = ?'),
    recordSuccess: database.prepare<[number, number]>('UPDATE route SET succeeded_at = ? WHERE route_id = ?'),
    succeededAt: integer<[number]>('SELECT succeeded_at FROM route WHERE route_id = ?'),

    recordFact: database.prepare<[string, string]>('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)'),
    fact: text<[string]>('SELECT value FROM meta WHERE key = ?'),
    countUnsound: database.prepare(
      `INSERT INTO meta (key, value) VALUES ('unsound_rows', 1)
       ON CONFLICT (key) DO UPDATE SET value = value + 1`,
    ),
    unsoundCount: integer<[]>(`SELECT value FROM meta WHERE key = 'unsound_rows'`),
    heartbeat: database.prepare<[number]>(
      `INSERT INTO meta (key, value) VALUES ('heartbeat_at', ?)
       ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
    ),
    takeRoom: database.prepare<[number]>(
      `INSERT OR REPLACE INTO meta (key, value) VALUES ('room', zeroblob(?))`,
    ),
    giveRoomBack: database.prepare(`DELETE FROM meta WHERE key = 'room'`),
    openCount: integer<[number]>(
      `SELECT count(*) FROM change WHERE route_id = ? AND state IN ('pending', 'claimed')`,
    ),
    pendingCounts: database.prepare<
      [number, number],
      { pending: number; retrying: number; oldest: number | null }
    >(
      `SELECT count(*) AS pending, coalesce(sum(attempts > 0), 0) AS retrying,
              min(iif(ready_at <= ? OR attempts > 0, since_at, NULL)) AS oldest
       FROM change WHERE route_id = ? AND state = 'pending'`,
    ),
    claimedCount: integer<[number]>(`SELECT count(*) FROM change WHERE state = 'claimed' AND route_id = ?`),
    stuckCounts: database.prepare<[number], { state: StuckState; count: number }>(
      `SELECT state, count(*) AS count FROM change
       WHERE route_id = ? AND state NOT IN ('pending', 'claimed') GROUP BY state`,
    ),
    baselineCount: integer<[number]>('SELECT count(*) FROM baseline WHERE route_id = ?'),
  };
}

function claimInOrder(database: Database, order: 'ready_at' | 'ready_at DESC') {
  return database.prepare<
    [number, number, number],
    {
      change_id: number;
      dir_id: number;
      name: string | Buffer;
      generation: number;
      attempts: number;
      tried: number;
      write_id: string;
      noticed: number;
      absent_at: number | null;
      held_for: HoldReason | null;
      approved_at: number | null;
      apply: number;
      code: string | null;
    }
  >(
    `UPDATE change SET state = 'claimed', claimed_generation = generation, first_seen_at = NULL,
                       write_id = coalesce(write_id, lower(hex(randomblob(8))))
     WHERE change_id IN (SELECT change_id FROM change
                         WHERE route_id = ? AND state = 'pending' AND ready_at <= ?
                         ORDER BY ${order} LIMIT ?)
     RETURNING change_id, dir_id, name, generation, attempts, tried, write_id, seen_size IS NULL AS noticed,
               absent_at, held_for, approved_at, apply, code`,
  );
}

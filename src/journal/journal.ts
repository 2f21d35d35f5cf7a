// Journal: the durable memory between what was seen and what is in S3.
// Invariants:
// - one change per (route, path) over all states, so at most one operation per key is under way
// - a completion deletes its change only if nothing was observed since it was claimed; otherwise the path is looked at again
// - no claim survives a crash: open returns claimed changes to pending
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import type { RouteIdentity } from '../config/config.ts';
import type { SettledOutcome } from '../core/action.ts';
import type { Baseline } from '../core/baseline.ts';
import type { Conflict, OpenConflict } from '../core/conflict.ts';
import type { Sighting } from '../core/file.ts';
import type { FailureClass } from '../core/failure.ts';
import type { HistoryEntry } from '../core/history.ts';
import type { HoldReason } from '../core/safety.ts';
import { systemClock, type Clock } from '../edge/clock.ts';
import { directoryOf, joinPath, nameOf } from '../core/key.ts';
import type { Observation, Obstacle } from '../core/observation.ts';
import { readyAtMs } from '../core/schedule.ts';
import { dayOf, type Usage } from '../core/usage.ts';
import { Deletes } from './deletes.ts';
import { Origins } from './origins.ts';
import { Conflicts } from './conflicts.ts';
import { Failures } from './failures.ts';
import { History } from './history.ts';
import { Disk, diskTroubleIn, JournalUnusable } from './disk.ts';
import { Halts } from './halts.ts';
import {
  baselineFromRow,
  rowFromBaseline,
  rowFromFingerprint,
  type BaselineRow,
  type StuckState,
} from './rows.ts';
import { prepareStatements, type Statements } from './statements.ts';
import { continueLineage } from './lineage.ts';
import { migrate, refuseForeign, schemaVersion, versionOf } from './schema.ts';
import { assertSound, damageIn, registerSum, sealed, setAside, unsealed } from './soundness.ts';
import { makePrivate, secureStateDir } from './state-dir.ts';
import { Uploads } from './uploads.ts';
import { Usages } from './usages.ts';

/** A change taken to be handled. */
export interface Claim {
  readonly changeId: number;
  readonly routeId: number;
  readonly directoryId: number;
  readonly path: string;
  readonly generation: number;
  /** Tries that failed before this one. */
  readonly attempts: number;
  /** Of its last failure, or the reason for which it waited. */
  readonly lastCode: string | undefined;
  /** An earlier try did not end, or not with an answer: it may have been carried out. */
  readonly tried: boolean;
  /** What its writes carry in S3, so that one whose answer was lost is known for ours: the same until it is settled. */
  readonly writeId: string;
  /** An event told of it, which knows nothing of the file; a scan tells what it saw. */
  readonly noticed: boolean;
  /** Its object is to be brought in line with the rules. */
  readonly apply: boolean;
  readonly baseline: Baseline | undefined;
  /** What the first contact's listing found at the key that ends in the path. */
  readonly listed: ListedObject | undefined;
  /** The first look that found no file at the path. */
  readonly absentSinceMs: number | undefined;
  /** Why its delete was held, which lasts until a person answers. */
  readonly heldFor: HoldReason | undefined;
  /** A person let its delete go. */
  readonly isApproved: boolean;
  /** Found before and still open, or decided and to be carried out. */
  readonly conflict: OpenConflict | undefined;
}

/** How the handling of a claim ended. */
export type Completion = {
  readonly claim: Claim;
  readonly end:
    /** Done. `baseline` replaces what was known; null forgets it; undefined leaves it. `isDelete`: its object was deleted, and counts as that. */
    | { readonly kind: 'settled'; readonly baseline?: Baseline | null; readonly isDelete?: boolean }
    /** There is no file, and its delete waits until then for another look. */
    | { readonly kind: 'absent'; readonly readyAtMs: number }
    /** There is no file, and its delete waits for a person. */
    | { readonly kind: 'held'; readonly reason: HoldReason; readonly message: string }
    /** To be tried again at `readyAtMs`, counted as an attempt. */
    | {
        readonly kind: 'retry';
        readonly readyAtMs: number;
        readonly code: string;
        readonly message: string;
      }
    /** Not the change's fault (route paused, file not at rest): back to pending, no attempt counted. */
    | { readonly kind: 'released'; readonly readyAtMs: number; readonly tried: boolean }
    | {
        readonly kind: 'stuck';
        readonly state: StuckState;
        readonly code: string;
        readonly message: string;
        readonly seen: Sighting;
      }
    /** A person has to decide. */
    | { readonly kind: 'conflict'; readonly conflict: Conflict; readonly seen: Sighting };
  /** There was a file at the path of a change that had been found absent. */
  readonly isBack?: boolean;
  /** Absent where it is not to be remembered. */
  readonly entry?: HistoryEntry | undefined;
};

export interface RouteRow {
  readonly routeId: number;
  readonly folderId: number;
  readonly destinationId: number;
  readonly listedAtMs: number | undefined;
}

/** What keeps a whole route from working; kept, so that `status` can tell it when no daemon runs. */
export interface RouteTrouble {
  readonly class: FailureClass | 'unenforceable';
  readonly code: string;
  readonly message: string;
  readonly sinceMs: number;
}

export interface ListedObject {
  /** What follows the prefix in its key. */
  readonly tail: string;
  readonly size: number;
  readonly etag: string;
  readonly lastModifiedMs: number;
}

/** A path with what is known of it. */
export interface KnownBaseline {
  readonly directoryId: number;
  readonly path: string;
  readonly baseline: Baseline;
}

const baselinesPerPage = 1_000;

/** A table of so many is a few megabytes, and looking at a million baselines for the ones in use takes a second. */
const descriptionsMany = 10_000;

/** What was wrong with the journal at a start. */
export interface Recovery {
  readonly kind: 'damaged' | 'copy' | 'lost';
  readonly atMs: number;
  readonly why?: string;
  /** Where the damaged file is. */
  readonly kept?: string;
}

export interface RouteCounts {
  readonly pending: number;
  readonly claimed: number;
  /** Pending changes whose last attempt failed. */
  readonly retrying: number;
  readonly failed: number;
  readonly conflict: number;
  readonly blocked: number;
  readonly held: number;
  readonly baselines: number;
  /** Since when the oldest change is not in S3 that is ready, or failed and is tried again. */
  readonly oldestReadyMs: number | undefined;
}

/** File names in the state directory. */
export function journalFile(stateDir: string): string {
  return path.join(stateDir, 'journal.db');
}

export class Journal {
  readonly uploads: Uploads;
  readonly usages: Usages;
  readonly deletes: Deletes;
  readonly origins: Origins;
  readonly conflicts: Conflicts;
  readonly failures: Failures;
  readonly history: History;
  readonly halts: Halts;
  readonly disk: Disk;
  readonly #database: Database.Database;
  readonly #lock: Database.Database | undefined;
  readonly #clock: Clock;
  readonly #sql: Statements;
  /** Routes with or without rows in `listed`, as far as that was asked. */
  readonly #listings = new Map<number, boolean>();

  private constructor(database: Database.Database, lock: Database.Database | undefined, clock: Clock) {
    this.#database = database;
    this.#lock = lock;
    this.#clock = clock;
    this.#sql = prepareStatements(database);
    this.uploads = new Uploads(database);
    this.usages = new Usages(database);
    this.deletes = new Deletes(database);
    this.origins = new Origins(database);
    this.conflicts = new Conflicts(database);
    this.failures = new Failures(database);
    this.history = new History(database);
    this.halts = new Halts(database);
    this.disk = new Disk(path.dirname(database.name), clock, () => this.#proveRoom());
  }

  /**
   * Opens the journal for writing, as the only process that does.
   * @throws JournalInUse when another s3syncd holds it; JournalUnusable when its disk is full or failing; Error on anything
   * else that makes it unusable
   */
  static open(stateDir: string, clock: Clock = systemClock): Journal {
    let lock: Database.Database | undefined;
    try {
      secureStateDir(stateDir);
      refuseNetworkFileSystem(stateDir);
      lock = takeLock(stateDir);
      const journal = Journal.#openOrRebuild(journalFile(stateDir), lock, clock);
      // Claims do not survive their process; and whoever starts it may have mended what kept others from succeeding.
      journal.#sql.startAfresh.run(clock.now());
      journal.#sql.witnessAbsenceAnew.run(clock.now());
      journal.usages.forgetOld(dayOf(clock.now()));
      journal.history.sweepAll(clock.now());
      journal.#sweepDescriptions();
      return journal;
    } catch (error) {
      lock?.close();
      throw unusable(stateDir, error) ?? error;
    }
  }

  /** A damaged journal is set aside for an empty one, which owns nothing until files and objects were compared. */
  static #openOrRebuild(file: string, lock: Database.Database, clock: Clock): Journal {
    try {
      return Journal.#openSound(file, lock, clock);
    } catch (error) {
      const why = damageIn(error);
      if (why === undefined) throw error;
      const atMs = clock.now();
      const kept = setAside(file, atMs);
      const journal = Journal.#openSound(file, lock, clock);
      journal.#recordRecovery({ kind: 'damaged', atMs, why, kept });
      return journal;
    }
  }

  static #openSound(file: string, lock: Database.Database, clock: Clock): Journal {
    makePrivate(file);
    const database = openDatabase(file, {});
    try {
      // Before anything is written: what is set aside should be as it was found.
      assertSound(database);
      configure(database);
      migrate(database);
      const journal = new Journal(database, lock, clock);
      const lineage = continueLineage(database, file);
      if (lineage === 'copy' || lineage === 'lost') {
        journal.#sql.distrust.run();
        journal.#recordRecovery({ kind: lineage, atMs: clock.now() });
      }
      return journal;
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /**
   * Opens an existing journal to look into it, beside a daemon or without one.
   * @returns undefined when there is none yet
   */
  static openReadOnly(stateDir: string): Journal | undefined {
    const file = journalFile(stateDir);
    // One that may not be looked at is not absent: that is an error.
    if (!fs.statSync(file, { throwIfNoEntry: false })) return undefined;
    try {
      const database = openDatabase(file, { readonly: true, fileMustExist: true });
      const version = versionOf(database);
      if (version === schemaVersion) return new Journal(database, undefined, systemClock);
      database.close();
      if (version === 0) return undefined;
    } catch (error) {
      const why = damageIn(error);
      if (why === undefined) throw error;
      throw new Error(`${file} is damaged: ${why}. The next start sets it aside and builds a new one.`, {
        cause: error,
      });
    }
    throw new Error(`${file} was written by an older s3syncd: start this one once to bring it up to date.`);
  }

  close(): void {
    this.disk.stop();
    if (!this.#database.readonly) this.#takeOverLog();
    this.#database.close();
    this.#lock?.close();
  }

  /** Runs `work` as one durable transaction. */
  transaction<T>(work: () => T): T {
    return this.#database.transaction(work).immediate();
  }

  /**
   * Makes the route known. What no longer holds is forgotten: another place has no baselines, another policy takes
   * its decisions not to act again.
   */
  registerRoute(route: RouteIdentity): RouteRow {
    return this.transaction(() => {
      const sql = this.#sql;
      const folderId = sql.upsertFolder.get(route.folder, route.folderPath)!;
      const destinationId = sql.upsertDestination.get(route.destination, route.store)!;
      const before = sql.findRoute.get(folderId, destinationId);
      if (before && before.identity !== route.identity) {
        this.#forgetRoute(before.route_id);
      } else if (before && before.judgement !== route.judgement) {
        sql.forgetInaction.run(before.route_id);
        this.conflicts.lookAgain(before.route_id, this.#clock.now());
      }
      const row = sql.upsertRoute.get(folderId, destinationId, route.identity, route.judgement)!;
      return {
        routeId: row.route_id,
        folderId,
        destinationId,
        listedAtMs: row.listed_at ?? undefined,
      };
    });
  }

  #forgetRoute(routeId: number): void {
    this.uploads.leave(routeId);
    for (const forget of this.#sql.forgetRoute) forget.run(routeId);
  }

  /** Forgets all that a halted route knows of its store, as if it had never been there. */
  beginAnew(routeId: number): void {
    this.transaction(() => {
      this.#forgetRoute(routeId);
      this.#sql.forgetStore.run(routeId);
      this.#sql.forgetCapabilities.run(routeId);
    });
    this.#listings.delete(routeId);
  }

  /** The route's row if it is known and still the same place: for readers, who may not register. */
  findRoute(route: RouteIdentity): RouteRow | undefined {
    const row = this.#sql.findRouteByNames.get(route.folder, route.destination);
    if (row?.identity !== route.identity) return undefined;
    return {
      routeId: row.route_id,
      folderId: row.folder_id,
      destinationId: row.destination_id,
      listedAtMs: row.listed_at ?? undefined,
    };
  }

  /**
   * Remembers paths to look at, for every given route.
   * @param settle how long a path that is being written is left alone
   */
  observe(
    folderId: number,
    routeIds: readonly number[],
    observations: readonly Observation[],
    settle: { settleMs: number; settleMaxMs: number },
    nowMs: number,
  ): void {
    if (observations.length === 0) return;
    const sql = this.#sql;
    this.transaction(() => {
      const generation = sql.nextGeneration.get()!;
      for (const { directory, name, seen, routeIds: only } of observations) {
        const directoryId = this.#directoryId(folderId, directory);
        for (const routeId of only ?? routeIds) {
          const firstSeenMs = sql.firstSeen.get(routeId, directoryId, name) ?? nowMs;
          sql.observe.run({
            routeId,
            directoryId,
            name,
            generation,
            nowMs,
            firstSeenMs,
            readyAtMs: observedReadyAt(seen, firstSeenMs, settle, nowMs),
            ...seenRow(seen),
          });
        }
      }
    });
  }

  /** Remembers names that cannot be synced, and why. */
  observeObstacles(
    folderId: number,
    routeIds: readonly number[],
    obstacles: readonly Obstacle[],
    nowMs: number,
  ): void {
    if (obstacles.length === 0) return;
    const sql = this.#sql;
    this.transaction(() => {
      const generation = sql.nextGeneration.get()!;
      for (const { directory, name, reason, message } of obstacles) {
        const directoryId = this.#directoryId(folderId, directory);
        for (const routeId of routeIds) {
          sql.observeObstacle.run({
            routeId,
            directoryId,
            name: typeof name === 'string' ? name : Buffer.from(name),
            generation,
            nowMs,
            reason,
            message,
          });
        }
      }
    });
  }

  /** Forgets obstacles that are there no more. */
  clearObstacles(folderId: number, names: readonly { directory: string; name: Uint8Array }[]): void {
    if (names.length === 0) return;
    this.transaction(() => {
      for (const { directory, name } of names) {
        this.#sql.clearObstacle.run(this.#directoryId(folderId, directory), Buffer.from(name));
      }
    });
  }

  /** Ends claims and takes the next ones, in one transaction: one fsync for both. */
  turn(work: {
    readonly completions: readonly Completion[];
    /** What was asked of the store meanwhile. */
    readonly usages?: readonly Usage[];
    readonly routeId: number;
    readonly want: number;
    /** Of those that are ready: the ones that are for longest, or for the shortest time. */
    readonly order: 'oldest' | 'newest';
    readonly nowMs: number;
  }): Claim[] {
    const { usages = [] } = work;
    const isDone = work.completions.length + usages.length === 0;
    if (isDone && this.nextReadyAtMs(work.routeId) > work.nowMs) return [];
    return this.transaction(() => {
      this.usages.record(work.routeId, usages, dayOf(work.nowMs));
      for (const completion of work.completions) {
        this.#complete(completion, work.nowMs);
        this.#remember(completion, work.nowMs);
      }
      if (work.completions.some(confirmsWrite)) this.#sql.recordSuccess.run(work.nowMs, work.routeId);
      if (work.completions.some(freesKey)) this.#sql.reopenCollisions.run(work.nowMs, work.routeId);
      return work.want > 0 ? this.#claim(work) : [];
    });
  }

  /**
   * When the route's next pending change is ready; Infinity when none is pending.
   * @param attemptsMax leaves out changes that were tried that often
   */
  nextReadyAtMs(routeId: number, attemptsMax = Number.MAX_SAFE_INTEGER): number {
    return this.#sql.nextReadyAt.get(routeId, attemptsMax) ?? Infinity;
  }

  /** Makes failed and blocked changes of a route pending again. */
  retry(routeId: number, nowMs: number): number {
    return this.transaction(() => this.#sql.retry.run(nowMs, routeId).changes);
  }

  /** The path of the file whose object has the key that ends so. */
  occupant(routeId: number, tail: string): string | undefined {
    const row = this.#sql.occupant.get({
      routeId,
      tail,
      directory: directoryOf(tail),
      name: nameOf(tail),
    });
    return row && joinPath(row.directory, row.name);
  }

  /** True when an object of the route has another key than its file's path. */
  hasTails(routeId: number): boolean {
    return this.#sql.anyTail.get(routeId) !== undefined;
  }

  baseline(routeId: number, filePath: string): Baseline | undefined {
    const row = this.#sql.baselineByPath.get(routeId, directoryOf(filePath), nameOf(filePath));
    return row && baselineFromRow(row);
  }

  /** Everything that is known of a route, in pages: each one a short read. */
  *baselines(routeId: number): Generator<readonly KnownBaseline[]> {
    for (let after: [number, string] = [0, '']; ;) {
      const rows = this.#sql.baselinesAfter.all(routeId, ...after, baselinesPerPage);
      const last = rows.at(-1);
      if (!last) return;
      after = [Number(last.dir_id), last.name];
      yield rows.map((row) => {
        const directoryId = Number(row.dir_id);
        const filePath = joinPath(this.#sql.directoryPath.get(directoryId)!, row.name);
        return { directoryId, path: filePath, baseline: baselineFromRow(row) };
      });
    }
  }

  /** Remembers objects that are to be brought in line with the rules. Their files are known as they are. */
  markForApply(routeId: number, known: readonly KnownBaseline[], nowMs: number): void {
    if (known.length === 0) return;
    this.transaction(() => {
      const generation = this.#sql.nextGeneration.get()!;
      for (const { directoryId, path: filePath, baseline } of known) {
        const name = nameOf(filePath);
        const seen = seenRow(baseline.file);
        this.#sql.markForApply.run({ routeId, directoryId, name, generation, nowMs, ...seen });
      }
    });
  }

  /** Stores one page of the first contact's listing. */
  recordListing(routeId: number, objects: readonly ListedObject[]): void {
    this.#listings.delete(routeId);
    this.transaction(() => {
      for (const object of objects) {
        this.#sql.insertListed.run(routeId, object.tail, object.size, object.etag, object.lastModifiedMs);
      }
    });
  }

  /** True once the first contact's listing was taken in full. */
  isListed(routeId: number): boolean {
    return this.#sql.listedAt.get(routeId) != null;
  }

  finishListing(routeId: number, nowMs: number): void {
    this.transaction(() => {
      const sql = this.#sql;
      if (sql.isUnverified.get(routeId) === 1) {
        // Files and objects meet anew; what is neither here nor as it was there is nobody's, and not to be deleted.
        sql.lookAtUnconfirmed.run({ routeId, generation: sql.nextGeneration.get()!, nowMs });
        sql.forgetUnconfirmed.run({ routeId });
        sql.verified.run(routeId);
      }
      sql.finishListing.run(nowMs, routeId);
    });
  }

  /** What was wrong with the journal at the last start where something was. */
  get recovery(): Recovery | undefined {
    const json = unsealed(this.#sql.fact.get('recovery') ?? '');
    return json === undefined ? undefined : (JSON.parse(json) as Recovery);
  }

  /** Rows that were found damaged, and dropped, since the journal was begun. */
  get unsoundRows(): number {
    return this.#sql.unsoundCount.get() ?? 0;
  }

  #recordRecovery(recovery: Recovery): void {
    this.#sql.recordFact.run('recovery', sealed(JSON.stringify(recovery)));
  }

  /** Empties a listing that was begun, or is used up. */
  clearListing(routeId: number): void {
    this.#sql.clearListed.run(routeId);
    this.#listings.set(routeId, false);
  }

  /** After the first contact there is no listing, and no row is looked for in it. */
  hasListing(routeId: number): boolean {
    let listed = this.#listings.get(routeId);
    if (listed === undefined) {
      listed = this.#sql.anyListed.get(routeId) !== undefined;
      this.#listings.set(routeId, listed);
    }
    return listed;
  }

  listed(routeId: number, tail: string): ListedObject | undefined {
    if (!this.hasListing(routeId)) return undefined;
    const row = this.#sql.findListed.get(routeId, tail);
    return row && { tail, size: row.size, etag: row.etag, lastModifiedMs: row.modified_at };
  }

  /** The store's capabilities as they were probed, and when. */
  capabilities(destinationId: number): { json: string; probedAtMs: number } | undefined {
    const row = this.#sql.capabilities.get(destinationId);
    const json = unsealed(row?.capabilities ?? '');
    return json === undefined ? undefined : { json, probedAtMs: row?.probed_at ?? 0 };
  }

  recordCapabilities(destinationId: number, json: string, nowMs: number): void {
    this.#sql.recordCapabilities.run(sealed(json), nowMs, destinationId);
  }

  recordScan(folderId: number, nowMs: number): void {
    this.#sql.recordScan.run(nowMs, folderId);
  }

  scannedAtMs(folderId: number): number | undefined {
    return this.#sql.scannedAt.get(folderId) ?? undefined;
  }

  recordTrouble(routeId: number, trouble: RouteTrouble | undefined): void {
    this.#sql.recordTrouble.run(trouble ? sealed(JSON.stringify(trouble)) : null, routeId);
  }

  trouble(routeId: number): RouteTrouble | undefined {
    const json = unsealed(this.#sql.trouble.get(routeId) ?? '');
    return json === undefined ? undefined : (JSON.parse(json) as RouteTrouble);
  }

  succeededAtMs(routeId: number): number | undefined {
    return this.#sql.succeededAt.get(routeId) ?? undefined;
  }

  /** @throws when the journal cannot be written: the disk is full, read-only or broken */
  proveWritable(nowMs: number): void {
    this.#sql.heartbeat.run(nowMs);
  }

  /**
   * A heartbeat may find its place in the log on a full disk, where the ends of changes do not.
   * @throws when there is no room
   */
  #proveRoom(): void {
    // What the log holds of pages that the journal has makes room within the log.
    this.#database.pragma('wal_checkpoint(PASSIVE)');
    this.#sql.takeRoom.run(roomBytes);
    this.#sql.giveRoomBack.run();
  }

  /** So that the log is gone after an orderly end; where that cannot be done the next start does it. */
  #takeOverLog(): void {
    try {
      this.#database.pragma('wal_checkpoint(TRUNCATE)');
    } catch (error) {
      if (!diskTroubleIn(error)) throw error;
    }
  }

  /** Changes that are not done: pending or claimed. */
  openCount(routeId: number): number {
    return this.#sql.openCount.get(routeId)!;
  }

  counts(routeId: number, nowMs = this.#clock.now()): RouteCounts {
    const sql = this.#sql;
    const stuck = new Map(sql.stuckCounts.all(routeId).map((row) => [row.state, row.count]));
    const pending = sql.pendingCounts.get(nowMs, routeId)!;
    return {
      pending: pending.pending,
      retrying: pending.retrying,
      claimed: sql.claimedCount.get(routeId)!,
      failed: stuck.get('failed') ?? 0,
      conflict: this.conflicts.count(routeId),
      blocked: stuck.get('blocked') ?? 0,
      held: stuck.get('held') ?? 0,
      baselines: sql.baselineCount.get(routeId)!,
      oldestReadyMs: pending.oldest ?? undefined,
    };
  }

  #claim({ routeId, want, order, nowMs }: Parameters<Journal['turn']>[0]): Claim[] {
    const statement = order === 'oldest' ? this.#sql.claimOldest : this.#sql.claimNewest;
    return statement.all(routeId, nowMs, want).map((row) => {
      assert(typeof row.name === 'string', 'a name that is not UTF-8 is always blocked, never claimed');
      const baseline = this.#soundBaseline(routeId, row.dir_id, row.name);
      const filePath = joinPath(this.#sql.directoryPath.get(row.dir_id)!, row.name);
      return {
        changeId: row.change_id,
        routeId,
        directoryId: row.dir_id,
        path: filePath,
        generation: row.generation,
        attempts: row.attempts,
        lastCode: row.code ?? undefined,
        tried: row.tried === 1,
        writeId: row.write_id,
        noticed: row.noticed === 1,
        apply: row.apply === 1,
        baseline: baseline && baselineFromRow(baseline),
        listed: this.listed(routeId, filePath),
        absentSinceMs: row.absent_at ?? undefined,
        heldFor: row.held_for ?? undefined,
        isApproved: row.approved_at !== null,
        conflict: this.conflicts.find(row.change_id),
      };
    });
  }

  /** A row that is not as it was written is dropped: its path is compared with its object as if for the first time. */
  #soundBaseline(routeId: number, directoryId: number, name: string): BaselineRow | undefined {
    const row = this.#sql.baseline.get(routeId, directoryId, name);
    if (row?.sound !== 0n) return row;
    this.#sql.deleteBaseline.run(routeId, directoryId, name);
    this.#sql.countUnsound.run();
    return undefined;
  }

  #complete({ claim, end, isBack }: Completion, nowMs: number): void {
    const sql = this.#sql;
    const { changeId, generation } = claim;
    if (isBack) this.deletes.returned(changeId);
    switch (end.kind) {
      case 'settled': {
        this.#recordBaseline(claim, end.baseline, nowMs);
        this.uploads.settle(claim.routeId, claim.path);
        if (end.isDelete && !claim.isApproved) this.deletes.sent(claim.routeId, nowMs);
        const done = sql.deleteChange.run(changeId, generation).changes === 1;
        if (done) return;
        sql.beginAgain.run(nowMs, changeId);
        this.conflicts.end(changeId);
        return;
      }
      case 'absent':
        if (!this.deletes.absent(changeId, generation, end.readyAtMs, nowMs))
          sql.lookAgain.run(nowMs, changeId);
        return;
      case 'held':
        this.deletes.held(changeId, end.reason, nowMs);
        this.#stop(claim, { ...end, state: 'held', code: end.reason, seen: 'absent' }, nowMs);
        return;
      case 'retry':
        sql.retryLater.run(end.readyAtMs, end.code, end.message, changeId);
        return;
      case 'released':
        sql.release.run(end.readyAtMs, end.tried ? 1 : 0, changeId);
        return;
      case 'stuck':
        this.#stop(claim, end, nowMs);
        return;
      case 'conflict':
        this.conflicts.record(claim, end.conflict, nowMs);
        this.#stop(claim, { ...end, state: 'conflict', code: end.conflict.reason, message: null }, nowMs);
        return;
    }
  }

  #remember({ claim, end, entry }: Completion, nowMs: number): void {
    if (!entry) return;
    const baseline = end.kind === 'settled' ? end.baseline : undefined;
    const { tail } = baseline ?? claim.baseline ?? {};
    const written = { name: nameOf(claim.path), tail, versionId: baseline?.versionId };
    this.history.record(claim, { ...entry, ...written }, nowMs);
  }

  /** Leaves a change until something other than time moves it; at once where that has happened meanwhile. */
  #stop(
    { changeId, generation }: Claim,
    { state, code, message, seen }: { state: string; code: string; message: string | null; seen: Sighting },
    nowMs: number,
  ): void {
    const { markStuck, lookAgain } = this.#sql;
    const stopped = markStuck.run({ changeId, generation, state, code, message, ...seenRow(seen) });
    if (stopped.changes === 0) lookAgain.run(nowMs, changeId);
  }

  #recordBaseline(claim: Claim, baseline: Baseline | null | undefined, nowMs: number): void {
    if (baseline === undefined) return;
    const { routeId, directoryId } = claim;
    const name = nameOf(claim.path);
    if (baseline === null) this.#sql.deleteBaseline.run(routeId, directoryId, name);
    else {
      const descriptionId = baseline.recorded ? this.#descriptionId(baseline.recorded.text) : null;
      const row = { routeId, directoryId, name, nowMs, descriptionId, ...rowFromBaseline(baseline) };
      this.#sql.upsertBaseline.run(row);
      this.#forgetFormer(claim, baseline);
    }
    if (this.hasListing(routeId)) this.#sql.dropListed.run(routeId, baseline?.tail ?? claim.path);
  }

  /** An object that was kept of a deleted file, and that another file's key names now, is that one's. */
  #forgetFormer({ routeId, path: filePath }: Claim, { tail = filePath }: Baseline): void {
    const [directory, name] = [directoryOf(filePath), nameOf(filePath)];
    this.#sql.forgetFormer.run({ routeId, directory, name, tail });
    if (tail === filePath) return;
    this.#sql.forgetFormerPath.run({ routeId, directory: directoryOf(tail), name: nameOf(tail) });
  }

  #descriptionId(text: string): number {
    const digest = createHash('sha256').update(text).digest().subarray(0, 16);
    return this.#sql.findDescription.get(digest) ?? this.#sql.insertDescription.get(digest, text)!;
  }

  /** Forgets what is said of no object any more; where texts are few, which is usual, that is not worth a look at all objects. */
  #sweepDescriptions(): void {
    if (this.#sql.descriptionCount.get()! > descriptionsMany) this.#sql.sweepDescriptions.run();
  }

  #directoryId(folderId: number, directory: string): number {
    const found = this.#sql.findDirectory.get(folderId, directory);
    if (found !== undefined) return found;
    const parentId = directory === '' ? null : this.#directoryId(folderId, directoryOf(directory));
    return this.#sql.insertDirectory.get(folderId, parentId, directory)!;
  }
}

const writes: readonly SettledOutcome[] = ['uploaded', 'recreated', 'copied', 'meta-updated'];

function confirmsWrite({ end }: Completion): boolean {
  const outcome = end.kind === 'settled' ? end.baseline?.outcome : undefined;
  return outcome !== undefined && writes.includes(outcome);
}

/** Another file may want the key that this one had. */
function freesKey({ claim, end }: Completion): boolean {
  if (end.kind !== 'settled' || end.baseline === undefined || !claim.baseline) return false;
  return end.baseline === null || end.baseline.gone || end.baseline.tail !== claim.baseline.tail;
}

/** What a turn of all drains may take: some hundred pages. */
const roomBytes = 512 * 1024;

/** Undefined where the error says nothing of the disk. */
function unusable(stateDir: string, error: unknown): JournalUnusable | undefined {
  const { code, message } = error as NodeJS.ErrnoException;
  const isFull = code === 'ENOSPC' || code === 'EDQUOT';
  const found = isFull ? { kind: 'full' as const, code } : diskTroubleIn(error);
  if (!found) return undefined;
  const advice =
    found.kind === 'full' ? 'free some space on its disk' : 'is its disk failing, or mounted read-only?';
  const what = `the journal in ${stateDir} cannot be opened (${found.code}: ${message}): ${advice}`;
  return new JournalUnusable(found.kind, what, error);
}

/** Another process holds the state directory. */
export class JournalInUse extends Error {
  override readonly name = 'JournalInUse';
}

/**
 * When an observed path is ready. A scan that finds a file at rest for longer than `settle` need not wait; a file
 * that a scan sees being written waits as if its last write had been an event.
 */
function observedReadyAt(
  seen: Sighting | undefined,
  firstSeenMs: number,
  settle: { settleMs: number; settleMaxMs: number },
  nowMs: number,
): number {
  if (seen === undefined || seen === 'absent') return readyAtMs(nowMs, firstSeenMs, settle);
  const touchedMs = Number((seen.ctimeNs > seen.mtimeNs ? seen.ctimeNs : seen.mtimeNs) / 1_000_000n);
  const lastWriteMs = Math.min(touchedMs, nowMs);
  return Math.max(nowMs, Math.min(lastWriteMs + settle.settleMs, firstSeenMs + settle.settleMaxMs));
}

function seenRow(seen: Sighting | undefined) {
  if (seen === undefined) return { seenSize: null, seenMtimeNs: null, seenCtimeNs: null, seenIno: null };
  if (seen === 'absent') return { seenSize: -1, seenMtimeNs: 0, seenCtimeNs: 0, seenIno: 0 };
  const row = rowFromFingerprint(seen);
  return { seenSize: row.size, seenMtimeNs: row.mtime_ns, seenCtimeNs: row.ctime_ns, seenIno: row.ino };
}

/** SQLite's write-ahead log needs shared memory that all its users see: no network file system has it. */
const networkFileSystems = new Map([
  [0x6969, 'NFS'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB'],
  [0x01021997, '9p'],
]);

function refuseNetworkFileSystem(stateDir: string): void {
  const kind = networkFileSystems.get(fs.statfsSync(stateDir).type);
  if (kind === undefined) return;
  throw new Error(
    `state-dir ${stateDir} is on ${kind}, where a SQLite journal is not safe. Set state-dir to a local disk.`,
  );
}

/** An exclusive lock on a database of its own: it dies with its process, and readers of the journal are not shut out. */
function takeLock(stateDir: string): Database.Database {
  const file = path.join(stateDir, 'lock.db');
  makePrivate(file);
  const lock = new Database(file, { timeout: 0 });
  try {
    lock.pragma('journal_mode = DELETE');
    lock.exec('BEGIN EXCLUSIVE');
    return lock;
  } catch (error) {
    lock.close();
    if ((error as { code?: string }).code !== 'SQLITE_BUSY') throw error;
    throw new JournalInUse(
      `another s3syncd is using ${stateDir}. Stop it first, or give this one a state-dir of its own.`,
      { cause: error },
    );
  }
}

/** @throws Error when the file cannot be this program's journal; it is not touched then */
function openDatabase(file: string, options: Database.Options): Database.Database {
  const database = new Database(file, options);
  try {
    refuseForeign(database);
    registerSum(database);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** The oldest SQLite without the WAL-reset corruption race of 3.7.0 to 3.51.2. */
const sqliteVersionMin = [3, 51, 3] as const;

function configure(database: Database.Database): void {
  const version = database.prepare('SELECT sqlite_version()').pluck().get() as string;
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number);
  const [minMajor, minMinor, minPatch] = sqliteVersionMin;
  const number = (major * 1000 + minor) * 1000 + patch;
  assert(
    number >= (minMajor * 1000 + minMinor) * 1000 + minPatch,
    `SQLite ${version} can corrupt a write-ahead log; ${sqliteVersionMin.join('.')} or newer is needed`,
  );
  database.pragma('auto_vacuum = INCREMENTAL'); // takes effect before the first table only
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = FULL'); // WAL's default NORMAL loses acknowledged commits in a power cut
  database.pragma('wal_autocheckpoint = 4000'); // 16 MiB; 1000 costs 50 kB of writes per random update
  database.pragma('journal_size_limit = 67108864');
  database.pragma('busy_timeout = 5000');
  database.pragma('foreign_keys = ON');
  database.pragma('trusted_schema = OFF');
  database.pragma('cell_size_check = ON');
  database.pragma('cache_size = -8000'); // changes come and go in key order: 8 MB do as well as the default 16
  database.pragma('temp_store = MEMORY');
}

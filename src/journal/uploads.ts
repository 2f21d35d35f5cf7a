// Multipart uploads under way, so that a restart goes on where the last one stopped.
import type { Database } from 'better-sqlite3';
import type { Fingerprint } from '../core/file.ts';
import { directoryOf, joinPath, nameOf } from '../core/key.ts';
import { fingerprintFromRow, rowFromFingerprint, type FingerprintRow } from './rows.ts';

export interface UploadPart {
  readonly partNumber: number;
  readonly etag: string;
  /** Base64 of the part's checksum, in the destination's algorithm. */
  readonly checksum?: string;
}

export interface UploadRecord {
  readonly uploadRow: number;
  readonly key: string;
  /** '' from before the store is asked for an upload until it was told which one it made. */
  readonly uploadId: string;
  readonly beganMs: number;
  readonly file: Fingerprint;
  readonly partSize: number;
  /** Digest of the headers and tags that were given at its creation. */
  readonly description: string;
  readonly parts: readonly UploadPart[];
}

interface UploadRow extends FingerprintRow {
  upload_row: bigint;
  key: string;
  upload_id: string;
  part_size: bigint;
  created_at: bigint;
  description: string;
}

/** An upload that no change ends any more. */
export interface LeftUpload {
  readonly key: string;
  /** '' for one that the store never named, if it made one. */
  readonly uploadId: string;
  readonly beganMs: number;
}

export class Uploads {
  readonly #database: Database;
  readonly #sql: ReturnType<typeof prepare>;

  /**
   * Paths that may have an upload. Every change asks for its own, hardly any has one, and a query outside of a
   * transaction costs 65 µs of locking: a fifth of what a small file takes in all.
   */
  readonly #paths: Set<string>;

  constructor(database: Database) {
    this.#database = database;
    this.#sql = prepare(database);
    this.#paths = new Set(
      this.#sql.all.all().map(({ route_id, path, name }) => pathKey(route_id, joinPath(path, name))),
    );
  }

  find(routeId: number, path: string): UploadRecord | undefined {
    if (!this.#paths.has(pathKey(routeId, path))) return undefined;
    const row = this.#sql.find.get(routeId, directoryOf(path), nameOf(path));
    if (!row) return undefined;
    const uploadRow = Number(row.upload_row);
    return {
      uploadRow,
      key: row.key,
      uploadId: row.upload_id,
      beganMs: Number(row.created_at),
      file: fingerprintFromRow(row),
      partSize: Number(row.part_size),
      description: row.description,
      parts: this.#sql.parts.all(uploadRow).map((part) => ({
        partNumber: part.part_number,
        etag: part.etag,
        ...(part.checksum !== null && { checksum: part.checksum }),
      })),
    };
  }

  /** Remembers a new upload; the path must not have another one. */
  begin(
    routeId: number,
    path: string,
    upload: Omit<UploadRecord, 'uploadRow' | 'beganMs' | 'parts'>,
    nowMs: number,
  ): UploadRecord {
    const uploadRow = this.#sql.insert.get({
      routeId,
      directory: directoryOf(path),
      name: nameOf(path),
      key: upload.key,
      uploadId: upload.uploadId,
      partSize: upload.partSize,
      description: upload.description,
      nowMs,
      ...rowFromFingerprint(upload.file),
    })!;
    this.#paths.add(pathKey(routeId, path));
    return { ...upload, uploadRow, beganMs: nowMs, parts: [] };
  }

  /** The store made the upload. */
  created(uploadRow: number, uploadId: string): void {
    this.#sql.created.run(uploadId, uploadRow);
  }

  recordParts(uploadRow: number, parts: readonly UploadPart[]): void {
    this.#database.transaction(() => {
      for (const part of parts) {
        this.#sql.insertPart.run(uploadRow, part.partNumber, part.etag, part.checksum ?? null);
      }
    })();
  }

  /** Forgets the upload of a path that was settled, if there was one. */
  settle(routeId: number, path: string): void {
    if (!this.#paths.delete(pathKey(routeId, path))) return;
    this.#sql.settle.run(routeId, directoryOf(path), nameOf(path));
  }

  end(uploadRow: number): void {
    this.#sql.remove.run(uploadRow);
  }

  /** The store may have made an upload to a key that it never named, or may be about to: it is to be ended. */
  doubt(routeId: number, key: string, nowMs: number): void {
    this.#sql.doubt.run(key, nowMs, routeId);
  }

  /** Takes its uploads from a route that is about to be forgotten: they are to be ended. */
  leave(routeId: number): void {
    this.#sql.leave.run(routeId);
    this.#sql.removeOf.run(routeId);
  }

  /** The same for routes that are not in the config any more. */
  leaveAllBut(routeIds: readonly number[]): void {
    for (const routeId of this.#sql.routes.all()) if (!routeIds.includes(routeId)) this.leave(routeId);
  }

  /** Those of the store that a destination is at. */
  left(destinationId: number): LeftUpload[] {
    return this.#sql.left
      .all(destinationId)
      .map(({ key, upload_id, created_at }) => ({ key, uploadId: upload_id, beganMs: created_at }));
  }

  /** The one that a change is sending to the key. */
  underWay(destinationId: number, key: string): string | undefined {
    return this.#sql.underWay.get(key, destinationId);
  }

  /** It was ended. One of the same key that came into doubt meanwhile is not. */
  endLeft(destinationId: number, { key, uploadId, beganMs }: LeftUpload): void {
    this.#sql.endLeft.run(destinationId, key, uploadId, beganMs);
  }
}

function pathKey(routeId: number, path: string): string {
  return `${routeId}/${path}`;
}

function prepare(database: Database) {
  return {
    all: database.prepare<[], { route_id: number; path: string; name: string }>(
      'SELECT route_id, directory.path, name FROM upload JOIN directory USING (dir_id)',
    ),
    settle: database.prepare<[number, string, string]>(
      `DELETE FROM upload WHERE upload_row IN
         (SELECT upload_row FROM upload JOIN directory USING (dir_id)
          WHERE route_id = ? AND directory.path = ? AND name = ?)`,
    ),
    find: database
      .prepare<[number, string, string], UploadRow>(
        `SELECT upload.* FROM upload JOIN directory USING (dir_id)
         WHERE route_id = ? AND directory.path = ? AND name = ?`,
      )
      .safeIntegers(),
    parts: database.prepare<[number], { part_number: number; etag: string; checksum: string | null }>(
      'SELECT part_number, etag, checksum FROM upload_part WHERE upload_row = ? ORDER BY part_number',
    ),
    insert: database
      .prepare<[Record<string, unknown>], number>(
        `INSERT INTO upload (route_id, dir_id, name, key, upload_id, size, mtime_ns, ctime_ns, ino, part_size,
                             description, created_at)
         SELECT @routeId, dir_id, @name, @key, @uploadId, @size, @mtime_ns, @ctime_ns, @ino, @partSize,
                @description, @nowMs
         FROM route JOIN directory USING (folder_id) WHERE route_id = @routeId AND directory.path = @directory
         RETURNING upload_row`,
      )
      .pluck(),
    insertPart: database.prepare<[number, number, string, string | null]>(
      'INSERT OR REPLACE INTO upload_part (upload_row, part_number, etag, checksum) VALUES (?, ?, ?, ?)',
    ),
    created: database.prepare<[string, number]>('UPDATE upload SET upload_id = ? WHERE upload_row = ?'),
    removeOf: database.prepare<[number]>('DELETE FROM upload WHERE route_id = ?'),
    // The route's identity names its store as it was, whatever the destination is by now.
    leave: database.prepare<[number]>(
      `INSERT OR IGNORE INTO left_upload (store, key, upload_id, created_at)
       SELECT json_extract(route.identity, '$[0]'), key, upload_id, created_at
       FROM upload JOIN route USING (route_id) WHERE route_id = ?`,
    ),
    doubt: database.prepare<[string, number, number]>(
      `INSERT OR REPLACE INTO left_upload (store, key, upload_id, created_at)
       SELECT json_extract(identity, '$[0]'), ?, '', ? FROM route WHERE route_id = ?`,
    ),
    routes: database.prepare<[], number>('SELECT DISTINCT route_id FROM upload').pluck(),
    left: database.prepare<[number], { key: string; upload_id: string; created_at: number }>(
      `SELECT key, upload_id, created_at FROM left_upload
       WHERE store = (SELECT identity FROM destination WHERE destination_id = ?)`,
    ),
    underWay: database
      .prepare<[string, number], string>(
        'SELECT upload_id FROM upload JOIN route USING (route_id) WHERE key = ? AND destination_id = ?',
      )
      .pluck(),
    endLeft: database.prepare<[number, string, string, number]>(
      `DELETE FROM left_upload WHERE store = (SELECT identity FROM destination WHERE destination_id = ?)
         AND key = ? AND upload_id = ? AND created_at = ?`,
    ),
    remove: database.prepare<[number]>('DELETE FROM upload WHERE upload_row = ?'),
  };
}

// Store: buckets, object versions, uploads and the history of every change. The index is one SQLite database
// (in memory, or a file beside the bodies), because it is ordered by key bytes and survives kill -9 in one
// transaction; keys are values in it, never paths. Every method is synchronous: what runs between two awaits
// of the server is atomic.
import Database from 'better-sqlite3';
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  directoryBodies,
  discardedBodies,
  memoryBodies,
  readSegments,
  type Bodies,
  type Segment,
} from './bodies.ts';
import type { Checksum, ChecksumAlgorithm, ChecksumType } from './checksums.ts';

export type Versioning = '' | 'Enabled' | 'Suspended';

export interface Bucket {
  name: string;
  region: string;
  createdMs: number;
  versioning: Versioning;
  objectLock: boolean;
  /** Configuration documents by sub-resource; null is "deleted", absent is "never set". */
  configuration: Record<string, string | null>;
}

export const lockModes = ['GOVERNANCE', 'COMPLIANCE'] as const;
export type LockMode = (typeof lockModes)[number];
export interface Retention {
  mode: LockMode;
  untilMs: number;
}

/** What an object has besides its bytes; an upload has it from its creation. */
export interface Attributes {
  /** Answered as they are on GET and HEAD: content-type, cache-control, x-amz-meta-*, ... */
  headers: Record<string, string>;
  /** x-amz-server-side-encryption*, answered on writes as well. */
  encryption: Record<string, string>;
  tags: [key: string, value: string][];
  storageClass: string;
  retention?: Retention;
  legalHold?: 'ON' | 'OFF';
}

interface ObjectPart {
  number: number;
  size: number;
  checksum?: string;
}

export interface ObjectVersion extends Attributes {
  bucket: string;
  key: string;
  /** `null` (the word) for objects written without versioning. */
  versionId: string;
  isLatest: boolean;
  isDeleteMarker: boolean;
  size: number;
  /** Without quotes. */
  etag: string;
  modifiedMs: number;
  body: Segment[];
  checksum?: Checksum;
  parts?: ObjectPart[];
}

export interface NewObject extends Attributes {
  bucket: string;
  key: string;
  etag: string;
  body: Segment[];
  checksum?: Checksum;
  parts?: ObjectPart[];
}

export interface Upload extends Attributes {
  id: string;
  bucket: string;
  key: string;
  initiatedMs: number;
  checksumAlgorithm?: ChecksumAlgorithm;
  checksumType?: ChecksumType;
  /** The key was written or deleted since the upload was created. */
  isConflicted: boolean;
  /** Set by the CompleteMultipartUpload that succeeded, for the one that is sent again. */
  completed?: { etag: string; versionId: string; partNumbers: number[]; checksum?: Checksum };
}

export interface Part {
  number: number;
  size: number;
  etag: string;
  modifiedMs: number;
  checksum?: { algorithm: ChecksumAlgorithm; value: string };
  body: Segment;
}

export type ChangeKind = 'write' | 'overwrite' | 'delete' | 'delete-version';
export interface Change {
  sequence: number;
  timeMs: number;
  kind: ChangeKind;
  bucket: string;
  key: string;
  versionId: string;
  etag: string | null;
  size: number;
  previousEtag: string | null;
  accessKey: string;
}

/** Who does it and when, for the history and for Last-Modified. */
export interface Requester {
  accessKey: string;
  nowMs: number;
}

// One row is one version of one object, or a delete marker. `seq` grows with every write; the newest version
// of a key is the latest one. Keys compare as UTF-8 bytes (BINARY collation of TEXT), which is the order of
// S3's listings.
const schema = `
CREATE TABLE IF NOT EXISTS bucket (
  name TEXT PRIMARY KEY, region TEXT, created_ms INTEGER, versioning TEXT, object_lock INTEGER, configuration TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS object (
  seq INTEGER PRIMARY KEY, bucket TEXT, key TEXT, version_id TEXT, is_latest INTEGER, is_delete_marker INTEGER,
  size INTEGER, etag TEXT, modified_ms INTEGER, body TEXT, attributes TEXT
);
CREATE INDEX IF NOT EXISTS object_by_key ON object (bucket, key, seq DESC);
CREATE TABLE IF NOT EXISTS upload (
  id TEXT PRIMARY KEY, bucket TEXT, key TEXT, initiated_ms INTEGER, is_conflicted INTEGER, completed TEXT, attributes TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS upload_by_key ON upload (bucket, key);
CREATE TABLE IF NOT EXISTS part (
  upload TEXT, number INTEGER, size INTEGER, etag TEXT, modified_ms INTEGER, checksum TEXT, body TEXT,
  PRIMARY KEY (upload, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS history (
  sequence INTEGER PRIMARY KEY, time_ms INTEGER, kind TEXT, bucket TEXT, key TEXT, version_id TEXT,
  etag TEXT, size INTEGER, previous_etag TEXT, access_key TEXT
);`;

export interface StoreOptions {
  /** A directory, or `memory`. */
  data: string;
  /** Memory only: keep sizes and checksums, not the bytes. */
  discardBodies: boolean;
  keepHistory: boolean;
}

type Predecessor = Pick<ObjectVersion, 'etag' | 'body' | 'isDeleteMarker'>;
type Row = Record<string, string | number | null>;

export class Store {
  readonly bodies: Bodies;
  readonly #db: Database.Database;
  readonly #keepHistory: boolean;
  readonly #statements = new Map<string, Database.Statement>();
  /** Rows are few and read on every request. */
  readonly #buckets = new Map<string, Bucket>();
  #openUploads: number;
  #readers = 0;
  readonly #unread: string[] = [];

  constructor(options: StoreOptions) {
    this.#keepHistory = options.keepHistory;
    if (options.data === 'memory') {
      this.bodies = options.discardBodies ? discardedBodies() : memoryBodies();
      this.#db = new Database(':memory:');
    } else {
      mkdirSync(options.data, { recursive: true });
      this.bodies = directoryBodies(join(options.data, 'bodies'));
      this.#db = new Database(join(options.data, 'index.db'));
      this.#db.pragma('journal_mode = WAL');
    }
    // A killed process loses nothing; a power cut may, and no test here cuts the power.
    this.#db.pragma('synchronous = OFF');
    this.#db.exec(schema);
    for (const row of this.#db.prepare<[], Row>('SELECT * FROM bucket').all()) {
      this.#buckets.set(String(row['name']), bucketOf(row));
    }
    this.#openUploads = this.#number('SELECT count(*) FROM upload WHERE completed IS NULL');
    if (options.data !== 'memory') this.bodies.sweep(this.#liveBodies());
  }

  close(): void {
    this.#db.close();
  }

  buckets(): Bucket[] {
    return [...this.#buckets.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  bucket(name: string): Bucket | undefined {
    return this.#buckets.get(name);
  }

  saveBucket(bucket: Bucket): void {
    this.#run(
      'INSERT OR REPLACE INTO bucket VALUES (?, ?, ?, ?, ?, ?)',
      bucket.name,
      bucket.region,
      bucket.createdMs,
      bucket.versioning,
      Number(bucket.objectLock),
      JSON.stringify(bucket.configuration),
    );
    this.#buckets.set(bucket.name, bucket);
  }

  isEmpty(bucket: string): boolean {
    return this.#get('SELECT 1 FROM object WHERE bucket = ? LIMIT 1', bucket) === undefined;
  }

  removeBucket(name: string): void {
    for (const upload of this.uploads(name)) this.abort(upload.id);
    this.#run('DELETE FROM bucket WHERE name = ?', name);
    this.#buckets.delete(name);
  }

  /** The newest version, which may be a delete marker. */
  latest(bucket: string, key: string): ObjectVersion | undefined {
    const row = this.#get(
      'SELECT * FROM object WHERE bucket = ? AND key = ? ORDER BY seq DESC LIMIT 1',
      bucket,
      key,
    );
    return row && versionOf(row);
  }

  /** The object a plain GET finds. */
  current(bucket: string, key: string): ObjectVersion | undefined {
    const version = this.latest(bucket, key);
    return version?.isDeleteMarker ? undefined : version;
  }

  version(bucket: string, key: string, versionId: string): ObjectVersion | undefined {
    const row = this.#get(
      'SELECT * FROM object WHERE bucket = ? AND key = ? AND version_id = ?',
      bucket,
      key,
      versionId,
    );
    return row && versionOf(row);
  }

  /**
   * Current objects in key order, from `from` on. The caller must end the iteration before it uses the store
   * again.
   */
  *walk(bucket: string, from: string): Generator<ObjectVersion> {
    const rows = this.#prepare(
      'SELECT * FROM object WHERE bucket = ? AND key >= ? AND is_latest = 1 AND is_delete_marker = 0 ORDER BY key',
    ).iterate(bucket, from);
    for (const row of rows) yield versionOf(row as Row);
  }

  /** All versions and delete markers, newest first within a key. */
  *walkVersions(bucket: string, from: string): Generator<ObjectVersion> {
    const rows = this.#prepare(
      'SELECT * FROM object WHERE bucket = ? AND key >= ? ORDER BY key, seq DESC',
    ).iterate(bucket, from);
    for (const row of rows) yield versionOf(row as Row);
  }

  body(version: Pick<ObjectVersion, 'body' | 'size'>): Buffer {
    return Buffer.concat([...readSegments(this.bodies, version.body, 0, version.size)]);
  }

  /** While an answer is being sent its body stays, even if the object is overwritten or deleted meanwhile. */
  async whileReading(work: () => Promise<void>): Promise<void> {
    this.#readers++;
    try {
      await work();
    } finally {
      this.#readers--;
      if (this.#readers === 0) for (const id of this.#unread.splice(0)) this.bodies.remove(id);
    }
  }

  /** Makes `object` the latest version of its key. */
  write(object: NewObject, requester: Requester): ObjectVersion {
    const { bucket, key, etag, body, ...attributes } = object;
    const size = body.reduce((sum, segment) => sum + segment.size, 0);
    return this.#transaction(() => {
      const latest = this.#predecessor(bucket, key);
      const previous = latest?.isDeleteMarker ? undefined : latest;
      const versionId = this.#makeRoom(bucket, key, latest);
      this.#insert({ bucket, key, versionId, isDeleteMarker: 0, size, etag, body, attributes }, requester);
      const kind = previous === undefined ? 'write' : 'overwrite';
      this.#record(kind, { bucket, key, versionId, etag, size }, previous, requester);
      return {
        ...object,
        versionId,
        size,
        isLatest: true,
        isDeleteMarker: false,
        modifiedMs: wholeSeconds(requester.nowMs),
      };
    });
  }

  /** What DeleteObject without a version id does; the delete marker, if the bucket's versioning makes one. */
  remove(bucket: string, key: string, requester: Requester): ObjectVersion | undefined {
    return this.#transaction(() => {
      const latest = this.#predecessor(bucket, key);
      const previous = latest?.isDeleteMarker ? undefined : latest;
      const versionId = this.#makeRoom(bucket, key, latest);
      if (previous) {
        this.#record('delete', { bucket, key, versionId, etag: null, size: 0 }, previous, requester);
      }
      if (this.#buckets.get(bucket)!.versioning === '') return undefined;
      const attributes: Attributes = { headers: {}, encryption: {}, tags: [], storageClass: 'STANDARD' };
      this.#insert(
        { bucket, key, versionId, isDeleteMarker: 1, size: 0, etag: '', body: [], attributes },
        requester,
      );
      return this.latest(bucket, key);
    });
  }

  removeVersion(version: ObjectVersion, requester: Requester): void {
    this.#transaction(() => {
      const { bucket, key } = version;
      this.#run(
        'DELETE FROM object WHERE bucket = ? AND key = ? AND version_id = ?',
        bucket,
        key,
        version.versionId,
      );
      this.#run(
        `UPDATE object SET is_latest = 1 WHERE bucket = @bucket AND key = @key
           AND seq = (SELECT max(seq) FROM object WHERE bucket = @bucket AND key = @key)`,
        { bucket, key },
      );
      for (const segment of version.body) this.#removeBody(segment.id);
      this.#record('delete-version', { ...version, etag: null, size: 0 }, version, requester);
    });
  }

  /** Tags, retention and legal hold are changed in place; bytes and ETag never are. */
  saveAttributes(version: ObjectVersion): void {
    this.#run(
      'UPDATE object SET attributes = ? WHERE bucket = ? AND key = ? AND version_id = ?',
      JSON.stringify(attributesOf(version)),
      version.bucket,
      version.key,
      version.versionId,
    );
  }

  createUpload(upload: Omit<Upload, 'isConflicted' | 'completed'>): void {
    const { id, bucket, key, initiatedMs, ...attributes } = upload;
    this.#openUploads++;
    this.#run(
      'INSERT INTO upload VALUES (?, ?, ?, ?, 0, NULL, ?)',
      id,
      bucket,
      key,
      initiatedMs,
      JSON.stringify(attributes),
    );
  }

  upload(id: string): Upload | undefined {
    const row = this.#get('SELECT * FROM upload WHERE id = ?', id);
    return row && uploadOf(row);
  }

  /** Uploads in progress, by key and then by age. */
  uploads(bucket: string): Upload[] {
    const sql = 'SELECT * FROM upload WHERE bucket = ? AND completed IS NULL ORDER BY key, initiated_ms, id';
    return this.#prepare(sql)
      .all(bucket)
      .map((row) => uploadOf(row as Row));
  }

  parts(upload: string): Part[] {
    return this.#prepare('SELECT * FROM part WHERE upload = ? ORDER BY number')
      .all(upload)
      .map((row) => partOf(row as Row));
  }

  savePart(upload: string, part: Part): void {
    this.#transaction(() => {
      const replaced = this.#get(
        'SELECT body FROM part WHERE upload = ? AND number = ?',
        upload,
        part.number,
      );
      this.#run(
        'INSERT OR REPLACE INTO part VALUES (?, ?, ?, ?, ?, ?, ?)',
        upload,
        part.number,
        part.size,
        part.etag,
        part.modifiedMs,
        part.checksum === undefined ? null : JSON.stringify(part.checksum),
        JSON.stringify(part.body),
      );
      if (replaced) this.bodies.remove((JSON.parse(String(replaced['body'])) as Segment).id);
    });
  }

  /** The parts named by `partNumbers` become the object; the others are dropped. */
  complete(upload: Upload, object: NewObject, partNumbers: number[], requester: Requester): ObjectVersion {
    return this.#transaction(() => {
      const version = this.write(object, requester);
      const used = new Set(partNumbers);
      for (const part of this.parts(upload.id)) if (!used.has(part.number)) this.bodies.remove(part.body.id);
      this.#run('DELETE FROM part WHERE upload = ?', upload.id);
      const { etag, versionId, checksum } = version;
      const completed: Upload['completed'] = { etag, versionId, partNumbers, ...(checksum && { checksum }) };
      this.#run('UPDATE upload SET completed = ? WHERE id = ?', JSON.stringify(completed), upload.id);
      this.#openUploads--;
      return version;
    });
  }

  abort(uploadId: string): void {
    this.#transaction(() => {
      for (const part of this.parts(uploadId)) this.bodies.remove(part.body.id);
      this.#run('DELETE FROM part WHERE upload = ?', uploadId);
      this.#run('DELETE FROM upload WHERE id = ?', uploadId);
      this.#openUploads--;
    });
  }

  /** Every change of every object, oldest first: what a test asks to prove that nothing was replaced. */
  history(filter: { bucket?: string; key?: string; kind?: ChangeKind } = {}): Change[] {
    const { bucket = null, key = null, kind = null } = filter;
    const rows = this.#prepare(
      `SELECT * FROM history WHERE (@bucket IS NULL OR bucket = @bucket) AND (@key IS NULL OR key = @key)
         AND (@kind IS NULL OR kind = @kind) ORDER BY sequence`,
    ).all({ bucket, key, kind });
    return rows.map((row) => changeOf(row as Row));
  }

  /** Keys with their current objects: a test's view of a bucket. */
  objects(bucket: string, prefix = ''): Map<string, ObjectVersion> {
    const found = new Map<string, ObjectVersion>();
    for (const version of this.walk(bucket, prefix)) {
      if (!version.key.startsWith(prefix)) break;
      found.set(version.key, version);
    }
    return found;
  }

  // Narrow, because a write needs it every time and the attributes are most of the row.
  #predecessor(bucket: string, key: string): Predecessor | undefined {
    const row = this.#get(
      'SELECT etag, body, is_delete_marker FROM object WHERE bucket = ? AND key = ? ORDER BY seq DESC LIMIT 1',
      bucket,
      key,
    );
    return (
      row && { etag: String(row['etag']), body: bodyOf(row), isDeleteMarker: row['is_delete_marker'] === 1 }
    );
  }

  // Versioning demotes the latest version; without it, or while it is suspended, the version called `null` is
  // replaced.
  #makeRoom(bucket: string, key: string, latest: Predecessor | undefined): string {
    const { versioning } = this.#buckets.get(bucket)!;
    if (versioning !== '' && latest !== undefined) {
      this.#run(
        'UPDATE object SET is_latest = 0 WHERE bucket = ? AND key = ? AND is_latest = 1',
        bucket,
        key,
      );
    }
    if (versioning === 'Enabled') return randomBytes(24).toString('base64url');
    const replaced = versioning === '' ? latest : this.version(bucket, key, 'null');
    if (replaced !== undefined) {
      for (const segment of replaced.body) this.#removeBody(segment.id);
      this.#run("DELETE FROM object WHERE bucket = ? AND key = ? AND version_id = 'null'", bucket, key);
    }
    return 'null';
  }

  #insert(
    row: {
      bucket: string;
      key: string;
      versionId: string;
      isDeleteMarker: 0 | 1;
      size: number;
      etag: string;
      body: Segment[];
      attributes: object;
    },
    requester: Requester,
  ): void {
    this.#run(
      'INSERT INTO object VALUES (NULL, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?)',
      row.bucket,
      row.key,
      row.versionId,
      row.isDeleteMarker,
      row.size,
      row.etag,
      wholeSeconds(requester.nowMs),
      JSON.stringify(row.body),
      JSON.stringify(row.attributes),
    );
  }

  #record(
    kind: ChangeKind,
    change: Pick<Change, 'bucket' | 'key' | 'versionId' | 'etag' | 'size'>,
    previous: Pick<ObjectVersion, 'etag'> | undefined,
    requester: Requester,
  ): void {
    if (this.#openUploads > 0) {
      const sql = 'UPDATE upload SET is_conflicted = 1 WHERE bucket = ? AND key = ? AND completed IS NULL';
      this.#run(sql, change.bucket, change.key);
    }
    if (!this.#keepHistory) return;
    this.#run(
      'INSERT INTO history VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
      requester.nowMs,
      kind,
      change.bucket,
      change.key,
      change.versionId,
      change.etag,
      change.size,
      previous?.etag ?? null,
      requester.accessKey,
    );
  }

  #removeBody(id: string): void {
    if (this.#readers > 0) this.#unread.push(id);
    else this.bodies.remove(id);
  }

  #liveBodies(): Set<string> {
    const live = new Set<string>();
    for (const { body } of this.#db.prepare<[], { body: string }>('SELECT body FROM object').all()) {
      for (const segment of JSON.parse(body) as Segment[]) live.add(segment.id);
    }
    for (const { body } of this.#db.prepare<[], { body: string }>('SELECT body FROM part').all()) {
      live.add((JSON.parse(body) as Segment).id);
    }
    return live;
  }

  #prepare(sql: string): Database.Statement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #run(sql: string, ...values: unknown[]): void {
    this.#prepare(sql).run(...values);
  }

  #get(sql: string, ...values: unknown[]): Row | undefined {
    return this.#prepare(sql).get(...values) as Row | undefined;
  }

  #number(sql: string): number {
    return Number(this.#db.prepare(sql).pluck().get() ?? 0);
  }

  #transaction<T>(work: () => T): T {
    if (this.#db.inTransaction) return work();
    this.#prepare('BEGIN').run();
    try {
      const result = work();
      this.#prepare('COMMIT').run();
      return result;
    } catch (error) {
      this.#prepare('ROLLBACK').run();
      throw error;
    }
  }
}

// Last-Modified has whole seconds in every S3 answer; conditions must not see more than clients do.
function wholeSeconds(ms: number): number {
  return Math.floor(ms / 1000) * 1000;
}

function bucketOf(row: Row): Bucket {
  return {
    name: String(row['name']),
    region: String(row['region']),
    createdMs: Number(row['created_ms']),
    versioning: row['versioning'] as Versioning,
    objectLock: row['object_lock'] === 1,
    configuration: JSON.parse(String(row['configuration'])) as Bucket['configuration'],
  };
}

function versionOf(row: Row): ObjectVersion {
  const attributes = JSON.parse(String(row['attributes'])) as Attributes &
    Pick<ObjectVersion, 'checksum' | 'parts'>;
  return {
    ...attributes,
    bucket: String(row['bucket']),
    key: String(row['key']),
    versionId: String(row['version_id']),
    isLatest: row['is_latest'] === 1,
    isDeleteMarker: row['is_delete_marker'] === 1,
    size: Number(row['size']),
    etag: String(row['etag']),
    modifiedMs: Number(row['modified_ms']),
    body: bodyOf(row),
  };
}

function bodyOf(row: Row): Segment[] {
  return JSON.parse(String(row['body'])) as Segment[];
}

function attributesOf(version: ObjectVersion): object {
  const { headers, encryption, tags, storageClass, retention, legalHold, checksum, parts } = version;
  return { headers, encryption, tags, storageClass, retention, legalHold, checksum, parts };
}

function uploadOf(row: Row): Upload {
  const attributes = JSON.parse(String(row['attributes'])) as Attributes &
    Pick<Upload, 'checksumAlgorithm' | 'checksumType'>;
  const upload: Upload = {
    ...attributes,
    id: String(row['id']),
    bucket: String(row['bucket']),
    key: String(row['key']),
    initiatedMs: Number(row['initiated_ms']),
    isConflicted: row['is_conflicted'] === 1,
  };
  if (row['completed'] !== null)
    upload.completed = JSON.parse(String(row['completed'])) as NonNullable<Upload['completed']>;
  return upload;
}

function partOf(row: Row): Part {
  const part: Part = {
    number: Number(row['number']),
    size: Number(row['size']),
    etag: String(row['etag']),
    modifiedMs: Number(row['modified_ms']),
    body: JSON.parse(String(row['body'])) as Segment,
  };
  if (row['checksum'] !== null)
    part.checksum = JSON.parse(String(row['checksum'])) as NonNullable<Part['checksum']>;
  return part;
}

function changeOf(row: Row): Change {
  return {
    sequence: Number(row['sequence']),
    timeMs: Number(row['time_ms']),
    kind: row['kind'] as ChangeKind,
    bucket: String(row['bucket']),
    key: String(row['key']),
    versionId: String(row['version_id']),
    etag: row['etag'] as string | null,
    size: Number(row['size']),
    previousEtag: row['previous_etag'] as string | null,
    accessKey: String(row['access_key']),
  };
}

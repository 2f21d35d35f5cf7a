// The journal's tables, in SQL with the reason for each. State, not work: `baseline` is what file and object were when
// they last agreed, `change` is one coalesced row per path that may need work. Everything else could be rebuilt by a scan.
//
// Units: columns ending in `_at` are milliseconds since 1970, `_ns` nanoseconds since 1970, sizes bytes.
import type { Database } from 'better-sqlite3';

/** Marks the file as ours ("s3sy"), so that a foreign database is refused instead of migrated. */
const applicationId = 0x73337379;

const steps: readonly string[] = [
  `
  -- Facts about the journal itself: the generation counter.
  CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value ANY NOT NULL
  ) STRICT, WITHOUT ROWID;

  -- A watched root. Known by its name in the config, so that a moved root keeps its state.
  CREATE TABLE folder (
    folder_id  INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    path       TEXT NOT NULL,
    scanned_at INTEGER,            -- end of the last complete scan
    halt       TEXT                -- why nothing is done for it at the moment, in plain words
  ) STRICT;

  -- A place in S3 and what its store was found to enforce (JSON of Capabilities).
  CREATE TABLE destination (
    destination_id INTEGER PRIMARY KEY,
    name           TEXT NOT NULL UNIQUE,
    identity       TEXT NOT NULL,  -- endpoint and bucket: another one is another store, to be probed anew
    capabilities   TEXT,
    probed_at      INTEGER
  ) STRICT;

  -- One folder's way to one destination: the unit of baselines, changes and pauses.
  CREATE TABLE route (
    route_id       INTEGER PRIMARY KEY,
    folder_id      INTEGER NOT NULL REFERENCES folder,
    destination_id INTEGER NOT NULL REFERENCES destination,
    identity       TEXT NOT NULL,  -- endpoint, bucket and prefix: when it changes, no baseline is true any more
    judgement      TEXT NOT NULL,  -- policy and compare: when they change, decisions not to act are taken again
    listed_at      INTEGER,        -- end of the first contact's listing
    trouble        TEXT,           -- what keeps the whole route from working (JSON of RouteTrouble)
    succeeded_at   INTEGER,        -- last confirmed write
    UNIQUE (folder_id, destination_id)
  ) STRICT;

  -- Directory paths, interned: halves the size of the tables below (one 51-byte path per file otherwise).
  CREATE TABLE directory (
    dir_id    INTEGER PRIMARY KEY,
    folder_id INTEGER NOT NULL REFERENCES folder,
    parent_id INTEGER REFERENCES directory,  -- null for the folder itself
    path      TEXT NOT NULL,                 -- '' for the folder itself
    UNIQUE (folder_id, path)
  ) STRICT;
  CREATE INDEX directory_by_parent ON directory (parent_id);

  -- What both sides held when a path was last settled, decisions not to act included.
  CREATE TABLE baseline (
    route_id   INTEGER NOT NULL,
    dir_id     INTEGER NOT NULL,
    name       TEXT NOT NULL,
    outcome    TEXT NOT NULL,
    owned      INTEGER NOT NULL,
    gone       INTEGER NOT NULL,
    size       INTEGER NOT NULL,
    mtime_ns   INTEGER NOT NULL,
    ctime_ns   INTEGER NOT NULL,
    ino        INTEGER NOT NULL,
    mode       INTEGER NOT NULL,
    uid        INTEGER NOT NULL,
    gid        INTEGER NOT NULL,
    etag       TEXT,
    version_id TEXT,
    checksum_algorithm TEXT,
    checksum   TEXT,
    part_size  INTEGER,
    settled_at INTEGER NOT NULL,
    PRIMARY KEY (route_id, dir_id, name)
  ) STRICT, WITHOUT ROWID;

  -- A path to look at. At most one row per (route, path) in all states; a row is deleted only by the completion that
  -- saw its last generation, so an event during an upload always leads to another look.
  CREATE TABLE change (
    change_id  INTEGER PRIMARY KEY,
    route_id   INTEGER NOT NULL,
    dir_id     INTEGER NOT NULL,
    name       ANY NOT NULL,       -- TEXT, or BLOB where the bytes are not UTF-8 (those are always blocked)
    state      TEXT NOT NULL CHECK (state IN ('pending', 'claimed', 'failed', 'conflict', 'blocked', 'held')),
    generation INTEGER NOT NULL,
    claimed_generation INTEGER,
    first_seen_at INTEGER,         -- first event since the last claim
    ready_at   INTEGER NOT NULL,   -- settling, backoff and scheduled retries, all in one
    attempts   INTEGER NOT NULL DEFAULT 0,
    -- The file that this row is known to be about, so that a rescan does not ask again; size -1 when absent.
    seen_size  INTEGER, seen_mtime_ns INTEGER, seen_ctime_ns INTEGER, seen_ino INTEGER,
    since_at   INTEGER NOT NULL,   -- since when the path has not been in S3 as it is here
    code       TEXT,               -- last failure, or reason of the state
    message    TEXT,
    UNIQUE (route_id, dir_id, name)
  ) STRICT;
  CREATE INDEX change_ready ON change (route_id, ready_at) WHERE state = 'pending';
  CREATE INDEX change_claimed ON change (change_id) WHERE state = 'claimed';
  CREATE INDEX change_stuck ON change (route_id, state) WHERE state NOT IN ('pending', 'claimed');
  CREATE INDEX change_by_directory ON change (dir_id);

  -- What the first contact's listing found, until the paths were settled against it.
  CREATE TABLE listed (
    route_id    INTEGER NOT NULL,
    path        TEXT NOT NULL,
    size        INTEGER NOT NULL,
    etag        TEXT NOT NULL,
    modified_at INTEGER NOT NULL,
    PRIMARY KEY (route_id, path)
  ) STRICT, WITHOUT ROWID;

  -- A multipart upload under way. Bound to the file's fingerprint: parts of two states of a file never meet.
  CREATE TABLE upload (
    upload_row INTEGER PRIMARY KEY,
    route_id   INTEGER NOT NULL,
    dir_id     INTEGER NOT NULL,
    name       TEXT NOT NULL,
    key        TEXT NOT NULL,
    upload_id  TEXT NOT NULL,      -- '' while the store was asked for one and has not answered
    size       INTEGER NOT NULL,
    mtime_ns   INTEGER NOT NULL,
    ctime_ns   INTEGER NOT NULL,
    ino        INTEGER NOT NULL,
    part_size  INTEGER NOT NULL,
    description TEXT NOT NULL,     -- digest of headers and tags: with others the upload starts anew
    created_at INTEGER NOT NULL,
    UNIQUE (route_id, dir_id, name)
  ) STRICT;
  CREATE TABLE upload_part (
    upload_row  INTEGER NOT NULL REFERENCES upload ON DELETE CASCADE,
    part_number INTEGER NOT NULL,
    etag        TEXT NOT NULL,
    checksum    TEXT,
    PRIMARY KEY (upload_row, part_number)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- 1 when an earlier try did not end, or not with an answer: what it sent may be the object that is found.
  ALTER TABLE change ADD COLUMN tried INTEGER NOT NULL DEFAULT 0;
  `,
  `
  -- The file system that the file was on; 0 where that was not yet recorded. What is missing while its file system is
  -- not mounted was not deleted, and a number means the same file on its own file system only.
  ALTER TABLE baseline ADD COLUMN dev INTEGER NOT NULL DEFAULT 0;
  -- A file under a new name is found again by its number: it need not be sent again.
  CREATE INDEX baseline_by_inode ON baseline (route_id, ino);
  `,
  `
  -- What follows the prefix in the object's key, where a rule gave it another tail than the path. By it is found who has a
  -- key already.
  ALTER TABLE baseline ADD COLUMN tail TEXT;
  CREATE INDEX baseline_by_tail ON baseline (route_id, tail) WHERE tail IS NOT NULL;
  ALTER TABLE listed RENAME COLUMN path TO tail;
  `,
  `
  -- What the writes of this change carry in their metadata, so that one whose answer was lost is known for ours later, also
  -- when its file has changed since. Random; given by the claim, hence durable before anything is sent, and kept until the
  -- path is settled.
  ALTER TABLE change ADD COLUMN write_id TEXT;
  `,
  `
  -- What was asked of a store: a few rows per route and day, written with what the requests led to.
  CREATE TABLE usage (
    route_id      INTEGER NOT NULL,
    day           INTEGER NOT NULL,   -- UTC, days since 1970
    operation     TEXT NOT NULL,
    storage_class TEXT NOT NULL,      -- that the request named, which decides its price; '' where it named none
    requests      INTEGER NOT NULL,
    bytes         INTEGER NOT NULL,   -- of content that was sent, again where it was sent again
    PRIMARY KEY (route_id, day, operation, storage_class)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- Since when the file of a change is absent, as far as that was looked at: a delete takes two looks a grace apart.
  ALTER TABLE change ADD COLUMN absent_at INTEGER;
  -- Why its delete is held. Outlives the state: what an event tells of a held path ends the hold only if the file is back.
  ALTER TABLE change ADD COLUMN held_for TEXT;
  -- When a person let the held delete go.
  ALTER TABLE change ADD COLUMN approved_at INTEGER;
  CREATE INDEX change_absent ON change (route_id, absent_at) WHERE absent_at IS NOT NULL OR held_for IS NOT NULL;

  -- Deletes sent without asking, by minutes since 1970: those of the last hour count when more are to be sent.
  CREATE TABLE sent_delete (
    route_id INTEGER NOT NULL,
    minute   INTEGER NOT NULL,
    count    INTEGER NOT NULL,
    PRIMARY KEY (route_id, minute)
  ) STRICT, WITHOUT ROWID;

  -- The directory that the folder's files are known in, and its file system. What is absent in another one was not deleted.
  ALTER TABLE folder ADD COLUMN root TEXT;
  ALTER TABLE folder ADD COLUMN root_dev INTEGER;
  `,
  `
  -- What the object's body is where it is not the content itself: 'gzip', 'zstd', 'age', 'gzip age', 'zstd age'. A copy of
  -- the object is the same, whatever the rules have become.
  ALTER TABLE baseline ADD COLUMN transform TEXT;
  `,
  `
  -- What rules said of objects (the text of core/drift.ts). Most files share one; a tag with a file's path in it makes one
  -- for each. Found by digest, because an index on the text would hold every text twice.
  CREATE TABLE description (
    description_id INTEGER PRIMARY KEY,
    digest         BLOB NOT NULL UNIQUE,
    text           TEXT NOT NULL
  ) STRICT;
  ALTER TABLE baseline ADD COLUMN description_id INTEGER;  -- null where the object was not written by us
  ALTER TABLE baseline ADD COLUMN described_at INTEGER;    -- when it was: ages in rules are judged as of then
  -- 1 when the object is to be brought in line with the rules, although its file did not change.
  ALTER TABLE change ADD COLUMN apply INTEGER NOT NULL DEFAULT 0;
  `,
  `
  -- A conflict that a person has to end: both sides as they were found, so that the decision is about exactly these.
  CREATE TABLE conflict (
    change_id     INTEGER PRIMARY KEY REFERENCES change ON DELETE CASCADE,
    route_id      INTEGER NOT NULL,
    reason        TEXT NOT NULL,
    policy        TEXT NOT NULL,     -- under which it is one
    key           TEXT NOT NULL,
    file_size     INTEGER,           -- null where the file is gone
    file_mtime_ns INTEGER,
    etag          TEXT NOT NULL,     -- from here on of the object
    size          INTEGER NOT NULL,
    modified_at   INTEGER NOT NULL,
    mtime_ns      INTEGER,           -- of its own file, where its metadata tells
    version_id    TEXT,
    since_at      INTEGER NOT NULL,
    resolution    TEXT,              -- the decision, until it is carried out
    decided_at    INTEGER
  ) STRICT;
  CREATE INDEX conflict_by_route ON conflict (route_id, since_at);
  -- Those of an older version have no facts: they are looked at again.
  UPDATE change SET state = 'pending', ready_at = 0, attempts = 0 WHERE state = 'conflict';
  `,
  `
  -- Over the columns that count, so that a flipped bit is found (soundness.ts); 0 where none was computed.
  ALTER TABLE baseline ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
  -- 1 while the baselines come from a copy of the journal that is older than what was done since: they are believed only
  -- as far as the next listing agrees.
  ALTER TABLE route ADD COLUMN unverified INTEGER NOT NULL DEFAULT 0;
  `,
  `
  -- How changes ended, for the verb history: rows are added at the end and removed at the beginning, 30 days or 100,000 of them later
  -- (history.ts). Decides nothing, hence without sums. No index by path: it would double what a row costs.
  CREATE TABLE history (
    history_id INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    route_id   INTEGER NOT NULL,
    dir_id     INTEGER NOT NULL,
    name       TEXT NOT NULL,
    outcome    TEXT NOT NULL,
    reason     TEXT NOT NULL,      -- or the code of what failed
    bytes      INTEGER NOT NULL,   -- of content that was uploaded
    attempts   INTEGER NOT NULL,   -- the last one included
    tail       TEXT,               -- what follows the prefix in the object's key, where that is not the path
    version_id TEXT,
    last_code  TEXT,               -- of the failure before, where it took several tries
    request_id TEXT                -- S3's, of a request that it refused
  ) STRICT;
  `,
  `
  -- Why nothing is done on this way before a person resumes it (JSON of core/halt.ts). That of a folder is the same by now.
  ALTER TABLE route ADD COLUMN halt TEXT;
  UPDATE folder SET halt = NULL;
  -- When the store was last known for the one that holds what the baselines say. Another may have come under its name.
  ALTER TABLE route ADD COLUMN proved_at INTEGER;
  `,
  `
  -- Uploads in parts that no change ends any more: their folder left the config, its prefix is another one, or their store was
  -- begun anew. Ended by the next start that has a way to their store. With an empty upload_id: the store was asked for one and
  -- may have made it, or make it still.
  CREATE TABLE left_upload (
    store      TEXT NOT NULL,      -- as in destination.identity
    key        TEXT NOT NULL,
    upload_id  TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (store, key, upload_id)
  ) STRICT, WITHOUT ROWID;
  `,
];

/** The schema version that this program writes. */
export const schemaVersion = steps.length;

/** @throws Error when the file is of another program or of a newer version of this one */
export function refuseForeign(database: Database): void {
  const id = database.pragma('application_id', { simple: true });
  const isEmpty = database.prepare('SELECT 1 FROM sqlite_schema').get() === undefined;
  if (id !== applicationId && !(id === 0 && isEmpty)) {
    throw new Error(
      `${database.name} is not a journal of s3syncd. Move it away, or choose another state-dir.`,
    );
  }
  const version = versionOf(database);
  if (version > schemaVersion) {
    throw new Error(
      `${database.name} was written by a newer s3syncd (schema ${version}, this one knows ${schemaVersion}). ` +
        'Install that version, or move the file away to start with an empty journal.',
    );
  }
}

/** Brings the database to a version of the schema, one transaction per step. */
export function migrate(database: Database, target = schemaVersion): void {
  database.pragma(`application_id = ${applicationId}`);
  const version = versionOf(database);
  steps.slice(version, target).forEach((step, index) => {
    database.transaction(() => {
      database.exec(step);
      database.pragma(`user_version = ${version + index + 1}`);
    })();
  });
}

/** Of its schema; 0 in a new file. */
export function versionOf(database: Database): number {
  return database.pragma('user_version', { simple: true }) as number;
}

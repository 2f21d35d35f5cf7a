// Opening the journal: who may, which file is one, and what is left when its process was killed.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import Database from 'better-sqlite3';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Journal, JournalInUse, journalFile } from '../../src/journal/journal.ts';
import { migrate, schemaVersion } from '../../src/journal/schema.ts';
import { TestJournal, identity } from '../helpers/journal.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';
import { noCommand } from '../system/harness.ts';

/** Opens the file itself, beside the journal. */
function inspect<T>(stateDir: string, look: (database: Database.Database) => T): T {
  const database = new Database(journalFile(stateDir));
  try {
    return look(database);
  } finally {
    database.close();
  }
}

function openAndClose(stateDir: string): void {
  Journal.open(stateDir).close();
}

describe('a state directory', () => {
  test('is made for its user alone', () => {
    const stateDir = path.join(temporaryDirectory(), 'lib', 's3syncd');
    openAndClose(stateDir);
    expect(fs.statSync(stateDir).mode & 0o777).toBe(0o700);
  });

  test('has one journal, with a write-ahead log', () => {
    const stateDir = temporaryDirectory();
    openAndClose(stateDir);
    inspect(stateDir, (database) => {
      expect(database.pragma('journal_mode', { simple: true })).toBe('wal');
      expect(database.pragma('auto_vacuum', { simple: true })).toBe(2);
      expect(database.pragma('user_version', { simple: true })).toBe(schemaVersion);
      expect(database.pragma('integrity_check', { simple: true })).toBe('ok');
    });
  });

  test('without a journal has nothing to read', () => {
    const stateDir = temporaryDirectory();
    expect(Journal.openReadOnly(stateDir)).toBeUndefined();
    fs.writeFileSync(journalFile(stateDir), '');
    expect(Journal.openReadOnly(stateDir)).toBeUndefined();
  });

  test('with an empty file gets a journal', () => {
    const stateDir = temporaryDirectory();
    fs.writeFileSync(journalFile(stateDir), '');
    expect(() => openAndClose(stateDir)).not.toThrow();
    expect(() => Journal.openReadOnly(stateDir)!.close()).not.toThrow();
  });
});

describe('a file that is no journal of ours is refused and left as it is', () => {
  const kinds: [string, (file: string) => void, RegExp][] = [
    [
      'a database of another program',
      (file) => write(file, 'PRAGMA user_version = 3; CREATE TABLE theirs (a)'),
      /journal\.db is not a journal of s3syncd/,
    ],
    [
      'a database of another program that uses no version',
      (file) => write(file, 'CREATE TABLE theirs (a)'),
      /journal\.db is not a journal of s3syncd/,
    ],
    [
      'an empty database that another program has marked',
      (file) => write(file, 'PRAGMA application_id = 7'),
      /journal\.db is not a journal of s3syncd/,
    ],
    [
      'a journal of a newer version',
      (file) => {
        openAndClose(path.dirname(file));
        write(file, 'PRAGMA user_version = 1000');
      },
      /newer s3syncd \(schema 1000, this one knows \d+\)/,
    ],
  ];

  function write(file: string, sql: string): void {
    const database = new Database(file);
    database.exec(sql);
    database.close();
  }

  test.each(kinds)('%s', (_kind, make, message) => {
    const stateDir = temporaryDirectory();
    const file = journalFile(stateDir);
    make(file);
    const before = fs.readFileSync(file);
    expect(() => Journal.open(stateDir)).toThrow(message);
    expect(() => Journal.openReadOnly(stateDir)).toThrow(message);
    expect(fs.readFileSync(file).equals(before)).toBe(true);
    fs.rmSync(file);
    expect(() => openAndClose(stateDir), 'the lock was given back').not.toThrow();
  });
});

test('a journal of an older version is brought up to date, and not read before', () => {
  const stateDir = temporaryDirectory();
  inspect(stateDir, (database) => {
    migrate(database, 1);
    database.exec(`
      INSERT INTO folder (folder_id, name, path) VALUES (1, 'documents', '/srv/documents');
      INSERT INTO destination (destination_id, name, identity) VALUES (1, 'backup', 'aws/acme-backup');
      INSERT INTO route (route_id, folder_id, destination_id, identity, judgement)
        VALUES (1, 1, 1, '["aws/acme-backup","web-1/"]', 'overwrite, content');
      INSERT INTO directory (dir_id, folder_id, path) VALUES (1, 1, '');
      INSERT INTO change (route_id, dir_id, name, state, generation, ready_at, since_at)
        VALUES (1, 1, 'a', 'claimed', 1, 0, 0);
      INSERT INTO baseline (route_id, dir_id, name, outcome, owned, gone, size, mtime_ns, ctime_ns, ino, mode, uid, gid,
                            etag, settled_at)
        VALUES (1, 1, 'a', 'uploaded', 1, 0, 10, 1, 2, 3, 4, 5, 6, '"old"', 0);
    `);
  });
  expect(() => Journal.openReadOnly(stateDir)).toThrow(/written by an older s3syncd: start this one once/);
  const journal = new TestJournal(stateDir);
  onTestFinished(() => journal.journal.close());
  expect(journal.claim()).toMatchObject([
    {
      path: 'a',
      tried: true,
      baseline: { outcome: 'uploaded', owned: true, file: { size: 10 }, etag: '"old"' },
    },
  ]);
});

describe('a second writer', () => {
  test('is refused while the first one lives, and told what to do', () => {
    const stateDir = temporaryDirectory();
    const first = Journal.open(stateDir);
    expect(() => Journal.open(stateDir)).toThrow(JournalInUse);
    expect(() => Journal.open(stateDir)).toThrow(`another s3syncd is using ${stateDir}. Stop it first`);
    first.close();
    expect(() => openAndClose(stateDir)).not.toThrow();
  });

  test('has its turn when the first one was killed', async () => {
    const stateDir = temporaryDirectory();
    const writer = new Writer(stateDir);
    await writer.untilObserved(1);
    expect(() => Journal.open(stateDir)).toThrow(JournalInUse);
    await writer.kill();
    expect(() => openAndClose(stateDir)).not.toThrow();
  });
});

const writerScript = path.join(import.meta.dirname, 'writer.ts');

test.skipIf(noCommand('strace'))('whatever is acknowledged was synced to the disk before', () => {
  const trace = path.join(temporaryDirectory(), 'trace');
  const watched = ['-e', 'trace=fsync,fdatasync,write', '-e', 'inject=write:signal=SIGKILL:when=200'];
  const command = ['-f', '-qq', '-o', trace, ...watched, process.execPath, writerScript];
  spawnSync('strace', [...command, temporaryDirectory(), '1'], { timeout: 60_000 });
  const calls = [...fs.readFileSync(trace, 'utf8').matchAll(/(sync)\(|write\(1, "directory/g)].map(
    ([, sync]) => sync ?? 'acknowledged',
  );
  const unsynced = calls.filter((call, index) => call === 'acknowledged' && calls[index - 1] !== 'sync');
  expect(calls.filter((call) => call === 'acknowledged').length).toBeGreaterThan(50);
  expect(unsynced).toEqual([]);
});

/** Another process that works with the journal as a daemon does, without end. */
class Writer {
  /** The size that each path was last observed with, for good. */
  readonly observed: Map<string, number>;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(stateDir: string, observed = new Map<string, number>()) {
    const first = Math.max(0, ...observed.values()) + 1;
    this.#child = spawn(process.execPath, [writerScript, stateDir, String(first)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#lines = createInterface(this.#child.stdout!)[Symbol.asyncIterator]();
    this.observed = observed;
    onTestFinished(() => void this.#child.kill('SIGKILL'));
  }

  async untilObserved(count: number): Promise<void> {
    for (let seen = 0; seen < count; seen++) await this.#next();
  }

  async kill(): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
    while (await this.#next());
  }

  async #next(): Promise<boolean> {
    const { value, done } = await this.#lines.next();
    if (done) return false;
    const [, name, size] = /^(\S+) (\d+)$/.exec(value) ?? [];
    if (name) this.observed.set(name, Number(size));
    return true;
  }
}

const rounds = 20;

test(`after SIGKILL of the writer, ${rounds} times at random, the journal is whole and nothing is lost`, async () => {
  const stateDir = temporaryDirectory();
  let observed: Map<string, number> | undefined;
  for (let round = 0; round < rounds; round++) {
    const writer = new Writer(stateDir, observed);
    await writer.untilObserved(1 + Math.floor(Math.random() * 30));
    await writer.kill();
    observed = writer.observed;

    const claimed = inspect(stateDir, (database) => {
      expect(database.pragma('integrity_check', { simple: true })).toBe('ok');
      expect(database.pragma('foreign_key_check')).toEqual([]);
      return database
        .prepare<[], number>(`SELECT change_id FROM change WHERE state = 'claimed'`)
        .pluck()
        .all();
    });
    openAndClose(stateDir);
    inspect(stateDir, (database) => {
      const change = database.prepare<[number], object>(
        'SELECT state, tried FROM change WHERE change_id = ?',
      );
      const back = claimed.map((id) => change.get(id));
      expect(back, 'claims are back, and known as tried').toEqual(
        claimed.map(() => ({ state: 'pending', tried: 1 })),
      );
      const known = new Map(database.prepare<[], [string, number]>(sizesKnown).raw().all());
      const lost = [...observed!].filter(([name, size]) => (known.get(name) ?? 0) < size);
      expect(lost, 'observations that are neither a change nor a baseline').toEqual([]);
    });
  }
}, 60_000);

/** The size that the journal has for each path: of a change, which is newer, or of a baseline. */
const sizesKnown = `
  SELECT path || '/' || name, max(size) FROM
    (SELECT dir_id, name, seen_size AS size FROM change UNION ALL SELECT dir_id, name, size FROM baseline)
  JOIN directory USING (dir_id) GROUP BY dir_id, name`;

test('a route is the same after every start', () => {
  const stateDir = temporaryDirectory();
  const first = Journal.open(stateDir);
  const route = first.registerRoute(identity());
  first.close();
  const second = Journal.open(stateDir);
  onTestFinished(() => second.close());
  expect(second.registerRoute(identity())).toEqual(route);
});

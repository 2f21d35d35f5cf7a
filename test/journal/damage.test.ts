// What a disk does to the journal: it is found, nothing that is wrong is acted upon, and what was there is kept.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import { describe, expect, test } from 'vitest';
import type { Baseline } from '../../src/core/baseline.ts';
import type { RouteIdentity } from '../../src/config/config.ts';
import { Journal, journalFile } from '../../src/journal/journal.ts';
import { summed } from '../../src/journal/soundness.ts';
import { baseline, file } from '../helpers/given.ts';
import { TestJournal, identity } from '../helpers/journal.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';

const fileCount = 300;
const names = Array.from({ length: fileCount }, (_, number) => `directory-${number % 7}/file-${number}.txt`);

function baselineOf(name: string, number: number): Baseline {
  return baseline(
    number % 3 === 0 ? 'adopted' : 'uploaded',
    file(1000 + number, { ino: BigInt(number + 1) }),
    {
      owned: number % 2 === 0,
      etag: `"${name}-etag"`,
      checksum: { algorithm: 'crc32', value: `sum-of-${number}` },
    },
  );
}

/** A journal of a folder that is in line, with a few changes open. */
function given(stateDir: string): TestJournal {
  const journal = new TestJournal(stateDir);
  journal.observe(...names);
  for (const claim of journal.claim(fileCount)) {
    journal.settled(claim, baselineOf(claim.path, names.indexOf(claim.path)));
  }
  journal.observe(...names.slice(0, 20));
  return journal;
}

/** mulberry32, so that a sweep is the same every time. */
function generator(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}

type Verdict = 'set aside' | 'refused' | 'row dropped' | 'harmless' | 'silently wrong';

/** Opens what became of the journal, has a scan look at every file, and compares what the claims would act upon. */
function judge(stateDir: string, damaged: Buffer): Verdict {
  let journal: Journal;
  try {
    journal = Journal.open(stateDir);
  } catch (error) {
    const isLeft = fs.readFileSync(journalFile(stateDir)).equals(damaged);
    if (isLeft && /not a journal of s3syncd|newer s3syncd/.test(String(error))) return 'refused';
    throw error;
  }
  try {
    const { routeId, folderId } = journal.registerRoute(identity());
    const observations = names.map((name) => ({ directory: path.dirname(name), name: path.basename(name) }));
    journal.observe(folderId, [routeId], observations, { settleMs: 0, settleMaxMs: 0 }, Date.now());
    const claims = journal.turn({
      completions: [],
      routeId,
      want: 10_000,
      order: 'oldest',
      nowMs: Date.now() + 1e9,
    });
    // What is looked at besides them is looked at in vain, if nothing is known of it.
    const wrong = claims.filter(({ path: name, baseline: found }) => {
      const number = names.indexOf(name);
      return found && (number < 0 || !same(found, baselineOf(name, number)));
    });
    const missing = names.filter((name) => !claims.some((claim) => claim.path === name));
    if (wrong.length > 0 || missing.length > 0) return 'silently wrong';
    if (journal.recovery?.kind === 'damaged') {
      // Byte for byte but for what SQLite took over from the log when it was closed.
      assert(fs.statSync(journal.recovery.kept!).size >= damaged.length);
      return 'set aside';
    }
    return journal.unsoundRows > 0 ? 'row dropped' : 'harmless';
  } finally {
    journal.close();
  }
}

/** But for the device, which is no part of the sum: a wrong one keeps a delete from being sent. */
function same(found: Baseline, expected: Baseline): boolean {
  const plain = (one: Baseline) =>
    JSON.stringify({ ...one, file: { ...one.file, dev: 0 } }, (_key, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value,
    );
  return plain(found) === plain(expected);
}

/** Judges so many copies of what is in a state directory, each with one bit of a file flipped. */
function sweep(trials: number, name: string, original: string): Record<Verdict, number> {
  const random = generator(20_260_309);
  const counts = { 'set aside': 0, refused: 0, 'row dropped': 0, harmless: 0, 'silently wrong': 0 };
  const stateDir = path.join(temporaryDirectory(), 'state');
  for (let trial = 0; trial < trials; trial++) {
    fs.cpSync(original, stateDir, { recursive: true });
    const bytes = fs.readFileSync(path.join(stateDir, name));
    const place = random(bytes.length);
    const bit = random(8);
    bytes[place]! ^= 1 << bit;
    fs.writeFileSync(path.join(stateDir, name), bytes);
    const verdict = judge(stateDir, fs.readFileSync(journalFile(stateDir)));
    counts[verdict] += 1;
    if (verdict === 'silently wrong') console.log(`silently wrong: bit ${bit} of byte ${place}`);
    fs.rmSync(stateDir, { recursive: true });
  }
  console.log(`${trials} flipped bits in ${name}: ${JSON.stringify(counts)}`);
  return counts;
}

const trials = Number(process.env['S3SYNCD_TEST_FLIPS'] ?? 100);

test('the sum of a baseline covers every column that decides something', () => {
  const stateDir = temporaryDirectory();
  Journal.open(stateDir).close();
  const database = new Database(journalFile(stateDir));
  const columns = database
    .prepare<[], string>(`SELECT name FROM pragma_table_info('baseline')`)
    .pluck()
    .all();
  database.close();
  expect(columns.toSorted()).toEqual([...summed, 'dev', 'settled_at', 'sum'].toSorted());
});

describe('one flipped bit', () => {
  test(
    'in the journal is found, or does no harm',
    () => {
      const stateDir = temporaryDirectory();
      given(stateDir).journal.close();
      const counts = sweep(trials, 'journal.db', stateDir);
      expect(counts['silently wrong']).toBe(0);
      expect(counts['set aside'] + counts['row dropped']).toBeGreaterThan(trials / 6);
    },
    60_000 + trials * 1_000,
  );

  test(
    'in its write-ahead log is found, or cuts it off where a power cut could have',
    () => {
      const stateDir = temporaryDirectory();
      const running = given(path.join(stateDir, 'running'));
      // As a kill leaves it: the log holds what was not yet taken over.
      fs.cpSync(running.stateDir, path.join(stateDir, 'killed'), { recursive: true });
      running.journal.close();
      fs.rmSync(path.join(stateDir, 'killed', 'journal.db-shm'), { force: true });
      const counts = sweep(trials / 4, 'journal.db-wal', path.join(stateDir, 'killed'));
      expect(counts['silently wrong']).toBe(0);
    },
    60_000 + trials * 1_000,
  );
});

describe('a journal that is', () => {
  const damages: [string, (file: string) => void][] = [
    ['no database at all', (name) => fs.writeFileSync(name, 'x'.repeat(10_000))],
    ['cut in the middle', (name) => fs.truncateSync(name, fs.statSync(name).size / 2)],
    ['cut within a page', (name) => fs.truncateSync(name, fs.statSync(name).size - 1_000)],
    ['zeroed from its second page on', (name) => fill(name, 4096, 64 * 1024, 0)],
    ['overwritten at its beginning', (name) => fill(name, 0, 512, 7)],
    ['without a table', (name) => edit(name, 'DROP TABLE upload_part')],
    ['without a column', (name) => edit(name, 'ALTER TABLE change DROP COLUMN tried')],
  ];

  function fill(name: string, from: number, length: number, byte: number): void {
    const fd = fs.openSync(name, 'r+');
    fs.writeSync(fd, Buffer.alloc(length, byte), 0, length, from);
    fs.closeSync(fd);
  }

  function edit(name: string, sql: string): void {
    const database = new Database(name);
    database.exec(sql);
    database.close();
  }

  function keptIn(stateDir: string): string[] {
    return fs.readdirSync(stateDir).filter((name) => name.includes('.damaged-') && !/-(wal|shm)$/.test(name));
  }

  test.each(damages)(
    '%s is set aside, and begun anew',
    (_, damage) => {
      const stateDir = temporaryDirectory();
      given(stateDir).journal.close();
      damage(journalFile(stateDir));
      const damaged = fs.readFileSync(journalFile(stateDir));
      expect(judge(stateDir, damaged)).toBe('set aside');
      const again = Journal.open(stateDir);
      expect(again.recovery, 'said until it is no news').toMatchObject({ kind: 'damaged' });
      again.close();
      expect(keptIn(stateDir)).toHaveLength(1);
    },
    60_000,
  );

  test('no database at all cannot be read beside a daemon either, and says what will be done', () => {
    const stateDir = temporaryDirectory();
    fs.writeFileSync(journalFile(stateDir), 'x'.repeat(10_000));
    expect(() => Journal.openReadOnly(stateDir)).toThrow(/is damaged: .*The next start sets it aside/);
  });

  test('damaged again and again does not fill the disk', () => {
    const stateDir = temporaryDirectory();
    for (let time = 0; time < 5; time++) {
      given(stateDir).journal.close();
      fs.truncateSync(journalFile(stateDir), 5_000);
    }
    Journal.open(stateDir).close();
    expect(keptIn(stateDir)).toHaveLength(2);
  }, 60_000);

  test('gone is begun anew, and missed', () => {
    const stateDir = temporaryDirectory();
    given(stateDir).journal.close();
    fs.rmSync(journalFile(stateDir));
    const journal = Journal.open(stateDir);
    expect(journal.recovery).toMatchObject({ kind: 'lost' });
    journal.close();
  });

  test('new is no loss', () => {
    const journal = Journal.open(temporaryDirectory());
    expect(journal.recovery).toBeUndefined();
    journal.close();
  });
});

describe('a journal from a backup', () => {
  const etags = new Map(names.map((name, number) => [name, baselineOf(name, number).etag!]));

  function listing(journal: Journal, route: RouteIdentity, changed: readonly string[]): number {
    const { routeId, listedAtMs } = journal.registerRoute(route);
    expect(listedAtMs, 'a new listing is taken').toBeUndefined();
    const objects = [...etags].map(([tail, etag]) => ({
      tail,
      size: 1,
      etag: changed.includes(tail) ? '"somebody else"' : etag,
      lastModifiedMs: 0,
    }));
    journal.recordListing(routeId, objects);
    journal.finishListing(routeId, 1);
    return routeId;
  }

  test.each<readonly [string, (stateDir: string, backup: string) => void]>([
    ['a copy put in its place', (stateDir, backup) => fs.cpSync(backup, journalFile(stateDir))],
    [
      'all of its directory put back',
      (stateDir, backup) => {
        const witness = fs.readFileSync(`${journalFile(stateDir)}.start`);
        fs.rmSync(stateDir, { recursive: true });
        fs.mkdirSync(stateDir);
        // Something else has the inode that was freed.
        fs.writeFileSync(path.join(stateDir, 'lock.db'), '');
        fs.cpSync(backup, journalFile(stateDir));
        fs.writeFileSync(`${journalFile(stateDir)}.start`, witness);
      },
    ],
  ])('%s knows only what a new listing confirms', { timeout: 60_000 }, (_, restore) => {
    const stateDir = path.join(temporaryDirectory(), 'state');
    given(stateDir).journal.close();
    const backup = path.join(temporaryDirectory(), 'backup.db');
    fs.cpSync(journalFile(stateDir), backup);
    for (let start = 0; start < 2; start++) Journal.open(stateDir).close();
    restore(stateDir, backup);

    const journal = Journal.open(stateDir);
    expect(journal.recovery).toMatchObject({ kind: 'copy' });
    const changed = names.slice(50, 55);
    const routeId = listing(journal, identity(), changed);
    expect(names.filter((name) => journal.baseline(routeId, name) === undefined)).toEqual(changed);
    expect(journal.counts(routeId).pending, 'they are looked at, beside the 20 that were open').toBe(25);
    expect(journal.unsoundRows).toBe(0);
    journal.close();

    const again = Journal.open(stateDir);
    expect(again.registerRoute(identity()).listedAtMs, 'once is enough').toBe(1);
    again.close();
  });
});

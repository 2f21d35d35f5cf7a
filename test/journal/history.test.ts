import { describe, expect, test } from 'vitest';
import type { HistoryEntry } from '../../src/core/history.ts';
import { baseline, file } from '../helpers/given.ts';
import { identity, testJournal, type TestJournal } from '../helpers/journal.ts';

const uploaded: HistoryEntry = {
  outcome: 'uploaded',
  reason: 'new',
  bytes: 10,
  attempts: 1,
  lastCode: undefined,
  requestId: undefined,
};

/** Ends the only change of each path with an upload. */
function upload(it: TestJournal, ...paths: readonly string[]): void {
  it.observe(...paths);
  const end = { kind: 'settled', baseline: { ...baseline('uploaded', file(10)), versionId: 'v1' } } as const;
  it.turn(
    it.claim(paths.length).map((claim) => ({ claim, end, entry: uploaded })),
    0,
  );
}

function list(it: TestJournal, path = '', limit = 10) {
  return it.journal.history.list(it.routeId, path, limit, it.nowMs);
}

const day = 86_400_000;

describe('history', () => {
  test('tells of a path what became of it, newest first', () => {
    const it = testJournal();
    upload(it, 'd/a');
    it.nowMs += 1_000;
    it.observe('d/a');
    const end = { kind: 'retry', readyAtMs: 0, code: 'SlowDown', message: 'slower' } as const;
    const entry: HistoryEntry = {
      ...uploaded,
      outcome: 'retry',
      reason: 'SlowDown',
      bytes: 0,
      requestId: 'r1',
    };
    it.turn([{ claim: it.claimOne('d/a'), end, entry }], 0);
    expect(list(it, 'd/a')).toMatchObject([
      {
        atMs: it.nowMs,
        path: 'd/a',
        outcome: 'retry',
        reason: 'SlowDown',
        requestId: 'r1',
        versionId: undefined,
      },
      {
        atMs: it.nowMs - 1_000,
        path: 'd/a',
        outcome: 'uploaded',
        bytes: 10,
        versionId: 'v1',
        tail: undefined,
      },
    ]);
  });

  test('of a directory is that of all below it, and of nothing else', () => {
    const it = testJournal();
    upload(it, 'd/a', 'd/e/b', 'dd', 'c', 'd%');
    const paths = (path: string) =>
      list(it, path)
        .map((entry) => entry.path)
        .toSorted();
    expect(paths('d')).toEqual(['d/a', 'd/e/b']);
    expect(paths('d/e')).toEqual(['d/e/b']);
    expect(paths('')).toHaveLength(5);
    expect(list(it, '', 2), 'as many as are asked for').toHaveLength(2);
  });

  test('is not that of another route, and ends with the place that it tells of', () => {
    const it = testJournal();
    upload(it, 'a');
    expect(it.journal.history.list(it.routeId + 1, '', 10, it.nowMs)).toEqual([]);
    it.journal.registerRoute(identity({ identity: 'aws/acme-backup/another-prefix/' }));
    expect(list(it)).toEqual([]);
  });

  test('forgets what is older than 30 days', () => {
    const it = testJournal();
    upload(it, 'old');
    it.nowMs += 30 * day - 1;
    expect(list(it)).toHaveLength(1);
    it.nowMs += 2;
    upload(it, 'new');
    expect(list(it).map(({ path }) => path)).toEqual(['new']);
    // And the row is gone with a later start.
    it.journal.history.sweepAll(it.nowMs);
    expect(it.journal.history.list(it.routeId, '', 10, 0).map(({ path }) => path)).toEqual(['new']);
  });

  test('holds 100,000 entries, and removes the oldest a little at a time', () => {
    const it = testJournal();
    const place = { routeId: it.routeId, directoryId: 1 };
    it.observe('a');
    const record = (count: number, name: string) =>
      it.journal.transaction(() => {
        const written = { ...uploaded, name, tail: undefined, versionId: undefined };
        for (let n = 0; n < count; n++) it.journal.history.record(place, written, it.nowMs);
      });
    record(1_000, 'oldest');
    record(100_500, 'a');
    const left = it.journal.history.list(it.routeId, '', 1_000_000, it.nowMs);
    expect(left.length).toBeGreaterThanOrEqual(100_000);
    expect(left.length).toBeLessThan(100_000 + 1_000);
    expect(left.filter(({ path }) => path === 'oldest')).toEqual([]);
  });
});

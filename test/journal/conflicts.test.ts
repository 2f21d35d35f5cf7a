// Conflicts in the journal: kept with both sides' facts until a person decides, or nothing is left to decide.
import { describe, expect, test } from 'vitest';
import { baseline, file, inConflict, object } from '../helpers/given.ts';
import { testJournal, type TestJournal } from '../helpers/journal.ts';

/** A journal with a conflict about `a`. */
function withConflict(...paths: readonly string[]): TestJournal {
  const it = testJournal();
  it.observe('d/a', ...paths);
  for (const claim of it.claim()) it.end(claim, inConflict());
  return it;
}

const open = ({ journal, routeId }: TestJournal) => journal.conflicts.open(routeId);

describe('a conflict', () => {
  test('is listed with what stood on both sides, and since when', () => {
    const it = withConflict();
    expect(open(it)).toMatchObject([
      { path: 'd/a', sinceMs: it.nowMs, reason: 'foreign', policy: 'if-unchanged' },
    ]);
    const { size, mtimeNs } = file(10);
    expect(open(it)[0]!.file).toEqual({ size, mtimeNs });
    const { source: _, ...theirs } = object(11, { mtime: 0 });
    expect(open(it)[0]!.object).toEqual(theirs);
    expect(it.counts).toMatchObject({ conflict: 1, pending: 0 });
    expect(it.readyInMs).toBe(Infinity);
  });

  test('is kept with what is not known of the object, and of a file that is gone', () => {
    const it = testJournal();
    it.observe('a');
    const { mtimeNs: _, source: __, ...known } = { ...object(11), versionId: 'v1' };
    it.end(it.claimOne('a'), inConflict({ file: undefined, object: known }));
    expect(open(it)[0]).toMatchObject({ file: undefined, object: known });
    expect(open(it)[0]!.object).not.toHaveProperty('mtimeNs');
  });

  test('comes with the next claim when its file changes, and stays listed meanwhile', () => {
    const it = withConflict();
    it.observe('d/a');
    expect(it.counts).toMatchObject({ conflict: 1, pending: 1 });
    const claim = it.claimOne('d/a');
    expect(claim.conflict).toMatchObject({ reason: 'foreign', sinceMs: it.nowMs });
    expect(it.counts).toMatchObject({ conflict: 1, claimed: 1 });
  });

  test('that is found again has new facts, and began when it began', () => {
    const it = withConflict();
    const sinceMs = it.nowMs;
    it.nowMs += 5_000;
    it.observe('d/a');
    it.end(it.claimOne('d/a'), inConflict({ reason: 'remote-changed', file: file(12) }));
    expect(open(it)).toMatchObject([{ reason: 'remote-changed', file: { size: 12 }, sinceMs }]);
  });

  test('that is found while its file changes is listed at once', () => {
    const it = testJournal();
    it.observe('a');
    const claim = it.claimOne('a');
    it.observe('a');
    it.end(claim, inConflict());
    expect(it.counts).toMatchObject({ conflict: 1, pending: 1 });
  });

  test.each([
    ['settled', baseline('adopted', file(10))],
    ['forgotten', null],
    ['dropped', undefined],
  ] as const)('ends when its path is %s', (_how, settled) => {
    const it = withConflict();
    it.observe('d/a');
    it.settled(it.claimOne('d/a'), settled);
    expect(open(it)).toEqual([]);
  });

  test('ends when its path is settled, also when that is looked at again', () => {
    const it = withConflict();
    it.observe('d/a');
    const claim = it.claimOne('d/a');
    it.observe('d/a');
    it.settled(claim, baseline('adopted', file(10)));
    expect(open(it)).toEqual([]);
    expect(it.claimOne('d/a').conflict).toBeUndefined();
  });

  test('outlives a restart, and costs nothing then', () => {
    const it = withConflict();
    it.reopen();
    expect(open(it)).toHaveLength(1);
    expect(it.readyInMs).toBe(Infinity);
  });

  test('is looked at again when somebody asks', () => {
    const it = withConflict('b');
    expect(it.journal.conflicts.lookAgain(it.routeId, it.nowMs)).toBe(2);
    expect(it.claim().map(({ conflict }) => conflict?.reason)).toEqual(['foreign', 'foreign']);
  });

  test('of another route, or of another path, is not told', () => {
    const it = withConflict();
    expect(it.journal.conflicts.open(it.routeId + 1)).toEqual([]);
    expect(it.journal.conflicts.at(it.routeId, 'd/a')?.reason).toBe('foreign');
    expect(it.journal.conflicts.at(it.routeId, 'd/b')).toBeUndefined();
  });
});

describe('a decision', () => {
  const decide = (it: TestJournal) => {
    const [conflict] = open(it);
    return it.journal.conflicts.decide(conflict!.changeId, 'overwrite', it.nowMs);
  };

  test('ends the listing, and has the path handled at once', () => {
    const it = withConflict();
    expect(decide(it)).toBe(true);
    expect(open(it)).toEqual([]);
    expect(it.counts).toMatchObject({ conflict: 0, pending: 1 });
    expect(it.claimOne('d/a').conflict?.decision).toEqual({ resolution: 'overwrite', atMs: it.nowMs });
  });

  test('is made once', () => {
    const it = withConflict();
    const [conflict] = open(it);
    decide(it);
    expect(it.journal.conflicts.decide(conflict!.changeId, 'skip', it.nowMs)).toBe(false);
  });

  test('outlives a restart while it is carried out', () => {
    const it = withConflict();
    decide(it);
    it.claimOne('d/a');
    it.reopen();
    expect(it.claimOne('d/a').conflict?.decision?.resolution).toBe('overwrite');
  });

  test('is void once it was tried and there is a conflict again', () => {
    const it = withConflict();
    decide(it);
    it.end(it.claimOne('d/a'), inConflict());
    expect(open(it)).toHaveLength(1);
    expect(it.counts).toMatchObject({ conflict: 1, pending: 0 });
  });

  test('that comes while the path is looked at is carried out next', () => {
    const it = withConflict();
    it.observe('d/a');
    const claim = it.claimOne('d/a');
    decide(it);
    it.end(claim, inConflict());
    expect(it.claimOne('d/a').conflict?.decision?.resolution).toBe('overwrite');
  });

  test('that comes while the path is looked at is void if another object is found', () => {
    const it = withConflict();
    it.observe('d/a');
    const claim = it.claimOne('d/a');
    decide(it);
    it.end(claim, inConflict({ object: object(11, { etag: '"another"' }) }));
    expect(open(it)).toHaveLength(1);
    expect(it.claimOne('d/a').conflict?.decision).toBeUndefined();
  });
});

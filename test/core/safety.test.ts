// The guards before a DELETE: a table of what each of them stops, and a law for each, so that none can be taken out without
// a test that fails.
import {
  bigInt,
  boolean,
  constant,
  constantFrom,
  integer,
  oneof,
  option,
  record,
  type Arbitrary,
} from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  areTooMany,
  holdReasons,
  judgeDelete,
  trackedEnough,
  type DeleteFacts,
  type Verdict,
} from '../../src/core/safety.ts';
import { law } from '../helpers/law.ts';

const graceMs = 5_000;
const nowMs = 1_000_000;

/** One file of a hundred, gone for ten seconds. Nothing is in doubt. */
const fine: DeleteFacts = {
  nowMs,
  absentSinceMs: nowMs - 10_000,
  graceMs,
  isAbsent: true,
  isScanned: true,
  root: { state: 'ok', identity: 'home', dev: 1n, isEmpty: false },
  knownRoot: 'home',
  surroundings: { kind: 'directory', dev: 1n },
  fileDev: 1n,
  counts: { recent: 0, waiting: 1, tracked: 100 },
  newestAbsenceMs: nowMs - 10_000,
  limits: { count: 50, percent: 25 },
  heldFor: undefined,
  isApproved: false,
};

const root = { state: 'ok', identity: 'home', dev: 1n, isEmpty: false } as const;

describe('a delete', () => {
  const table: [string, Partial<DeleteFacts>, Verdict][] = [
    ['goes when nothing is in doubt', {}, { kind: 'go' }],
    ['waits for its second look', { absentSinceMs: undefined }, { kind: 'wait', untilMs: nowMs + graceMs }],
    ['waits out the grace', { absentSinceMs: nowMs - 1_000 }, { kind: 'wait', untilMs: nowMs + 4_000 }],
    ['ends when the file is back', { isAbsent: false }, { kind: 'back' }],
    ['waits for the scan', { isScanned: false }, { kind: 'wait', untilMs: nowMs + 1_000 }],
    [
      'waits for the first scan, which tells the root',
      { knownRoot: undefined },
      { kind: 'wait', untilMs: nowMs + 1_000 },
    ],
    [
      'waits while too much waits to be counted',
      { counts: undefined },
      { kind: 'wait', untilMs: nowMs + 1_000 },
    ],
    [
      'waits until a burst is over',
      { newestAbsenceMs: nowMs - 1_000 },
      { kind: 'wait', untilMs: nowMs + 4_000 },
    ],
    [
      'waits for a burst no longer than twelve graces',
      { absentSinceMs: nowMs - 60_000, newestAbsenceMs: nowMs },
      { kind: 'go' },
    ],
    ['is held without the root', { root: { state: 'missing' } }, { kind: 'hold', reason: 'root-missing' }],
    [
      'is held below an unreadable root',
      { root: { state: 'unreadable' } },
      { kind: 'hold', reason: 'root-unreadable' },
    ],
    [
      'is held in another root',
      { root: { ...root, identity: 'other' } },
      { kind: 'hold', reason: 'root-replaced' },
    ],
    [
      'is held in an empty root',
      { root: { ...root, isEmpty: true } },
      { kind: 'hold', reason: 'root-empty' },
    ],
    [
      'is held when its directory is on another device',
      { surroundings: { kind: 'directory', dev: 2n } },
      { kind: 'hold', reason: 'other-device' },
    ],
    [
      'is held when the file was on another device',
      { fileDev: 2n },
      { kind: 'hold', reason: 'other-device' },
    ],
    ['is compared with the root where the device of the file is not known', { fileDev: 0n }, { kind: 'go' }],
    [
      'is held where a link took the place of a directory',
      { surroundings: { kind: 'link' } },
      { kind: 'hold', reason: 'link-in-path' },
    ],
    [
      'is held when there are too many',
      { counts: { recent: 0, waiting: 51, tracked: 1_000 } },
      { kind: 'hold', reason: 'too-many' },
    ],
    ['stays held, whatever is so by now', { heldFor: 'too-many' }, { kind: 'hold', reason: 'too-many' }],
    [
      'that was approved goes although there are too many',
      { isApproved: true, counts: { recent: 0, waiting: 99, tracked: 100 } },
      { kind: 'go' },
    ],
    [
      'that was approved goes in an empty root',
      { isApproved: true, root: { ...root, isEmpty: true } },
      { kind: 'go' },
    ],
    [
      'that was approved does not go in a root that was replaced since',
      { isApproved: true, root: { ...root, identity: 'other' } },
      { kind: 'hold', reason: 'root-replaced' },
    ],
    [
      'that was approved does not go when the file is back',
      { isApproved: true, isAbsent: false },
      { kind: 'back' },
    ],
  ];

  test.each(table)('%s', (_, facts, verdict) => {
    expect(judgeDelete({ ...fine, ...facts })).toEqual(verdict);
  });
});

describe('too many', () => {
  const limits = { count: 50, percent: 25 };
  test.each([
    [{ recent: 0, waiting: 50, tracked: 1_000 }, false],
    [{ recent: 0, waiting: 51, tracked: 1_000 }, true],
    [{ recent: 50, waiting: 1, tracked: 1_000 }, true],
    [{ recent: 0, waiting: 25, tracked: 100 }, false],
    [{ recent: 0, waiting: 26, tracked: 100 }, true],
    [{ recent: 20, waiting: 6, tracked: 80 }, true],
    [{ recent: 0, waiting: 1, tracked: 3 }, false],
    [{ recent: 0, waiting: 2, tracked: 3 }, false],
    [{ recent: 0, waiting: 2, tracked: 2 }, true],
    [{ recent: 0, waiting: 1, tracked: 1 }, true],
    [{ recent: 1, waiting: 1, tracked: 1 }, true],
    [{ recent: 0, waiting: 3, tracked: 4 }, true],
  ])('%j: %s', (counts, expected) => {
    expect(areTooMany(counts, limits)).toBe(expected);
  });

  test('is everything where the limit is 0', () => {
    expect(areTooMany({ recent: 0, waiting: 1, tracked: 1_000 }, { count: 0, percent: 100 })).toBe(true);
  });

  test('is nothing where the limits allow all', () => {
    expect(areTooMany({ recent: 0, waiting: 9, tracked: 9 }, { count: 1_000, percent: 100 })).toBe(false);
  });
});

const devices = bigInt({ min: 0n, max: 3n });
const times = integer({ min: nowMs - 100_000, max: nowMs });
/** Half of the time what lets a delete go, so that some do. */
function mostly<T>(value: T, others: Arbitrary<T>): Arbitrary<T> {
  return oneof({ weight: 4, arbitrary: constant(value) }, { weight: 1, arbitrary: others });
}
const facts: Arbitrary<DeleteFacts> = record({
  nowMs: constant(nowMs),
  absentSinceMs: mostly<number | undefined>(nowMs - 10_000, option(times, { nil: undefined })),
  graceMs: constantFrom(0, 1_000, graceMs),
  isAbsent: mostly(true, boolean()),
  isScanned: mostly(true, boolean()),
  root: mostly<DeleteFacts['root']>(
    root,
    oneof(
      constantFrom({ state: 'missing' } as const, { state: 'unreadable' } as const),
      record({
        state: constant('ok' as const),
        identity: constantFrom('home', 'other'),
        dev: devices,
        isEmpty: boolean(),
      }),
    ),
  ),
  knownRoot: mostly<string | undefined>('home', constantFrom('other', undefined)),
  surroundings: mostly<DeleteFacts['surroundings']>(
    { kind: 'directory', dev: 1n },
    oneof(
      constant({ kind: 'link' } as const),
      record({ kind: constant('directory' as const), dev: devices }),
    ),
  ),
  fileDev: mostly(1n, devices),
  counts: mostly<DeleteFacts['counts']>(
    fine.counts,
    option(
      record({
        recent: integer({ min: 0, max: 60 }),
        waiting: integer({ min: 1, max: 60 }),
        tracked: integer({ min: 0, max: 300 }),
      }),
      { nil: undefined },
    ),
  ),
  newestAbsenceMs: mostly(nowMs - 10_000, times),
  limits: record({ count: integer({ min: 0, max: 60 }), percent: integer({ min: 0, max: 100 }) }),
  heldFor: mostly<DeleteFacts['heldFor']>(undefined, constantFrom(...holdReasons)),
  isApproved: mostly(false, boolean()),
});

/** A law about every delete that goes. */
function whenItGoes(title: string, holds: (facts: DeleteFacts) => boolean): void {
  law(title, facts, (some) => judgeDelete(some).kind !== 'go' || holds(some), { numRuns: 10_000 });
}

function whenItGoesUnasked(title: string, holds: (facts: DeleteFacts) => boolean): void {
  whenItGoes(title, (some) => some.isApproved || holds(some));
}

describe('whenever a delete goes', () => {
  test('which happens', () => {
    expect(judgeDelete(fine)).toEqual({ kind: 'go' });
  });

  whenItGoes('there is no file at this moment', ({ isAbsent }) => isAbsent);
  whenItGoes('it was found absent before', ({ absentSinceMs }) => absentSinceMs !== undefined);
  whenItGoes('a grace ago', (some) => some.nowMs - (some.absentSinceMs ?? some.nowMs) >= some.graceMs);
  whenItGoes('the folder was scanned, and no scan is under way', ({ isScanned }) => isScanned);
  whenItGoes('the root can be read', (some) => some.root.state === 'ok');
  whenItGoes(
    'the root is the one that the files are known in',
    (some) => some.root.state === 'ok' && some.root.identity === some.knownRoot,
  );
  whenItGoes('all that is absent could be counted', ({ counts }) => counts !== undefined);
  whenItGoes(
    'it is not held, or a person let it go',
    ({ heldFor, isApproved }) => heldFor === undefined || isApproved,
  );
  whenItGoesUnasked('the root is not empty', (some) => some.root.state === 'ok' && !some.root.isEmpty);
  whenItGoesUnasked('no link is in the way', ({ surroundings }) => surroundings.kind === 'directory');
  whenItGoesUnasked(
    'the directory is on the device that the file was on',
    ({ surroundings, fileDev }) =>
      surroundings.kind === 'directory' && (fileDev === 0n || surroundings.dev === fileDev),
  );
  whenItGoesUnasked(
    'the deletes are no more than may be',
    ({ counts, limits }) => counts !== undefined && counts.recent + counts.waiting <= limits.count,
  );
  whenItGoesUnasked('nor more of the files than may be, but for one or two', ({ counts, limits }) => {
    if (!counts) return false;
    const [deletes, files] = [counts.recent + counts.waiting, counts.recent + counts.tracked];
    return (deletes <= 2 && deletes < files) || deletes / files <= limits.percent / 100;
  });
  whenItGoesUnasked(
    'nothing more was found absent for a grace, or that went on for twelve',
    ({ newestAbsenceMs, absentSinceMs = nowMs, ...some }) =>
      nowMs - newestAbsenceMs >= some.graceMs || nowMs - absentSinceMs >= 12 * some.graceMs,
  );
});

law('a delete that waits is asked about again later', facts, (some) => {
  const verdict = judgeDelete(some);
  return verdict.kind !== 'wait' || verdict.untilMs >= some.nowMs;
});

law(
  'as many tracked files as are counted are enough to know',
  record({
    recent: integer({ min: 0, max: 100 }),
    waiting: integer({ min: 0, max: 100 }),
    tracked: integer({ min: 0, max: 2_000 }),
    percent: integer({ min: 0, max: 100 }),
  }),
  ({ percent, ...counts }) => {
    const limits = { count: 1_000, percent };
    const counted = Math.min(counts.tracked, trackedEnough(counts.recent + counts.waiting, limits));
    return areTooMany(counts, limits) === areTooMany({ ...counts, tracked: counted }, limits);
  },
  { numRuns: 10_000 },
);

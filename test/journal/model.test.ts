// The journal against a model of a few lines, with random commands: observe, claim, every end of a claim, retry, restart.
// After each command both must agree on every path, so no sequence loses a change, doubles it or wakes it too early.
import {
  array,
  assert as checkLaw,
  commands,
  constant,
  constantFrom,
  integer,
  modelRun,
  nat,
  property,
  record,
  type Arbitrary,
  type Command,
} from 'fast-check';
import fs from 'node:fs';
import { expect, test } from 'vitest';
import { baseline, file, inConflict } from '../helpers/given.ts';
import { TestJournal } from '../helpers/journal.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';
import type { Claim, Completion } from '../../src/journal/journal.ts';

const settle = { settleMs: 10, settleMaxMs: 25 };

interface Row {
  state: 'pending' | 'claimed' | 'failed' | 'conflict';
  /** Observed since it was claimed. */
  again: boolean;
  /** Found in conflict, and not settled since. */
  conflict: boolean;
  firstSeenMs: number | undefined;
  readyAtMs: number;
  attempts: number;
}

interface Model {
  nowMs: number;
  readonly rows: Map<string, Row>;
  /** Sizes of the files as they were when they were settled. */
  readonly baselines: Map<string, number>;
}

interface Real {
  readonly it: TestJournal;
  readonly claims: Map<string, Claim>;
}

type Step = Command<Model, Real>;

/** A command that can always be run: `model` says what it means, `real` does it. */
function step(words: string, model: (model: Model) => void, real: (real: Real, model: Model) => void): Step {
  return {
    check: () => true,
    run: (expected, actual) => {
      model(expected);
      actual.it.nowMs = expected.nowMs;
      real(actual, expected);
      compare(expected, actual);
    },
    toString: () => words,
  };
}

function compare({ rows, baselines, nowMs }: Model, { it }: Real): void {
  const all = [...rows.values()];
  const count = (state: Row['state']) => all.filter((row) => row.state === state).length;
  const pending = all.filter((row) => row.state === 'pending');
  expect(it.counts).toMatchObject({
    pending: pending.length,
    claimed: count('claimed'),
    failed: count('failed'),
    conflict: all.filter((row) => row.conflict).length,
    retrying: pending.filter((row) => row.attempts > 0).length,
    baselines: baselines.size,
  });
  expect(it.readyInMs).toBe(Math.min(...pending.map((row) => row.readyAtMs)) - nowMs);
  for (const [path, size] of baselines) {
    expect(it.journal.baseline(it.routeId, path)?.file.size).toBe(size);
  }
}

const paths = ['a', 'b', 'd/a'];

function observe(observed: readonly string[]): Step {
  return step(
    `observe ${observed.join(' ')}`,
    ({ rows, nowMs }) => {
      for (const path of observed) {
        const row: Row = rows.get(path) ?? {
          state: 'pending',
          again: false,
          conflict: false,
          firstSeenMs: undefined,
          readyAtMs: 0,
          attempts: 0,
        };
        row.firstSeenMs ??= nowMs;
        row.readyAtMs = Math.min(nowMs + settle.settleMs, row.firstSeenMs + settle.settleMaxMs);
        row.again = true;
        if (row.state !== 'claimed') row.attempts = 0;
        if (row.state === 'failed' || row.state === 'conflict') row.state = 'pending';
        rows.set(path, row);
      }
    },
    ({ it }) => it.observe(...observed),
  );
}

function claim(want: number): Step {
  return step(
    `claim ${want}`,
    () => undefined,
    ({ it, claims }, { rows, nowMs }) => {
      const ready = [...rows]
        .filter(([, row]) => row.state === 'pending' && row.readyAtMs <= nowMs)
        .map(([path]) => path);
      const taken = it.claim(want);
      expect(taken).toHaveLength(Math.min(want, ready.length));
      const left = ready.filter((path) => !taken.some((claim) => claim.path === path));
      const latestTaken = Math.max(...taken.map(({ path }) => rows.get(path)!.readyAtMs));
      expect(Math.min(...left.map((path) => rows.get(path)!.readyAtMs))).toBeGreaterThanOrEqual(latestTaken);
      for (const claim of taken) {
        const row = rows.get(claim.path)!;
        expect([ready.includes(claim.path), claim.attempts]).toEqual([true, row.attempts]);
        Object.assign(row, { state: 'claimed', again: false, firstSeenMs: undefined });
        claims.set(claim.path, claim);
      }
    },
  );
}

type Ending = 'settled' | 'forgotten' | 'retry' | 'released' | 'failed' | 'conflict';

function end(path: string, how: Ending, size: number, delayMs: number): Step {
  return {
    ...step(
      `end ${path}: ${how}`,
      ({ rows, baselines, nowMs }) => {
        const row = rows.get(path)!;
        const laterMs = Math.max(nowMs + delayMs, row.again ? row.readyAtMs : 0);
        if (how === 'settled') baselines.set(path, size);
        if (how === 'forgotten') baselines.delete(path);
        if (how === 'conflict') row.conflict = true;
        if (how === 'settled' || how === 'forgotten') row.conflict = false;
        switch (how) {
          case 'settled':
          case 'forgotten':
          case 'failed':
          case 'conflict':
            if (row.again) Object.assign(row, { state: 'pending', attempts: 0 });
            else if (how === 'failed' || how === 'conflict') row.state = how;
            else rows.delete(path);
            return;
          case 'retry':
            Object.assign(row, { state: 'pending', readyAtMs: laterMs, attempts: row.attempts + 1 });
            return;
          case 'released':
            Object.assign(row, { state: 'pending', readyAtMs: laterMs });
        }
      },
      ({ it, claims }) => {
        it.end(claims.get(path)!, endOf(how, size, it.nowMs + delayMs));
        claims.delete(path);
      },
    ),
    check: ({ rows }) => rows.get(path)?.state === 'claimed',
  };
}

function endOf(how: Ending, size: number, readyAtMs: number): Completion['end'] {
  switch (how) {
    case 'settled':
      return { kind: 'settled', baseline: baseline('uploaded', file(size)) };
    case 'forgotten':
      return { kind: 'settled', baseline: null };
    case 'retry':
      return { kind: 'retry', readyAtMs, code: 'SlowDown', message: '' };
    case 'released':
      return { kind: 'released', readyAtMs, tried: false };
    case 'failed':
      return { kind: 'stuck', state: 'failed', code: 'code', message: '', seen: 'absent' };
    case 'conflict':
      return inConflict();
  }
}

const retry = step(
  'retry',
  ({ rows, nowMs }) => {
    for (const row of rows.values()) {
      if (row.state === 'failed') Object.assign(row, { state: 'pending', readyAtMs: nowMs, attempts: 0 });
    }
  },
  ({ it }) => void it.journal.retry(it.routeId, it.nowMs),
);

const restart = step(
  'restart',
  ({ rows }) => {
    for (const row of rows.values()) {
      if (row.state !== 'conflict') Object.assign(row, { state: 'pending', attempts: 0 });
    }
  },
  ({ it, claims }) => {
    it.reopen();
    claims.clear();
  },
);

function wait(ms: number): Step {
  return step(
    `wait ${ms} ms`,
    (model) => (model.nowMs += ms),
    () => undefined,
  );
}

const endings: Arbitrary<Ending> = constantFrom(
  'settled',
  'forgotten',
  'retry',
  'released',
  'failed',
  'conflict',
);
const steps: Arbitrary<Step>[] = [
  array(constantFrom(...paths), { minLength: 1, maxLength: 3 }).map(observe),
  integer({ min: 1, max: 3 }).map(claim),
  record({ path: constantFrom(...paths), how: endings, size: nat(9), delayMs: nat(20) }).map(
    ({ path, how, size, delayMs }) => end(path, how, size, delayMs),
  ),
  integer({ min: 1, max: 30 }).map(wait),
  constant(retry),
  constant(restart),
];

test('the journal does what its model says, whatever happens in which order', () => {
  const root = temporaryDirectory();
  checkLaw(
    property(commands(steps, { size: '+1' }), (sequence) => {
      const it = new TestJournal(fs.mkdtempSync(`${root}/`), settle);
      try {
        const model: Model = { nowMs: it.nowMs, rows: new Map(), baselines: new Map() };
        modelRun(() => ({ model, real: { it, claims: new Map() } }), sequence);
        expect(model.nowMs).toBe(it.nowMs);
      } finally {
        it.journal.close();
      }
    }),
    { numRuns: 60 },
  );
}, 60_000);

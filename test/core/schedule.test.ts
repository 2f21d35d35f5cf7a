import { double, integer, nat, record, tuple } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backoffMs, readyAtMs } from '../../src/core/schedule.ts';
import { law } from '../helpers/law.ts';

const fraction = double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const observed = record({
  firstSeenMs: nat(1e9),
  laterMs: nat(1e6),
  settleMs: nat(1e6),
  settleMaxMs: nat(1e6),
});

describe('a path is ready', () => {
  test('when it was quiet for `settle`', () => {
    expect(readyAtMs(5_000, 4_000, { settleMs: 1_000, settleMaxMs: 60_000 })).toBe(6_000);
  });

  test('`settle-max` after its first event, however restless it is', () => {
    expect(readyAtMs(63_900, 4_000, { settleMs: 1_000, settleMaxMs: 60_000 })).toBe(64_000);
  });

  law(
    'never later than settle after now, and never later than the longer of both after its first event',
    observed,
    ({ firstSeenMs, laterMs, settleMs, settleMaxMs }) => {
      const nowMs = firstSeenMs + laterMs;
      const readyMs = readyAtMs(nowMs, firstSeenMs, { settleMs, settleMaxMs });
      return readyMs <= nowMs + settleMs && readyMs <= firstSeenMs + Math.max(settleMs, settleMaxMs);
    },
  );

  law(
    'not before it was quiet, unless it had its time',
    observed,
    ({ firstSeenMs, laterMs, settleMs, settleMaxMs }) => {
      const nowMs = firstSeenMs + laterMs;
      const readyMs = readyAtMs(nowMs, firstSeenMs, { settleMs, settleMaxMs });
      return readyMs === nowMs + settleMs || readyMs - firstSeenMs >= settleMaxMs;
    },
  );
});

describe('backoff', () => {
  test.each([
    [1, 500, 1_000],
    [2, 1_000, 2_000],
    [3, 2_000, 4_000],
    [6, 16_000, 32_000],
    [7, 30_000, 60_000],
    [1_000_000, 30_000, 60_000],
  ])('of attempt %i is between %i and %i ms', (attempt, least, most) => {
    expect(backoffMs(attempt, 0)).toBe(least);
    expect(backoffMs(attempt, 1 - 2 ** -53)).toBe(most);
  });

  law(
    'is always between half a second and a minute',
    tuple(integer({ min: 1 }), fraction),
    ([attempt, random]) => {
      const ms = backoffMs(attempt, random);
      return ms >= 500 && ms <= 60_000 && Number.isInteger(ms);
    },
  );

  law(
    'does not shrink with the attempts',
    tuple(integer({ min: 1, max: 100 }), fraction),
    ([attempt, random]) => backoffMs(attempt + 1, random) >= backoffMs(attempt, random),
  );
});

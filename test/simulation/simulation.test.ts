// The whole daemon, in worlds in which everything goes wrong that can.
import { setImmediate } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { regressions } from './regressions.ts';
import { outage, simulate, type Outcome } from './world.ts';

// Small worlds: files of more than 4 KiB are sent in parts of 4 KiB.
vi.mock('../../src/transfer/part-size.ts', async (original) => {
  const real = await original<typeof import('../../src/transfer/part-size.ts')>();
  const partSize = 4096;
  return {
    ...real,
    singlePutMax: partSize,
    partSizeFor: () => partSize,
    likelyPartSize: (size: number, parts: number) =>
      Math.max(1, Math.ceil(size / partSize)) === parts ? partSize : undefined,
  };
});

const seedsPerTest = 20;
const seeds = Number(process.env['S3SYNCD_TEST_SEEDS'] ?? 300);
const first = Number(process.env['S3SYNCD_TEST_SEED'] ?? 1);

async function run(seed: number): Promise<Outcome> {
  const died: unknown[] = [];
  const listeners = process.rawListeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', (failure) => died.push(failure));
  try {
    const outcome = await simulate(seed);
    await setImmediate();
    const violations = died.map(
      (failure) => `the daemon would have ended: ${String((failure as Error).stack)}`,
    );
    return { ...outcome, violations: [...outcome.violations, ...violations] };
  } finally {
    process.removeAllListeners('unhandledRejection');
    for (const listener of listeners) process.on('unhandledRejection', listener as () => void);
  }
}

function report({ seed, violations, trace, config }: Outcome): string {
  return [
    `seed ${seed}: ${violations.join('\n')}`,
    `config: ${JSON.stringify(config.folders)}`,
    'the end of what happened (milliseconds since the start):',
    ...trace.slice(-Number(process.env['S3SYNCD_TEST_TRACE'] ?? 60)),
    `to see it again: S3SYNCD_TEST_SEED=${seed} S3SYNCD_TEST_SEEDS=1 npm run unit test/simulation`,
  ].join('\n');
}

/** What was wrong with a run; empty when nothing was. */
async function complaint(seed: number): Promise<string> {
  const outcome = await run(seed);
  return outcome.violations.length === 0 ? '' : report(outcome);
}

test.each(regressions)('seed $seed, which found: $found', async ({ seed }) => {
  expect(await complaint(seed)).toBe('');
});

test('the same seed is the same run', async () => {
  for (let seed = first; seed < first + 3; seed++) {
    const [one, other] = [await run(seed), await run(seed)];
    expect(other.trace).toEqual(one.trace);
    expect(other.hash).toBe(one.hash);
  }
});

test('ten minutes without network: one question at a time, ever more seldom, and then everything goes on', async () => {
  const minutes = 10;
  for (let seed = 1; seed <= 5; seed++) {
    const bore = await outage(seed, minutes * 60_000);
    expect(bore.violations).toEqual([]);
    for (const times of bore.attemptsMs) {
      // 1, 2, 4, 8, 16 and 32 s, then every 60 s, each shortened by up to a half.
      expect(times.length).toBeLessThanOrEqual(7 + (2 * minutes * 60) / 60);
      const gaps = times.slice(1).map((ms, index) => ms - times[index]!);
      gaps.forEach((gap, index) => expect(gap).toBeGreaterThanOrEqual(Math.min(30_000, 500 * 2 ** index)));
    }
    expect(bore.complaints.length).toBeLessThanOrEqual(bore.routes);
    expect(bore.failedAfterwards).toBe(0);
    // The last pause, and what was written at the very end.
    expect(bore.drainedMs).toBeLessThan(75_000);
  }
});

const batches = Array.from(
  { length: Math.ceil(seeds / seedsPerTest) },
  (_, index) => first + index * seedsPerTest,
);

test.each(batches)(
  `seed %i and those after it keep every promise`,
  async (from) => {
    const to = Math.min(from + seedsPerTest, first + seeds);
    const failed: string[] = [];
    for (let seed = from; seed < to; seed++) {
      const found = await complaint(seed);
      if (found !== '') failed.push(found);
    }
    expect(failed.join('\n\n')).toBe('');
  },
  600_000,
);

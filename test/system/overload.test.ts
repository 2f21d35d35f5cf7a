// A store that says "slow down" to three of ten requests: it gets the files all the same, and no more requests for it than
// that takes.
import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { atScale } from '../helpers/scale.ts';
import { noLocalServer, startStore, until, workspace } from './harness.ts';

const files = atScale(500, 1_000, 5_000);
/** 1 / (1 - 0.3) = 1.43 are what it takes if every refusal is answered with one more try. */
const attemptsMax = 1.6;

test.skipIf(noLocalServer)(
  `503 to 30 % of all requests: nothing of ${files} files is lost, for ${attemptsMax} PUTs each at most`,
  async () => {
    const store = await startStore();
    const home = workspace(store);
    store.server.faults.add({ kind: 'answer', status: 503, code: 'SlowDown', probability: 0.3 });
    await home.start();
    for (let number = 0; number < files; number++) home.write(`${number % 20}/${number}`, `file ${number}`);
    home.write('in parts', randomBytes(40 * 1024 ** 2));

    const startedAt = performance.now();
    await until(async () => store.server.store.objects(store.bucket).size > files, 300_000);
    const tookMs = performance.now() - startedAt;
    const { PutObject = 0 } = store.counts;
    store.server.faults.clear();
    await home.awaitEqual(15_000);
    console.log(
      `${(PutObject / files).toFixed(2)} PUTs per file, all in S3 after ${(tookMs / 1000).toFixed(1)} s; ${JSON.stringify(store.counts)}`,
    );
    expect(PutObject / files).toBeLessThanOrEqual(attemptsMax);
    expect(await store.uploads()).toStrictEqual([]);
  },
);

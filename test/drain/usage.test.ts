// What is counted is what was asked: the store's own log is the judge.
import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { dayOf, type Usage } from '../../src/core/usage.ts';
import { testBucket } from '../helpers/bucket.ts';
import { drainedFolder, type DrainedFolder } from '../helpers/drained.ts';

/** What the journal counted, by operation. */
function counted({ journal, route }: DrainedFolder): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { operation, requests } of journal.usages.since(route.routeId, 0))
    counts[operation] = (counts[operation] ?? 0) + requests;
  return counts;
}

test.each(['overwrite', 'if-unchanged'] as const)(
  'the journal counts every request that the store saw, over faults, retries and a restart, under %s',
  { timeout: 60_000 },
  async (policy) => {
    const folder = await drainedFolder({
      policy,
      rules: [{ match: 'large.csv', compress: 'gzip' }],
    });
    const { faults } = folder.bucket.server;
    folder.write('large', randomBytes(20 * 1024 ** 2));
    folder.write('large.csv', randomBytes(20 * 1024 ** 2));
    for (let number = 0; number < 30; number++) folder.write(`${number}`, `file ${number}`);
    faults.add({ kind: 'answer', operation: 'PutObject', every: 5, status: 503, code: 'SlowDown' });
    faults.add({ kind: 'answer', operation: 'PutObject', every: 7, status: 403, code: 'AccessDenied' });
    faults.add({
      kind: 'commit-then-answer',
      operation: 'UploadPart',
      at: 1,
      status: 500,
      code: 'InternalError',
    });
    await folder.drained();
    expect(counted(folder)).toEqual(folder.bucket.server.counts());

    folder.restart();
    folder.write('later', 'after the restart');
    folder.write('0', 'changed');
    await folder.drained();
    expect(folder.bucket.count('PutObject')).toBeGreaterThan(32);
    expect(counted(folder)).toEqual(folder.bucket.server.counts());
  },
);

test('requests count although nothing comes of them', async () => {
  const folder = await drainedFolder();
  folder.bucket.server.faults.add({
    kind: 'answer',
    operation: 'ListObjectsV2',
    status: 403,
    code: 'AccessDenied',
  });
  folder.write('a', 'a');
  await folder.drained();
  expect(folder.bucket.count('ListObjectsV2')).toBeGreaterThan(0);
  expect(counted(folder)).toEqual(folder.bucket.server.counts());
});

test('by operation, storage class and day, with the bytes that were sent', async () => {
  const folder = await drainedFolder({
    rules: [{ match: '*.log', storageClass: 'STANDARD_IA' }],
  });
  folder.write('a', '12345');
  folder.write('b.log', '1234567');
  folder.write('c.log', '1');
  await folder.drained();
  const usage = { operation: 'PutObject', requests: 1, bytes: 5, storageClass: '' };
  const list = { operation: 'ListObjectsV2', requests: 1, bytes: 0, storageClass: '' };
  expect(folder.journal.usages.since(folder.route.routeId, dayOf(Date.now()) - 1)).toEqual([
    list,
    usage,
    { ...usage, requests: 2, bytes: 8, storageClass: 'STANDARD_IA' },
  ] satisfies Usage[]);
  expect(folder.journal.usages.since(folder.route.routeId, dayOf(Date.now()) + 1)).toEqual([]);
});

test('folders that go to one bucket are counted apart', async () => {
  const bucket = await testBucket();
  const one = await drainedFolder({ prefix: 'one/' }, bucket);
  one.write('a', 'a');
  await one.drained();
  const two = await drainedFolder({ prefix: 'two/' }, bucket);
  two.write('b', 'b');
  two.write('c', 'c');
  await two.drained();
  expect(counted(one)).toEqual({ ListObjectsV2: 1, PutObject: 1 });
  expect(counted(two)).toEqual({ ListObjectsV2: 1, PutObject: 2 });
  expect(bucket.server.counts()).toEqual({ ListObjectsV2: 2, PutObject: 3 });
});

// Uploads in parts that no change ends: nobody would complete them, and S3 takes money for their parts.
import { describe, expect, test, vi } from 'vitest';
import { systemClock } from '../../src/edge/clock.ts';
import { drainedFolder, type DrainedFolder } from '../helpers/drained.ts';

const minuteMs = 60_000;
const large = Buffer.alloc(9 * 1024 ** 2);

/** A folder whose large file is in S3, although answers to requests for its upload were lost. */
async function folderOfLostAnswer(times = 1) {
  const folder = await drainedFolder();
  let aheadMs = 0;
  folder.route = { ...folder.route, clock: { ...systemClock, now: () => Date.now() + aheadMs } };
  const lost = { kind: 'commit-then-drop', operation: 'CreateMultipartUpload', times } as const;
  folder.bucket.server.faults.add(lost);
  folder.write('a', large);
  expect(await folder.drained()).toEqual({ a: 'uploaded (new)' });
  expect(folder.reports.map(({ outcome }) => outcome)).toEqual(
    times === 1 ? ['uploaded'] : ['retry', 'uploaded'],
  );
  expect(folder.bucket.uploads).toEqual([]);
  folder.bucket.server.clearRequests();
  return { folder, pass: (ms: number) => void (aheadMs += ms) };
}

/** One that was on its way all the time, as it were. */
async function comesLate({ route }: DrainedFolder): Promise<void> {
  await route.destination.createUpload('files/a', { metadata: {}, tags: {} }, 'none');
}

/** An upload that fails half-way, and stays in the store to be gone on with. */
async function interrupt(folder: DrainedFolder, content: Buffer): Promise<void> {
  const full = { kind: 'answer', operation: 'UploadPart', status: 507, code: 'Full', times: 3 } as const;
  folder.bucket.server.faults.add(full);
  folder.write('a', content);
  expect(await folder.drained()).toMatchObject({ a: expect.stringMatching(/^retry/) as string });
  expect(folder.bucket.uploads).toEqual(['files/a']);
}

describe('an upload whose name nobody heard', () => {
  test.each([
    ['one try', 1],
    ['all that the SDK makes', 3],
  ])('in %s is looked for until none can come any more, and no longer', async (_tries, times) => {
    const { folder, pass } = await folderOfLostAnswer(times);
    await folder.drained();
    expect(folder.bucket.count('ListMultipartUploads')).toBe(0);
    await comesLate(folder);
    pass(16 * minuteMs);
    await folder.drained();
    expect(folder.bucket.uploads).toEqual([]);
    folder.bucket.server.clearRequests();
    pass(16 * minuteMs);
    await folder.drained();
    expect(folder.bucket.server.counts()).toEqual({});
  });

  test('is looked for by the next start, too, and is still not forgotten then', async () => {
    const { folder } = await folderOfLostAnswer();
    for (const _start of [1, 2]) {
      await comesLate(folder);
      folder.restart();
      await folder.drained();
      expect(folder.bucket.uploads).toEqual([]);
    }
  });

  test('is not forgotten when it comes into doubt while others are looked for', async () => {
    const { folder, pass } = await folderOfLostAnswer();
    const { routeId, destination } = folder.route;
    const search = vi.spyOn(destination, 'listUploads').mockImplementationOnce((key) => {
      folder.journal.uploads.doubt(routeId, key, Date.now());
      return Promise.resolve([]);
    });
    pass(16 * minuteMs);
    await folder.drained();
    expect(search).toHaveBeenCalledTimes(1);
    await comesLate(folder);
    await folder.drained();
    expect(folder.bucket.uploads).toEqual([]);
  });

  test('is told from one that is under way to the same key', async () => {
    const { folder } = await folderOfLostAnswer();
    await interrupt(folder, Buffer.alloc(9 * 1024 ** 2, 1));
    folder.bucket.server.clearRequests();
    folder.restart();
    folder.journal.retry(folder.route.routeId, Date.now());
    await folder.drained();
    expect(folder.bucket.count('AbortMultipartUpload')).toBe(0);
    expect(folder.bucket.count('CompleteMultipartUpload')).toBe(1);
  });
});

test.each([
  ['waits for its second look', { deleteGraceMs: minuteMs }, 'unchanged (delete-grace)'],
  ['is held', { maxDelete: { count: 0, percent: 100 } }, 'held (too-many)'],
  ['has gone', {}, 'deleted (deleted-locally)'],
] as const)('an upload to an object whose delete %s is ended', async (_what, options, outcome) => {
  const folder = await drainedFolder({ delete: 'propagate', ...options });
  for (const name of ['a', 'b']) folder.write(name, name);
  await folder.drained();
  await interrupt(folder, large);
  const handled = folder.reports.length;
  folder.run();
  folder.remove('a');
  await folder.untilHandled(handled + 1);
  expect(folder.reports.at(-1)).toMatchObject({ path: 'a', words: outcome });
  expect(folder.bucket.uploads).toEqual([]);
});

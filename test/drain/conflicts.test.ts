// Conflicts with a real journal, real files and a real server: how they end, by themselves and by a person's decision.
import fs from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Resolution } from '../../src/core/conflict.ts';
import { drainedFolder, type DrainedFolder } from '../helpers/drained.ts';

const MiB = 1024 ** 2;

/** A folder under if-unchanged that wrote `a`, changed it, and finds that somebody else changed the object. */
async function inConflict(): Promise<DrainedFolder> {
  const folder = await drainedFolder({ policy: 'if-unchanged' });
  folder.write('a', 'one');
  await folder.drained();
  folder.write('a', 'mine');
  folder.bucket.put('files/a', 'theirs');
  expect(await folder.drained()).toEqual({ a: 'conflict (remote-changed)' });
  folder.bucket.server.clearRequests();
  return folder;
}

const open = ({ journal, route }: DrainedFolder) => journal.conflicts.open(route.routeId);

function decide(folder: DrainedFolder, resolution: Resolution): void {
  const [conflict] = open(folder);
  expect(folder.journal.conflicts.decide(conflict!.changeId, resolution, Date.now())).toBe(true);
}

/** Keys of copies that were kept beside `a`. */
const keptKeys = (folder: DrainedFolder) => folder.bucket.keys.filter((key) => key !== 'files/a');

describe('a conflict', () => {
  test('tells what stood on both sides', async () => {
    const folder = await drainedFolder({ policy: 'if-unchanged' });
    folder.write('a', 'mine');
    const mtimeNs = folder.mtimeNs('a');
    const etag = folder.bucket.put('files/a', 'theirs', { mtimeNs: mtimeNs - 1n });
    await folder.drained();
    expect(open(folder)).toMatchObject([
      {
        path: 'a',
        key: 'files/a',
        reason: 'foreign',
        policy: 'if-unchanged',
        file: { size: 4, mtimeNs },
        object: { etag, size: 6 },
      },
    ]);
  });

  test('costs a HEAD when its file changes, not the file’s bytes', async () => {
    const folder = await inConflict();
    folder.write('a', 'mine, changed');
    expect(await folder.drained()).toEqual({ a: 'conflict (remote-changed)' });
    expect(folder.bucket.server.counts()).toEqual({ HeadObject: 1 });
    expect(open(folder)).toMatchObject([{ file: { size: 13 } }]);
  });

  test('costs nothing while nothing happens, also at a restart', async () => {
    const folder = await inConflict();
    folder.restart();
    expect(await folder.drained()).toEqual({});
    expect(folder.bucket.server.counts()).toEqual({});
    expect(folder.counts).toMatchObject({ conflict: 1, pending: 0 });
  });

  test.each<[how: string, act: (folder: DrainedFolder) => void, outcome: string]>([
    ['when both sides are equal', (folder) => folder.write('a', 'theirs'), 'adopted (same)'],
    [
      'when the object is gone',
      (folder) => {
        folder.bucket.remove('files/a');
        folder.write('a', 'again');
      },
      'recreated (remote-deleted)',
    ],
    ['when the file is gone', (folder) => folder.remove('a'), 'kept-remote (deleted-locally)'],
  ])('ends %s', async (_how, act, outcome) => {
    const folder = await inConflict();
    act(folder);
    expect(await folder.drained()).toEqual({ a: outcome });
    expect(open(folder)).toEqual([]);
    expect(folder.counts).toMatchObject({ conflict: 0, pending: 0 });
  });

  test('ends when the object is gone and somebody asks to look again', async () => {
    const folder = await inConflict();
    folder.bucket.remove('files/a');
    folder.journal.conflicts.lookAgain(folder.route.routeId, Date.now());
    expect(await folder.drained()).toEqual({ a: 'recreated (remote-deleted)' });
    expect(folder.bucket.content('files/a')).toBe('mine');
  });
});

describe('--overwrite', () => {
  test('replaces the object that was shown', async () => {
    const folder = await inConflict();
    decide(folder, 'overwrite');
    expect(await folder.drained()).toEqual({ a: 'uploaded (resolved)' });
    expect(folder.bucket.content('files/a')).toBe('mine');
    expect(folder.bucket.server.counts()).toEqual({ PutObject: 1 });
    folder.write('a', 'mine, changed');
    expect(await folder.drained()).toEqual({ a: 'uploaded (size-differs)' });
  });

  test('replaces no other one: that is a conflict again', async () => {
    const folder = await inConflict();
    decide(folder, 'overwrite');
    folder.bucket.put('files/a', 'theirs, changed');
    expect(await folder.drained()).toEqual({ a: 'conflict (remote-changed)' });
    expect(folder.bucket.content('files/a')).toBe('theirs, changed');
    expect(open(folder)).toMatchObject([{ object: { size: 15 } }]);
    decide(folder, 'overwrite');
    expect(await folder.drained()).toEqual({ a: 'uploaded (resolved)' });
  });

  test('writes the object anew where it is gone', async () => {
    const folder = await inConflict();
    decide(folder, 'overwrite');
    folder.bucket.remove('files/a');
    expect(await folder.drained()).toEqual({ a: 'recreated (remote-deleted)' });
    expect(folder.bucket.content('files/a')).toBe('mine');
  });

  test('of which the answer was lost is no conflict', async () => {
    const folder = await inConflict();
    decide(folder, 'overwrite');
    folder.bucket.server.faults.add({ kind: 'commit-then-drop', operation: 'PutObject', times: 1 });
    expect(await folder.drained()).toEqual({ a: 'uploaded (own-lost-answer)' });
    expect(open(folder)).toEqual([]);
  });

  test('of a large file does not send it where another object stands by now', async () => {
    const folder = await drainedFolder({ policy: 'if-unchanged' });
    folder.bucket.put('files/a', 'theirs');
    folder.write('a', Buffer.alloc(9 * MiB, 'x'));
    await folder.drained();
    decide(folder, 'overwrite');
    folder.bucket.put('files/a', 'theirs, changed');
    folder.bucket.server.clearRequests();
    expect(await folder.drained()).toEqual({ a: 'conflict (foreign)' });
    expect(folder.bucket.count('UploadPart')).toBe(0);
    decide(folder, 'overwrite');
    expect(await folder.drained()).toEqual({ a: 'uploaded (resolved)' });
  });

  test('decides what newer-wins could not', async () => {
    const folder = await drainedFolder({ policy: 'newer-wins' });
    folder.write('a', 'mine');
    folder.bucket.put('files/a', 'theirs', { mtimeNs: folder.mtimeNs('a') });
    expect(await folder.drained()).toEqual({ a: 'conflict (ambiguous)' });
    decide(folder, 'overwrite');
    expect(await folder.drained()).toEqual({ a: 'uploaded (resolved)' });
  });
});

describe('--skip', () => {
  test('leaves the object alone, with no request, until the file changes', async () => {
    const folder = await inConflict();
    decide(folder, 'skip');
    expect(await folder.drained()).toEqual({ a: 'skipped-existing (resolved)' });
    folder.observe('a');
    expect(await folder.drained()).toEqual({ a: 'unchanged (identical)' });
    expect(folder.bucket.server.counts()).toEqual({});
    expect(folder.baseline('a')).toMatchObject({ owned: false, outcome: 'skipped-existing' });
    folder.write('a', 'mine, changed');
    expect(await folder.drained()).toEqual({ a: 'conflict (foreign)' });
    expect(folder.bucket.content('files/a')).toBe('theirs');
  });
});

describe('--keep-both', () => {
  test('puts the file beside the object, and leaves that alone', async () => {
    const folder = await inConflict();
    decide(folder, 'keep-both');
    expect(await folder.drained()).toEqual({ a: 'uploaded (resolved)' });
    const [kept, ...more] = keptKeys(folder);
    expect(kept).toMatch(/^files\/a\.conflict-.+-\d{8}T\d{6}Z-[0-9a-f]{8}$/);
    expect(more).toEqual([]);
    expect(folder.bucket.content(kept!)).toBe('mine');
    expect(folder.bucket.content('files/a')).toBe('theirs');
    expect(folder.bucket.server.counts()).toEqual({ PutObject: 1 });
    folder.observe('a');
    expect(await folder.drained()).toEqual({ a: 'unchanged (identical)' });
    folder.write('a', 'mine, changed');
    expect(await folder.drained()).toEqual({ a: 'conflict (foreign)' });
  });

  test('of a file that has changed meanwhile keeps it as it is now', async () => {
    const folder = await inConflict();
    decide(folder, 'keep-both');
    folder.write('a', 'mine, changed');
    await folder.drained();
    expect(keptKeys(folder).map((key) => folder.bucket.content(key))).toEqual(['mine, changed']);
  });

  test('makes one copy, also when its answer was lost', async () => {
    const folder = await inConflict();
    decide(folder, 'keep-both');
    folder.bucket.server.faults.add({ kind: 'commit-then-drop', operation: 'PutObject', times: 1 });
    expect(await folder.drained()).toEqual({ a: 'uploaded (resolved)' });
    expect(keptKeys(folder)).toHaveLength(1);
  });

  test('of a file that is gone by then has nothing to keep', async () => {
    const folder = await inConflict();
    decide(folder, 'keep-both');
    fs.rmSync(folder.absolute('a'));
    expect(await folder.drained()).toEqual({ a: 'kept-remote (deleted-locally)' });
    expect(keptKeys(folder)).toEqual([]);
  });

  test('of a large file goes up in parts', async () => {
    const folder = await drainedFolder({ policy: 'if-unchanged' });
    folder.bucket.put('files/a', 'theirs');
    folder.write('a', Buffer.alloc(9 * MiB, 'x'));
    await folder.drained();
    decide(folder, 'keep-both');
    expect(await folder.drained()).toEqual({ a: 'uploaded (resolved)' });
    const [kept] = keptKeys(folder);
    expect(folder.bucket.content(kept!)).toHaveLength(9 * MiB);
    expect(folder.bucket.uploads).toEqual([]);
  });

  test('is refused where the key would be too long, and says so', async () => {
    const folder = await drainedFolder({ policy: 'if-unchanged', prefix: 'x'.repeat(1_000) });
    folder.bucket.put(folder.key('a'), 'theirs');
    folder.write('a', 'mine');
    await folder.drained();
    decide(folder, 'keep-both');
    expect(await folder.drained()).toEqual({ a: 'blocked (key-too-long)' });
  });
});

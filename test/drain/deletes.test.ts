// Deletes with a real journal, real files and a real server: what is asked of S3 when a file is gone, and what is not.
import fs from 'node:fs';
import Database from 'better-sqlite3';
import { describe, expect, test } from 'vitest';
import type { Policy } from '../../src/core/policy.ts';
import { journalFile } from '../../src/journal/journal.ts';
import { testBucket } from '../helpers/bucket.ts';
import { drainedFolder, until, type DrainedFolder, type FolderOptions } from '../helpers/drained.ts';

const policies = ['overwrite', 'skip-existing', 'if-unchanged', 'newer-wins'] as const;
const careful = ['skip-existing', 'if-unchanged', 'newer-wins'] as const;

/** A folder whose deletes go to the bucket, with files that are in it. */
async function syncedFolder(
  options: FolderOptions = {},
  files: readonly string[] = ['a', 'b', 'c', 'd'],
  legacy: Parameters<typeof testBucket>[0] = {},
): Promise<DrainedFolder> {
  const folder = await drainedFolder({ delete: 'propagate', ...options }, await testBucket(legacy));
  for (const name of files) folder.write(name, name);
  await folder.drained();
  folder.bucket.server.clearRequests();
  return folder;
}

/** What was sent for a key, with its condition. */
function requestsFor(folder: DrainedFolder, key: string): string[] {
  return folder.bucket.server.requests
    .filter((request) => request.key === key)
    .map(({ operation, headers }) => `${operation}${headers['if-match'] === undefined ? '' : ' if-match'}`);
}

describe('a file that is gone', () => {
  test.each(policies)('%s: takes its object with it, with one request', async (policy) => {
    const folder = await syncedFolder({ policy });
    folder.remove('a');
    expect(await folder.drained()).toEqual({ a: 'deleted (deleted-locally)' });
    expect(folder.bucket.keys).toEqual(['files/b', 'files/c', 'files/d']);
    expect(requestsFor(folder, 'files/a')).toEqual([
      policy === 'overwrite' ? 'DeleteObject' : 'DeleteObject if-match',
    ]);
    expect(folder.baseline('a')).toBeUndefined();
    expect(folder.counts).toMatchObject({ pending: 0, baselines: 3 });
    // And it may come back.
    folder.write('a', 'a');
    expect(await folder.drained()).toEqual({ a: 'uploaded (new)' });
  });

  test.each(careful)('%s: leaves an object that was only adopted', async (policy) => {
    const folder = await drainedFolder({ policy, delete: 'propagate' });
    folder.bucket.put('files/a', 'a');
    folder.write('a', 'a');
    folder.write('b', 'b');
    expect(await folder.drained()).toEqual({ a: 'adopted (same)', b: 'uploaded (new)' });
    folder.remove('a');
    expect(await folder.drained()).toEqual({ a: 'kept-remote (deleted-locally)' });
    expect(folder.bucket.content('files/a')).toBe('a');
  });

  test.each(careful.slice(1))(
    '%s: leaves an object that somebody else made the same as the file',
    async (policy) => {
      const folder = await syncedFolder({ policy });
      folder.bucket.put('files/a', 'changed');
      folder.write('a', 'changed');
      expect(await folder.drained()).toEqual({ a: 'adopted (same)' });
      folder.remove('a');
      expect(await folder.drained()).toEqual({ a: 'kept-remote (deleted-locally)' });
      expect(folder.bucket.content('files/a')).toBe('changed');
    },
  );

  test('overwrite: takes an object with it that was adopted', async () => {
    const folder = await drainedFolder({ delete: 'propagate' });
    folder.bucket.put('files/a', 'a');
    folder.write('a', 'a');
    folder.write('b', 'b');
    await folder.drained();
    folder.remove('a');
    expect(await folder.drained()).toEqual({ a: 'deleted (deleted-locally)' });
  });

  test.each([
    ['overwrite', 'deleted (deleted-locally)', undefined],
    ['skip-existing', 'kept-remote (remote-changed)', 'theirs'],
    ['if-unchanged', 'conflict (remote-changed)', 'theirs'],
    ['newer-wins', 'remote-newer (remote-changed)', 'theirs'],
  ] as const)('%s: whose object somebody else changed is %s', async (policy, outcome, content) => {
    const folder = await syncedFolder({ policy });
    folder.bucket.put('files/a', 'theirs');
    folder.remove('a');
    expect(await folder.drained()).toEqual({ a: outcome });
    expect(folder.bucket.content('files/a')).toBe(content);
    expect(folder.bucket.ourChanges('files/a')).toEqual(
      content === undefined ? ['write', 'delete'] : ['write'],
    );
  });

  test.each(policies)('%s: whose object somebody else deleted is deleted', async (policy) => {
    const folder = await syncedFolder({ policy });
    folder.bucket.remove('files/a');
    folder.remove('a');
    expect(await folder.drained()).toEqual({ a: 'deleted (deleted-locally)' });
    expect(folder.baseline('a')).toBeUndefined();
  });

  test('is deleted where a directory took its place', async () => {
    const folder = await syncedFolder();
    folder.remove('a');
    folder.write('a/b', 'below');
    folder.observe('a');
    expect(await folder.drained()).toMatchObject({ a: 'deleted (deleted-locally)', 'a/b': 'uploaded (new)' });
    expect(folder.bucket.keys).toEqual(['files/a/b', 'files/b', 'files/c', 'files/d']);
  });

  test('keeps its object where a link took its place', async () => {
    const folder = await syncedFolder();
    fs.rmSync(folder.absolute('a'));
    fs.symlinkSync('b', folder.absolute('a'));
    folder.observe('a');
    expect(await folder.drained()).toEqual({ a: 'kept-remote (not-a-file)' });
    expect(folder.bucket.content('files/a')).toBe('a');
  });

  test('keeps its object where it is excluded by now', async () => {
    const folder = await syncedFolder({}, ['a', 'b', 'd/c']);
    folder.remove('d/c');
    folder.writeUnseen('d/.s3ignore', 'c\n');
    expect(await folder.drained()).toEqual({ 'd/c': 'unchanged (excluded)' });
    expect(folder.bucket.content('files/d/c')).toBe('d/c');
  });

  test('keeps its object where the store refuses to delete it', async () => {
    const folder = await syncedFolder();
    folder.bucket.server.faults.add({
      kind: 'answer',
      operation: 'DeleteObject',
      status: 403,
      code: 'AccessDenied',
    });
    folder.remove('a');
    expect(await folder.drained()).toEqual({ a: 'failed (AccessDenied)' });
    expect(folder.counts.failed).toBe(1);
    folder.bucket.server.faults.clear();
    folder.journal.retry(folder.route.routeId, Date.now());
    expect(await folder.drained()).toEqual({ a: 'deleted (deleted-locally)' });
  });

  test('is deleted once although the answer was lost', async () => {
    const folder = await syncedFolder({ policy: 'if-unchanged' });
    folder.bucket.server.faults.add({
      kind: 'commit-then-drop',
      operation: 'DeleteObject',
      keyPrefix: 'files/a',
      times: 1,
    });
    folder.remove('a');
    expect(await folder.drained()).toEqual({ a: 'deleted (deleted-locally)' });
    expect(folder.bucket.ourChanges('files/a')).toEqual(['write', 'delete']);
  });
});

describe('T3.9: a file that is deleted and created again within the grace', () => {
  test('is one change, and no DELETE is sent', async () => {
    const folder = await syncedFolder({ deleteGraceMs: 60_000 });
    const drain = folder.run();
    const handled = folder.reports.length;
    folder.remove('a');
    drain.poke();
    await folder.untilHandled(handled + 1);
    expect(folder.reports.at(-1)).toMatchObject({ path: 'a', words: 'unchanged (delete-grace)' });
    folder.write('a', 'another');
    drain.poke();
    await folder.untilHandled(handled + 2);
    expect(folder.reports.at(-1)).toMatchObject({ path: 'a', words: 'uploaded (size-differs)' });
    expect(folder.counts.pending).toBe(0);
    expect(folder.bucket.server.counts()).toEqual({ PutObject: 1 });
  });

  test('is seen although nobody told of it', async () => {
    const folder = await syncedFolder({ deleteGraceMs: 50 });
    const drain = folder.run();
    const handled = folder.reports.length;
    folder.onHandled = ({ words }) => {
      if (words === 'unchanged (delete-grace)') folder.writeUnseen('a', 'a');
    };
    folder.remove('a');
    drain.poke();
    await until(
      () => folder.counts.pending + folder.counts.claimed === 0 && folder.reports.length > handled + 1,
    );
    expect(folder.reports.at(-1)).toMatchObject({ path: 'a', words: 'touched (times-only)' });
    expect(folder.bucket.server.counts()).toEqual({});
  });
});

describe('T3.10: deletes are held, and none is sent,', () => {
  const held = (reason: string) => ({ a: `held (${reason})` });

  test('when the root is gone', async () => {
    const folder = await syncedFolder();
    folder.remove('a');
    fs.renameSync(folder.root, `${folder.root}.moved`);
    expect(await folder.drained()).toEqual(held('root-missing'));
    fs.renameSync(`${folder.root}.moved`, folder.root);
    expect(folder.bucket.server.counts()).toEqual({});
    // Whatever comes back: a held delete stays held.
    folder.observe('a');
    expect(await folder.drained()).toEqual(held('root-missing'));
    expect(folder.counts.held).toBe(1);
  });

  test('when the root is empty', async () => {
    const folder = await syncedFolder();
    for (const name of ['a', 'b', 'c', 'd']) folder.remove(name);
    expect(Object.values(await folder.drained())).toEqual(Array(4).fill('held (root-empty)'));
    expect(folder.bucket.server.counts()).toEqual({});
    expect(folder.bucket.keys).toHaveLength(4);
  });

  test('when another directory stands at the root', async () => {
    const folder = await syncedFolder();
    fs.renameSync(folder.root, `${folder.root}.old`);
    fs.cpSync(`${folder.root}.old`, folder.root, { recursive: true, preserveTimestamps: true });
    fs.rmSync(`${folder.root}.old`, { recursive: true });
    folder.remove('a');
    expect(await folder.drained()).toEqual(held('root-replaced'));
    expect(folder.bucket.server.counts()).toEqual({});
  });

  test('when the file was on another file system than its directory is', async () => {
    const folder = await syncedFolder();
    // As if something had been mounted where it was: the journal says another device.
    const database = new Database(journalFile(folder.it.stateDir));
    database.exec('UPDATE baseline SET dev = dev + 1');
    database.close();
    folder.remove('a');
    expect(await folder.drained()).toEqual(held('other-device'));
    expect(folder.bucket.server.counts()).toEqual({});
  });

  test('when a link took the place of a directory', async () => {
    const folder = await syncedFolder({}, ['d/a', 'b', 'c']);
    fs.renameSync(folder.absolute('d'), `${folder.root}.elsewhere`);
    fs.symlinkSync(`${folder.root}.elsewhere`, folder.absolute('d'));
    folder.observe('d/a');
    expect(await folder.drained()).toEqual({ 'd/a': 'held (link-in-path)' });
    expect(folder.bucket.server.counts()).toEqual({});
  });

  test('when they are too many, all of them, and uploads go on', async () => {
    const folder = await syncedFolder({ maxDelete: { count: 2, percent: 100 } });
    for (const name of ['a', 'b', 'c']) folder.remove(name);
    folder.write('new', 'new');
    expect(await folder.drained()).toMatchObject({ new: 'uploaded (new)' });
    expect(folder.counts).toMatchObject({ held: 3, pending: 0 });
    expect(folder.bucket.server.counts()).toEqual({ PutObject: 1 });
    expect(folder.journal.failures.list(folder.route.routeId)[0]).toMatchObject({
      state: 'held',
      code: 'too-many',
      message: '3 deletes wait: max-delete allows 2, and 100 % of the files',
    });
    expect(folder.log.map(({ message }) => message)).toEqual([
      expect.stringMatching(/^deletes are held: 3 deletes wait.*`s3syncd deletes list` shows them$/),
    ]);
  });

  test('also those that come after, until a person answers', async () => {
    const folder = await syncedFolder({ maxDelete: { count: 2, percent: 100 } }, [
      'a',
      'b',
      'c',
      'd',
      'e',
      'f',
    ]);
    for (const name of ['a', 'b', 'c']) folder.remove(name);
    await folder.drained();
    folder.remove('d');
    expect(await folder.drained()).toEqual({ d: 'held (too-many)' });
    expect(folder.counts.held).toBe(4);
    expect(folder.bucket.server.counts()).toEqual({});
  });

  test('when those of the last hour are counted with them', async () => {
    const folder = await syncedFolder({ maxDelete: { count: 2, percent: 100 } });
    folder.remove('a');
    folder.remove('b');
    expect(await folder.drained()).toEqual({
      a: 'deleted (deleted-locally)',
      b: 'deleted (deleted-locally)',
    });
    folder.remove('c');
    expect(await folder.drained()).toEqual({ c: 'held (too-many)' });
    folder.restart();
    folder.observe('c');
    expect(await folder.drained()).toEqual({ c: 'held (too-many)' });
  });

  test('when more are gone than the drain has looked at', async () => {
    const folder = await syncedFolder({ maxDelete: { count: 2, percent: 100 } });
    folder.remove('a');
    // These are not ready to be looked at for a minute: one event each, in the middle of a long `rm -r`.
    for (const name of ['b', 'c']) {
      fs.rmSync(folder.absolute(name));
      const seen = [{ directory: '', name }];
      const { folderId, routeId } = folder.route;
      folder.journal.observe(
        folderId,
        [routeId],
        seen,
        { settleMs: 60_000, settleMaxMs: 60_000 },
        Date.now(),
      );
    }
    const drain = folder.run();
    drain.poke();
    await until(() => folder.counts.held > 0);
    expect(folder.bucket.server.counts()).toEqual({});
  });

  test('and one that is back is not held any more', async () => {
    const folder = await syncedFolder({ maxDelete: { count: 0, percent: 100 } });
    folder.remove('a');
    expect(await folder.drained()).toEqual(held('too-many'));
    folder.write('a', 'a');
    expect(await folder.drained()).toEqual({ a: 'touched (times-only)' });
    expect(folder.counts).toMatchObject({ held: 0, pending: 0 });
    folder.remove('a');
    expect(await folder.drained()).toEqual(held('too-many'));
  });

  test('until the folder was scanned', async () => {
    const folder = await syncedFolder();
    folder.isScanned = false;
    const drain = folder.run();
    const handled = folder.reports.length;
    folder.remove('a');
    drain.poke();
    await folder.untilHandled(handled + 2);
    expect(folder.bucket.server.counts()).toEqual({});
    folder.deletes!.isScanned = true;
    await until(() => folder.bucket.content('files/a') === undefined);
  });
});

describe('held deletes', () => {
  async function heldFolder(): Promise<DrainedFolder> {
    const folder = await syncedFolder({ maxDelete: { count: 2, percent: 100 } }, ['a', 'b', 'c', 'd/e', 'f']);
    for (const name of ['a', 'b', 'd/e']) folder.remove(name);
    await folder.drained();
    expect(folder.journal.deletes.list(folder.route.routeId).map(({ path }) => path)).toEqual([
      'a',
      'b',
      'd/e',
    ]);
    return folder;
  }

  test('go when they are approved, and no others', async () => {
    const folder = await heldFolder();
    const list = folder.journal.deletes.list(folder.route.routeId);
    folder.journal.deletes.approve(
      list.filter(({ path }) => path !== 'b'),
      Date.now(),
    );
    expect(await folder.drained()).toEqual({
      a: 'deleted (deleted-locally)',
      'd/e': 'deleted (deleted-locally)',
    });
    expect(folder.bucket.keys).toEqual(['files/b', 'files/c', 'files/f']);
    expect(folder.counts.held).toBe(1);
    // What was approved does not count as too many.
    folder.remove('c');
    expect(await folder.drained()).toEqual({ c: 'deleted (deleted-locally)' });
  });

  test('are looked at once more when they are approved', async () => {
    const folder = await heldFolder();
    folder.writeUnseen('a', 'a');
    folder.journal.deletes.approve(folder.journal.deletes.list(folder.route.routeId), Date.now());
    expect(await folder.drained()).toMatchObject({
      a: 'touched (times-only)',
      b: 'deleted (deleted-locally)',
    });
    expect(folder.bucket.content('files/a')).toBe('a');
  });

  test('keep their objects when they are discarded', async () => {
    const folder = await heldFolder();
    folder.journal.deletes.discard(folder.journal.deletes.list(folder.route.routeId), Date.now());
    expect(folder.counts).toMatchObject({ held: 0, pending: 0 });
    expect(folder.baseline('a')).toMatchObject({ outcome: 'kept-remote', gone: true });
    folder.observe('a');
    expect(await folder.drained()).toEqual({ a: 'unchanged (identical)' });
    expect(folder.bucket.keys).toHaveLength(5);
    expect(folder.bucket.server.counts()).toEqual({});
  });

  test('are still held after a restart', async () => {
    const folder = await heldFolder();
    folder.restart();
    expect(await folder.drained()).toEqual({});
    expect(folder.counts.held).toBe(3);
  });
});

describe('a directory that was renamed', () => {
  test('does not count as deleted, however many there are', async () => {
    const names = Array.from({ length: 30 }, (_, number) => `d/${number}`);
    const folder = await syncedFolder({ maxDelete: { count: 5, percent: 25 } }, [
      ...names,
      'other',
      'another',
      'third',
    ]);
    fs.renameSync(folder.absolute('d'), folder.absolute('e'));
    for (const name of names) folder.observe(name, name.replace('d/', 'e/'));
    await folder.drained();
    expect(folder.bucket.keys.filter((key) => key.startsWith('files/d/'))).toEqual([]);
    expect(folder.bucket.keys.filter((key) => key.startsWith('files/e/'))).toHaveLength(30);
    expect(folder.counts.held).toBe(0);
    folder.remove('other');
    expect(await folder.drained()).toEqual({ other: 'deleted (deleted-locally)' });
  }, 30_000);
});

describe('archive', () => {
  const isArchived = /^archive\/a\.\d{8}T\d{9}Z$/;

  test.each(policies)('%s: an object is copied to its archive key before it is deleted', async (policy) => {
    const folder = await syncedFolder({ policy, delete: 'archive' });
    folder.remove('a');
    expect(await folder.drained()).toEqual({ a: 'archived (deleted-locally)' });
    const [key = ''] = folder.bucket.keys;
    expect(key).toMatch(isArchived);
    expect(folder.bucket.content(key)).toBe('a');
    expect(folder.bucket.content('files/a')).toBeUndefined();
    const { requests } = folder.bucket.server;
    expect(requests.map(({ operation }) => operation)).toEqual(['CopyObject', 'DeleteObject']);
    expect(requests[0]?.headers).toMatchObject({
      'if-none-match': '*',
      'x-amz-copy-source-if-match': expect.any(String),
    });
    expect(requests[1]?.headers).toHaveProperty('if-match');
  });

  test('nothing is deleted when the copy fails', async () => {
    const folder = await syncedFolder({ delete: 'archive' });
    folder.bucket.server.faults.add({
      kind: 'answer',
      operation: 'CopyObject',
      status: 400,
      code: 'InvalidRequest',
    });
    folder.remove('a');
    expect(await folder.drained()).toEqual({ a: 'failed (InvalidRequest)' });
    expect(folder.bucket.content('files/a')).toBe('a');
    expect(folder.bucket.count('DeleteObject')).toBe(0);
  });

  test('what somebody else wrote meanwhile is archived too under overwrite', async () => {
    const folder = await syncedFolder({ delete: 'archive' });
    folder.bucket.put('files/a', 'theirs');
    folder.remove('a');
    expect(await folder.drained()).toEqual({ a: 'archived (deleted-locally)' });
    const key = folder.bucket.keys.find((each) => isArchived.test(each)) ?? '';
    expect(folder.bucket.content(key)).toBe('theirs');
  });

  test('and stays where it is under if-unchanged', async () => {
    const folder = await syncedFolder({ policy: 'if-unchanged', delete: 'archive' });
    folder.bucket.put('files/a', 'theirs');
    folder.remove('a');
    expect(await folder.drained()).toEqual({ a: 'conflict (remote-changed)' });
    expect(folder.bucket.content('files/a')).toBe('theirs');
    expect(folder.bucket.keys).toHaveLength(4);
  });

  test('a file that comes back while its object is copied keeps its object', async () => {
    const folder = await syncedFolder({ delete: 'archive' });
    const drain = folder.run();
    folder.bucket.server.faults.add({ kind: 'latency', ms: 300, operation: 'CopyObject', times: 1 });
    folder.remove('a');
    drain.poke();
    await folder.bucket.arrival('CopyObject');
    folder.writeUnseen('a', 'a');
    await until(() => folder.reports.at(-1)?.words === 'adopted (same)');
    expect(folder.bucket.content('files/a')).toBe('a');
    expect(folder.bucket.count('DeleteObject')).toBe(0);
  });
});

describe('a store that ignores If-Match on DeleteObject', () => {
  const legacy = { legacy: ['ignore-conditions-on-delete' as const] };

  test.each(careful)('%s: is refused for deletes', async (policy: Policy) => {
    const folder = await drainedFolder({ policy, delete: 'propagate' }, await testBucket(legacy));
    folder.write('a', 'a');
    expect(await folder.drained()).toEqual({});
    expect(folder.log.at(-1)?.message).toMatch(
      /delete: propagate under policy .* enforces If-Match on DeleteObject/,
    );
  });

  test('or looked at first, where that is allowed', async () => {
    const folder = await syncedFolder(
      { policy: 'if-unchanged', unsafeEmulation: true },
      ['a', 'b', 'c'],
      legacy,
    );
    folder.bucket.put('files/b', 'theirs');
    folder.remove('a');
    folder.remove('b');
    expect(await folder.drained()).toEqual({
      a: 'deleted (deleted-locally)',
      b: 'conflict (remote-changed)',
    });
    expect(requestsFor(folder, 'files/a')).toEqual(['HeadObject', 'DeleteObject if-match']);
    expect(requestsFor(folder, 'files/b')).toEqual(['HeadObject']);
  });

  test('is fine for overwrite, which has no conditions', async () => {
    const folder = await syncedFolder({}, ['a', 'b', 'c'], legacy);
    folder.remove('a');
    expect(await folder.drained()).toEqual({ a: 'deleted (deleted-locally)' });
  });
});

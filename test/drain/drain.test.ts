// The tables of docs/semantics.md with a real journal, real files and a real server: what is asked of S3, and what is
// then remembered. Crashes and several processes are left to the system tests.
import fs from 'node:fs';
import { describe, expect, test } from 'vitest';
import { testBucket } from '../helpers/bucket.ts';
import { drainedFolder, until, type DrainedFolder } from '../helpers/drained.ts';
import { mtimeToMetadata } from '../../src/transfer/metadata.ts';

const MiB = 1024 ** 2;
const longAgo = new Date('2020-01-01T00:00:00Z');
const policies = ['overwrite', 'skip-existing', 'if-unchanged', 'newer-wins'] as const;
/** Those that have S3 enforce what was decided. */
const careful = ['skip-existing', 'if-unchanged', 'newer-wins'] as const;

describe('a file', () => {
  test.each(policies)(
    '%s: that is new is uploaded, with one request, and then costs none',
    async (policy) => {
      const folder = await drainedFolder({ policy });
      folder.write('a/b.txt', 'hello');
      expect(await folder.drained()).toEqual({ 'a/b.txt': 'uploaded (new)' });
      expect(folder.bucket.content('files/a/b.txt')).toBe('hello');
      expect(folder.bucket.attributes('files/a/b.txt')?.headers).toMatchObject({
        'content-type': 'text/plain',
      });
      expect(folder.baseline('a/b.txt')).toMatchObject({ outcome: 'uploaded', owned: true, gone: false });
      expect(folder.counts).toMatchObject({ pending: 0, baselines: 1 });

      folder.bucket.server.clearRequests();
      folder.observe('a/b.txt');
      expect(await folder.drained()).toEqual({ 'a/b.txt': 'unchanged (identical)' });
      expect(folder.bucket.server.counts()).toEqual({});
    },
  );

  test.each([
    ['overwrite', 'uploaded (size-differs)', 'two!'],
    ['skip-existing', 'skipped-existing (exists)', 'one'],
    ['if-unchanged', 'uploaded (size-differs)', 'two!'],
    ['newer-wins', 'uploaded (size-differs)', 'two!'],
  ] as const)('%s: that was changed is %s', async (policy, outcome, content) => {
    const folder = await drainedFolder({ policy });
    folder.write('a', 'one');
    await folder.drained();
    folder.bucket.server.clearRequests();
    folder.write('a', 'two!');
    expect(await folder.drained()).toEqual({ a: outcome });
    expect(folder.bucket.content('files/a')).toBe(content);
    expect(folder.bucket.server.counts()).toEqual(policy === 'skip-existing' ? {} : { PutObject: 1 });
  });

  test.each(policies)('%s: that was only touched costs no request', async (policy) => {
    const folder = await drainedFolder({ policy });
    folder.write('a', 'one');
    await folder.drained();
    folder.bucket.server.clearRequests();
    folder.write('a', 'one', longAgo);
    expect(await folder.drained()).toEqual({ a: 'touched (times-only)' });
    expect(folder.bucket.server.counts()).toEqual({});
    folder.observe('a');
    expect(await folder.drained()).toEqual({ a: 'unchanged (identical)' });
  });

  test.each(policies)('%s: that is gone keeps its object, and may come back', async (policy) => {
    const folder = await drainedFolder({ policy });
    folder.write('a', 'one');
    await folder.drained();
    folder.bucket.server.clearRequests();
    folder.remove('a');
    expect(await folder.drained()).toEqual({ a: 'kept-remote (deleted-locally)' });
    expect(folder.baseline('a')).toMatchObject({ gone: true, owned: true });
    folder.write('a', 'one');
    expect(await folder.drained()).toEqual({ a: 'touched (times-only)' });
    expect(folder.bucket.server.counts()).toEqual({});
    expect(folder.bucket.content('files/a')).toBe('one');
  });

  test('that was replaced by a rename over it is one upload, and the temporary name none', async () => {
    const folder = await drainedFolder();
    folder.write('a', 'one');
    await folder.drained();
    folder.write('a.tmp', 'another');
    fs.renameSync(folder.absolute('a.tmp'), folder.absolute('a'));
    folder.observe('a', 'a.tmp');
    expect(await folder.drained()).toEqual({
      a: 'uploaded (size-differs)',
      'a.tmp': 'vanished (never-synced)',
    });
    expect(folder.bucket.keys).toEqual(['files/a']);
  });

  test('whose name is hostile is in S3 under exactly that name', async () => {
    const folder = await drainedFolder();
    const names = [
      ' ',
      'a+b',
      'a%2Fb',
      'a\nb',
      '%',
      '"\'<&>',
      'é',
      'e\u0301',
      '\u{1F600}',
      "(!*')",
      'a?b#c',
      '~',
    ];
    for (const name of names) folder.write(`d/${name}`, name);
    await folder.drained();
    expect(folder.bucket.keys.toSorted()).toEqual(names.map((name) => `files/d/${name}`).toSorted());
    expect(names.map((name) => folder.bucket.content(`files/d/${name}`))).toEqual(names);
  });

  test('and a directory below the same key have both their objects', async () => {
    const folder = await drainedFolder();
    folder.write('a', 'file');
    await folder.drained();
    folder.remove('a');
    folder.write('a/b', 'below');
    await folder.drained();
    expect(folder.bucket.keys).toEqual(['files/a', 'files/a/b']);
  });

  test('that is empty is an empty object', async () => {
    const folder = await drainedFolder({ policy: 'skip-existing' });
    folder.write('a', '');
    expect(await folder.drained()).toEqual({ a: 'uploaded (new)' });
    expect(folder.bucket.content('files/a')).toBe('');
  });
});

describe('first contact with a bucket that has objects', () => {
  test.each([
    ['overwrite', true],
    ['skip-existing', false],
    ['if-unchanged', false],
    ['newer-wins', false],
  ] as const)('%s: what is equal is adopted by the listing alone, ours: %s', async (policy, owned) => {
    const folder = await drainedFolder({ policy });
    for (const name of ['a', 'b', 'c']) {
      folder.bucket.put(`files/${name}`, name);
      folder.write(name, name);
    }
    expect(await folder.drained()).toEqual({ a: 'adopted (same)', b: 'adopted (same)', c: 'adopted (same)' });
    expect(folder.bucket.count('ListObjectsV2')).toBe(1);
    expect(folder.bucket.ourChanges('files/a')).toEqual([]);
    expect(folder.baseline('a')).toMatchObject({ owned });
    folder.write('a', 'A', longAgo);
    expect(Object.keys(await folder.drained())).toEqual(['a']);
    expect(folder.baseline('a')).toMatchObject({ owned: owned || policy !== 'skip-existing' });
  });

  test.each([
    ['overwrite', 'uploaded (size-differs)'],
    ['skip-existing', 'skipped-existing (exists)'],
    ['if-unchanged', 'conflict (foreign)'],
    ['newer-wins', 'uploaded (newer)'],
  ] as const)('%s: an older object of another size is %s', async (policy, outcome) => {
    const folder = await drainedFolder({ policy });
    folder.write('a', 'mine');
    folder.bucket.put('files/a', 'theirs', { mtimeNs: folder.mtimeNs('a') - 10_000_000_000n });
    expect(await folder.drained()).toEqual({ a: outcome });
    expect(folder.bucket.content('files/a')).toBe(outcome.startsWith('uploaded') ? 'mine' : 'theirs');
  });

  test.each([
    ['overwrite', 'uploaded (older)'],
    ['skip-existing', 'skipped-existing (exists)'],
    ['if-unchanged', 'conflict (foreign)'],
    ['newer-wins', 'remote-newer (older)'],
  ] as const)('%s: a newer object of the same size is %s', async (policy, outcome) => {
    const folder = await drainedFolder({ policy });
    folder.write('a', 'mine');
    folder.bucket.put('files/a', 'more', { mtimeNs: folder.mtimeNs('a') + 10_000_000_000n });
    expect(await folder.drained()).toEqual({ a: outcome });
    expect(folder.bucket.content('files/a')).toBe(outcome.startsWith('uploaded') ? 'mine' : 'more');
    // The checksum of a baseline is that of both sides, or none.
    expect(folder.baseline('a')?.checksum !== undefined).toBe(policy === 'overwrite');
  });

  test('an encrypted object’s ETag says nothing: time decides', async () => {
    const folder = await drainedFolder({ policy: 'if-unchanged' });
    folder.write('a', 'mine');
    folder.bucket.put('files/a', 'more', { mtimeNs: folder.mtimeNs('a'), encrypted: true });
    expect(await folder.drained()).toEqual({ a: 'adopted (same)' });
  });

  test('the listing is kept until the folder was scanned: files that come later are adopted too', async () => {
    const folder = await drainedFolder();
    for (const name of ['a', 'b', 'c']) folder.bucket.put(`files/${name}`, name);
    const drain = folder.run();
    folder.write('a', 'a');
    drain.poke();
    await folder.untilHandled(1);
    folder.write('b', 'b');
    drain.poke();
    await folder.untilHandled(2);
    expect(folder.reports.map(({ words }) => words)).toEqual(['adopted (same)', 'adopted (same)']);
    folder.journal.recordScan(folder.route.folderId, Date.now());
    drain.poke();
    await until(() => !folder.journal.hasListing(folder.route.routeId));
    folder.write('c', 'c');
    drain.poke();
    await folder.untilHandled(3);
    expect(folder.reports[2]!.words).toBe('uploaded (new)');
  });

  test('a listing that fails is not an empty one', async () => {
    const folder = await drainedFolder();
    folder.bucket.put('files/a', 'a');
    folder.write('a', 'a');
    const fault = folder.bucket.server.faults.add({ kind: 'html', operation: 'ListObjectsV2' });
    folder.run();
    await until(() => folder.log.length > 0);
    expect(folder.journal.isListed(folder.route.routeId)).toBe(false);
    fault.clear();
    await folder.untilHandled(1);
    expect(folder.reports).toMatchObject([{ words: 'adopted (same)' }]);
  });
});

describe('T3.1: an object appears between decision and PUT', () => {
  test.each([
    ['skip-existing', 'skipped-existing (exists)'],
    ['if-unchanged', 'conflict (foreign)'],
    ['newer-wins', 'conflict (ambiguous)'],
  ] as const)('%s: another one: %s', async (policy, outcome) => {
    const folder = await drainedFolder({ policy });
    folder.write('first', '');
    await folder.drained();
    folder.write('a', 'mine');
    folder.bucket.server.clearRequests();
    const put = folder.bucket.arrival('PutObject').then(() => folder.bucket.put('files/a', 'theirs'));
    expect(await folder.drained()).toEqual({ a: outcome });
    await put;
    expect(folder.bucket.content('files/a')).toBe('theirs');
    expect(folder.bucket.ourChanges('files/a')).toEqual([]);
    expect(folder.bucket.server.counts()).toEqual({ PutObject: 1, HeadObject: 1 });
  });

  test.each(careful)('%s: one with the same content is adopted', async (policy) => {
    const folder = await drainedFolder({ policy });
    folder.write('first', '');
    await folder.drained();
    folder.write('a', 'mine');
    folder.bucket.put('files/a', 'mine');
    expect(await folder.drained()).toEqual({ a: 'adopted (same)' });
    expect(folder.baseline('a')).toMatchObject({ owned: false });
    expect(folder.bucket.ourChanges('files/a')).toEqual([]);
  });

  test('overwrite has no condition, by design', async () => {
    const folder = await drainedFolder({ policy: 'overwrite' });
    folder.write('first', '');
    await folder.drained();
    folder.write('a', 'mine');
    folder.bucket.put('files/a', 'theirs');
    expect(await folder.drained()).toEqual({ a: 'uploaded (new)' });
    expect(folder.bucket.content('files/a')).toBe('mine');
  });

  test.each([
    ['if-unchanged', 'conflict (remote-changed)', 'theirs'],
    ['newer-wins', 'conflict (ambiguous)', 'theirs'],
    ['overwrite', 'uploaded (size-differs)', 'changed'],
  ] as const)('%s: somebody changed the object that we replace: %s', async (policy, outcome, content) => {
    const folder = await drainedFolder({ policy });
    folder.write('a', 'one');
    await folder.drained();
    folder.write('a', 'changed');
    folder.bucket.put('files/a', 'theirs');
    expect(await folder.drained()).toEqual({ a: outcome });
    expect(folder.bucket.content('files/a')).toBe(content);
  });

  test('newer-wins: the object that we replace was changed before the file was: the file wins', async () => {
    const folder = await drainedFolder({ policy: 'newer-wins' });
    folder.write('a', 'one');
    await folder.drained();
    folder.write('a', 'changed');
    folder.bucket.put('files/a', 'theirs', { mtimeNs: folder.mtimeNs('a') - 10_000_000_000n });
    expect(await folder.drained()).toEqual({ a: 'uploaded (newer)' });
    expect(folder.bucket.content('files/a')).toBe('changed');
  });

  test('an object that changes at every look is left for later', async () => {
    const folder = await drainedFolder({ policy: 'newer-wins' });
    folder.write('a', 'one');
    await folder.drained();
    folder.bucket.server.clearRequests();
    folder.write('a', 'changed');
    const old = folder.mtimeNs('a') - 10_000_000_000n;
    const rounds = [1, 2, 3, 4].map((n) =>
      folder.bucket
        .arrival('PutObject', n)
        .then(() => folder.bucket.put('files/a', `theirs ${n}`, { mtimeNs: old })),
    );
    const drain = folder.run();
    drain.poke();
    await folder.untilHandled(2);
    await Promise.all(rounds);
    expect(folder.reports[1]!.words).toBe('retry (PreconditionFailed)');
    expect(folder.bucket.content('files/a')).toBe('theirs 4');
  });
});

describe('T3.2: S3 answers that another write is under way', () => {
  const busy = { kind: 'answer', status: 409, code: 'ConditionalRequestConflict' } as const;

  test('to PutObject: tried again, a little later', async () => {
    const folder = await drainedFolder({ policy: 'skip-existing' });
    const fault = folder.bucket.server.faults.add({ ...busy, operation: 'PutObject', keyPrefix: 'files/a' });
    folder.write('a', 'mine');
    folder.onHandled = ({ words }) => {
      fault.clear();
      if (words.startsWith('retry')) folder.observe('a');
    };
    await folder.drained();
    expect(folder.reports.map(({ words }) => words)).toEqual([
      'retry (ConditionalRequestConflict)',
      'uploaded (new)',
    ]);
  });

  test('to CompleteMultipartUpload: the upload is dead, and the file goes up again', async () => {
    const folder = await drainedFolder({ policy: 'skip-existing' });
    const fault = { ...busy, operation: 'CompleteMultipartUpload', keyPrefix: 'files/a', times: 1 } as const;
    folder.bucket.server.faults.add(fault);
    folder.write('a', Buffer.alloc(9 * MiB, 'x'));
    folder.onHandled = ({ words }) => words.startsWith('retry') && folder.observe('a');
    await folder.drained();
    expect(folder.reports.map(({ words }) => words)).toEqual([
      'retry (ConditionalRequestConflict)',
      'uploaded (new)',
    ]);
    expect(folder.bucket.uploads).toEqual([]);
  });
});

describe('T3.2b: a large file under a condition, which S3 takes at Complete only', () => {
  const large = Buffer.alloc(9 * MiB, 'x');

  test.each([
    ['skip-existing', 'skipped-existing (exists)'],
    ['if-unchanged', 'conflict (foreign)'],
  ] as const)('%s: the object is looked at before the body is sent: %s', async (policy, outcome) => {
    const folder = await drainedFolder({ policy });
    folder.write('first', '');
    await folder.drained();
    folder.bucket.put('files/a', 'theirs');
    folder.bucket.server.clearRequests();
    folder.write('a', large);
    expect(await folder.drained()).toEqual({ a: outcome });
    expect(folder.bucket.count('CreateMultipartUpload')).toBe(0);
    expect(folder.bucket.content('files/a')).toBe('theirs');
  });

  test.each([
    ['skip-existing', 'skipped-existing (exists)'],
    ['if-unchanged', 'conflict (foreign)'],
  ] as const)('%s: and again when its parts are put together: %s', async (policy, outcome) => {
    const folder = await drainedFolder({ policy });
    folder.write('first', '');
    await folder.drained();
    folder.write('a', large);
    const part = folder.bucket.arrival('UploadPart').then(() => folder.bucket.put('files/a', 'theirs'));
    expect(await folder.drained()).toEqual({ a: outcome });
    await part;
    expect(folder.bucket.content('files/a')).toBe('theirs');
    expect(folder.bucket.count('AbortMultipartUpload')).toBe(1);
  });
});

describe('T3.3: the object that we know was deleted', () => {
  test.each([
    ['if-unchanged', 'recreated (remote-deleted)'],
    ['newer-wins', 'recreated (remote-deleted)'],
    ['overwrite', 'uploaded (size-differs)'],
    ['skip-existing', 'skipped-existing (exists)'],
  ] as const)('%s: the changed file is %s', async (policy, outcome) => {
    const folder = await drainedFolder({ policy });
    folder.write('a', 'one');
    await folder.drained();
    folder.write('a', 'changed');
    folder.bucket.remove('files/a');
    expect(await folder.drained()).toEqual({ a: outcome });
    expect(folder.bucket.content('files/a')).toBe(policy === 'skip-existing' ? undefined : 'changed');
  });

  test('a store that answers 412 where S3 answers 404 makes no difference', async () => {
    const bucket = await testBucket({ legacy: ['if-match-missing-412'] });
    const folder = await drainedFolder({ policy: 'if-unchanged' }, bucket);
    folder.write('a', 'one');
    await folder.drained();
    folder.write('a', 'changed');
    bucket.remove('files/a');
    expect(await folder.drained()).toEqual({ a: 'recreated (remote-deleted)' });
  });
});

describe('T3.4: the answer to our own write is lost', () => {
  const lost = { kind: 'commit-then-drop', keyPrefix: 'files/a' } as const;
  const unavailable = { kind: 'answer', status: 503, code: 'SlowDown' } as const;

  test.each(careful)('%s: the object that the retry finds is ours, never a conflict', async (policy) => {
    const folder = await drainedFolder({ policy });
    folder.write('first', '');
    await folder.drained();
    folder.bucket.server.faults.add({ ...lost, operation: 'PutObject', times: 1 });
    folder.write('a', 'mine');
    expect(await folder.drained()).toEqual({ a: 'uploaded (own-lost-answer)' });
    expect(folder.baseline('a')).toMatchObject({ outcome: 'uploaded', owned: true });
    expect(folder.bucket.ourChanges('files/a')).toEqual(['write']);
  });

  test('also when it replaced an object', async () => {
    const folder = await drainedFolder({ policy: 'if-unchanged' });
    folder.write('a', 'one');
    await folder.drained();
    folder.bucket.server.faults.add({ ...lost, operation: 'PutObject', times: 1 });
    folder.write('a', 'changed');
    expect(await folder.drained()).toEqual({ a: 'uploaded (own-lost-answer)' });
    expect(folder.bucket.ourChanges('files/a')).toEqual(['write', 'overwrite']);
  });

  test.each([
    ['if-unchanged', 'uploaded (size-differs)', 'changed'],
    ['newer-wins', 'uploaded (size-differs)', 'changed'],
    ['skip-existing', 'skipped-existing (exists)', 'mine'],
  ] as const)(
    '%s: when the file changed since, that is a change against our own object: %s',
    async (policy, outcome, content) => {
      const folder = await drainedFolder({ policy });
      folder.write('first', '');
      await folder.drained();
      folder.bucket.server.faults.add({ ...lost, operation: 'PutObject', times: 1 });
      // The retry is refused, and nobody can be asked why.
      const down = folder.bucket.server.faults.add({ ...unavailable, operation: 'HeadObject' });
      folder.write('a', 'mine');
      folder.onHandled = ({ words }) => {
        if (!words.startsWith('retry')) return;
        down.clear();
        folder.write('a', 'changed', longAgo);
      };
      await folder.drained();
      expect(folder.reports.slice(1).map(({ words }) => words)).toEqual([
        expect.stringMatching(/^retry/),
        outcome,
      ]);
      expect(folder.bucket.content('files/a')).toBe(content);
      expect(folder.baseline('a')).toMatchObject({ owned: true });
    },
  );

  test('somebody who replaced it before we came back is not overwritten', async () => {
    const folder = await drainedFolder({ policy: 'if-unchanged' });
    folder.write('first', '');
    await folder.drained();
    folder.bucket.server.faults.add({ ...lost, operation: 'PutObject', times: 1 });
    folder.write('a', 'mine');
    const replaced = folder.bucket.arrival('HeadObject').then(() => folder.bucket.put('files/a', 'theirs'));
    expect(await folder.drained()).toEqual({ a: 'conflict (foreign)' });
    await replaced;
    expect(folder.bucket.content('files/a')).toBe('theirs');
  });

  test.each(careful)('%s: of a multipart upload: likewise', async (policy) => {
    const folder = await drainedFolder({ policy });
    folder.write('first', '');
    await folder.drained();
    folder.bucket.server.faults.add({ ...lost, operation: 'CompleteMultipartUpload', times: 1 });
    folder.write('a', Buffer.alloc(9 * MiB, 'x'));
    expect(Object.values(await folder.drained())).toEqual([
      expect.stringMatching(/^uploaded \((new|own-lost-answer)\)$/),
    ]);
    expect(folder.baseline('a')).toMatchObject({ outcome: 'uploaded', owned: true });
    expect(folder.bucket.ourChanges('files/a')).toEqual(['write']);
    expect(folder.bucket.uploads).toEqual([]);
  });
});

describe('T3.5: the process ends after S3 took a file, and before the journal knew', () => {
  /** Claims a path, as a process does that ends before it gets an answer. @returns by what S3 knows its writes */
  function claimAndDie({ journal, route: { routeId } }: DrainedFolder): string {
    const [claim] = journal.turn({ completions: [], routeId, want: 1, order: 'oldest', nowMs: Date.now() });
    return claim!.writeId;
  }

  test.each(careful)('%s: the object is ours', async (policy) => {
    const folder = await drainedFolder({ policy });
    folder.write('first', '');
    await folder.drained();
    folder.write('a', 'mine');
    const writeId = claimAndDie(folder);
    folder.bucket.put('files/a', 'mine', { mtimeNs: folder.mtimeNs('a'), writeId });
    folder.restart();
    expect(await folder.drained()).toEqual({ a: 'uploaded (own-lost-answer)' });
    expect(folder.baseline('a')).toMatchObject({ outcome: 'uploaded', owned: true });
  });

  test.each([
    ['if-unchanged', 'uploaded (size-differs)', 'changed'],
    ['newer-wins', 'uploaded (size-differs)', 'changed'],
    ['skip-existing', 'skipped-existing (exists)', 'mine'],
  ] as const)('%s: and when the file changed meanwhile: %s', async (policy, outcome, content) => {
    const folder = await drainedFolder({ policy });
    folder.write('first', '');
    await folder.drained();
    folder.write('a', 'mine', longAgo);
    const writeId = claimAndDie(folder);
    folder.bucket.put('files/a', 'mine', { mtimeNs: folder.mtimeNs('a'), writeId });
    folder.write('a', 'changed', longAgo);
    folder.restart();
    expect(await folder.drained()).toEqual({ a: outcome });
    expect(folder.bucket.content('files/a')).toBe(content);
    expect(folder.baseline('a')).toMatchObject({ owned: true });
  });

  test('an object that replaced another likewise', async () => {
    const folder = await drainedFolder({ policy: 'if-unchanged' });
    folder.write('a', 'one');
    await folder.drained();
    folder.write('a', 'second');
    const writeId = claimAndDie(folder);
    folder.bucket.put('files/a', 'second', { mtimeNs: folder.mtimeNs('a'), writeId });
    folder.write('a', 'the third');
    folder.restart();
    expect(await folder.drained()).toEqual({ a: 'uploaded (size-differs)' });
    expect(folder.bucket.content('files/a')).toBe('the third');
  });

  test('a tool that put other content into our object, and kept what it did not know, is somebody else', async () => {
    const folder = await drainedFolder({ policy: 'if-unchanged' });
    folder.write('first', '');
    await folder.drained();
    folder.write('a', 'mine');
    const writeId = claimAndDie(folder);
    const before = mtimeToMetadata(folder.mtimeNs('a'));
    const kept = { 'x-amz-meta-s3syncd-write': `${writeId} ${before}` };
    folder.bucket.put('files/a', 'edited', { mtimeNs: folder.mtimeNs('a') + 1n, headers: kept });
    folder.restart();
    expect(await folder.drained()).toEqual({ a: 'conflict (foreign)' });
  });

  test('during the first contact: the listing that is taken anew does not make it somebody else’s', async () => {
    const folder = await drainedFolder({ policy: 'if-unchanged' });
    folder.write('a', 'mine');
    const writeId = claimAndDie(folder);
    folder.bucket.put('files/a', 'mine', { mtimeNs: folder.mtimeNs('a'), writeId });
    folder.write('a', 'changed');
    folder.restart();
    expect(await folder.drained()).toEqual({ a: 'uploaded (size-differs)' });
    expect(folder.bucket.content('files/a')).toBe('changed');
  });
});

describe('T3.6: the file changes while it is read', () => {
  test('it is never reported as synced, and goes up as it is then', async () => {
    const folder = await drainedFolder();
    folder.write('a', 'before');
    const drain = folder.run();
    const memory = await folder.budget.acquire(2 * MiB);
    drain.poke();
    // It waits for memory, open and not read yet.
    await folder.untilOpen('a');
    folder.writeUnseen('a', 'after!');
    memory[Symbol.dispose]();
    await folder.untilHandled(1);
    expect(folder.reports[0]!.words).toBe('retry (changed-while-read)');
    expect(folder.baseline('a')).toBeUndefined();
    expect(folder.bucket.keys).toEqual([]);
    await folder.untilHandled(2);
    expect(folder.bucket.content('files/a')).toBe('after!');
    expect(folder.bucket.ourChanges('files/a')).toEqual(['write']);
  });
});

describe('T3.6: the file changes while it is compared', () => {
  test('it is looked at again, and goes up as it is then', async () => {
    const folder = await drainedFolder();
    folder.bucket.put('files/a', 'theirs');
    folder.write('a', 'before');
    const changed = folder.bucket.arrival('HeadObject').then(() => folder.writeUnseen('a', 'after!'));
    await folder.drained();
    await changed;
    expect(folder.reports.map(({ words }) => words)).toEqual([
      'retry (changed-while-read)',
      expect.stringMatching(/^uploaded/),
    ]);
    expect(folder.bucket.content('files/a')).toBe('after!');
  });
});

describe('T3.7: the file vanishes', () => {
  test('before it is looked at: nothing to do, and no error', async () => {
    const folder = await drainedFolder();
    folder.write('a', 'one');
    folder.remove('a');
    expect(await folder.drained()).toEqual({ a: 'vanished (never-synced)' });
    expect(folder.counts).toMatchObject({ pending: 0, failed: 0, baselines: 0 });
  });

  test('between the look and the reading: looked at again, and then the same', async () => {
    const folder = await drainedFolder();
    folder.bucket.put('files/a', 'theirs');
    folder.write('a', 'before');
    const gone = folder.bucket.arrival('HeadObject').then(() => fs.rmSync(folder.absolute('a')));
    await folder.drained();
    await gone;
    expect(folder.reports.map(({ words }) => words)).toEqual([
      'retry (changed-while-read)',
      'vanished (never-synced)',
    ]);
    expect(folder.bucket.content('files/a')).toBe('theirs');
  });
});

describe('T3.8: further events while a file goes up', () => {
  test('lead to another look, and to one operation at a time', async () => {
    const folder = await drainedFolder();
    folder.write('first', '');
    await folder.drained();
    folder.bucket.server.clearRequests();
    folder.write('a', 'one');
    const changed = folder.bucket.arrival('PutObject').then(() => {
      folder.write('a', 'changed');
      folder.observe('a');
    });
    await folder.drained();
    await changed;
    expect(folder.reports.slice(1).map(({ words }) => words)).toEqual([
      'uploaded (new)',
      'uploaded (size-differs)',
    ]);
    expect(folder.bucket.content('files/a')).toBe('changed');
    expect(folder.bucket.ourChanges('files/a')).toEqual(['write', 'overwrite']);
    expect(folder.counts.pending).toBe(0);
  });

  test('that changed nothing cost no second upload', async () => {
    const folder = await drainedFolder();
    folder.write('first', '');
    await folder.drained();
    folder.bucket.server.clearRequests();
    folder.write('a', 'one');
    const seen = folder.bucket.arrival('PutObject').then(() => folder.observe('a'));
    await folder.drained();
    await seen;
    expect(folder.reports.slice(1).map(({ words }) => words)).toEqual([
      'uploaded (new)',
      'unchanged (identical)',
    ]);
    expect(folder.bucket.count('PutObject')).toBe(1);
  });
});

describe('T3.12: credentials that may only write', () => {
  const onlyPut = (action: string) => action === 's3:PutObject';

  test('skip-existing is exact all the same: S3 itself says what exists', async () => {
    const bucket = await testBucket({ authorise: onlyPut });
    const folder = await drainedFolder({ policy: 'skip-existing' }, bucket);
    bucket.put('files/a', 'theirs');
    folder.write('a', 'mine');
    folder.write('b', 'mine');
    expect(await folder.drained()).toEqual({ a: 'skipped-existing (exists)', b: 'uploaded (new)' });
    expect(bucket.content('files/a')).toBe('theirs');
    expect(bucket.content('files/b')).toBe('mine');
    expect(folder.baseline('a')?.etag).toBeUndefined();
    folder.observe('a', 'b');
    bucket.server.clearRequests();
    expect(await folder.drained()).toEqual({ a: 'unchanged (identical)', b: 'unchanged (identical)' });
    expect(bucket.server.requests.filter(({ key }) => key === 'files/a' || key === 'files/b')).toEqual([]);
  });

  test('skip-existing: large files likewise', async () => {
    const bucket = await testBucket({ authorise: onlyPut });
    const folder = await drainedFolder({ policy: 'skip-existing' }, bucket);
    bucket.put('files/a', 'theirs');
    folder.write('a', Buffer.alloc(9 * MiB, 'x'));
    expect(await folder.drained()).toEqual({ a: 'skipped-existing (exists)' });
    expect(bucket.content('files/a')).toBe('theirs');
  });

  test.each(['overwrite', 'if-unchanged', 'newer-wins'] as const)(
    '%s: the route waits and says which right is missing',
    async (policy) => {
      const bucket = await testBucket({ authorise: onlyPut });
      const folder = await drainedFolder({ policy }, bucket);
      bucket.put('files/a', 'theirs');
      folder.write('a', 'mine');
      expect(await folder.drained()).toEqual({});
      expect(folder.journal.trouble(folder.route.routeId)).toMatchObject({
        class: 'denied',
        code: 'AccessDenied',
      });
      expect(bucket.content('files/a')).toBe('theirs');
    },
  );
});

describe('T3.13: a store that ignores conditions, or refuses them', () => {
  test.each([
    ['skip-existing', 'ignore-if-none-match', 'If-None-Match'],
    ['if-unchanged', 'ignore-if-none-match', 'If-None-Match'],
    ['if-unchanged', 'ignore-if-match', 'If-Match'],
    ['newer-wins', 'ignore-if-match', 'If-Match'],
    ['skip-existing', 'reject-conditions', 'If-None-Match'],
  ] as const)('%s does not start on one with %s', async (policy, legacy, header) => {
    const bucket = await testBucket({ legacy: [legacy] });
    const folder = await drainedFolder({ policy }, bucket);
    bucket.put('files/a', 'theirs');
    folder.write('a', 'mine');
    expect(await folder.drained()).toEqual({});
    expect(bucket.content('files/a')).toBe('theirs');
    const trouble = folder.journal.trouble(folder.route.routeId);
    expect(trouble).toMatchObject({ class: 'unenforceable' });
    expect(trouble?.message).toContain(`needs a store that enforces ${header} on PutObject`);
    expect(bucket.keys, 'the scratch key is gone').toEqual(['files/a']);
  });

  test('overwrite needs none of it, and does not ask', async () => {
    const bucket = await testBucket({ legacy: ['reject-conditions'] });
    const folder = await drainedFolder({ policy: 'overwrite' }, bucket);
    folder.write('a', 'mine');
    expect(await folder.drained()).toEqual({ a: 'uploaded (new)' });
    expect(bucket.server.counts()).toEqual({ ListObjectsV2: 1, PutObject: 1 });
  });

  test('skip-existing does without If-Match', async () => {
    const bucket = await testBucket({ legacy: ['ignore-if-match'] });
    const folder = await drainedFolder({ policy: 'skip-existing' }, bucket);
    folder.write('a', 'mine');
    expect(await folder.drained()).toEqual({ a: 'uploaded (new)' });
  });

  test('what a store was found to do is remembered: the next start does not ask again', async () => {
    const folder = await drainedFolder({ policy: 'if-unchanged' });
    folder.write('a', 'one');
    await folder.drained();
    folder.restart();
    folder.bucket.server.clearRequests();
    folder.write('a', 'changed');
    expect(await folder.drained()).toEqual({ a: 'uploaded (size-differs)' });
    expect(folder.bucket.server.counts()).toEqual({ PutObject: 1 });
  });

  test('what kept it from its work is asked again at the next start: the store may be a newer version', async () => {
    const bucket = await testBucket({ legacy: ['ignore-if-none-match'] });
    const folder = await drainedFolder({ policy: 'skip-existing' }, bucket);
    folder.write('a', 'mine');
    expect(await folder.drained()).toEqual({});
    bucket.server.legacy.delete('ignore-if-none-match');
    folder.restart();
    expect(await folder.drained()).toEqual({ a: 'uploaded (new)' });
  });

  test.each([
    ['skip-existing', 'skipped-existing (exists)'],
    ['if-unchanged', 'conflict (foreign)'],
    ['newer-wins', 'conflict (ambiguous)'],
  ] as const)('unsafe-emulation: %s looks before it writes: %s', async (policy, outcome) => {
    const bucket = await testBucket({ legacy: ['reject-conditions'] });
    const folder = await drainedFolder({ policy, unsafeEmulation: true }, bucket);
    folder.write('new', 'mine');
    expect(await folder.drained()).toEqual({ new: 'uploaded (missing)' });
    folder.write('a', 'mine');
    bucket.put('files/a', 'theirs');
    expect(await folder.drained()).toEqual({ a: outcome });
    expect(bucket.content('files/a')).toBe('theirs');
  });

  test('unsafe-emulation: what the content was compared with is not mixed up', async () => {
    const bucket = await testBucket({ legacy: ['reject-conditions'] });
    const folder = await drainedFolder({ policy: 'if-unchanged', unsafeEmulation: true }, bucket);
    folder.write('a', 'one');
    await folder.drained();
    folder.write('a', 'two');
    bucket.put('files/a', 'two');
    expect(await folder.drained()).toEqual({ a: 'adopted (same)' });
  });

  test('unsafe-emulation: the listing of the first contact is not the look before a write', async () => {
    const bucket = await testBucket({ legacy: ['reject-conditions'] });
    const folder = await drainedFolder({ policy: 'newer-wins', unsafeEmulation: true }, bucket);
    bucket.put('files/a', 'theirs', { mtimeNs: 0n });
    folder.write('a', 'mine');
    fs.utimesSync(folder.absolute('a'), new Date(), new Date(Date.now() + 60_000));
    const inTheFuture = BigInt(Date.now() + 120_000) * 1_000_000n;
    const listed = bucket.server.until(() =>
      bucket.server.requests.some(({ operation, status }) => operation === 'ListObjectsV2' && status === 200),
    );
    const changed = listed.then(() => bucket.put('files/a', 'theirs, changed', { mtimeNs: inTheFuture }));
    expect(await folder.drained()).toEqual({ a: 'remote-newer (older)' });
    await changed;
  });

  test('unsafe-emulation changes nothing where the store enforces conditions', async () => {
    const folder = await drainedFolder({ policy: 'skip-existing', unsafeEmulation: true });
    folder.write('a', 'mine');
    await folder.drained();
    const put = folder.bucket.server.requests.findLast(({ operation }) => operation === 'PutObject');
    expect(put?.headers).toMatchObject({ 'if-none-match': '*' });
  });
});

describe('T3.14: somebody else writes the same bytes', () => {
  test.each(['if-unchanged', 'newer-wins'] as const)(
    '%s: the object is still the one we know',
    async (policy) => {
      const folder = await drainedFolder({ policy });
      folder.write('a', 'one');
      await folder.drained();
      folder.bucket.put('files/a', 'one');
      folder.write('a', 'changed');
      expect(await folder.drained()).toEqual({ a: 'uploaded (size-differs)' });
      expect(folder.bucket.content('files/a')).toBe('changed');
    },
  );
});

describe('T3.16: names that cannot be keys', () => {
  test('a key of more than 1,024 bytes is blocked, with the reason', async () => {
    const folder = await drainedFolder({ prefix: 'x'.repeat(1000) });
    const name = 'é'.repeat(13);
    folder.write(name, 'mine');
    folder.write('y'.repeat(24), 'fits');
    expect(await folder.drained()).toEqual({
      [name]: 'blocked (key-too-long)',
      ['y'.repeat(24)]: 'uploaded (new)',
    });
    expect(folder.counts).toMatchObject({ blocked: 1 });
    expect(folder.bucket.keys).toHaveLength(1);
  });

  test('and is forgotten when the file is gone', async () => {
    const folder = await drainedFolder({ prefix: 'x'.repeat(1024) });
    folder.write('a', 'mine');
    await folder.drained();
    folder.remove('a');
    await folder.drained();
    expect(folder.counts).toMatchObject({ blocked: 0, pending: 0 });
  });

  test.skipIf(process.getuid?.() === 0)('a file that cannot be read is blocked until it can be', async () => {
    const folder = await drainedFolder();
    folder.write('a', 'mine');
    fs.chmodSync(folder.absolute('a'), 0);
    expect(await folder.drained()).toEqual({ a: 'blocked (unreadable)' });
    fs.chmodSync(folder.absolute('a'), 0o600);
    folder.observe('a');
    expect(await folder.drained()).toEqual({ a: 'uploaded (new)' });
  });
});

describe('T3.17: the config changes', () => {
  test('what was left alone by another policy is decided upon anew', async () => {
    const folder = await drainedFolder({ policy: 'skip-existing' });
    folder.bucket.put('files/a', 'theirs');
    folder.write('a', 'mine');
    expect(await folder.drained()).toEqual({ a: 'skipped-existing (exists)' });
    folder.restart({ policy: 'overwrite' });
    folder.observe('a');
    expect(await folder.drained()).toEqual({ a: 'uploaded (new)' });
    expect(folder.bucket.content('files/a')).toBe('mine');
  });

  test('what is in the bucket is not written again under another policy', async () => {
    const folder = await drainedFolder({ policy: 'overwrite' });
    folder.write('a', 'mine');
    await folder.drained();
    folder.restart({ policy: 'if-unchanged' });
    folder.observe('a');
    expect(await folder.drained()).toEqual({ a: 'unchanged (identical)' });
    expect(folder.bucket.ourChanges('files/a')).toEqual(['write']);
  });

  test('another prefix is a new place: everything goes there, and what is at the old one stays', async () => {
    const folder = await drainedFolder();
    folder.write('a', 'mine');
    await folder.drained();
    folder.restart({ prefix: 'elsewhere/' });
    folder.observe('a');
    expect(await folder.drained()).toEqual({ a: 'uploaded (new)' });
    expect(folder.bucket.keys).toEqual(['elsewhere/a', 'files/a']);
  });
});

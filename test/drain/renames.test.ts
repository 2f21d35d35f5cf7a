// Renames with a real journal, real files and a real server: what is asked of S3, in which order, and what is remembered.
import fs from 'node:fs';
import { describe, expect, test } from 'vitest';
import { testBucket } from '../helpers/bucket.ts';
import { DrainedFolder, drainedFolder, type FolderOptions } from '../helpers/drained.ts';
import type { LegacySwitch } from '../s3-server/legacy.ts';

const policies = ['overwrite', 'skip-existing', 'if-unchanged', 'newer-wins'] as const;
/** Those that have S3 enforce what was decided. */
const careful = ['skip-existing', 'if-unchanged', 'newer-wins'] as const;
const ceph: LegacySwitch[] = [
  'ignore-conditions-on-copy',
  'ignore-conditions-on-complete',
  'if-match-unquoted-only',
  'drop-copy-tags',
  'unquoted-copy-etag',
];

/** A folder whose files are in S3; what was asked for until then is forgotten. */
async function synced(
  files: Readonly<Record<string, string>>,
  options: FolderOptions = {},
  legacy: LegacySwitch[] = [],
): Promise<DrainedFolder> {
  const folder = await drainedFolder(options, await testBucket({ legacy }));
  for (const [path, content] of Object.entries(files)) folder.write(path, content);
  await folder.drained();
  folder.bucket.server.clearRequests();
  return folder;
}

function rename(folder: DrainedFolder, from: string, to: string): void {
  fs.renameSync(folder.absolute(from), folder.absolute(to));
  folder.observe(from, to);
}

/** A rename of the directory, which leaves no trace in its files. */
function renameDirectory(folder: DrainedFolder, from: string, to: string): void {
  const names = fs.readdirSync(folder.absolute(from));
  fs.renameSync(folder.absolute(from), folder.absolute(to));
  folder.observe(...names.flatMap((name) => [`${to}/${name}`, `${from}/${name}`]));
}

describe('a renamed file', () => {
  test.each(policies)('%s: is copied by S3, and the object of its old path is kept', async (policy) => {
    const folder = await synced({ a: 'content' }, { policy });
    rename(folder, 'a', 'b');
    expect(await folder.drained()).toEqual({ b: 'copied (renamed)', a: 'kept-remote (deleted-locally)' });
    expect(folder.bucket.server.counts()).toEqual({ CopyObject: 1 });
    expect(folder.bucket.content('files/b')).toBe('content');
    expect(folder.bucket.content('files/a')).toBe('content');
    expect(folder.baseline('b')).toMatchObject({ outcome: 'copied', owned: true, gone: false });

    folder.bucket.server.clearRequests();
    folder.write('b', 'changed');
    await folder.drained();
    expect(folder.bucket.content('files/b')).toBe(policy === 'skip-existing' ? 'content' : 'changed');
  });

  test('with its directory is not even read', async () => {
    const folder = await synced({ 'd/x': 'x', 'd/y': 'y' });
    renameDirectory(folder, 'd', 'e');
    fs.chmodSync(folder.absolute('e/x'), 0o000);
    fs.chmodSync(folder.absolute('e/x'), 0o644);
    expect(await folder.drained()).toMatchObject({ 'e/x': 'copied (renamed)', 'e/y': 'copied (renamed)' });
    expect(folder.bucket.server.counts()).toEqual({ CopyObject: 2 });
  });

  test('is found again although its old path was looked at first', async () => {
    const folder = await synced({ a: 'content' });
    fs.renameSync(folder.absolute('a'), folder.absolute('b'));
    folder.observe('a');
    await folder.drained();
    folder.observe('b');
    expect(await folder.drained()).toEqual({ b: 'copied (renamed)' });
  });

  test('gets what the rules say of its new path', async () => {
    const rules = [
      { match: '*.log', tags: { Kind: 'log' }, cacheControl: 'no-store' },
      { match: '*.txt', tags: { Kind: 'text' }, metadata: { by: 'rule' }, storageClass: 'STANDARD_IA' },
    ] as const;
    const folder = await synced({ 'a.log': 'content' }, { rules });
    rename(folder, 'a.log', 'b.txt');
    expect(await folder.drained()).toMatchObject({ 'b.txt': 'copied (renamed)' });
    const object = folder.bucket.attributes('files/b.txt')!;
    expect(object.tags).toEqual([['Kind', 'text']]);
    expect(object.storageClass).toBe('STANDARD_IA');
    expect(object.headers).toMatchObject({ 'content-type': 'text/plain', 'x-amz-meta-by': 'rule' });
    expect(object.headers['cache-control']).toBeUndefined();
  });

  test('that was changed too is uploaded', async () => {
    const folder = await synced({ a: 'content', b: 'same size' });
    rename(folder, 'a', 'c');
    folder.write('c', 'another content');
    const { mtime } = fs.statSync(folder.absolute('b'));
    rename(folder, 'b', 'd');
    folder.write('d', 'SAME SIZE', mtime);
    expect(await folder.drained()).toMatchObject({ c: 'uploaded (new)', d: 'uploaded (new)' });
    expect(folder.bucket.content('files/d')).toBe('SAME SIZE');
  });

  test('that was adopted by its size alone is uploaded: its object may be another', async () => {
    const folder = await drainedFolder({ compare: 'size' });
    folder.bucket.put('files/d/a', 'theirs');
    folder.write('d/a', 'mine 1');
    expect(await folder.drained()).toEqual({ 'd/a': 'adopted (same)' });
    renameDirectory(folder, 'd', 'e');
    expect(await folder.drained()).toMatchObject({ 'e/a': 'uploaded (new)' });
    expect(folder.bucket.content('files/e/a')).toBe('mine 1');
  });

  test('has two names while it is linked: the second is a copy as well', async () => {
    const folder = await synced({ a: 'content' });
    fs.linkSync(folder.absolute('a'), folder.absolute('b'));
    folder.observe('b');
    expect(await folder.drained()).toEqual({ b: 'copied (renamed)' });
  });
});

describe('somebody else has an object at the new path', () => {
  test.each([
    ['overwrite', 'copied (renamed)', { CopyObject: 1 }],
    ['skip-existing', 'skipped-existing (exists)', { CopyObject: 1, HeadObject: 1 }],
    ['if-unchanged', 'conflict (foreign)', { CopyObject: 1, HeadObject: 1 }],
    ['newer-wins', 'conflict (ambiguous)', { CopyObject: 1, HeadObject: 1 }],
  ] as const)('%s: %s', async (policy, outcome, requests) => {
    const folder = await synced({ a: 'content' }, { policy });
    folder.bucket.put('files/b', 'theirs');
    rename(folder, 'a', 'b');
    expect(await folder.drained()).toEqual({ b: outcome, a: 'kept-remote (deleted-locally)' });
    expect(folder.bucket.server.counts()).toEqual(requests);
    expect(folder.bucket.content('files/b')).toBe(policy === 'overwrite' ? 'content' : 'theirs');
    expect(folder.bucket.content('files/a')).toBe('content');
  });

  test('newer-wins: an older one is replaced by a copy, if it still is the one that was seen', async () => {
    const folder = await synced({ a: 'content' }, { policy: 'newer-wins' });
    folder.bucket.put('files/b', 'theirs', { mtimeNs: folder.mtimeNs('a') - 10_000_000_000n });
    rename(folder, 'a', 'b');
    expect(await folder.drained()).toMatchObject({ b: 'copied (renamed)' });
    expect(folder.bucket.server.counts()).toEqual({ CopyObject: 2, HeadObject: 1 });
    expect(folder.bucket.content('files/b')).toBe('content');
  });

  test.each(careful)('%s: one with the same content is adopted', async (policy) => {
    const folder = await synced({ a: 'content' }, { policy });
    folder.bucket.put('files/b', 'content');
    rename(folder, 'a', 'b');
    expect(await folder.drained()).toMatchObject({ b: 'adopted (same)' });
    expect(folder.bucket.ourChanges('files/b')).toEqual([]);
  });

  test.each([
    ['if-unchanged', 'conflict (remote-changed)'],
    ['newer-wins', 'conflict (ambiguous)'],
  ] as const)('%s: where ours was, theirs is now: %s', async (policy, outcome) => {
    const folder = await synced({ a: 'content', b: 'ours' }, { policy });
    folder.bucket.put('files/b', 'theirs');
    rename(folder, 'a', 'b');
    expect(await folder.drained()).toMatchObject({ b: outcome });
    expect(folder.bucket.content('files/b')).toBe('theirs');
  });
});

describe('the object of the old path', () => {
  test.each(policies)('%s: is another by now: the file is uploaded', async (policy) => {
    const folder = await synced({ a: 'content' }, { policy });
    folder.bucket.put('files/a', 'theirs!');
    rename(folder, 'a', 'b');
    expect(await folder.drained()).toMatchObject({ b: expect.stringMatching(/^uploaded/) as string });
    expect(folder.bucket.content('files/b')).toBe('content');
    expect(folder.bucket.content('files/a')).toBe('theirs!');
  });

  test.each(policies)('%s: is gone: the file is uploaded', async (policy) => {
    const folder = await synced({ a: 'content' }, { policy });
    folder.bucket.remove('files/a');
    rename(folder, 'a', 'b');
    expect(await folder.drained()).toMatchObject({ b: expect.stringMatching(/^uploaded/) as string });
    expect(folder.bucket.content('files/b')).toBe('content');
  });

  test('is archived: the file is uploaded', async () => {
    const folder = await synced({ a: 'content' }, { rules: [{ match: 'a', storageClass: 'GLACIER' }] });
    rename(folder, 'a', 'b');
    expect(await folder.drained()).toMatchObject({ b: 'uploaded (new)' });
    expect(folder.bucket.server.counts()).toEqual({ CopyObject: 1, PutObject: 1 });
  });

  test('may be under SSE-C: it is read with its key and written with the new one', async () => {
    const key = (letter: string) => Buffer.alloc(32, letter).toString('base64');
    const rules = ['a', 'b'].map(
      (match) => ({ match, encryption: { sse: 'customer', key: key(match) } }) as const,
    );
    const folder = await synced({ a: 'content' }, { rules });
    rename(folder, 'a', 'b');
    expect(await folder.drained()).toMatchObject({ b: 'copied (renamed)' });
    folder.bucket.server.clearRequests();
    folder.observe('b');
    expect(await folder.drained()).toEqual({ b: 'unchanged (identical)' });
  });

  test('may not be read: the file is uploaded', async () => {
    const mayNotRead = await testBucket({ authorise: (action) => action !== 's3:GetObject' });
    const folder = await drainedFolder({}, mayNotRead);
    folder.write('a', 'content');
    await folder.drained();
    rename(folder, 'a', 'b');
    expect(await folder.drained()).toMatchObject({ b: 'uploaded (new)' });
  });
});

describe('T3.16b: files that take each other’s names', () => {
  /** x.9 → x.10, x.8 → x.9, … x → x.1, and a new x. */
  function rotate(folder: DrainedFolder, content: string): void {
    const name = (number: number) => (number === 0 ? 'x' : `x.${number}`);
    for (let number = 9; number >= 0; number--) {
      if (!fs.existsSync(folder.absolute(name(number)))) continue;
      fs.renameSync(folder.absolute(name(number)), folder.absolute(name(number + 1)));
      folder.observe(name(number), name(number + 1));
    }
    folder.write('x', content);
  }

  test.each(['overwrite', 'if-unchanged', 'newer-wins'] as const)(
    '%s: a chain of ten is copied from its end, each from what it was',
    async (policy) => {
      const folder = await synced({ x: 'first log' }, { policy });
      for (let turn = 1; turn <= 14; turn++) {
        folder.bucket.server.clearRequests();
        rotate(folder, `log ${turn}`);
        await folder.drained();
        const { CopyObject, PutObject } = folder.bucket.server.counts();
        expect({ CopyObject, PutObject }).toEqual({ CopyObject: Math.min(turn, 10), PutObject: 1 });
        for (const name of fs.readdirSync(folder.root)) {
          expect([name, folder.bucket.content(`files/${name}`)]).toEqual([
            name,
            fs.readFileSync(folder.absolute(name), 'utf8'),
          ]);
        }
      }
    },
  );

  test('several turns at once end the same', async () => {
    const folder = await synced({ x: 'first log' });
    for (let turn = 1; turn <= 5; turn++) rotate(folder, `log ${turn}`);
    await folder.drained();
    expect(folder.bucket.content('files/x.5')).toBe('first log');
    expect(folder.bucket.content('files/x.4')).toBe('log 1');
    for (let turn = 6; turn <= 8; turn++) rotate(folder, `log ${turn}`);
    await folder.drained();
    for (const name of fs.readdirSync(folder.root))
      expect(folder.bucket.content(`files/${name}`)).toBe(fs.readFileSync(folder.absolute(name), 'utf8'));
  });

  test.each(['overwrite', 'if-unchanged', 'newer-wins'] as const)(
    '%s: two that exchange them have each the other’s content',
    async (policy) => {
      const folder = await synced({ a: 'one', b: 'two' }, { policy });
      fs.renameSync(folder.absolute('a'), folder.absolute('c'));
      fs.renameSync(folder.absolute('b'), folder.absolute('a'));
      fs.renameSync(folder.absolute('c'), folder.absolute('b'));
      folder.observe('a', 'b', 'c');
      await folder.drained();
      expect([folder.bucket.content('files/a'), folder.bucket.content('files/b')]).toEqual(['two', 'one']);
    },
  );

  test('skip-existing: where objects are they stay, and only the new end of the chain is copied', async () => {
    const folder = await synced({ x: 'first log' }, { policy: 'skip-existing' });
    for (let turn = 1; turn <= 3; turn++) {
      rotate(folder, `log ${turn}`);
      await folder.drained();
    }
    expect(folder.bucket.content('files/x')).toBe('first log');
    expect(folder.bucket.content('files/x.1')).toBe('first log');
    expect(folder.bucket.ourChanges('files/x')).toEqual(['write']);
  });
});

describe('what happens to the request', () => {
  test.each(policies)('%s: its answer is lost: the copy is taken for ours', async (policy) => {
    const folder = await synced({ a: 'content' }, { policy });
    folder.bucket.server.faults.add({ kind: 'commit-then-drop', operation: 'CopyObject', times: 1 });
    rename(folder, 'a', 'b');
    expect(await folder.drained()).toMatchObject({
      b: policy === 'overwrite' ? 'copied (renamed)' : 'uploaded (own-lost-answer)',
    });
    expect(folder.bucket.count('PutObject')).toBe(0);
    expect(folder.baseline('b')).toMatchObject({ owned: true });
  });

  test('another write is under way: it is tried again', async () => {
    const folder = await synced({ a: 'content' }, { policy: 'if-unchanged' });
    const busy = { kind: 'answer', status: 409, code: 'ConditionalRequestConflict', times: 1 } as const;
    folder.bucket.server.faults.add({ ...busy, operation: 'CopyObject' });
    rename(folder, 'a', 'b');
    folder.onHandled = ({ words }) => words.startsWith('retry') && folder.observe('b');
    await folder.drained();
    expect(folder.reports.filter(({ path }) => path === 'b').map(({ words }) => words)).toContain(
      'copied (renamed)',
    );
  });

  test('it is answered with 200 and an error: nothing is taken for copied', async () => {
    const folder = await synced({ a: 'content' });
    const fault = {
      kind: 'error-document',
      code: 'InternalError',
      operation: 'CopyObject',
      times: 3,
    } as const;
    folder.bucket.server.faults.add(fault);
    rename(folder, 'a', 'b');
    folder.onHandled = ({ words }) => words.startsWith('retry') && folder.observe('b');
    await folder.drained();
    expect(folder.bucket.content('files/b')).toBe('content');
    expect(folder.baseline('b')).toMatchObject({ outcome: 'copied' });
  });
});

describe('a store that holds copies to no condition', () => {
  test.each(careful)('%s: has the file uploaded under its condition', async (policy) => {
    const folder = await synced({ a: 'content', b: 'content 2' }, { policy }, ceph);
    folder.bucket.put('files/d', 'theirs');
    rename(folder, 'a', 'c');
    rename(folder, 'b', 'd');
    const { c, d } = await folder.drained();
    expect(c).toBe('uploaded (new)');
    expect(d).not.toMatch(/^(uploaded|copied)/);
    expect(folder.bucket.count('CopyObject')).toBe(0);
    expect(folder.bucket.content('files/d')).toBe('theirs');
  });

  test('overwrite: is believed where the ETag stayed the same, and gets the tags that it dropped', async () => {
    const rules = [{ match: '*', tags: { Kind: 'log' } }] as const;
    const folder = await synced({ a: 'content' }, { rules }, ceph);
    rename(folder, 'a', 'b');
    expect(await folder.drained()).toMatchObject({ b: 'copied (renamed)' });
    expect(folder.bucket.server.counts()).toEqual({ CopyObject: 1, HeadObject: 1, PutObjectTagging: 1 });
    expect(folder.bucket.attributes('files/b')?.tags).toEqual([['Kind', 'log']]);
    expect(folder.baseline('b')?.etag).toMatch(/^"[0-9a-f]{32}"$/);
  });

  test('overwrite: is not believed when the source was another, and the file is uploaded', async () => {
    const folder = await synced({ a: 'content' }, {}, ceph);
    folder.bucket.put('files/a', 'theirs!');
    rename(folder, 'a', 'b');
    expect(await folder.drained()).toMatchObject({ b: expect.stringMatching(/^uploaded/) as string });
    expect(folder.bucket.content('files/b')).toBe('content');
  });

  test.each([
    ['holds to the source', [] as LegacySwitch[], 'copied (renamed)'],
    ['does not', ['ignore-conditions-on-copy'] as LegacySwitch[], 'adopted (same)'],
  ])('overwrite: where ETags say nothing, it is found out whether it %s', async (_what, more, outcome) => {
    const folder = await synced({ a: 'content' }, {}, ['opaque-etags', ...more]);
    rename(folder, 'a', 'b');
    expect(await folder.drained()).toMatchObject({ b: outcome });
    expect(folder.bucket.content('files/b')).toBe('content');
    folder.restart();
    folder.bucket.server.clearRequests();
    rename(folder, 'b', 'c');
    await folder.drained();
    // It was remembered.
    expect(folder.bucket.count('PutObject')).toBe(0);
  });
});

describe('with `delete: propagate`', () => {
  const files = { a: 'content', c: 'c', d: 'd', e: 'e' };
  const propagate = { delete: 'propagate' } as const;
  const requests = (folder: DrainedFolder) =>
    folder.bucket.server.requests.map(({ operation, key }) => `${operation} ${key}`);

  test.each(policies)('%s: a rename is one copy and then one delete', async (policy) => {
    const folder = await synced(files, { policy, ...propagate });
    rename(folder, 'a', 'b');
    expect(await folder.drained()).toEqual({ b: 'copied (renamed)', a: 'deleted (deleted-locally)' });
    expect(requests(folder)).toEqual(['CopyObject files/b', 'DeleteObject files/a']);
    expect(folder.bucket.content('files/b')).toBe('content');
  });

  test.each([
    ['skip-existing', 'skipped-existing (exists)'],
    ['if-unchanged', 'conflict (foreign)'],
    ['newer-wins', 'remote-newer (older)'],
  ] as const)('%s: where the new path is %s, the object of the old one is kept', async (policy, outcome) => {
    const folder = await synced(files, { policy, ...propagate });
    folder.bucket.put('files/b', 'theirs', { mtimeNs: folder.mtimeNs('a') + 10_000_000_000n });
    rename(folder, 'a', 'b');
    expect(await folder.drained()).toEqual({ b: outcome, a: 'kept-remote (renamed)' });
    expect(folder.bucket.content('files/a')).toBe('content');
    expect(folder.bucket.count('DeleteObject')).toBe(0);
  });

  test('a delete waits while the copy is to be tried again', async () => {
    const folder = await synced(files, propagate);
    const down = { kind: 'answer', status: 500, code: 'InternalError' } as const;
    const fault = folder.bucket.server.faults.add({ ...down, operation: 'CopyObject' });
    rename(folder, 'a', 'b');
    folder.onHandled = ({ words }) => {
      if (words !== 'retry (rename-pending)') return;
      fault.clear();
      folder.observe('b', 'a');
    };
    await folder.drained();
    const words = (path: string) =>
      folder.reports.filter((each) => each.path === path).map((each) => each.words);
    expect(words('b')).toEqual(['retry (InternalError)', 'copied (renamed)']);
    expect(words('a')).toContain('retry (rename-pending)');
    expect(words('a').at(-1)).toBe('deleted (deleted-locally)');
    expect(requests(folder).slice(-2)).toEqual(['CopyObject files/b', 'DeleteObject files/a']);
    expect(folder.bucket.content('files/b')).toBe('content');
  });
});

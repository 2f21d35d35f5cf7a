// Files that are compressed or encrypted for their objects, with a real journal and a real server: the policies compare
// content with content, also when the journal is lost, and what is done to an object that is there already stays done.
import fs from 'node:fs';
import zlib from 'node:zlib';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { describe, expect, test, vi } from 'vitest';
import type { Rule } from '../../src/core/rules.ts';
import type { Bucket } from '../helpers/bucket.ts';
import { drainedFolder, type DrainedFolder, type FolderOptions } from '../helpers/drained.ts';

// Keys are made and large files compressed, on whatever machine.
vi.setConfig({ testTimeout: 60_000 });

const MiB = 1024 ** 2;
const policies = ['overwrite', 'skip-existing', 'if-unchanged', 'newer-wins'] as const;
const careful = ['skip-existing', 'if-unchanged', 'newer-wins'] as const;
const recipient = await identityToRecipient(await generateX25519Identity());
const transforms = {
  gzip: { compress: 'gzip' },
  age: { recipients: [recipient] },
} as const;
const kinds = ['gzip', 'age'] as const;
const longAgo = new Date('2020-01-01T00:00:00Z');

function rulesFor(kind: keyof typeof transforms): Rule[] {
  return [{ match: '**', ...transforms[kind] }];
}

/** As after the loss of the state directory: another journal, the same files and the same bucket. */
async function withoutJournal(folder: DrainedFolder, options: FolderOptions): Promise<DrainedFolder> {
  const anew = await drainedFolder(options, folder.bucket);
  for (const name of fs.readdirSync(folder.root)) {
    fs.cpSync(folder.absolute(name), anew.absolute(name), { preserveTimestamps: true });
    anew.observe(name);
  }
  folder.bucket.server.clearRequests();
  return anew;
}

const cells = kinds.flatMap((kind) => policies.map((policy) => [kind, policy] as const));
const carefulCells = kinds.flatMap((kind) => careful.map((policy) => [kind, policy] as const));

describe('a file', () => {
  test.each(cells)(
    '%s, %s: is uploaded once, and costs nothing when it is only touched',
    async (kind, policy) => {
      const folder = await drainedFolder({ policy, rules: rulesFor(kind) });
      folder.write('a', 'content');
      expect(await folder.drained()).toEqual({ a: 'uploaded (new)' });
      expect(folder.baseline('a')).toMatchObject({ transform: kind, checksum: { algorithm: 'crc32' } });
      folder.bucket.server.clearRequests();
      folder.write('a', 'content', longAgo);
      expect(await folder.drained()).toEqual({ a: 'touched (times-only)' });
      expect(folder.bucket.server.counts()).toEqual({});
    },
  );

  test.each(carefulCells)('%s, %s: never replaces what somebody else put there', async (kind, policy) => {
    for (const size of [100, 9 * MiB]) {
      const folder = await drainedFolder({ policy, rules: rulesFor(kind) });
      folder.bucket.put('files/a', 'theirs');
      folder.write('a', Buffer.alloc(size, 'x'), longAgo);
      await folder.drained();
      expect(folder.bucket.content('files/a')).toBe('theirs');
      expect(folder.bucket.ourChanges('files/a')).toEqual([]);
    }
  });
});

describe('with the journal lost,', () => {
  test.each(cells)('%s, %s: an equal object is adopted, by one HEAD', async (kind, policy) => {
    const options = { policy, rules: rulesFor(kind) };
    const folder = await drainedFolder(options);
    folder.write('a', 'content', longAgo);
    await folder.drained();
    const anew = await withoutJournal(folder, options);
    expect(await anew.drained()).toEqual({ a: 'adopted (same)' });
    // The store was probed at another key.
    const asked = anew.bucket.server.requests.filter(({ key }) => key === 'files/a');
    expect(asked.map(({ operation }) => operation)).toEqual(['HeadObject']);
    expect(anew.baseline('a')).toMatchObject({ transform: kind });
  });

  test.each([
    ['gzip', 'adopted (same)'],
    ['age', 'conflict (foreign)'],
  ] as const)('%s, if-unchanged: a file that was touched is %s', async (kind, outcome) => {
    const options = { policy: 'if-unchanged', rules: rulesFor(kind) } as const;
    const folder = await drainedFolder(options);
    folder.write('a', 'content', longAgo);
    await folder.drained();
    folder.writeUnseen('a', 'content', new Date(longAgo.getTime() + 1));
    const anew = await withoutJournal(folder, options);
    expect(await anew.drained()).toEqual({ a: outcome });
  });

  test.each(kinds)('%s: a file that was changed to another of its size is uploaded', async (kind) => {
    const options = { rules: rulesFor(kind) };
    const folder = await drainedFolder(options);
    folder.write('a', 'content', longAgo);
    await folder.drained();
    folder.writeUnseen('a', 'CONTENT', new Date(longAgo.getTime() + 1));
    const anew = await withoutJournal(folder, options);
    expect(await anew.drained()).toMatchObject({ a: expect.stringMatching(/^uploaded/) as string });
  });
});

describe('an answer that was lost', () => {
  test.each(
    kinds.flatMap((kind) => (['if-unchanged', 'newer-wins'] as const).map((p) => [kind, p] as const)),
  )('%s, %s: is no conflict, small or large', async (kind, policy) => {
    for (const [path, size] of [
      ['small', 100],
      ['large', 9 * MiB],
    ] as const) {
      const folder = await drainedFolder({ policy, rules: rulesFor(kind) });
      folder.write('first', 'x');
      await folder.drained();
      folder.bucket.server.faults.add({ kind: 'commit-then-drop', operation: 'PutObject', times: 1 });
      folder.bucket.server.faults.add({
        kind: 'commit-then-drop',
        operation: 'CompleteMultipartUpload',
        times: 1,
      });
      folder.write(path, Buffer.alloc(size, 'x'));
      expect(await folder.drained()).toEqual({ [path]: 'uploaded (own-lost-answer)' });
      expect(folder.bucket.ourChanges(`files/${path}`)).toEqual(['write']);
      expect(folder.bucket.uploads).toEqual([]);
    }
  });
});

describe('an object that is there already', () => {
  const gzipped = (bucket: Bucket, key: string) =>
    zlib.gunzipSync(bucket.server.store.body(bucket.attributes(key)!)).toString();

  test('is copied for a file that was renamed, and says what it is', async () => {
    const folder = await drainedFolder({ rules: rulesFor('gzip') });
    folder.write('a', 'content');
    await folder.drained();
    folder.bucket.server.clearRequests();
    fs.renameSync(folder.absolute('a'), folder.absolute('b'));
    folder.observe('a', 'b');
    expect(await folder.drained()).toMatchObject({ b: 'copied (renamed)' });
    expect(gzipped(folder.bucket, 'files/b')).toBe('content');
    expect(folder.bucket.attributes('files/b')?.headers).toMatchObject({
      'content-encoding': 'gzip',
      'x-amz-meta-s3syncd-transform': 'gzip',
      'x-amz-meta-s3syncd-checksum':
        folder.bucket.attributes('files/a')!.headers['x-amz-meta-s3syncd-checksum'],
    });
    expect(folder.baseline('b')).toMatchObject({ transform: 'gzip' });
  });

  test.each<[what: string, to: string]>([
    ['compressed otherwise', 'b.zstd'],
    ['not compressed', 'b.jpg'],
    ['encrypted to somebody else', 'b.other'],
  ])('is not copied for a file that is to be %s under its new name', async (_what, to) => {
    const other = await identityToRecipient(await generateX25519Identity());
    const folder = await drainedFolder({
      rules: [
        { match: '**', ...transforms.gzip, ...transforms.age },
        { match: '*.zstd', compress: 'zstd' },
        { match: '*.other', recipients: [other] },
      ],
    });
    folder.write('a', 'content');
    await folder.drained();
    folder.bucket.server.clearRequests();
    fs.renameSync(folder.absolute('a'), folder.absolute(to));
    folder.observe('a', to);
    expect(await folder.drained()).toMatchObject({ [to]: expect.stringMatching(/^uploaded/) as string });
    expect(folder.bucket.count('CopyObject')).toBe(0);
  });
});

// What every Destination must do, whatever store is behind it.
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import type { ObjectDescription } from '../../src/core/description.ts';
import type { Precondition } from '../../src/core/object.ts';
import { checksumOf } from '../../src/transfer/checksum.ts';
import type { Body, Destination } from '../../src/transfer/destination.ts';
import { absent, ifMatch, none } from './given.ts';

export const plain: ObjectDescription = { tags: {}, metadata: {}, contentType: 'text/plain' };
export const never: AbortSignal = new AbortController().signal;
const partBytes = 5 * 1024 ** 2;

export function bytes(content: string): Body {
  return { kind: 'bytes', bytes: Buffer.from(content) };
}

/** Writes a small object. */
export async function put(
  destination: Destination,
  key: string,
  content: string,
  precondition: Precondition = none,
) {
  const checksum = await checksumOf('crc32', Buffer.from(content));
  return destination.put(key, bytes(content), plain, checksum, precondition);
}

/** Writes a small object and tells its ETag. */
export async function written(destination: Destination, key: string, content: string): Promise<string> {
  const result = await put(destination, key, content);
  if (result.kind !== 'written') throw new Error(`${key}: ${result.kind}`);
  return result.etag;
}

export async function listedKeys(destination: Destination, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const page of destination.list(prefix, never)) keys.push(...page.map(({ key }) => key));
  return keys;
}

/** Begins an upload and sends its parts. */
export async function withParts(destination: Destination, key: string, contents: readonly Buffer[]) {
  const { uploadId } = await destination.createUpload(key, plain, 'crc32');
  const upload = { key, uploadId, checksum: 'crc32' as const };
  const parts = [];
  for (const [index, content] of contents.entries()) {
    const checksum = await checksumOf('crc32', content);
    parts.push(await destination.uploadPart(upload, index + 1, content, checksum, never));
  }
  return { upload, parts };
}

const mtimeNs = 1_700_000_000_123_456_789n;
const otherEtag = '"00000000000000000000000000000000"';

/** @param open a destination whose store is empty and gone after the test */
export function destinationSuite(name: string, open: () => Promise<Destination>): void {
  describe(`${name}: an object`, () => {
    test('is found as it was written', async () => {
      const destination = await open();
      const checksum = await checksumOf('crc32', Buffer.from('content'));
      const metadata = { mtime: '1700000000.123456789', note: 'a b' };
      const description = { ...plain, metadata, tags: { Kind: 'log', 'a b': '=+ /é' } };
      const result = await destination.put('k', bytes('content'), description, checksum, none);
      expect(await destination.head('k')).toEqual({
        kind: 'object',
        object: {
          etag: result.kind === 'written' ? result.etag : 'not written',
          size: 7,
          lastModifiedMs: expect.any(Number) as number,
          mtimeNs,
          checksum,
          source: 'head',
        },
      });
      expect(await destination.tagCount('k')).toBe(2);
    });

    test('that is not there is absent, also beside one whose key begins with it', async () => {
      const destination = await open();
      await written(destination, 'key', '');
      expect(await destination.head('ke')).toEqual({ kind: 'absent' });
    });

    test('can be empty, or a stream of known length', async () => {
      const destination = await open();
      await written(destination, 'empty', '');
      const stream = () => Readable.from([Buffer.from('in '), Buffer.from('pieces')], { objectMode: false });
      const body = { kind: 'stream', size: 9, open: stream, abandoned: never } as const;
      await destination.put('stream', body, plain, undefined, absent);
      expect(await destination.head('empty')).toMatchObject({ object: { size: 0 } });
      expect(await destination.head('stream')).toMatchObject({ object: { size: 9 } });
    });

    test('is gone when it was removed, which may be asked for twice', async () => {
      const destination = await open();
      await written(destination, 'k', 'content');
      expect(await destination.remove('k', none)).toEqual({ kind: 'removed' });
      expect(await destination.remove('k', none)).toEqual({ kind: 'removed' });
      expect(await destination.head('k')).toEqual({ kind: 'absent' });
    });

    test('is removed only while it is the one that was seen', async () => {
      const destination = await open();
      const etag = await written(destination, 'k', 'content');
      expect(await destination.remove('k', ifMatch(otherEtag))).toEqual({ kind: 'precondition-failed' });
      expect(await destination.head('k')).toMatchObject({ object: { etag } });
      expect(await destination.remove('k', ifMatch(etag))).toEqual({ kind: 'removed' });
      expect(await destination.remove('k', ifMatch(etag))).toEqual({ kind: 'missing' });
    });

    test('has the tags that were put last', async () => {
      const destination = await open();
      await written(destination, 'k', 'content');
      await destination.putTags('k', { a: '1', b: '2' }, undefined);
      await destination.putTags('k', { c: '3' }, undefined);
      expect(await destination.tagCount('k')).toBe(1);
    });
  });

  describe(`${name}: a copy`, () => {
    const key = "a b/+%~'()*!é?#&";

    test('has the bytes of its source, and says of itself what it was told', async () => {
      const destination = await open();
      const etag = await written(destination, key, 'content');
      const description = { ...plain, metadata: { mtime: '1700000000.123456789' }, tags: { Kind: 'log' } };
      const result = await destination.copy({ key, etag }, `${key}2`, description, none);
      expect(await destination.head(`${key}2`)).toMatchObject({
        object: { etag: result.kind === 'written' ? result.etag : 'not written', size: 7, mtimeNs },
      });
      expect(await destination.tagCount(`${key}2`)).toBe(1);
      expect(await destination.head(key)).toMatchObject({ object: { etag } });
    });

    test('of an object onto itself changes what is said of it', async () => {
      const destination = await open();
      const etag = await written(destination, 'k', 'content');
      const description = { ...plain, metadata: { mtime: '1700000000.123456789' } };
      expect(await destination.copy({ key: 'k', etag }, 'k', description, ifMatch(etag))).toMatchObject({
        kind: 'written',
      });
      expect(await destination.head('k')).toMatchObject({ object: { size: 7, mtimeNs } });
    });

    test('is not made of another object than was seen, nor of none', async () => {
      const destination = await open();
      const etag = await written(destination, 'a', 'content');
      const changed = { kind: 'source-changed' };
      expect(await destination.copy({ key: 'a', etag: otherEtag }, 'b', plain, none)).toEqual(changed);
      expect(await destination.copy({ key: 'c', etag }, 'b', plain, none)).toEqual(changed);
      expect(await destination.copy({ key: 'c', etag }, 'b', plain, absent)).toEqual(changed);
      expect(await destination.head('b')).toEqual({ kind: 'absent' });
    });

    test('holds to its precondition', async () => {
      const destination = await open();
      const etag = await written(destination, 'a', 'content');
      const other = await written(destination, 'b', 'of somebody else');
      const copy = (precondition: Precondition, to = 'b') =>
        destination.copy({ key: 'a', etag }, to, plain, precondition);
      expect(await copy(absent)).toMatchObject({ kind: 'precondition-failed' });
      expect(await copy(ifMatch(etag))).toMatchObject({ kind: 'precondition-failed' });
      expect(await copy(ifMatch(etag), 'c')).toEqual({ kind: 'missing' });
      expect(await destination.head('b')).toMatchObject({ object: { etag: other } });
      expect(await copy(ifMatch(other))).toMatchObject({ kind: 'written', etag });
    });
  });

  describe(`${name}: a precondition`, () => {
    test('`absent` lets only the first write through', async () => {
      const destination = await open();
      expect(await put(destination, 'k', 'one', absent)).toMatchObject({ kind: 'written' });
      expect(await put(destination, 'k', 'two', absent)).toEqual({ kind: 'precondition-failed' });
      expect(await destination.head('k')).toMatchObject({ object: { size: 3 } });
    });

    test('`etag` lets a write through while the object is the one that was seen', async () => {
      const destination = await open();
      const etag = await written(destination, 'k', 'one');
      expect(await put(destination, 'k', 'three', ifMatch(otherEtag))).toMatchObject({
        kind: 'precondition-failed',
      });
      expect(await put(destination, 'k', 'three', ifMatch(etag))).toMatchObject({ kind: 'written' });
      expect(await put(destination, 'k', 'four', ifMatch(etag))).toMatchObject({
        kind: 'precondition-failed',
      });
      expect(await destination.head('k')).toMatchObject({ object: { size: 5 } });
    });

    test('`etag` finds nothing where no object is', async () => {
      const destination = await open();
      expect(await put(destination, 'k', 'one', ifMatch(otherEtag))).toEqual({ kind: 'missing' });
      expect(await destination.head('k')).toEqual({ kind: 'absent' });
    });
  });

  describe(`${name}: a listing`, () => {
    test('names what is below the prefix, as it is called', async () => {
      const destination = await open();
      const names = [
        ' ',
        '+',
        '%2B',
        'a+b c',
        'a/b',
        'é',
        'e\u0301',
        '\u{1F600}',
        '&<>"\'',
        'a\nb',
        '\u0001',
      ];
      for (const each of names) await written(destination, `p/${each}`, each);
      await written(destination, 'p', 'not below');
      const keys = await listedKeys(destination, 'p/');
      expect(keys.toSorted()).toEqual(names.map((each) => `p/${each}`).toSorted());
      expect(await listedKeys(destination, 'nothing/')).toEqual([]);
    });

    test('tells size, ETag and time', async () => {
      const destination = await open();
      const etag = await written(destination, 'k', 'content');
      const { value: page } = (await destination.list('', never)[Symbol.asyncIterator]().next()) as {
        value: unknown;
      };
      expect(page).toEqual([{ key: 'k', size: 7, etag, lastModifiedMs: expect.any(Number) as number }]);
    });
  });

  describe(`${name}: an upload in parts`, () => {
    const first = Buffer.alloc(partBytes, 'a');
    const last = Buffer.from('b');

    test('is an object when it is completed, and not before', async () => {
      const destination = await open();
      const { upload, parts } = await withParts(destination, 'k', [first, last]);
      expect(await destination.head('k')).toEqual({ kind: 'absent' });
      expect(await destination.listParts(upload)).toMatchObject([
        { partNumber: 1, etag: parts[0]!.etag, size: first.length },
        { partNumber: 2, etag: parts[1]!.etag, size: 1 },
      ]);
      expect(await destination.completeUpload(upload, parts, absent)).toMatchObject({ kind: 'written' });
      expect(await destination.head('k')).toMatchObject({ object: { size: partBytes + 1 } });
    });

    test('keeps the part that was sent last under a number', async () => {
      const destination = await open();
      const { upload } = await withParts(destination, 'k', [first]);
      const checksum = await checksumOf('crc32', last);
      const again = await destination.uploadPart(upload, 1, last, checksum, never);
      expect(await destination.listParts(upload)).toMatchObject([{ etag: again.etag, size: 1 }]);
    });

    test('is refused at its end when the condition does not hold, and can be aborted then', async () => {
      const destination = await open();
      const { upload, parts } = await withParts(destination, 'k', [last]);
      const etag = await written(destination, 'k', 'theirs');
      const refused = { kind: expect.stringMatching(/^(precondition-failed|busy)$/) as string };
      expect(await destination.completeUpload(upload, parts, absent)).toMatchObject(refused);
      expect(await destination.completeUpload(upload, parts, ifMatch(otherEtag))).toMatchObject(refused);
      expect(await destination.head('k')).toMatchObject({ object: { etag, size: 6 } });
      await destination.abortUpload(upload);
      expect(await destination.listParts(upload)).toBeUndefined();
    });

    test('that was aborted is unknown, which may be asked for twice', async () => {
      const destination = await open();
      const { upload, parts } = await withParts(destination, 'k', [last]);
      await destination.abortUpload(upload);
      await destination.abortUpload(upload);
      expect(await destination.completeUpload(upload, parts, none)).toEqual({ kind: 'missing' });
      const checksum = await checksumOf('crc32', last);
      await expect(destination.uploadPart(upload, 1, last, checksum, never)).rejects.toMatchObject({
        code: 'NoSuchUpload',
      });
    });

    test('is found by its key, exactly', async () => {
      const destination = await open();
      const beganMs = Date.now();
      const one = await withParts(destination, 'a+b c', []);
      await withParts(destination, 'a+b c2', []);
      const found = await destination.listUploads('a+b c');
      expect(found.map(({ uploadId }) => uploadId)).toEqual([one.upload.uploadId]);
      expect(Math.abs(found[0]!.initiatedMs - beganMs)).toBeLessThan(60_000);
      expect(await destination.listUploads('a')).toEqual([]);
    });
  });

  test(`${name}: requests are counted by operation`, async () => {
    const destination = await open();
    await written(destination, 'a', '');
    await written(destination, 'b', '');
    await destination.head('c');
    await listedKeys(destination, '');
    expect(Object.fromEntries(destination.requests)).toEqual({
      PutObject: 2,
      HeadObject: 1,
      ListObjectsV2: 1,
    });
  });
}

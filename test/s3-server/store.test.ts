// The store: kill -9 and restart in a directory, the history, bodies that are replaced while they are read,
// and its size.
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListPartsCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { mkdtempDisposable, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Bucket, connect, start, type Fixture } from './testing.ts';

const MiB = 1024 ** 2;

function put({ client }: Fixture, Key: string, Body: string | Buffer): Promise<object> {
  return client.send(new PutObjectCommand({ Bucket, Key, Body, Tagging: 'k=v', Metadata: { mtime: '1.5' } }));
}

async function body({ client }: Pick<Fixture, 'client'>, Key: string): Promise<Buffer> {
  const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }));
  return Buffer.from(await Body!.transformToByteArray());
}

describe('a directory', () => {
  test('keeps objects, uploads, parts and history over a restart', async () => {
    await using directory = await mkdtempDisposable(join(tmpdir(), 's3-server-'));
    const first = Buffer.alloc(5 * MiB, 'a');
    const key = { Bucket, Key: 'large' };
    const { UploadId, ETag } = await (async () => {
      await using fixture = await start({ data: directory.path });
      await put(fixture, '../a//b', 'hello');
      const { UploadId } = await fixture.client.send(
        new CreateMultipartUploadCommand({ ...key, Tagging: 't=1' }),
      );
      const part = await fixture.client.send(
        new UploadPartCommand({ ...key, UploadId, PartNumber: 1, Body: first }),
      );
      return { UploadId, ETag: part.ETag };
    })();

    await using fixture = await start({ data: directory.path });
    const { client, server } = fixture;
    expect(String(await body(fixture, '../a//b'))).toBe('hello');
    expect(server.store.current(Bucket, '../a//b')).toMatchObject({
      tags: [['k', 'v']],
      headers: { 'x-amz-meta-mtime': '1.5' },
    });
    const { Parts } = await client.send(new ListPartsCommand({ ...key, UploadId }));
    expect(Parts).toMatchObject([{ PartNumber: 1, Size: 5 * MiB, ETag }]);
    const second = await client.send(new UploadPartCommand({ ...key, UploadId, PartNumber: 2, Body: 'end' }));
    const MultipartUpload = {
      Parts: [
        { PartNumber: 1, ETag },
        { PartNumber: 2, ETag: second.ETag },
      ],
    };
    await client.send(new CompleteMultipartUploadCommand({ ...key, UploadId, MultipartUpload }));
    expect((await body(fixture, 'large')).equals(Buffer.concat([first, Buffer.from('end')]))).toBe(true);
    expect(server.store.history().map(({ kind, key }) => `${kind} ${key}`)).toEqual([
      'write ../a//b',
      'write large',
    ]);
  });

  test('holds no body that nothing refers to', async () => {
    await using directory = await mkdtempDisposable(join(tmpdir(), 's3-server-'));
    const bodies = (): Promise<string[]> => readdir(join(directory.path, 'bodies', 'complete'));
    await using fixture = await start({ data: directory.path });
    await put(fixture, 'a', 'one');
    await put(fixture, 'a', 'two');
    const refused = new PutObjectCommand({ Bucket, Key: 'a', Body: 'three', IfNoneMatch: '*' });
    await expect(fixture.client.send(refused)).rejects.toThrow(/pre-conditions/);
    expect(await bodies()).toHaveLength(1);
    await fixture.client.send(new DeleteObjectCommand({ Bucket, Key: 'a' }));
    expect(await bodies()).toEqual([]);
  });

  test('lets a GET end that began before the object was replaced', async () => {
    await using directory = await mkdtempDisposable(join(tmpdir(), 's3-server-'));
    await using fixture = await start({ data: directory.path });
    const old = Buffer.alloc(32 * MiB, 'a');
    await put(fixture, 'a', old);
    const { Body } = await fixture.client.send(new GetObjectCommand({ Bucket, Key: 'a' }));
    await put(fixture, 'a', 'new');
    expect(Buffer.from(await Body!.transformToByteArray()).equals(old)).toBe(true);
    expect(String(await body(fixture, 'a'))).toBe('new');
  });
});

test('the history names every change, with what was there before and who did it', async () => {
  await using fixture = await start({ accessKey: 'me', secretKey: 'secret' });
  await put(fixture, 'a', 'hello');
  await put(fixture, 'a', 'world!');
  await fixture.client.send(new DeleteObjectCommand({ Bucket, Key: 'a' }));
  await fixture.client.send(new DeleteObjectCommand({ Bucket, Key: 'a' }));
  const [hello, world] = ['5d41402abc4b2a76b9719d911017c592', '08cf82251c975a5e9734699fadf5e9c0'];
  expect(fixture.server.store.history()).toMatchObject([
    { kind: 'write', key: 'a', etag: hello, size: 5, previousEtag: null, accessKey: 'me' },
    { kind: 'overwrite', key: 'a', etag: world, size: 6, previousEtag: hello },
    { kind: 'delete', key: 'a', etag: null, previousEtag: world },
  ]);
  expect(fixture.server.store.history({ kind: 'overwrite' })).toHaveLength(1);
  expect(fixture.server.store.history({ key: 'b' })).toEqual([]);
});

test('discarded bodies: sizes and checksums stay, reads are zeros', async () => {
  await using fixture = await start({ discardBodies: true, keepHistory: false });
  await put(fixture, 'a', Buffer.alloc(2 * MiB, 'a'));
  // The SDK would notice that the checksum is not that of zeros.
  const client = connect(fixture.server, { responseChecksumValidation: 'WHEN_REQUIRED' });
  expect((await body({ ...fixture, client }, 'a')).equals(Buffer.alloc(2 * MiB))).toBe(true);
  client.destroy();
  expect(fixture.server.store.current(Bucket, 'a')).toMatchObject({
    size: 2 * MiB,
    checksum: { algorithm: 'CRC32' },
  });
  expect(fixture.server.store.history()).toEqual([]);
});

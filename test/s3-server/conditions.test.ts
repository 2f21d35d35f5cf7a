// Conditional requests: every cell of the table, races, and what others do between CreateMultipartUpload and
// Complete.
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  UploadPartCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import { Bucket, outcome, start } from './testing.ts';

const Key = 'a';
const wrong = '"00000000000000000000000000000000"';
const right = '"5d41402abc4b2a76b9719d911017c592"';
const unquoted = right.replaceAll('"', '');

function put(client: S3Client, conditions: object = {}, Body = 'hello'): Promise<{ $metadata: object }> {
  return client.send(new PutObjectCommand({ Bucket, Key, Body, ...conditions }));
}

/** Create and upload; the answer completes. */
async function prepared(client: S3Client): Promise<(conditions?: object) => Promise<string>> {
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }));
  const part = await client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 1, Body: 'x' }));
  const MultipartUpload = { Parts: [{ PartNumber: 1, ETag: part.ETag }] };
  return (conditions) =>
    outcome(
      client.send(
        new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload, ...conditions }),
      ),
    );
}

const writers = {
  PutObject: (client: S3Client, conditions: object) => outcome(put(client, conditions, 'new')),
  CompleteMultipartUpload: async (client: S3Client, conditions: object) =>
    (await prepared(client))(conditions),
  CopyObject: (client: S3Client, conditions: object) =>
    outcome(
      client.send(new CopyObjectCommand({ Bucket, Key, CopySource: `${Bucket}/source`, ...conditions })),
    ),
};

describe.each(Object.entries(writers))('%s', (_name, write) => {
  test.each([
    ['missing', { IfNoneMatch: '*' }, '200'],
    ['missing', { IfMatch: right }, '404 NoSuchKey'],
    ['present', { IfNoneMatch: '*' }, '412 PreconditionFailed'],
    ['present', { IfMatch: right }, '200'],
    ['present', { IfMatch: unquoted }, '200'],
    ['present', { IfMatch: wrong }, '412 PreconditionFailed'],
    ['present', { IfNoneMatch: right }, '501 NotImplemented'],
    ['deleted', { IfNoneMatch: '*' }, '200'],
    ['deleted', { IfMatch: right }, '404 NoSuchKey'],
  ])('key %s, %o: %s', async (state, conditions, expected) => {
    await using fixture = await start({ buckets: [{ name: Bucket, versioning: state === 'deleted' }] });
    const { client, server } = fixture;
    await client.send(new PutObjectCommand({ Bucket, Key: 'source', Body: 'source' }));
    if (state !== 'missing') await put(client);
    if (state === 'deleted') await client.send(new DeleteObjectCommand({ Bucket, Key }));
    const before = server.store.current(Bucket, Key)?.etag;
    expect(await write(client, conditions)).toBe(expected);
    const after = server.store.current(Bucket, Key)?.etag;
    expect(after === before).toBe(expected !== '200');
  });
});

describe('between CreateMultipartUpload and a conditional Complete', () => {
  test.each([
    [
      'the key is written',
      { IfNoneMatch: '*' },
      async (client: S3Client) => void (await put(client)),
      '412 PreconditionFailed',
    ],
    ['it is written and deleted', { IfNoneMatch: '*' }, writeAndDelete, '409 ConditionalRequestConflict'],
    ['nothing happens', { IfNoneMatch: '*' }, async () => {}, '200'],
  ])('%s, %o', async (_what, conditions, meanwhile, expected) => {
    await using fixture = await start();
    const complete = await prepared(fixture.client);
    await meanwhile(fixture.client);
    expect(await complete(conditions)).toBe(expected);
  });

  test('the same bytes are written again: 409; other bytes: 412; unconditional: 200', async () => {
    await using fixture = await start();
    const { client } = fixture;
    await put(client);
    const complete = await prepared(client);
    await put(client);
    expect(await complete({ IfMatch: right })).toBe('409 ConditionalRequestConflict');
    await put(client, {}, 'other');
    expect(await complete({ IfMatch: right })).toBe('412 PreconditionFailed');
    expect(await complete()).toBe('200');
  });

  test('the same Complete again: 200, but 412 if it wants the key to be absent', async () => {
    await using fixture = await start();
    const complete = await prepared(fixture.client);
    expect(await complete({ IfNoneMatch: '*' })).toBe('200');
    expect(await complete()).toBe('200');
    expect(await complete({ IfNoneMatch: '*' })).toBe('412 PreconditionFailed');
    expect(fixture.server.store.history()).toHaveLength(1);
  });
});

async function writeAndDelete(client: S3Client): Promise<void> {
  await put(client);
  await client.send(new DeleteObjectCommand({ Bucket, Key }));
}

test('of 200 racing creators one wins, and of 200 racing replacers one', async () => {
  await using fixture = await start();
  // Every writer has bytes of its own: the same bytes would have the same ETag.
  const race = async (conditions: object, round: string): Promise<Map<string, string[]>> => {
    const writer = (index: number): Promise<string> =>
      outcome(put(fixture.client, conditions, `${round} ${index}`));
    const sent = Array.from({ length: 200 }, (_, index) => writer(index));
    return Map.groupBy(await Promise.all(sent), (result) => result);
  };
  const created = await race({ IfNoneMatch: '*' }, 'creator');
  expect([created.get('200')?.length, created.get('412 PreconditionFailed')?.length]).toEqual([1, 199]);
  const replaced = await race({ IfMatch: fixture.server.store.current(Bucket, Key)!.etag }, 'replacer');
  expect([replaced.get('200')?.length, replaced.get('412 PreconditionFailed')?.length]).toEqual([1, 199]);
  expect(fixture.server.store.history().map(({ kind }) => kind)).toEqual(['write', 'overwrite']);
});

describe('deletes', () => {
  test('DeleteObject', async () => {
    await using fixture = await start();
    const { client } = fixture;
    const remove = (IfMatch: string): Promise<string> =>
      outcome(client.send(new DeleteObjectCommand({ Bucket, Key, IfMatch })));
    expect(await remove(right)).toBe('404 NoSuchKey');
    await put(client);
    expect(await remove(wrong)).toBe('412 PreconditionFailed');
    expect(await remove(right)).toBe('204');
    await put(client);
    expect(await remove('*')).toBe('204');
  });

  test('with a version id it is not implemented, as on AWS', async () => {
    await using fixture = await start();
    const { client } = fixture;
    await client.send(
      new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: 'Enabled' } }),
    );
    const { VersionId } = (await put(client)) as { VersionId?: string };
    const remove = new DeleteObjectCommand({ Bucket, Key, VersionId, IfMatch: right });
    expect(await outcome(client.send(remove))).toBe('501 NotImplemented');
  });

  test('DeleteObjects judges each key', async () => {
    await using fixture = await start();
    const { client } = fixture;
    for (const Key of ['a', 'b', 'c'])
      await client.send(new PutObjectCommand({ Bucket, Key, Body: 'hello' }));
    const Objects = [
      { Key: 'a', ETag: right },
      { Key: 'b', ETag: wrong },
      { Key: 'c' },
      { Key: 'd', ETag: right },
    ];
    const answer = await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
    expect(answer.Deleted?.map(({ Key }) => Key)).toEqual(['a', 'c']);
    expect(answer.Errors?.map(({ Key, Code }) => `${Key} ${Code}`)).toEqual([
      'b PreconditionFailed',
      'd NoSuchKey',
    ]);
    expect([...fixture.server.store.objects(Bucket).keys()]).toEqual(['b']);
  });
});

test.each([
  [{ IfMatch: right }, '200'],
  [{ IfMatch: wrong }, '412'],
  [{ IfNoneMatch: right }, '304'],
  [{ IfNoneMatch: wrong }, '200'],
  [{ IfModifiedSince: new Date('2020-01-01') }, '200'],
  [{ IfModifiedSince: new Date('2040-01-01') }, '304'],
  [{ IfUnmodifiedSince: new Date('2020-01-01') }, '412'],
  [{ IfUnmodifiedSince: new Date('2040-01-01') }, '200'],
  [{ IfMatch: right, IfUnmodifiedSince: new Date('2020-01-01') }, '200'],
])('GET and HEAD with %o: %s', async (conditions, expected) => {
  await using fixture = await start();
  await put(fixture.client);
  const get = await outcome(fixture.client.send(new GetObjectCommand({ Bucket, Key, ...conditions })));
  const head = await outcome(fixture.client.send(new HeadObjectCommand({ Bucket, Key, ...conditions })));
  expect([get.split(' ')[0], head.split(' ')[0]]).toEqual([expected, expected]);
});

test('conditions on the source of a copy', async () => {
  await using fixture = await start();
  await put(fixture.client);
  const copy = (conditions: object): Promise<string> =>
    outcome(
      fixture.client.send(
        new CopyObjectCommand({ Bucket, Key: 'b', CopySource: `${Bucket}/${Key}`, ...conditions }),
      ),
    );
  expect(await copy({ CopySourceIfMatch: wrong })).toBe('412 PreconditionFailed');
  expect(await copy({ CopySourceIfNoneMatch: right })).toBe('412 PreconditionFailed');
  expect(await copy({ CopySourceIfMatch: right })).toBe('200');
});

// Every legacy switch: that it does what the store it is named after does, and that without it the server is
// right.
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectTaggingCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  UploadPartCommand,
  type CompleteMultipartUploadCommandOutput,
  type CopyObjectCommandOutput,
  type S3Client,
} from '@aws-sdk/client-s3';
import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { legacySwitches, type LegacySwitch } from './legacy.ts';
import { Bucket, outcome, start, type Fixture } from './testing.ts';

const Key = 'a';
const etag = '5d41402abc4b2a76b9719d911017c592';
const wrong = '"00000000000000000000000000000000"';

function put({ client }: Fixture, more: object = {}): Promise<string> {
  return outcome(client.send(new PutObjectCommand({ Bucket, Key, Body: 'hello', ...more })));
}

async function putTwice(fixture: Fixture, more: object): Promise<string> {
  await put(fixture);
  return put(fixture, more);
}

/** Onto itself. */
function copy({ client }: Fixture, more: object = {}): Promise<CopyObjectCommandOutput> {
  const self = { Bucket, Key, CopySource: `${Bucket}/${Key}`, MetadataDirective: 'REPLACE' } as const;
  return client.send(new CopyObjectCommand({ ...self, ...more }));
}

function putStream(fixture: Fixture): Promise<string> {
  return put(fixture, { Body: Readable.from([Buffer.alloc(9000, 'a')]), ContentLength: 9000 });
}

async function multipart(
  client: S3Client,
  created: object = {},
  conditions: object = {},
): Promise<CompleteMultipartUploadCommandOutput> {
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key, ...created }));
  const part = await client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 1, Body: 'x' }));
  const MultipartUpload = { Parts: [{ PartNumber: 1, ETag: part.ETag }] };
  return client.send(
    new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload, ...conditions }),
  );
}

async function tagsAfterMultipart({ client }: Fixture): Promise<string> {
  await multipart(client, { Tagging: 'k=v' });
  const { TagSet } = await client.send(new GetObjectTaggingCommand({ Bucket, Key }));
  return String(TagSet?.length);
}

async function holdAfterMultipart({ client, server: { store } }: Fixture): Promise<string> {
  store.saveBucket({ ...store.bucket(Bucket)!, versioning: 'Enabled', objectLock: true });
  await multipart(client, { ObjectLockLegalHoldStatus: 'ON' });
  return store.current(Bucket, Key)?.legalHold ?? 'none';
}

interface Behaviour {
  doIt: (fixture: Fixture) => Promise<string>;
  right: string;
  legacy: string;
}

const behaviours: Record<LegacySwitch, Behaviour> = {
  'ignore-if-none-match': {
    doIt: (fixture) => putTwice(fixture, { IfNoneMatch: '*' }),
    right: '412 PreconditionFailed',
    legacy: '200',
  },
  'ignore-if-match': {
    doIt: (fixture) => putTwice(fixture, { IfMatch: wrong }),
    right: '412 PreconditionFailed',
    legacy: '200',
  },
  'ignore-conditions-on-complete': {
    async doIt(fixture) {
      await put(fixture);
      return outcome(multipart(fixture.client, {}, { IfNoneMatch: '*' }));
    },
    right: '412 PreconditionFailed',
    legacy: '200',
  },
  'ignore-conditions-on-delete': {
    async doIt(fixture) {
      await put(fixture);
      return outcome(fixture.client.send(new DeleteObjectCommand({ Bucket, Key, IfMatch: wrong })));
    },
    right: '412 PreconditionFailed',
    legacy: '204',
  },
  'ignore-conditions-on-copy': {
    async doIt(fixture) {
      await put(fixture);
      const ofAnother = await outcome(copy(fixture, { CopySourceIfMatch: wrong }));
      return `${ofAnother}, onto another ${await outcome(copy(fixture, { IfNoneMatch: '*' }))}`;
    },
    right: '412 PreconditionFailed, onto another 412 PreconditionFailed',
    legacy: '200, onto another 200',
  },
  'if-match-unquoted-only': {
    async doIt(fixture) {
      const quoted = await putTwice(fixture, { IfMatch: `"${etag}"` });
      return `${quoted}, unquoted ${await put(fixture, { IfMatch: etag })}`;
    },
    right: '200, unquoted 200',
    legacy: '412 PreconditionFailed, unquoted 200',
  },
  'if-match-missing-412': {
    doIt: (fixture) => put(fixture, { IfMatch: etag }),
    right: '404 NoSuchKey',
    legacy: '412 PreconditionFailed',
  },
  'reject-conditions': {
    doIt: (fixture) => put(fixture, { IfNoneMatch: '*' }),
    right: '200',
    legacy: '501 NotImplemented',
  },
  'ignore-checksums': {
    doIt: (fixture) => put(fixture, { ChecksumCRC32: 'AAAAAA==' }),
    right: '400 BadDigest',
    legacy: '200',
  },
  'no-trailers': { doIt: putStream, right: '200', legacy: '411 MissingContentLength' },
  'store-aws-chunked-framing': {
    async doIt(fixture) {
      const result = await putStream(fixture);
      const { size, headers } = fixture.server.store.current(Bucket, Key)!;
      return `${result}, ${size === 9000 ? 'right size' : 'too long'}, ${headers['content-encoding']}`;
    },
    right: '200, right size, undefined',
    legacy: '200, too long, aws-chunked',
  },
  'drop-multipart-tags': { doIt: tagsAfterMultipart, right: '1', legacy: '0' },
  'drop-multipart-locks': { doIt: holdAfterMultipart, right: 'ON', legacy: 'none' },
  'drop-copy-tags': {
    async doIt(fixture) {
      await put(fixture);
      await copy(fixture, { TaggingDirective: 'REPLACE', Tagging: 'k=v' });
      return String(fixture.server.store.current(Bucket, Key)!.tags.length);
    },
    right: '1',
    legacy: '0',
  },
  'unquoted-copy-etag': {
    async doIt(fixture) {
      await put(fixture);
      return (await copy(fixture)).CopyObjectResult!.ETag!;
    },
    right: `"${etag}"`,
    legacy: etag,
  },
  'ignore-sse': {
    async doIt(fixture) {
      await put(fixture, { ServerSideEncryption: 'AES256' });
      return Object.keys(fixture.server.store.current(Bucket, Key)!.encryption).join();
    },
    right: 'x-amz-server-side-encryption',
    legacy: '',
  },
  'reject-tagging': {
    doIt: (fixture) => put(fixture, { Tagging: 'k=v' }),
    right: '200',
    legacy: '501 NotImplemented',
  },
  'empty-complete-etag': {
    doIt: async ({ client }) => ((await multipart(client)).ETag ? 'an ETag' : 'none'),
    right: 'an ETag',
    legacy: 'none',
  },
  'opaque-etags': {
    async doIt(fixture) {
      await put(fixture);
      return fixture.server.store.current(Bucket, Key)!.etag === etag ? 'MD5' : 'opaque';
    },
    right: 'MD5',
    legacy: 'opaque',
  },
  'list-v1-only': {
    doIt: async ({ client }) => String((await client.send(new ListObjectsV2Command({ Bucket }))).KeyCount),
    right: '0',
    legacy: 'undefined',
  },
};

test.each(legacySwitches)('%s', async (name) => {
  const { doIt, right, legacy } = behaviours[name];
  await using strict = await start();
  expect(await doIt(strict)).toBe(right);
  await using old = await start();
  old.server.legacy.add(name);
  expect(await doIt(old)).toBe(legacy);
});

test('an object stored under a switch is read without it', async () => {
  await using fixture = await start({ legacy: ['ignore-checksums'] });
  await put(fixture);
  fixture.server.legacy.clear();
  expect(await put(fixture, { IfMatch: etag })).toBe('200');
});

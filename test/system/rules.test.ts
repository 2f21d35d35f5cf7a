// Rules, from the config to the object: every field as HEAD and GetObjectTagging show it, on whatever server the tests run
// against, for a file in one request and for one in parts.
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  GetObjectLegalHoldCommand,
  GetObjectRetentionCommand,
  ListObjectVersionsCommand,
  PutObjectLegalHoldCommand,
  type HeadObjectCommandOutput,
} from '@aws-sdk/client-s3';
import { describe, expect, onTestFinished, test } from 'vitest';
import { noLocalServer, startStore, workspace, type Store } from './harness.ts';

const MiB = 1024 ** 2;
const small = 'docs/small.log';
const large = 'docs/large.log';

/** Both objects, written under one rule for every file. */
async function written(rule: object): Promise<{ store: Store; heads: HeadObjectCommandOutput[] }> {
  const store = await startStore();
  const it = workspace(store, { folder: { rules: [{ match: '**', ...rule }] } });
  it.write(small, 'content');
  it.write(large, Buffer.alloc(9 * MiB, 'x'));
  expect((await it.once()).folders.docs.outcomes).toMatchObject({ uploaded: 2, failed: 0 });
  return { store, heads: [await store.head(small), await store.head(large)] };
}

describe('an object has, small or in parts,', () => {
  const fields: [rule: object, head: object][] = [
    [{ 'storage-class': 'STANDARD_IA' }, { StorageClass: 'STANDARD_IA' }],
    [{ metadata: { department: 'a b' } }, { Metadata: { department: 'a b' } }],
    [{ 'content-type': 'text/x-log' }, { ContentType: 'text/x-log' }],
    [{ 'content-encoding': 'identity' }, { ContentEncoding: 'identity' }],
    [{ 'content-disposition': 'attachment' }, { ContentDisposition: 'attachment' }],
    [{ 'content-language': 'de' }, { ContentLanguage: 'de' }],
    [{ 'cache-control': 'max-age=60' }, { CacheControl: 'max-age=60' }],
    [{ expires: '2030-01-31T12:00:00Z' }, { ExpiresString: 'Thu, 31 Jan 2030 12:00:00 GMT' }],
  ];
  test.each(fields)('%j', async (rule, head) => {
    for (const shown of (await written(rule)).heads) expect(shown).toMatchObject(head);
  });

  test('its tags', async () => {
    const { store } = await written({ tags: { Kind: '{ext}', Dir: '{dir:1}', 'a b': 'c/d+e=f' } });
    for (const key of [small, large]) {
      expect(await store.tags(key), key).toEqual({ Kind: 'log', Dir: 'docs', 'a b': 'c/d+e=f' });
    }
  });

  test('the key of a template', async () => {
    const store = await startStore();
    const it = workspace(store, {
      destination: { prefix: 'p/' },
      folder: { rules: [{ match: '**', key: '{dir}/{ext}/{stem}' }] },
    });
    it.write(small, 'content');
    it.write(large, Buffer.alloc(9 * MiB, 'x'));
    await it.once();
    expect(await store.keys()).toEqual(['p/docs/log/large', 'p/docs/log/small']);
    expect((await it.once()).folders.docs.outcomes, 'and is found again').toMatchObject({ uploaded: 0 });
  });

  test('its lock', async () => {
    const store = await startStore();
    const bucket = `${store.bucket}-locked`;
    await store.client.send(new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: true }));
    onTestFinished(() => emptyLocked(store, bucket));
    const lock = { mode: 'GOVERNANCE', retain: '1h', 'legal-hold': true };
    const it = workspace(store, {
      destination: { bucket },
      folder: { rules: [{ match: '**', 'object-lock': lock }] },
    });
    it.write(small, 'content');
    it.write(large, Buffer.alloc(9 * MiB, 'x'));
    expect((await it.once()).folders.docs.outcomes).toMatchObject({ uploaded: 2 });
    for (const Key of [small, large]) {
      const object = { Bucket: bucket, Key };
      const { Retention } = await store.client.send(new GetObjectRetentionCommand(object));
      expect(Retention?.Mode, Key).toBe('GOVERNANCE');
      expect(Retention?.RetainUntilDate?.getTime()).toBeGreaterThan(Date.now() + 3_000_000);
      const { LegalHold } = await store.client.send(new GetObjectLegalHoldCommand(object));
      expect(LegalHold?.Status, Key).toBe('ON');
    }
  });
});

// What a server must be set up for, or does not know: Ceph's gateway needs a key service, and keeps no checksums.
describe.skipIf(noLocalServer)('an object has, on S3,', () => {
  test.each<[rule: object, head: object]>([
    [{ 'website-redirect': '/new.html' }, { WebsiteRedirectLocation: '/new.html' }],
    [{ sse: 'AES256' }, { ServerSideEncryption: 'AES256' }],
    [{ sse: 'aws:kms', 'sse-kms-key-id': 'alias/a' }, { SSEKMSKeyId: 'alias/a' }],
  ])('%j', async (rule, head) => {
    for (const shown of (await written(rule)).heads) expect(shown).toMatchObject(head);
  });

  test('its checksum', async () => {
    const { heads } = await written({ checksum: 'sha256' });
    for (const head of heads) expect(head.ChecksumSHA256).toBeDefined();
  });
});

async function emptyLocked({ client }: Store, Bucket: string): Promise<void> {
  const { Versions = [] } = await client.send(new ListObjectVersionsCommand({ Bucket }));
  for (const { Key, VersionId } of Versions) {
    const version = { Bucket, Key, VersionId };
    await client.send(new PutObjectLegalHoldCommand({ ...version, LegalHold: { Status: 'OFF' } }));
    await client.send(new DeleteObjectCommand({ ...version, BypassGovernanceRetention: true }));
  }
  await client.send(new DeleteBucketCommand({ Bucket }));
}

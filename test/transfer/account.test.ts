// What a destination says of accounts goes with every request that it can send: a bucket that came into other hands takes
// nothing and gives nothing. And its switches choose the host that requests go to.
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { HeadObjectCommand } from '@aws-sdk/client-s3';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { ObjectDescription } from '../../src/core/description.ts';
import { Failure } from '../../src/core/failure.ts';
import { askBucket } from '../../src/transfer/bucket.ts';
import { connect } from '../../src/transfer/connect.ts';
import { S3Destination } from '../../src/transfer/s3.ts';
import { testBucket, type Bucket } from '../helpers/bucket.ts';

const owner = '111122223333';
const plain: ObjectDescription = { tags: {}, metadata: {}, contentType: 'text/plain' };
const untilMs = Date.now() + 3_600_000;
const locked: ObjectDescription = {
  ...plain,
  tags: { a: 'b' },
  objectLock: { retention: { mode: 'GOVERNANCE', until: { kind: 'at', atMs: untilMs } }, legalHold: true },
};
const none = { kind: 'none' } as const;
const bytes = { kind: 'bytes', bytes: Buffer.from('content') } as const;

function destinationOf(bucket: Bucket, expectedBucketOwner: string): S3Destination {
  const config = bucket.destination({ expectedBucketOwner, requestPayer: true });
  const client = connect(config);
  onTestFinished(() => client.destroy());
  return new S3Destination(config, client);
}

/** Every operation of a destination, by the name of its method. */
const operations: Record<string, (s3: S3Destination) => Promise<unknown>> = {
  put: async (s3) => {
    // The first goes the SDK's way, the second the lean one.
    await s3.put('a', bytes, plain, undefined, none);
    await s3.put('b', bytes, plain, undefined, none);
    const abandoned = new AbortController().signal;
    const open = () => Readable.from([Buffer.from('content')]);
    await s3.put('c', { kind: 'stream', size: 7, open, abandoned }, plain, undefined, none);
  },
  putStream: async (s3) => {
    const signal = new AbortController().signal;
    // In one request, and in parts.
    for (const size of [10, 6 * 1024 ** 2]) {
      const body = Readable.from([randomBytes(size)], { objectMode: false });
      const write = { body, partSize: 5 * 1024 ** 2, checksum: 'none', precondition: none, signal } as const;
      await s3.putStream('f', plain, write, async () => ({
        key: 'f',
        ...(await s3.createUpload('f', plain, 'none')),
      }));
    }
  },
  head: (s3) => s3.head('a'),
  list: async (s3) => {
    for await (const _ of s3.list('', new AbortController().signal));
  },
  createUpload: (s3) => s3.createUpload('d', plain, 'none'),
  listUploads: (s3) => s3.listUploads('d'),
  uploadPart: async (s3) => {
    const { uploadId } = await s3.createUpload('d', plain, 'none');
    await s3.uploadPart({ key: 'd', uploadId }, 1, randomBytes(10), undefined, new AbortController().signal);
  },
  listParts: async (s3) => s3.listParts({ key: 'd', ...(await s3.createUpload('d', plain, 'none')) }),
  completeUpload: async (s3) => {
    const upload = { key: 'd', ...(await s3.createUpload('d', plain, 'none')) };
    const part = await s3.uploadPart(upload, 1, randomBytes(10), undefined, new AbortController().signal);
    await s3.completeUpload(upload, [part], none);
  },
  abortUpload: async (s3) => s3.abortUpload({ key: 'd', ...(await s3.createUpload('d', plain, 'none')) }),
  copy: async (s3) => {
    const head = await s3.head('a');
    const etag = head.kind === 'object' ? head.object.etag : '';
    await s3.copy({ key: 'a', etag }, 'e', plain, none);
  },
  remove: (s3) => s3.remove('a', none),
  encryptionOf: (s3) => s3.encryptionOf('b'),
  tagCount: (s3) => s3.tagCount('b'),
  putTags: (s3) => s3.putTags('b', { a: 'b' }, undefined),
  putAcl: (s3) => s3.putAcl('b', undefined, undefined),
  putLock: (s3) => s3.putLock('b', { legalHold: true }, Date.now(), undefined),
  supplement: (s3) => s3.supplement('parts', 'b', locked, undefined),
};

describe('expected-bucket-owner and request-payer', () => {
  test('are known to be sent by every method of a destination', () => {
    const methods = Object.entries(Object.getOwnPropertyDescriptors(S3Destination.prototype))
      .filter(([name, { value }]) => typeof value === 'function' && name !== 'constructor')
      .map(([name]) => name);
    expect(Object.keys(operations).toSorted()).toEqual(
      methods.filter((name) => name !== 'takeUsage').toSorted(),
    );
  });

  test('go with every request', async () => {
    const bucket = await testBucket({
      buckets: [{ name: 'acme-backup', versioning: true, objectLock: true }],
      legacy: ['drop-multipart-tags', 'drop-multipart-locks'],
    });
    const s3 = destinationOf(bucket, owner);
    for (const act of Object.values(operations)) await act(s3);
    const { requests } = bucket.server;
    expect(requests.filter(({ headers }) => headers['x-amz-expected-bucket-owner'] !== owner)).toEqual([]);
    expect(requests.filter(({ headers }) => headers['x-amz-request-payer'] !== 'requester')).toEqual([]);
    const copies = requests.filter(({ operation }) => operation === 'CopyObject');
    expect(copies.map(({ headers }) => headers['x-amz-source-expected-bucket-owner'])).toEqual([owner]);
    expect(new Set(requests.map(({ status }) => Math.floor(status / 100)))).toEqual(new Set([2]));
  });

  test('keep everything away from a bucket of somebody else', async () => {
    const bucket = await testBucket();
    const s3 = destinationOf(bucket, '999999999999');
    const answers: Record<string, unknown> = {};
    for (const [name, act] of Object.entries(operations)) {
      answers[name] = await act(s3).catch((error: unknown) => (error instanceof Failure ? 'refused' : error));
    }
    expect(answers).toEqual(Object.fromEntries(Object.keys(operations).map((name) => [name, 'refused'])));
    expect(bucket.keys).toEqual([]);
  });

  test('the owner goes with every question about the bucket; nobody pays for those', async () => {
    const bucket = await testBucket();
    const config = bucket.destination({ expectedBucketOwner: owner, requestPayer: true });
    const client = connect(config);
    onTestFinished(() => client.destroy());
    const facts = await askBucket(config, client);
    expect(new Set(Object.values(facts).map(({ kind }) => kind))).toEqual(new Set(['told']));
    const owners = bucket.server.requests.map(({ headers }) => headers['x-amz-expected-bucket-owner']);
    expect(owners).toEqual(Object.keys(facts).map(() => owner));
  });
});

describe('requests go to', () => {
  test.each([
    [{}, 'acme-backup.s3.eu-central-1.amazonaws.com'],
    [{ accelerate: true }, 'acme-backup.s3-accelerate.amazonaws.com'],
    [{ dualstack: true }, 'acme-backup.s3.dualstack.eu-central-1.amazonaws.com'],
    [{ accelerate: true, dualstack: true }, 'acme-backup.s3-accelerate.dualstack.amazonaws.com'],
    [{ fips: true }, 'acme-backup.s3-fips.eu-central-1.amazonaws.com'],
    [{ fips: true, dualstack: true }, 'acme-backup.s3-fips.dualstack.eu-central-1.amazonaws.com'],
    [{ pathStyle: true }, 's3.eu-central-1.amazonaws.com'],
  ])('with %j: %s', async (switches, host) => {
    const bucket = await testBucket();
    const { endpoint: _, ...place } = bucket.destination({ region: 'eu-central-1', pathStyle: false });
    const client = connect({ ...place, ...switches });
    onTestFinished(() => client.destroy());
    let hostname = '';
    // In place of the network.
    client.middlewareStack.add(
      () => (args) => {
        hostname = (args.request as { hostname: string }).hostname;
        throw Object.assign(new Error('far enough'), { name: 'FarEnough' });
      },
      { step: 'deserialize', priority: 'low' },
    );
    await expect(client.send(new HeadObjectCommand({ Bucket: 'acme-backup', Key: 'a' }))).rejects.toThrow(
      'far enough',
    );
    expect(hostname).toBe(host);
  });
});

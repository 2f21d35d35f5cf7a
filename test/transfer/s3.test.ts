// The S3 destination: what every destination does, and what networks, proxies and stores do to it.
import { describe, expect, onTestFinished, test } from 'vitest';
import type { DestinationConfig } from '../../src/config/config.ts';
import { checksumOf } from '../../src/transfer/checksum.ts';
import { connect } from '../../src/transfer/connect.ts';
import { S3Destination } from '../../src/transfer/s3.ts';
import { testBucket, type Bucket } from '../helpers/bucket.ts';
import {
  bytes,
  destinationSuite,
  listedKeys,
  never,
  plain,
  put,
  withParts,
  written,
} from '../helpers/destination-suite.ts';
import { absent, ifMatch, none } from '../helpers/given.ts';
import type { Fault } from '../s3-server/faults.ts';

function openS3(bucket: Bucket, more: Partial<DestinationConfig> = {}): S3Destination {
  const config = bucket.destination(more);
  const client = connect(config);
  onTestFinished(() => client.destroy());
  return new S3Destination(config, client);
}

async function open(): Promise<{ bucket: Bucket; destination: S3Destination }> {
  const bucket = await testBucket();
  return { bucket, destination: openS3(bucket) };
}

destinationSuite('S3', async () => (await open()).destination);

describe('a small PUT past the SDK', () => {
  const description = {
    tags: { Kind: 'log', 'a b': 'é+=' },
    metadata: { mtime: '1700000000.5', note: 'a  b' },
    contentType: 'text/plain; charset=utf-8',
    contentEncoding: 'gzip',
    contentDisposition: 'attachment; filename="a b"',
    contentLanguage: 'de',
    cacheControl: 'max-age=60',
    storageClass: 'STANDARD_IA',
  } as const;

  test.each([
    ['without a condition', none, {}],
    ['if absent', absent, {}],
    ['if the same', ifMatch('"00000000000000000000000000000000"'), {}],
    ['for an owner', none, { expectedBucketOwner: '111122223333', requestPayer: true }],
  ] as const)('carries every header that the SDK sends: %s', async (_name, precondition, more) => {
    const bucket = await testBucket();
    const destination = openS3(bucket, more);
    const key = "a b/+%~'()*!é?#&";
    const content = bytes('content');
    const checksum = await checksumOf('crc32', Buffer.from('content'));
    const send = () => destination.put(key, content, description, checksum, precondition);
    // The first one goes through the SDK; the others where it went.
    await destination.put('first', content, description, checksum, none);
    const viaSdk = openS3(bucket, more);
    await viaSdk.put(key, content, description, checksum, precondition);
    bucket.remove(key);
    await send();
    const [sdk, lean] = bucket.server.requests.slice(1);
    // x-id only tells a person who reads a log what the SDK meant.
    expect({ ...lean, time: 0 }).toEqual({ ...sdk, time: 0, query: {} });
    expect(sdk?.query).toEqual({ 'x-id': 'PutObject' });
  });

  test('is sent once, and by the SDK again when the answer is neither 200 nor 412', async () => {
    const { bucket, destination } = await open();
    await written(destination, 'first', '');
    bucket.server.clearRequests();
    await written(destination, 'a', 'content');
    expect(bucket.count('PutObject')).toBe(1);
    bucket.server.faults.add({ kind: 'answer', status: 500, code: 'InternalError', times: 1 });
    await written(destination, 'b', 'content');
    expect(bucket.count('PutObject')).toBe(3);
    expect(bucket.content('b')).toBe('content');
  });

  test('that loses its answer is sent again, and refused because it landed', async () => {
    const { bucket, destination } = await open();
    await written(destination, 'first', '');
    bucket.server.faults.add({ kind: 'commit-then-drop', operation: 'PutObject', times: 1 });
    expect(await put(destination, 'a', 'content', absent)).toEqual({ kind: 'precondition-failed' });
    expect(bucket.ourChanges('a')).toEqual(['write']);
  });
});

describe('through the SDK', () => {
  test.each<[string, Fault]>([
    ['is reset', { kind: 'reset-request', afterBytes: 1, times: 1 }],
    ['is answered by 503', { kind: 'answer', status: 503, code: 'SlowDown', times: 1 }],
    ['is answered by 500', { kind: 'answer', status: 500, code: 'InternalError', times: 2 }],
    ['loses its answer', { kind: 'commit-then-drop', times: 1 }],
  ])('a PUT that %s is sent again', async (_what, fault) => {
    const { bucket, destination } = await open();
    bucket.server.faults.add({ ...fault, operation: 'PutObject' });
    expect(await put(destination, 'a', 'content')).toMatchObject({ kind: 'written' });
    expect(bucket.content('a')).toBe('content');
  });

  test('a conditional PUT that loses its answer is sent again, and refused because it landed', async () => {
    const { bucket, destination } = await open();
    bucket.server.faults.add({ kind: 'commit-then-drop', operation: 'PutObject', times: 1 });
    expect(await put(destination, 'a', 'content', absent)).toEqual({ kind: 'precondition-failed' });
  });

  test('a Complete that loses its answer has happened', async () => {
    const { bucket, destination } = await open();
    const { upload, parts } = await withParts(destination, 'a', [Buffer.from('content')]);
    bucket.server.faults.add({ kind: 'commit-then-drop', operation: 'CompleteMultipartUpload', times: 1 });
    const { kind } = await destination.completeUpload(upload, parts, none);
    expect(['written', 'missing']).toContain(kind);
    expect(bucket.content('a')).toBe('content');
  });

  test('a Complete whose 200 holds an error has not', async () => {
    const { bucket, destination } = await open();
    const { upload, parts } = await withParts(destination, 'a', [Buffer.from('content')]);
    bucket.server.faults.add({
      kind: 'error-document',
      operation: 'CompleteMultipartUpload',
      code: 'PreconditionFailed',
    });
    expect(await destination.completeUpload(upload, parts, absent)).toMatchObject({
      kind: 'precondition-failed',
    });
  });

  test('a Complete that is answered without an ETag asks for it', async () => {
    const bucket = await testBucket({ legacy: ['empty-complete-etag'] });
    const destination = openS3(bucket);
    const { upload, parts } = await withParts(destination, 'a', [Buffer.from('content')]);
    const result = await destination.completeUpload(upload, parts, none);
    expect(result).toEqual({ kind: 'written', etag: `"${bucket.attributes('a')!.etag}"` });
  });

  test('a part that stalls ends when it is aborted', async () => {
    const { bucket, destination } = await open();
    const { upload } = await withParts(destination, 'a', []);
    bucket.server.faults.add({ kind: 'stall', operation: 'UploadPart' });
    const stop = new AbortController();
    const sent = destination.uploadPart(upload, 1, Buffer.from('content'), undefined, stop.signal);
    await bucket.arrival('UploadPart');
    stop.abort();
    await expect(sent).rejects.toMatchObject({ name: 'Failure' });
  });
});

describe('an answer that does not come from S3', () => {
  const faults = [
    ['a page', { kind: 'html' }],
    ['nothing', { kind: 'empty' }],
  ] as const;

  test.each(faults)('%s is no success of a PUT', async (_what, fault) => {
    const { bucket, destination } = await open();
    bucket.server.faults.add(fault);
    await expect(put(destination, 'a', 'content')).rejects.toMatchObject({ class: 'transient' });
    bucket.server.faults.clear();
    await written(destination, 'first', '');
    bucket.server.faults.add(fault);
    await expect(put(destination, 'a', 'content')).rejects.toMatchObject({
      class: 'transient',
      code: 'UnusableAnswer',
      message: expect.stringMatching(/has no ETag; is http:.* an S3 endpoint\?/) as string,
    });
  });

  test.each(faults)('%s is no object, and no absence', async (_what, fault) => {
    const { bucket, destination } = await open();
    bucket.server.faults.add(fault);
    await expect(destination.head('a')).rejects.toMatchObject({ class: 'transient' });
  });

  test.each(faults)('%s is no empty listing', async (_what, fault) => {
    const { bucket, destination } = await open();
    bucket.server.faults.add(fault);
    await expect(listedKeys(destination, '')).rejects.toMatchObject({ class: 'transient' });
  });

  test.each(faults)('%s is no upload, no part and no end of one', async (_what, fault) => {
    const { bucket, destination } = await open();
    const { upload, parts } = await withParts(destination, 'a', [Buffer.from('content')]);
    bucket.server.faults.add(fault);
    const transient = { class: expect.stringMatching(/^(transient|throttled)$/) as string };
    await expect(destination.createUpload('b', plain, 'crc32')).rejects.toMatchObject(transient);
    await expect(destination.uploadPart(upload, 2, Buffer.from('x'), undefined, never)).rejects.toMatchObject(
      transient,
    );
    await expect(destination.completeUpload(upload, parts, none)).rejects.toMatchObject(transient);
    await expect(destination.listParts(upload)).rejects.toMatchObject(transient);
    await expect(destination.listUploads('a')).rejects.toMatchObject(transient);
  });
});

describe('a listing', () => {
  test('of more than a page is complete', async () => {
    const { bucket, destination } = await open();
    const keys = Array.from({ length: 2500 }, (_, index) => `k${String(index).padStart(4, '0')}`);
    for (const key of keys) bucket.put(key, '');
    expect(await listedKeys(destination, 'k')).toEqual(keys);
    expect(bucket.count('ListObjectsV2')).toBe(3);
  });

  test('that fails in the middle fails, and does not end', async () => {
    const { bucket, destination } = await open();
    for (let index = 0; index < 1001; index++) bucket.put(`k${index}`, '');
    bucket.server.faults.add({
      kind: 'answer',
      status: 403,
      code: 'AccessDenied',
      operation: 'ListObjectsV2',
      at: 2,
    });
    await expect(listedKeys(destination, 'k')).rejects.toMatchObject({ class: 'denied' });
  });

  test('of a store that cannot go on after the first page is not taken for complete', async () => {
    const bucket = await testBucket({ legacy: ['list-v1-only'] });
    const destination = openS3(bucket);
    for (let index = 0; index < 1001; index++) bucket.put(`k${index}`, '');
    await expect(listedKeys(destination, 'k')).rejects.toThrow(/no token for the rest of the listing/);
  });
});

describe('a HEAD', () => {
  test('without the right to look is not an absence', async () => {
    const bucket = await testBucket({ authorise: (action) => action !== 's3:GetObject' });
    const destination = openS3(bucket);
    bucket.put('a', 'content');
    await expect(destination.head('a')).rejects.toMatchObject({ class: 'denied', status: 403 });
  });

  test('tells that an ETag is no MD5 where the object is encrypted with a key', async () => {
    const { bucket, destination } = await open();
    bucket.put('a', 'content', { encrypted: true });
    expect(await destination.head('a')).toMatchObject({ object: { opaqueEtag: true } });
  });
});

describe('a page that is not S3‘s is no proof that anything was done', () => {
  test.each(['html', 'empty'] as const)('%s', async (kind) => {
    const { bucket, destination } = await open();
    bucket.server.faults.add({ kind });
    const upload = { key: 'a', uploadId: 'b' };
    const failure = { class: 'transient', code: 'UnusableAnswer' };
    await expect(destination.abortUpload(upload)).rejects.toMatchObject(failure);
    await expect(destination.remove('a', none)).rejects.toMatchObject(failure);
    await expect(destination.putTags('a', { Kind: 'log' }, undefined)).rejects.toMatchObject(failure);
  });
});

test('a HEAD that is refused without a code is asked about once more, as a GET', async () => {
  const { bucket, destination } = await open();
  bucket.put('a', '');
  const fault = { kind: 'answer', status: 400, code: 'RequestTimeout' } as const;
  bucket.server.faults.add({ ...fault, operation: 'HeadObject' });
  // It is well by now: not a word about the object, and so nothing that lasts.
  await expect(destination.head('a')).rejects.toMatchObject({ class: 'transient' });
  await expect(destination.head('none')).rejects.toMatchObject({ class: 'transient' });
  bucket.server.faults.add({ kind: 'answer', status: 400, code: 'ExpiredToken', operation: 'GetObject' });
  await expect(destination.head('a')).rejects.toMatchObject({ class: 'refused', code: 'ExpiredToken' });
});

// Checksums: verified, stored and shown, for every algorithm, in a header and in a trailer, for parts and
// whole objects.
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectsCommand,
  HeadObjectCommand,
  ListPartsCommand,
  PutObjectCommand,
  UploadPartCommand,
  type ChecksumType,
  type CompletedPart,
  type S3Client,
} from '@aws-sdk/client-s3';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import {
  checksumAlgorithms,
  checksumElement,
  checksumHeaders,
  createDigest,
  type ChecksumAlgorithm,
} from './checksums.ts';
import { Bucket, connect, outcome, start } from './testing.ts';

function sum(algorithm: ChecksumAlgorithm, content: string | Buffer): string {
  const digest = createDigest(algorithm);
  digest.update(Buffer.from(content));
  return digest.digest().toString('base64');
}

test('the check values of the algorithms', () => {
  const hex = (algorithm: ChecksumAlgorithm): string =>
    Buffer.from(sum(algorithm, '123456789'), 'base64').toString('hex');
  expect(Object.fromEntries(checksumAlgorithms.map((name) => [name, hex(name)]))).toEqual({
    CRC32: 'cbf43926',
    CRC32C: 'e3069283',
    CRC64NVME: 'ae8b14860a799888',
    SHA1: 'f7c3bc1d808e04732adf679965ccc34ca7ae3441',
    SHA256: '15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225',
  });
});

describe.each(checksumAlgorithms)('%s', (algorithm) => {
  const field = checksumElement(algorithm);

  test('a right value is stored and shown, a wrong or malformed one refused', async () => {
    await using fixture = await start();
    const put = (value: string): Promise<{ $metadata: object }> =>
      fixture.client.send(new PutObjectCommand({ Bucket, Key: 'a', Body: 'hello', [field]: value }));
    expect(await put(sum(algorithm, 'hello'))).toMatchObject({
      [field]: sum(algorithm, 'hello'),
      ChecksumType: 'FULL_OBJECT',
    });
    const head = new HeadObjectCommand({ Bucket, Key: 'a', ChecksumMode: 'ENABLED' });
    expect(await fixture.client.send(head)).toMatchObject({ [field]: sum(algorithm, 'hello') });
    expect(await outcome(put(sum(algorithm, 'jello')))).toBe('400 BadDigest');
    expect(await outcome(put('AAAA'))).toBe('400 InvalidRequest');
    expect(fixture.server.store.history()).toHaveLength(1);
  });

  test('a value in the trailer of a stream', async () => {
    await using fixture = await start();
    const Body = Readable.from([Buffer.alloc(9000, 'a'), Buffer.alloc(1000, 'b')]);
    const put = new PutObjectCommand({
      Bucket,
      Key: 'a',
      Body,
      ContentLength: 10_000,
      ChecksumAlgorithm: algorithm,
    });
    const expected = sum(algorithm, 'a'.repeat(9000) + 'b'.repeat(1000));
    expect(await outcome(fixture.client.send(put))).toBe('200');
    const [request] = fixture.server.requests;
    expect(request!.headers).toMatchObject({ 'x-amz-trailer': checksumHeaders[algorithm] });
    expect(fixture.server.store.current(Bucket, 'a')!.checksum).toMatchObject({ algorithm, value: expected });
  });
});

async function multipart(
  client: S3Client,
  algorithm: ChecksumAlgorithm,
  type: ChecksumType,
  parts: Buffer[],
): Promise<object> {
  const key = { Bucket, Key: 'm' };
  const create = new CreateMultipartUploadCommand({
    ...key,
    ChecksumAlgorithm: algorithm,
    ChecksumType: type,
  });
  const { UploadId } = await client.send(create);
  const done: CompletedPart[] = [];
  for (const [index, Body] of parts.entries()) {
    const PartNumber = index + 1;
    const part = await client.send(
      new UploadPartCommand({ ...key, UploadId, PartNumber, Body, ChecksumAlgorithm: algorithm }),
    );
    const field = checksumElement(algorithm);
    done.push({ PartNumber, ETag: part.ETag, [field]: part[field as 'ChecksumCRC32'] });
  }
  const listed = await client.send(new ListPartsCommand({ ...key, UploadId }));
  expect(listed.Parts).toMatchObject(done);
  return client.send(
    new CompleteMultipartUploadCommand({ ...key, UploadId, MultipartUpload: { Parts: done } }),
  );
}

const parts = [Buffer.alloc(5 * 1024 ** 2, 'a'), Buffer.from('the end')];

test.each(['CRC32', 'CRC32C', 'CRC64NVME'] as const)('%s of a whole multipart object', async (algorithm) => {
  await using fixture = await start();
  const answer = await multipart(fixture.client, algorithm, 'FULL_OBJECT', parts);
  expect(answer).toMatchObject({
    [checksumElement(algorithm)]: sum(algorithm, Buffer.concat(parts)),
    ChecksumType: 'FULL_OBJECT',
  });
});

test.each(['CRC32', 'CRC32C', 'SHA1', 'SHA256'] as const)(
  '%s of the checksums of the parts',
  async (algorithm) => {
    await using fixture = await start();
    const answer = await multipart(fixture.client, algorithm, 'COMPOSITE', parts);
    const sums = Buffer.concat(parts.map((part) => Buffer.from(sum(algorithm, part), 'base64')));
    expect(answer).toMatchObject({
      [checksumElement(algorithm)]: `${sum(algorithm, sums)}-2`,
      ChecksumType: 'COMPOSITE',
    });
  },
);

test('a part with another algorithm than the upload, and a SHA-256 of a whole object, are refused', async () => {
  await using fixture = await start();
  const { client } = fixture;
  const key = { Bucket, Key: 'm' };
  const { UploadId } = await client.send(
    new CreateMultipartUploadCommand({ ...key, ChecksumAlgorithm: 'SHA256' }),
  );
  const part = new UploadPartCommand({
    ...key,
    UploadId,
    PartNumber: 1,
    Body: 'x',
    ChecksumAlgorithm: 'CRC32',
  });
  expect(await outcome(client.send(part))).toBe('400 InvalidRequest');
  const whole = new CreateMultipartUploadCommand({
    ...key,
    ChecksumAlgorithm: 'SHA256',
    ChecksumType: 'FULL_OBJECT',
  });
  expect(await outcome(client.send(whole))).toBe('400 InvalidRequest');
});

test('Content-MD5: right, wrong, malformed; DeleteObjects needs it or a checksum', async () => {
  await using fixture = await start();
  const put = (ContentMD5: string): Promise<string> =>
    outcome(fixture.client.send(new PutObjectCommand({ Bucket, Key: 'a', Body: 'hello', ContentMD5 })));
  expect(await put('XUFAKrxLKna5cZ2REBfFkg==')).toBe('200');
  expect(await put('AAAAAAAAAAAAAAAAAAAAAA==')).toBe('400 BadDigest');
  expect(await put('AAAA')).toBe('400 InvalidDigest');

  const client = connect(fixture.server);
  client.middlewareStack.add(
    (next) => (args) => {
      const { headers } = args.request as { headers: Record<string, string> };
      for (const name of Object.keys(headers)) if (name.includes('checksum')) delete headers[name];
      return next(args);
    },
    { step: 'build', priority: 'low', name: 'withoutChecksum' },
  );
  const remove = new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: 'a' }] } });
  expect(await outcome(client.send(remove))).toBe('400 InvalidRequest');
  client.destroy();
});

test('fewer and more bytes than declared are refused', async () => {
  await using fixture = await start();
  const put = (ContentLength: number): Promise<string> => {
    const Body = Readable.from([Buffer.alloc(10_000)]);
    return outcome(fixture.client.send(new PutObjectCommand({ Bucket, Key: 'a', Body, ContentLength })));
  };
  expect(await put(10_001)).toBe('400 IncompleteBody');
  expect(await put(9999)).toBe('400 IncompleteBody');
  expect(fixture.server.store.objects(Bucket).size).toBe(0);
});

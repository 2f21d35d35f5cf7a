// Operations beyond the plain PUT and GET: names, listings, versions, lock, multipart limits, configuration,
// and what is refused.
import * as S3 from '@aws-sdk/client-s3';
import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { Bucket, connect, outcome, raw, start, type Fixture } from './testing.ts';

const MiB = 1024 ** 2;

function put({ client }: Fixture, Key: string, more: object = {}): Promise<S3.PutObjectCommandOutput> {
  return client.send(new S3.PutObjectCommand({ Bucket, Key, Body: 'hello', ...more }));
}

async function listed({ client }: Fixture, input: object): Promise<{ lines: string[]; pages: number }> {
  const lines: string[] = [];
  let pages = 0;
  let ContinuationToken: string | undefined;
  do {
    const page = await client.send(new S3.ListObjectsV2Command({ Bucket, ContinuationToken, ...input }));
    lines.push(...(page.Contents ?? []).map(({ Key }) => Key!));
    lines.push(...(page.CommonPrefixes ?? []).map(({ Prefix }) => `${Prefix}*`));
    expect(page.KeyCount).toBe((page.Contents?.length ?? 0) + (page.CommonPrefixes?.length ?? 0));
    ContinuationToken = page.NextContinuationToken;
    pages++;
  } while (ContinuationToken !== undefined);
  return { lines, pages };
}

describe('keys', () => {
  const hostile = [
    '..',
    '../..//x',
    '/',
    '//',
    'a\u0001\u007f\r\n\tb',
    'a/../b',
    '\uFFFE',
    '%2F+ ?&=',
    'é',
    'e\u0301',
    '𝕏',
    '<&>"\'',
  ];

  test('of any UTF-8 come back as they went in, in byte order', async () => {
    await using fixture = await start();
    for (const key of hostile) await put(fixture, key, { Body: key });
    for (const Key of hostile) {
      const { Body } = await fixture.client.send(new S3.GetObjectCommand({ Bucket, Key }));
      expect(await Body!.transformToString()).toBe(Key);
    }
    const inOrder = hostile.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    expect([...fixture.server.store.objects(Bucket).keys()]).toEqual(inOrder);
    const Delete = { Objects: hostile.map((Key) => ({ Key })) };
    const deleted = await fixture.client.send(new S3.DeleteObjectsCommand({ Bucket, Delete }));
    expect(deleted.Errors ?? []).toEqual([]);
    expect([...fixture.server.store.objects(Bucket).keys()]).toEqual([]);
  });

  test('of 1,024 bytes are the longest', async () => {
    await using fixture = await start();
    expect(await outcome(put(fixture, 'é'.repeat(512)))).toBe('200');
    expect(await outcome(put(fixture, `${'é'.repeat(512)}x`))).toBe('400 KeyTooLongError');
  });
});

describe('listings', () => {
  const keys = ['a', 'a/', 'a/b', 'a/c/d', 'b', 'b/1', 'b/2', 'b/😀/x', 'c\u{10FFFF}', 'c\u{10FFFF}/x', 'd'];

  test.each([
    [{}, keys],
    [{ Prefix: 'b' }, ['b', 'b/1', 'b/2', 'b/😀/x']],
    [{ Delimiter: '/' }, ['a', 'b', 'c\u{10FFFF}', 'd', 'a/*', 'b/*', 'c\u{10FFFF}/*']],
    [{ Prefix: 'b/', Delimiter: '/' }, ['b/1', 'b/2', 'b/😀/*']],
    [{ Delimiter: '\u{10FFFF}', Prefix: 'c' }, ['c\u{10FFFF}*']],
    [{ StartAfter: 'b/1' }, ['b/2', 'b/😀/x', 'c\u{10FFFF}', 'c\u{10FFFF}/x', 'd']],
    [{ Prefix: 'nothing' }, []],
  ])('%o, on one page and on pages of one', async (input, expected) => {
    await using fixture = await start();
    for (const key of keys) await put(fixture, key);
    expect(await listed(fixture, input)).toEqual({ lines: expected, pages: 1 });
    const one = await listed(fixture, { ...input, MaxKeys: 1 });
    expect(one.lines.toSorted()).toEqual(expected.toSorted());
    expect(one.pages).toBe(Math.max(expected.length, 1));
  });

  test('version 1 goes on after NextMarker', async () => {
    await using fixture = await start();
    for (const key of keys) await put(fixture, key);
    const found: string[] = [];
    let Marker: string | undefined;
    do {
      const input = { Bucket, Delimiter: '/', MaxKeys: 2, Marker };
      const page = await fixture.client.send(new S3.ListObjectsCommand(input));
      found.push(
        ...(page.Contents ?? []).map(({ Key }) => Key!),
        ...(page.CommonPrefixes ?? []).map(({ Prefix }) => `${Prefix}*`),
      );
      Marker = page.IsTruncated ? page.NextMarker : undefined;
    } while (Marker !== undefined);
    expect(found.toSorted()).toEqual(
      ['a', 'a/*', 'b', 'b/*', 'c\u{10FFFF}', 'c\u{10FFFF}/*', 'd'].toSorted(),
    );
  });

  test('a wrong token, a negative size', async () => {
    await using fixture = await start();
    const list = (input: object): Promise<string> =>
      outcome(fixture.client.send(new S3.ListObjectsV2Command({ Bucket, ...input })));
    expect(await list({ ContinuationToken: '?' })).toBe('400 InvalidArgument');
    expect(await list({ MaxKeys: -1 })).toBe('400 InvalidArgument');
    expect(await list({ MaxKeys: 0 })).toBe('200');
  });
});

describe('versions', () => {
  test('are listed on pages, newest first; suspended versioning replaces the null version only', async () => {
    await using fixture = await start();
    const { client } = fixture;
    const versioning = (Status: 'Enabled' | 'Suspended'): Promise<unknown> =>
      client.send(new S3.PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status } }));
    await put(fixture, 'a', { Body: 'null' });
    await versioning('Enabled');
    const { VersionId } = await put(fixture, 'a', { Body: 'kept' });
    await client.send(new S3.DeleteObjectCommand({ Bucket, Key: 'a' }));
    await put(fixture, 'b');
    await versioning('Suspended');
    await put(fixture, 'a', { Body: 'null again' });

    const seen: string[] = [];
    let markers: { KeyMarker?: string | undefined; VersionIdMarker?: string | undefined } = {};
    for (let isTruncated = true; isTruncated;) {
      const page = await client.send(new S3.ListObjectVersionsCommand({ Bucket, MaxKeys: 1, ...markers }));
      seen.push(
        ...(page.Versions ?? []).map(
          (version) => `${version.Key} ${version.VersionId === 'null' ? 'null' : 'id'} ${version.IsLatest}`,
        ),
      );
      seen.push(...(page.DeleteMarkers ?? []).map(({ Key }) => `${Key} marker`));
      isTruncated = page.IsTruncated ?? false;
      markers = { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker };
    }
    expect(seen).toEqual(['a null true', 'a marker', 'a id false', 'b id true']);
    const { Body } = await client.send(new S3.GetObjectCommand({ Bucket, Key: 'a', VersionId }));
    expect(await Body!.transformToString()).toBe('kept');
    const missing = new S3.GetObjectCommand({ Bucket, Key: 'a', VersionId: 'x' });
    expect(await outcome(client.send(missing))).toBe('404 NoSuchVersion');
  });

  test('a delete marker is named in the 404', async () => {
    await using fixture = await start({ buckets: [{ name: Bucket, versioning: true }] });
    await put(fixture, 'a');
    const { VersionId } = await fixture.client.send(new S3.DeleteObjectCommand({ Bucket, Key: 'a' }));
    const error = await fixture.client
      .send(new S3.GetObjectCommand({ Bucket, Key: 'a' }))
      .catch((error: unknown) => error);
    expect((error as S3.NoSuchKey).$response?.headers).toMatchObject({
      'x-amz-delete-marker': 'true',
      'x-amz-version-id': VersionId,
    });
  });
});

describe('object lock', () => {
  const until = new Date(Date.now() + 3_600_000);

  test('protects a version; GOVERNANCE yields to the bypass header, COMPLIANCE and a legal hold do not', async () => {
    await using fixture = await start({ buckets: [{ name: Bucket, objectLock: true }] });
    const { client } = fixture;
    const lock = async (more: object, BypassGovernanceRetention: boolean): Promise<string> => {
      const { VersionId } = await put(fixture, 'a', more);
      return outcome(
        client.send(new S3.DeleteObjectCommand({ Bucket, Key: 'a', VersionId, BypassGovernanceRetention })),
      );
    };
    const governed = { ObjectLockMode: 'GOVERNANCE', ObjectLockRetainUntilDate: until };
    expect(await lock(governed, false)).toBe('403 AccessDenied');
    expect(await lock(governed, true)).toBe('204');
    expect(await lock({ ...governed, ObjectLockMode: 'COMPLIANCE' }, true)).toBe('403 AccessDenied');
    expect(await lock({ ObjectLockLegalHoldStatus: 'ON' }, true)).toBe('403 AccessDenied');
    const past = put(fixture, 'a', { ...governed, ObjectLockRetainUntilDate: new Date(0) });
    expect(await outcome(past)).toBe('400 InvalidArgument');
    expect(await outcome(client.send(new S3.DeleteObjectCommand({ Bucket, Key: 'a' })))).toBe('204');
  });

  test('a default retention applies; retention and hold can be read and changed', async () => {
    await using fixture = await start({ buckets: [{ name: Bucket, objectLock: true }] });
    const { client } = fixture;
    const key = { Bucket, Key: 'a' };
    expect(await outcome(client.send(new S3.GetObjectRetentionCommand(key)))).toBe('404 NoSuchKey');
    const ObjectLockConfiguration: S3.ObjectLockConfiguration = {
      ObjectLockEnabled: 'Enabled',
      Rule: { DefaultRetention: { Mode: 'GOVERNANCE', Days: 1 } },
    };
    await client.send(new S3.PutObjectLockConfigurationCommand({ Bucket, ObjectLockConfiguration }));
    expect(await client.send(new S3.GetObjectLockConfigurationCommand({ Bucket }))).toMatchObject({
      ObjectLockConfiguration,
    });
    await put(fixture, 'a');
    const { Retention } = await client.send(new S3.GetObjectRetentionCommand(key));
    expect(Retention?.Mode).toBe('GOVERNANCE');
    const retain = (days: number, more: object = {}): Promise<string> => {
      const RetainUntilDate = new Date(Date.now() + days * 86_400_000);
      const input = { ...key, Retention: { Mode: 'GOVERNANCE', RetainUntilDate }, ...more } as const;
      return outcome(client.send(new S3.PutObjectRetentionCommand(input)));
    };
    expect([await retain(2), await retain(1), await retain(1, { BypassGovernanceRetention: true })]).toEqual([
      '200',
      '403 AccessDenied',
      '200',
    ]);
    await client.send(new S3.PutObjectLegalHoldCommand({ ...key, LegalHold: { Status: 'ON' } }));
    expect((await client.send(new S3.GetObjectLegalHoldCommand(key))).LegalHold).toEqual({ Status: 'ON' });
    const suspend = new S3.PutBucketVersioningCommand({
      Bucket,
      VersioningConfiguration: { Status: 'Suspended' },
    });
    expect(await outcome(client.send(suspend))).toBe('409 InvalidBucketState');
  });

  test('needs a bucket that has it', async () => {
    await using fixture = await start();
    const locked = { ObjectLockMode: 'GOVERNANCE', ObjectLockRetainUntilDate: until };
    expect(await outcome(put(fixture, 'a', locked))).toBe('400 InvalidRequest');
  });
});

describe('multipart', () => {
  const key = { Bucket, Key: 'm' };

  async function create({ client }: Fixture): Promise<{ UploadId: string | undefined }> {
    const { UploadId } = await client.send(new S3.CreateMultipartUploadCommand(key));
    return { UploadId };
  }

  test('parts and uploads are listed on pages', async () => {
    await using fixture = await start();
    const { client } = fixture;
    const upload = await create(fixture);
    for (const PartNumber of [10_000, 2, 1]) {
      await client.send(new S3.UploadPartCommand({ ...key, ...upload, PartNumber, Body: 'x' }));
    }
    const first = await client.send(new S3.ListPartsCommand({ ...key, ...upload, MaxParts: 2 }));
    expect(first).toMatchObject({
      IsTruncated: true,
      NextPartNumberMarker: '2',
      Parts: [{ PartNumber: 1 }, { PartNumber: 2 }],
    });
    const rest = await client.send(new S3.ListPartsCommand({ ...key, ...upload, PartNumberMarker: '2' }));
    expect(rest).toMatchObject({ IsTruncated: false, Parts: [{ PartNumber: 10_000 }] });

    const other = await create(fixture);
    const page = await client.send(new S3.ListMultipartUploadsCommand({ Bucket, MaxUploads: 1 }));
    expect(page.IsTruncated).toBe(true);
    const markers = { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker };
    const next = await client.send(new S3.ListMultipartUploadsCommand({ Bucket, ...markers }));
    const ids = new Set([...page.Uploads!, ...next.Uploads!].map(({ UploadId }) => UploadId));
    expect(ids).toEqual(new Set([upload.UploadId, other.UploadId]));
  });

  test('refuses part numbers, orders and ETags that are wrong', async () => {
    await using fixture = await start();
    const { client } = fixture;
    const upload = await create(fixture);
    const part = (PartNumber: number, more: object = {}): Promise<S3.UploadPartCommandOutput> =>
      client.send(new S3.UploadPartCommand({ ...key, ...upload, PartNumber, Body: 'x', ...more }));
    const complete = (...Parts: S3.CompletedPart[]): Promise<string> =>
      outcome(
        client.send(new S3.CompleteMultipartUploadCommand({ ...key, ...upload, MultipartUpload: { Parts } })),
      );
    expect(await outcome(part(0))).toBe('400 InvalidArgument');
    expect(await outcome(part(10_001))).toBe('400 InvalidArgument');
    expect(await outcome(part(1, { UploadId: 'x' }))).toBe('404 NoSuchUpload');
    const { ETag } = await part(1);
    await part(2);
    expect(await complete({ PartNumber: 2, ETag }, { PartNumber: 1, ETag })).toBe('400 InvalidPartOrder');
    expect(await complete({ PartNumber: 1, ETag: '"0"' })).toBe('400 InvalidPart');
    expect(await complete({ PartNumber: 3, ETag })).toBe('400 InvalidPart');
    expect(await complete({ PartNumber: 1, ETag }, { PartNumber: 2, ETag })).toBe('400 EntityTooSmall');
    expect(await complete({ PartNumber: 2, ETag })).toBe('200');
    expect(await outcome(part(1))).toBe('404 NoSuchUpload');
  });

  test('parts are copied from other objects, and read one by one', async () => {
    await using fixture = await start();
    const { client } = fixture;
    const content = randomBytes(6 * MiB);
    await put(fixture, 'source', { Body: content });
    const upload = await create(fixture);
    const copy = (PartNumber: number, CopySourceRange: string): Promise<S3.UploadPartCopyCommandOutput> => {
      const CopySource = `${Bucket}/source`;
      return client.send(
        new S3.UploadPartCopyCommand({ ...key, ...upload, PartNumber, CopySource, CopySourceRange }),
      );
    };
    const [first, second] = [
      await copy(1, `bytes=0-${5 * MiB - 1}`),
      await copy(2, `bytes=${5 * MiB}-${6 * MiB - 1}`),
    ];
    const Parts = [first, second].map(({ CopyPartResult }, index) => ({
      PartNumber: index + 1,
      ETag: CopyPartResult?.ETag,
    }));
    await client.send(
      new S3.CompleteMultipartUploadCommand({ ...key, ...upload, MultipartUpload: { Parts } }),
    );
    const get = async (more: object = {}): Promise<Buffer> => {
      const { Body } = await client.send(new S3.GetObjectCommand({ ...key, ...more }));
      return Buffer.from(await Body!.transformToByteArray());
    };
    expect((await get()).equals(content)).toBe(true);
    expect((await get({ PartNumber: 2 })).equals(content.subarray(5 * MiB))).toBe(true);
    expect(
      (await get({ Range: `bytes=${5 * MiB - 10}-${5 * MiB + 9}` })).equals(
        content.subarray(5 * MiB - 10, 5 * MiB + 10),
      ),
    ).toBe(true);
    expect((await client.send(new S3.HeadObjectCommand({ ...key, PartNumber: 1 }))).PartsCount).toBe(2);
  });

  test('10,000 parts become one object', async () => {
    await using fixture = await start({ discardBodies: true });
    const { client, server } = fixture;
    const upload = await create(fixture);
    // Straight into the store: 50 GiB would take a while.
    const etag = createHash('md5').update('').digest('hex');
    for (let number = 1; number <= 10_000; number++) {
      server.store.savePart(upload.UploadId!, {
        number,
        size: 5 * MiB,
        etag,
        modifiedMs: 0,
        body: { id: '', size: 5 * MiB },
      });
    }
    const Parts = Array.from({ length: 10_000 }, (_, index) => ({
      PartNumber: index + 1,
      ETag: `"${etag}"`,
    }));
    const done = await client.send(
      new S3.CompleteMultipartUploadCommand({ ...key, ...upload, MultipartUpload: { Parts } }),
    );
    expect(done.ETag).toMatch(/-10000"$/);
    expect((await client.send(new S3.HeadObjectCommand(key))).ContentLength).toBe(50_000 * MiB);
  });
});

test.each([
  ['bytes=0-0', 'h'],
  ['bytes=1-', 'ello'],
  ['bytes=-2', 'lo'],
  ['bytes=-99', 'hello'],
  ['bytes=2-99', 'llo'],
  ['bytes=5-', '416 InvalidRange'],
  ['bytes=-0', '416 InvalidRange'],
])('Range %s: %s', async (Range, expected) => {
  await using fixture = await start();
  await put(fixture, 'a');
  const get = fixture.client.send(new S3.GetObjectCommand({ Bucket, Key: 'a', Range }));
  const seen = get.then(({ Body }) => Body!.transformToString());
  expect(await seen.catch(() => outcome(get))).toBe(expected);
});

describe('attributes', () => {
  test.each([
    ['metadata of more than 2 KiB', { Metadata: { k: 'x'.repeat(2048) } }, '400 MetadataTooLarge'],
    ['an unknown storage class', { StorageClass: 'WARM' }, '400 InvalidStorageClass'],
    ['a tag key of 129 characters', { Tagging: `${'k'.repeat(129)}=v` }, '400 InvalidTag'],
    ['the same tag twice', { Tagging: 'k=1&k=2' }, '400 InvalidTag'],
    ['a public ACL', { ACL: 'public-read' }, '400 AccessControlListNotSupported'],
    ['another bucket owner', { ExpectedBucketOwner: '999999999999' }, '403 AccessDenied'],
    ['the right bucket owner', { ExpectedBucketOwner: '111122223333', RequestPayer: 'requester' }, '200'],
  ])('%s', async (_what, more, expected) => {
    await using fixture = await start();
    expect(await outcome(put(fixture, 'a', more))).toBe(expected);
  });

  test('come back on HEAD', async () => {
    await using fixture = await start();
    const sent = {
      Metadata: { mtime: '1.5' },
      CacheControl: 'no-store',
      ContentDisposition: 'attachment',
      ContentLanguage: 'de',
      ContentEncoding: 'gzip',
      ContentType: 'text/plain',
      WebsiteRedirectLocation: '/b',
      StorageClass: 'GLACIER_IR',
      ServerSideEncryption: 'aws:kms',
      SSEKMSKeyId: 'key-1',
      BucketKeyEnabled: true,
    } as const;
    await put(fixture, 'a', sent);
    expect(await fixture.client.send(new S3.HeadObjectCommand({ Bucket, Key: 'a' }))).toMatchObject(sent);
  });

  test('SSE-C: the same key is needed to read', async () => {
    await using fixture = await start();
    const keyOf = (fill: string): object => {
      const key = Buffer.alloc(32, fill);
      const SSECustomerKeyMD5 = createHash('md5').update(key).digest('base64');
      return { SSECustomerAlgorithm: 'AES256', SSECustomerKey: key.toString('base64'), SSECustomerKeyMD5 };
    };
    const get = (more: object): Promise<string> =>
      outcome(fixture.client.send(new S3.GetObjectCommand({ Bucket, Key: 'a', ...more })));
    await put(fixture, 'a', keyOf('k'));
    expect([await get(keyOf('k')), await get(keyOf('x')), await get({})]).toEqual([
      '200',
      '403 AccessDenied',
      '400 InvalidRequest',
    ]);
    expect(JSON.stringify(fixture.server.requests)).not.toContain(Buffer.alloc(32, 'k').toString('base64'));
  });

  test('an archived object cannot be read', async () => {
    await using fixture = await start();
    await put(fixture, 'a', { StorageClass: 'DEEP_ARCHIVE' });
    expect(await outcome(fixture.client.send(new S3.GetObjectCommand({ Bucket, Key: 'a' })))).toBe(
      '403 InvalidObjectState',
    );
  });
});

test('copies keep or replace metadata and tags; a copy onto itself must change something', async () => {
  await using fixture = await start();
  await put(fixture, 'ü & +', { Metadata: { k: 'v' }, Tagging: 't=1' });
  const CopySource = `${Bucket}/${encodeURIComponent('ü & +')}`;
  const copy = (Key: string, more: object = {}): Promise<string> =>
    outcome(fixture.client.send(new S3.CopyObjectCommand({ Bucket, Key, CopySource, ...more })));
  expect(await copy('b')).toBe('200');
  expect(fixture.server.store.current(Bucket, 'b')).toMatchObject({
    tags: [['t', '1']],
    headers: { 'x-amz-meta-k': 'v' },
  });
  expect(await copy('c', { MetadataDirective: 'REPLACE', TaggingDirective: 'REPLACE', Tagging: 'u=2' })).toBe(
    '200',
  );
  expect(fixture.server.store.current(Bucket, 'c')!.tags).toEqual([['u', '2']]);
  expect(fixture.server.store.current(Bucket, 'c')!.headers).not.toHaveProperty('x-amz-meta-k');
  expect(await copy('ü & +')).toBe('400 InvalidRequest');
  expect(await copy('ü & +', { StorageClass: 'STANDARD_IA' })).toBe('200');
});

describe('buckets', () => {
  test('are made, listed and removed when empty', async () => {
    await using fixture = await start({ region: 'eu-central-1' });
    const { client } = fixture;
    await client.send(new S3.CreateBucketCommand({ Bucket: 'made' }));
    expect(await outcome(client.send(new S3.CreateBucketCommand({ Bucket: 'made' })))).toBe(
      '409 BucketAlreadyOwnedByYou',
    );
    expect(await outcome(client.send(new S3.CreateBucketCommand({ Bucket: 'Not_A_Name' })))).toMatch(
      /^(?:400 )?InvalidBucketName|Error/,
    );
    expect((await client.send(new S3.ListBucketsCommand({}))).Buckets?.map(({ Name }) => Name)).toEqual([
      'made',
      Bucket,
    ]);
    expect((await client.send(new S3.HeadBucketCommand({ Bucket }))).BucketRegion).toBe('eu-central-1');
    expect((await client.send(new S3.GetBucketLocationCommand({ Bucket }))).LocationConstraint).toBe(
      'eu-central-1',
    );
    await put(fixture, 'a');
    expect(await outcome(client.send(new S3.DeleteBucketCommand({ Bucket })))).toBe('409 BucketNotEmpty');
    expect(await outcome(client.send(new S3.DeleteBucketCommand({ Bucket: 'made' })))).toBe('204');
    expect(await outcome(client.send(new S3.HeadObjectCommand({ Bucket: 'made', Key: 'a' })))).toMatch(
      /^404/,
    );
  });

  test('configuration says what is not set, and gives back what is', async () => {
    await using fixture = await start();
    const { client } = fixture;
    const read = async (): Promise<string[]> => [
      await outcome(client.send(new S3.GetBucketLifecycleConfigurationCommand({ Bucket }))),
      await outcome(client.send(new S3.GetObjectLockConfigurationCommand({ Bucket }))),
      await outcome(client.send(new S3.GetBucketPolicyStatusCommand({ Bucket }))),
      await outcome(client.send(new S3.GetPublicAccessBlockCommand({ Bucket }))),
    ];
    const [lifecycle, lock, policy] = [
      'NoSuchLifecycleConfiguration',
      'ObjectLockConfigurationNotFoundError',
      'NoSuchBucketPolicy',
    ];
    expect(await read()).toEqual([`404 ${lifecycle}`, `404 ${lock}`, `404 ${policy}`, '200']);
    expect(await client.send(new S3.GetBucketVersioningCommand({ Bucket }))).not.toHaveProperty('Status');
    const encryption = await client.send(new S3.GetBucketEncryptionCommand({ Bucket }));
    expect(encryption.ServerSideEncryptionConfiguration?.Rules?.[0]).toMatchObject({
      BucketKeyEnabled: false,
    });
    const ownership = await client.send(new S3.GetBucketOwnershipControlsCommand({ Bucket }));
    expect(ownership.OwnershipControls?.Rules).toEqual([{ ObjectOwnership: 'BucketOwnerEnforced' }]);
    expect((await client.send(new S3.GetBucketAclCommand({ Bucket }))).Grants).toHaveLength(1);
    expect(await client.send(new S3.GetBucketAccelerateConfigurationCommand({ Bucket }))).not.toHaveProperty(
      'Status',
    );

    const Rules: S3.LifecycleRule[] = [
      {
        ID: 'a',
        Status: 'Enabled',
        Filter: { Prefix: '' },
        AbortIncompleteMultipartUpload: { DaysAfterInitiation: 7 },
      },
    ];
    await client.send(
      new S3.PutBucketLifecycleConfigurationCommand({ Bucket, LifecycleConfiguration: { Rules } }),
    );
    expect((await client.send(new S3.GetBucketLifecycleConfigurationCommand({ Bucket }))).Rules).toEqual(
      Rules,
    );
    await client.send(new S3.DeleteBucketLifecycleCommand({ Bucket }));
    const Policy = JSON.stringify({
      Statement: [{ Effect: 'Allow', Principal: '*', Action: 's3:GetObject', Resource: '*' }],
    });
    const openToAll = new S3.PutBucketPolicyCommand({ Bucket, Policy });
    expect(await outcome(client.send(openToAll))).toBe('403 AccessDenied');
    await client.send(new S3.DeletePublicAccessBlockCommand({ Bucket }));
    await client.send(openToAll);
    expect(await read()).toEqual([
      `404 ${lifecycle}`,
      `404 ${lock}`,
      '200',
      '404 NoSuchPublicAccessBlockConfiguration',
    ]);
    const status = await client.send(new S3.GetBucketPolicyStatusCommand({ Bucket }));
    expect(status.PolicyStatus).toEqual({ IsPublic: true });
  });
});

test('a bucket has an ACL for everybody where ACLs are on and nothing blocks it', async () => {
  await using fixture = await start();
  const { client } = fixture;
  const publish = () => outcome(client.send(new S3.PutBucketAclCommand({ Bucket, ACL: 'public-read' })));
  expect(await publish()).toBe('400 AccessControlListNotSupported');
  const OwnershipControls = { Rules: [{ ObjectOwnership: 'ObjectWriter' as const }] };
  await client.send(new S3.PutBucketOwnershipControlsCommand({ Bucket, OwnershipControls }));
  expect(await publish()).toBe('403 AccessDenied');
  await client.send(new S3.DeletePublicAccessBlockCommand({ Bucket }));
  expect(await publish()).toBe('200');
  const { Grants } = await client.send(new S3.GetBucketAclCommand({ Bucket }));
  expect(Grants?.[1]).toMatchObject({
    Grantee: { Type: 'Group', URI: 'http://acs.amazonaws.com/groups/global/AllUsers' },
    Permission: 'READ',
  });
});

test('a bucket of another region is told where it is', async () => {
  await using fixture = await start({ buckets: [{ name: Bucket, region: 'eu-west-1' }] });
  const error = await fixture.client
    .send(new S3.ListObjectsV2Command({ Bucket }))
    .catch((error: unknown) => error);
  expect(error).toMatchObject({
    name: 'PermanentRedirect',
    $metadata: { httpStatusCode: 301 },
    $response: { headers: { 'x-amz-bucket-region': 'eu-west-1' } },
  });
});

describe('what the server does not do is refused, never ignored', () => {
  test('an unknown sub-resource and an unknown header: 501', async () => {
    await using fixture = await start();
    const torrent = fixture.client.send(new S3.GetObjectTorrentCommand({ Bucket, Key: 'a' }));
    expect(await outcome(torrent)).toBe('501 NotImplemented');
    const acl = fixture.client.send(new S3.GetObjectAclCommand({ Bucket, Key: 'a' }));
    expect(await outcome(acl)).toBe('501 NotImplemented');
    const append = put(fixture, 'a', { WriteOffsetBytes: 5 });
    expect(await outcome(append)).toBe('501 NotImplemented');
    expect(fixture.server.store.objects(Bucket).size).toBe(0);
    expect(fixture.server.counts()).toMatchObject({ Unknown: 2, PutObject: 1 });
  });

  test('a PUT without a length: 411; a path that is no UTF-8: 400; every answer has a request id', async () => {
    await using fixture = await start();
    const client = connect(fixture.server);
    client.middlewareStack.add(
      (next) => (args) => {
        const { headers } = args.request as { headers: Record<string, string> };
        delete headers['content-length'];
        headers['transfer-encoding'] = 'chunked';
        return next(args);
      },
      { step: 'build', priority: 'low', name: 'withoutLength' },
    );
    expect(await outcome(client.send(new S3.PutObjectCommand({ Bucket, Key: 'a', Body: 'x' })))).toBe(
      '411 MissingContentLength',
    );
    client.destroy();
    const answer = await raw(fixture.server, 'GET', `/${Bucket}/%ff`, { host: 'localhost' });
    expect(answer).toMatchObject({ status: 400, code: 'InvalidURI' });
    expect(answer.headers['x-amz-request-id']).toMatch(/^[0-9A-F]{16}$/);
  });

  test('before 100 Continue: the body is never sent', async () => {
    await using fixture = await start({ authorise: () => false });
    const client = connect(fixture.server);
    client.middlewareStack.add(
      (next) => (args) => {
        const { headers } = args.request as { headers: Record<string, string> };
        headers['expect'] = '100-continue';
        return next(args);
      },
      { step: 'build', priority: 'low', name: 'expectContinue' },
    );
    const Body = Buffer.alloc(3 * MiB);
    const refused = client.send(new S3.PutObjectCommand({ Bucket, Key: 'a', Body }));
    expect(await outcome(refused)).toBe('403 AccessDenied');
    expect(fixture.server.requests[0]!.bytes).toBe(0);
    client.destroy();
  });

  test('PUT of more than 5 GiB: EntityTooLarge before a byte is sent', async () => {
    await using fixture = await start();
    const client = connect(fixture.server, { requestChecksumCalculation: 'WHEN_REQUIRED' });
    client.middlewareStack.add(
      (next) => (args) => {
        const { headers } = args.request as { headers: Record<string, string> };
        headers['content-length'] = String(5 * 1024 ** 3 + 1);
        return next(args);
      },
      { step: 'build', priority: 'low', name: 'largeLength' },
    );
    expect(await outcome(client.send(new S3.PutObjectCommand({ Bucket, Key: 'a', Body: 'x' })))).toBe(
      '400 EntityTooLarge',
    );
    client.destroy();
  });
});

test('the virtual-host style names the bucket in the host', async () => {
  await using fixture = await start();
  const answer = await raw(fixture.server, 'GET', '/a/b', { host: `${Bucket}.localhost:1` });
  expect(answer).toMatchObject({ status: 403, code: 'AccessDenied' });
  expect(fixture.server.requests[0]).toMatchObject({ operation: 'GetObject', bucket: Bucket, key: 'a/b' });
});

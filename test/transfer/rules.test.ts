// Every field of a rule, from the config to the object: by a PutObject of the SDK, by a lean one, and in parts.
import fs from 'node:fs';
import path from 'node:path';
import {
  GetObjectLegalHoldCommand,
  GetObjectRetentionCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  PutBucketOwnershipControlsCommand,
  type HeadObjectCommandInput,
  type HeadObjectCommandOutput,
  type S3Client,
} from '@aws-sdk/client-s3';
import { describe, expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../../src/edge/clock.ts';
import { systemFiles } from '../../src/edge/files.ts';
import { ruleSchema } from '../../src/config/rule-schema.ts';
import type { Precondition } from '../../src/core/object.ts';
import { compileRules, customerKeys, type Describe, type Rule } from '../../src/core/rules.ts';
import { ByteBudget } from '../../src/transfer/limits.ts';
import { describeFile } from '../../src/transfer/metadata.ts';
import { connect } from '../../src/transfer/connect.ts';
import { S3Destination } from '../../src/transfer/s3.ts';
import type { UploadMemory, UploadRequest, UploadResult } from '../../src/transfer/request.ts';
import { upload } from '../../src/transfer/upload.ts';
import { configOf, configWith } from '../config/helpers.ts';
import { testBucket, type Bucket } from '../helpers/bucket.ts';
import { absent, none } from '../helpers/given.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';
import type { LegacySwitch } from '../s3-server/legacy.ts';
import { connect as connectTest } from '../s3-server/testing.ts';

const smallBytes = 1000;
const largeBytes = 8 * 1024 ** 2 + 1;
const customerKey = Buffer.alloc(32, 7).toString('base64');
const dayMs = 86_400_000;

/** A folder with these rules, and a bucket with object lock. */
class Place {
  readonly bucket: Bucket;
  readonly client: S3Client;
  readonly s3: S3Destination;
  readonly describe: Describe;
  readonly directory = temporaryDirectory();

  constructor(bucket: Bucket, rules: readonly Rule[]) {
    this.bucket = bucket;
    const config = bucket.destination();
    const client = connect(config);
    this.client = connectTest(bucket.server);
    onTestFinished(() => {
      client.destroy();
      this.client.destroy();
    });
    this.s3 = new S3Destination(config, client, customerKeys(rules));
    this.describe = compileRules(rules, { host: 'web-1', folder: 'documents' });
  }

  /** Uploads a file of zeros to the key of its path. */
  async upload(filePath: string, bytes: number, more: Partial<UploadRequest> = {}): Promise<UploadResult> {
    const file = path.join(this.directory, filePath);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, '');
    fs.truncateSync(file, bytes);
    fs.utimesSync(file, 1_700_000_000, 1_700_000_000);
    return upload({
      destination: this.s3,
      root: { path: this.directory, symlinks: 'skip', files: systemFiles },
      clock: systemClock,
      path: filePath,
      key: filePath,
      describe: (state) => describeFile(this.describe(filePath, state, Date.now()), state, []),
      precondition: none,
      writeId: 'ours',
      checksum: 'crc32',
      capabilities: undefined,
      memory: noMemory,
      budget: new ByteBudget(1024 ** 2),
      partBudget: new ByteBudget(1024 ** 2),
      signal: new AbortController().signal,
      onBytes: () => undefined,
      ...more,
    });
  }

  /** Uploads by the SDK, then lean, then in parts, to keys of these names. */
  async uploadEachWay(directory: string): Promise<string[]> {
    const keys = ['sdk', 'lean', 'parts'].map((way) => `${directory}/${way}.log`);
    for (const key of keys) {
      const result = await this.upload(key, key.endsWith('parts.log') ? largeBytes : smallBytes);
      if (result.kind !== 'written') throw new Error(`${key}: ${result.kind}`);
    }
    return keys;
  }

  async head(key: string, more: Partial<HeadObjectCommandInput> = {}): Promise<HeadObjectCommandOutput> {
    const input = { Bucket: this.bucket.name, Key: key, ChecksumMode: 'ENABLED', ...more } as const;
    return this.client.send(new HeadObjectCommand(input));
  }

  async tags(key: string): Promise<Record<string, string>> {
    const { TagSet = [] } = await this.client.send(
      new GetObjectTaggingCommand({ Bucket: this.bucket.name, Key: key }),
    );
    return Object.fromEntries(TagSet.map(({ Key, Value }) => [Key ?? '', Value ?? '']));
  }

  /** The headers with which an object was written. */
  headers(key: string): Record<string, string> {
    const writes = this.bucket.server.requests.filter(
      (request) => request.key === key && ['PutObject', 'CreateMultipartUpload'].includes(request.operation),
    );
    return writes[0]!.headers;
  }
}

const noMemory: UploadMemory = {
  find: () => undefined,
  begin: () => undefined,
  created: () => undefined,
  recordParts: () => undefined,
  end: () => undefined,
  doubt: () => undefined,
};

async function place(lines: string, legacy: LegacySwitch[] = []): Promise<Place> {
  const bucket = await testBucket({ buckets: [{ name: 'acme-backup', objectLock: true }], legacy });
  return new Place(bucket, rulesOf(lines));
}

/** Rules as a config has them: the lines of one, for every file. */
function rulesOf(lines: string): readonly Rule[] {
  const directory = temporaryDirectory();
  fs.writeFileSync(path.join(directory, 'key'), customerKey, { mode: 0o400 });
  const rule = ['rules:', '  - match: "**"', ...lines.split('\n').map((line) => `    ${line}`)].join('\n');
  return configOf(configWith({ folder: rule }), { CREDENTIALS_DIRECTORY: directory }).folders[0]!.rules;
}

/** What the metadata says of content that was compressed. */
function compressed(transform: string): object {
  return expect.objectContaining({
    's3syncd-transform': transform,
    's3syncd-size': expect.stringMatching(/^(1000|8388609)$/) as string,
    's3syncd-checksum': expect.stringMatching(/^crc32 \S{8}$/) as string,
  }) as object;
}

const fields: [lines: string, head: Partial<HeadObjectCommandOutput>][] = [
  ['storage-class: STANDARD_IA', { StorageClass: 'STANDARD_IA' }],
  ['storage-class: GLACIER_IR', { StorageClass: 'GLACIER_IR' }],
  ['tags: {Kind: "{ext}", Dir: "{dir:1}", "a b": "c/d+e=f"}', { TagCount: 3 }],
  [
    'metadata: {department: "a  b"}',
    { Metadata: { department: 'a  b', mtime: expect.any(String) as string } },
  ],
  ['content-type: text/x; charset=utf-8', { ContentType: 'text/x; charset=utf-8' }],
  ['content-encoding: gzip', { ContentEncoding: 'gzip' }],
  [`content-disposition: attachment; filename="a b"`, { ContentDisposition: 'attachment; filename="a b"' }],
  ['content-language: de', { ContentLanguage: 'de' }],
  ['cache-control: max-age=60', { CacheControl: 'max-age=60' }],
  ['expires: 2030-01-31T12:00Z', { ExpiresString: 'Thu, 31 Jan 2030 12:00:00 GMT' }],
  ['website-redirect: /new.html', { WebsiteRedirectLocation: '/new.html' }],
  [
    'compress: gzip\ncontent-encoding: br',
    { ContentEncoding: 'br,gzip', Metadata: compressed('gzip') as Record<string, string> },
  ],
  ['compress: zstd', { ContentEncoding: 'zstd', Metadata: compressed('zstd') as Record<string, string> }],
  ['sse: AES256', { ServerSideEncryption: 'AES256' }],
  [
    'sse: aws:kms\nsse-kms-key-id: alias/a\nsse-kms-encryption-context: {a: b}\nbucket-key-enabled: true',
    { ServerSideEncryption: 'aws:kms', SSEKMSKeyId: 'alias/a', BucketKeyEnabled: true },
  ],
  ['sse: aws:kms\nbucket-key-enabled: false', { ServerSideEncryption: 'aws:kms', BucketKeyEnabled: false }],
  ['sse: aws:kms:dsse', { ServerSideEncryption: 'aws:kms:dsse' }],
  ['object-lock: {legal-hold: true}', { ObjectLockLegalHoldStatus: 'ON' }],
  [
    'object-lock: {mode: GOVERNANCE, retain: 2999-12-31}',
    { ObjectLockMode: 'GOVERNANCE', ObjectLockRetainUntilDate: new Date('2999-12-31') },
  ],
];

/** Fields that have a test of their own: a HEAD does not show them. */
const others = [
  'acl',
  'grant-read',
  'grant-read-acp',
  'grant-write-acp',
  'grant-full-control',
  'sse-customer-key',
  'encrypt',
];
const matchers = ['key', 'match', 'larger-than', 'smaller-than', 'older-than', 'newer-than'];

describe('an object has, however it is sent,', () => {
  test.each(fields)('%s', async (lines, head) => {
    const it = await place(lines);
    for (const key of await it.uploadEachWay('docs')) {
      expect(await it.head(key), key).toMatchObject(head);
    }
    expect(it.headers('docs/lean.log')).toEqual(it.headers('docs/sdk.log'));
  });

  test('every field', () => {
    const shown = fields.flatMap(([lines]) => lines.split('\n').map((line) => line.split(':')[0]!));
    expect(new Set([...shown, ...others, ...matchers, 'checksum'])).toEqual(
      new Set(Object.keys(ruleSchema.shape)),
    );
  });

  test('its tags', async () => {
    const it = await place('tags: {Kind: "{ext}", Dir: "{dir:1}", "a b": "c/d+e=f"}');
    for (const key of await it.uploadEachWay('docs')) {
      expect(await it.tags(key), key).toEqual({ Kind: 'log', Dir: 'docs', 'a b': 'c/d+e=f' });
    }
    expect(it.bucket.count('PutObjectTagging')).toBe(0);
  });

  test('its retention from the upload on, and its legal hold', async () => {
    const it = await place('object-lock: {mode: COMPLIANCE, retain: 30d, legal-hold: true}');
    const beforeMs = Date.now();
    for (const Key of await it.uploadEachWay('docs')) {
      const object = { Bucket: it.bucket.name, Key };
      const { Retention } = await it.client.send(new GetObjectRetentionCommand(object));
      expect(Retention?.Mode).toBe('COMPLIANCE');
      const untilMs = Retention?.RetainUntilDate?.getTime() ?? 0;
      expect(untilMs).toBeGreaterThanOrEqual(beforeMs + 30 * dayMs);
      expect(untilMs).toBeLessThanOrEqual(Date.now() + 30 * dayMs + 1000);
      const { LegalHold } = await it.client.send(new GetObjectLegalHoldCommand(object));
      expect(LegalHold?.Status).toBe('ON');
    }
  });

  test('the context of its KMS key', async () => {
    const it = await place('sse: aws:kms\nsse-kms-encryption-context: {department: é}');
    for (const key of await it.uploadEachWay('docs')) {
      const { 'x-amz-server-side-encryption-context': context = '' } = it.headers(key);
      expect(JSON.parse(Buffer.from(context, 'base64').toString())).toEqual({ department: 'é' });
    }
  });

  test.each<[lines: string, headers: Record<string, string>]>([
    ['acl: public-read', { 'x-amz-acl': 'public-read' }],
    [
      'grant-read: [id=a, "uri=http://b/c"]\ngrant-read-acp: id=d\ngrant-write-acp: id=e\ngrant-full-control: id=f',
      {
        'x-amz-grant-read': 'id="a", uri="http://b/c"',
        'x-amz-grant-read-acp': 'id="d"',
        'x-amz-grant-write-acp': 'id="e"',
        'x-amz-grant-full-control': 'id="f"',
      },
    ],
  ])('%s', async (lines, headers) => {
    const it = await place(lines);
    await it.client.send(
      new PutBucketOwnershipControlsCommand({
        Bucket: it.bucket.name,
        OwnershipControls: { Rules: [{ ObjectOwnership: 'ObjectWriter' }] },
      }),
    );
    for (const key of await it.uploadEachWay('docs')) expect(it.headers(key), key).toMatchObject(headers);
  });

  test.each<[lines: string, head: (head: HeadObjectCommandOutput) => string | undefined]>([
    ['checksum: crc32', (head) => head.ChecksumCRC32],
    ['checksum: sha256', (head) => head.ChecksumSHA256],
    ['checksum: crc64nvme', (head) => head.ChecksumCRC64NVME],
  ])('%s', async (lines, checksum) => {
    const it = await place(lines);
    for (const key of ['a', 'b']) {
      const result = await it.upload(key, smallBytes, { checksum: 'none' });
      expect(result).toMatchObject({ kind: 'written', checksum: { value: checksum(await it.head(key)) } });
    }
  });

  test('no checksum, where the rule says so', async () => {
    const it = await place('checksum: none');
    for (const key of ['a', 'b']) {
      await it.upload(key, smallBytes);
      expect(it.headers(key)).not.toHaveProperty('x-amz-checksum-crc32');
    }
  });
});

describe('an object under SSE-C', () => {
  const lines = 'sse-customer-key: ${cred:key}';

  test('is encrypted, and looked at, with the key', async () => {
    const it = await place(lines);
    for (const key of await it.uploadEachWay('docs')) {
      expect(await it.s3.head(key), key).toMatchObject({ object: { opaqueEtag: true } });
      await expect(it.head(key), key).rejects.toMatchObject({ $metadata: { httpStatusCode: 400 } });
      const withKey = { SSECustomerAlgorithm: 'AES256', SSECustomerKey: customerKey };
      expect(await it.head(key, withKey), key).toMatchObject({ SSECustomerAlgorithm: 'AES256' });
    }
  });

  test('shows its key to nobody but the store', async () => {
    const it = await place(lines);
    const [key = ''] = await it.uploadEachWay('docs');
    expect(JSON.stringify(it.bucket.attributes(key))).not.toContain(customerKey);
    it.bucket.server.faults.add({ kind: 'answer', status: 400, code: 'InvalidArgument' });
    const failure = await it.upload('b', smallBytes).catch((error: unknown) => error);
    expect(String(failure)).toContain('InvalidArgument');
    expect(String(failure)).not.toContain(customerKey);
  });

  test('is found where it is not encrypted, or not there', async () => {
    const it = await place(lines);
    const etag = it.bucket.put('plain', 'content');
    expect(await it.s3.head('plain')).toMatchObject({ kind: 'object', object: { etag } });
    expect(await it.s3.head('nothing')).toEqual({ kind: 'absent' });
  });

  test('that another key encrypted is an error, not an absence', async () => {
    const it = await place(lines);
    await it.upload('a', smallBytes);
    const other = Buffer.alloc(32, 8).toString('base64');
    const withOther = new Place(it.bucket, [{ match: '**', encryption: { sse: 'customer', key: other } }]);
    await expect(withOther.s3.head('a')).rejects.toMatchObject({ name: 'Failure', class: 'permanent' });
  });
});

describe('the ETag of an object', () => {
  test.each(['sse: aws:kms', 'sse: aws:kms:dsse', 'sse-customer-key: ${cred:key}'])(
    'says nothing of its content under %s',
    async (lines) => {
      const it = await place(lines);
      await it.upload('a', smallBytes);
      expect(await it.s3.head('a')).toMatchObject({ object: { opaqueEtag: true } });
    },
  );

  test('is an MD5 under AES256', async () => {
    const it = await place('sse: AES256');
    await it.upload('a', smallBytes);
    expect(await it.s3.head('a')).not.toHaveProperty('object.opaqueEtag');
  });
});

describe('tags that a store drops on multipart uploads', () => {
  const lines = 'tags: {Kind: "{ext}"}';

  test('are put after Complete, where the first upload showed it', async () => {
    const it = await place(lines, ['drop-multipart-tags']);
    for (const key of ['a.log', 'b.log']) {
      await it.upload(key, largeBytes);
      expect(await it.tags(key)).toEqual({ Kind: 'log' });
    }
    // It is asked about once.
    expect(it.bucket.count('HeadObject')).toBe(1);
    expect(it.bucket.count('PutObjectTagging')).toBe(2);
  });

  test('are put without asking, where the probe found it', async () => {
    const it = await place(lines, ['drop-multipart-tags']);
    it.s3.keeps.parts.tags = false;
    await it.upload('a.log', largeBytes);
    expect(await it.tags('a.log')).toEqual({ Kind: 'log' });
    expect(it.bucket.count('HeadObject')).toBe(0);
  });

  test('are asked about once where it keeps them, and never for files without', async () => {
    const it = await place(lines);
    await it.upload('a.log', largeBytes);
    await it.upload('b.log', largeBytes);
    expect(it.bucket.count('HeadObject')).toBe(1);
    expect(it.bucket.count('PutObjectTagging')).toBe(0);
    const without = await place('cache-control: no-store', ['drop-multipart-tags']);
    await without.upload('a.log', largeBytes);
    expect(without.bucket.count('HeadObject')).toBe(0);
  });

  test('fail the upload when they cannot be put', async () => {
    const it = await place(lines, ['drop-multipart-tags']);
    it.bucket.server.faults.add({
      kind: 'answer',
      operation: 'PutObjectTagging',
      status: 403,
      code: 'AccessDenied',
    });
    await expect(it.upload('a.log', largeBytes)).rejects.toMatchObject({ class: 'denied' });
  });
});

describe('a lock that a store forgets of a multipart upload', () => {
  test('is put after Complete', async () => {
    const it = await place('object-lock: {mode: COMPLIANCE, retain: 30d, legal-hold: true}', [
      'drop-multipart-locks',
    ]);
    for (const key of ['a', 'b']) {
      await it.upload(key, largeBytes);
      expect(await it.head(key)).toMatchObject({
        ObjectLockMode: 'COMPLIANCE',
        ObjectLockLegalHoldStatus: 'ON',
      });
    }
    expect(it.bucket.count('PutObjectRetention')).toBe(2);
    expect(it.bucket.count('PutObjectLegalHold')).toBe(2);
  });

  test('is not put where the store keeps it', async () => {
    const it = await place('object-lock: {mode: COMPLIANCE, retain: 30d, legal-hold: true}');
    await it.upload('a', largeBytes);
    await it.upload('b', largeBytes);
    expect(it.bucket.count('PutObjectRetention')).toBe(0);
    // It is asked about once.
    expect(it.bucket.count('HeadObject')).toBe(1);
  });

  test('fails the upload when it cannot be put', async () => {
    const it = await place('object-lock: {legal-hold: true}', ['drop-multipart-locks']);
    it.bucket.server.faults.add({
      kind: 'answer',
      operation: 'PutObjectLegalHold',
      status: 403,
      code: 'AccessDenied',
    });
    await expect(it.upload('a', largeBytes)).rejects.toMatchObject({ class: 'denied' });
  });
});

describe('what no object can be', () => {
  test('is not sent', async () => {
    const tags = (names: string) => Object.fromEntries(names.split('').map((name) => [name, 'x']));
    const bucket = await testBucket();
    const it = new Place(bucket, [
      { match: '**', tags: tags('abcdef') },
      { match: '*.log', tags: tags('ghijk') },
    ]);
    expect(await it.upload('a.log', smallBytes)).toMatchObject({ kind: 'unfit', reason: 'too-many-tags' });
    expect(await it.upload('b.txt', smallBytes)).toMatchObject({ kind: 'written' });
    expect(bucket.count('PutObject')).toBe(1);
  });
});

test('a locked file of a store that enforces conditions on PutObject only has its checksum', async () => {
  const it = await place('object-lock: {legal-hold: true}');
  const capabilities = {
    putIfAbsent: true,
    putIfMatch: 'quoted',
    completeIfAbsent: false,
    copySourceIfMatch: true,
    copyIfAbsent: true,
    copyIfMatch: true,
    checksums: true,
    multipartTags: true,
    deleteIfMatch: true,
  } as const;
  const precondition: Precondition = absent;
  expect(await it.upload('a', largeBytes, { capabilities, precondition })).toMatchObject({ kind: 'written' });
  expect(await it.head('a')).toMatchObject({ ObjectLockLegalHoldStatus: 'ON' });
  expect(it.bucket.count('PutObject')).toBe(1);
});

// What a credential with a policy may do: each request needs exactly the actions that AWS documents, and no policy says
// more than it says.
import {
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  PutObjectTaggingCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import { compilePolicy, type Ask, type PolicyDocument } from './iam.ts';
import { Bucket, connect, outcome, start, type Fixture } from './testing.ts';

const objects = `arn:aws:s3:::${Bucket}/*`;
const bucketItself = `arn:aws:s3:::${Bucket}`;
const keys = 'arn:aws:kms:us-east-1:111122223333:key/*';

type Statement = PolicyDocument['Statement'][number];

function policy(...statements: Partial<Statement>[]): PolicyDocument {
  const whole = statements.map((statement): Statement => ({
    Effect: 'Allow',
    Action: 's3:*',
    Resource: '*',
    ...statement,
  }));
  return { Version: '2012-10-17', Statement: whole };
}

/** A client whose credential has this policy, beside the one that may do everything. */
function limited(fixture: Fixture, document: PolicyDocument) {
  const credential = { accessKey: 'limited', secretKey: 'secret', policy: document };
  fixture.server.credentials.set('limited', credential);
  return connect({ ...addressOf(fixture), accessKey: 'limited', secretKey: 'secret' });
}

function addressOf({ server: { endpoint, region } }: Fixture) {
  return { endpoint, region };
}

const Key = 'k';
const key = { Bucket, Key };
const kms = { ServerSideEncryption: 'aws:kms', SSEKMSKeyId: 'abcd-12' } as const;
const CopySource = `${Bucket}/tagged`;
const etag = { IfMatch: '*' };

describe('a request needs exactly', () => {
  test.each<[string, command: { input: object }, actions: string[]]>([
    ['PutObject', new PutObjectCommand({ ...key, Body: 'x' }), ['s3:PutObject']],
    [
      'If-None-Match',
      new PutObjectCommand({ Bucket, Key: 'new', Body: 'x', IfNoneMatch: '*' }),
      ['s3:PutObject'],
    ],
    ['If-Match', new PutObjectCommand({ ...key, Body: 'x', ...etag }), ['s3:PutObject', 's3:GetObject']],
    ['tags', new PutObjectCommand({ ...key, Tagging: 'a=b' }), ['s3:PutObject', 's3:PutObjectTagging']],
    ['an ACL', new PutObjectCommand({ ...key, ACL: 'private' }), ['s3:PutObject', 's3:PutObjectAcl']],
    [
      'a lock',
      new PutObjectCommand({
        ...key,
        ObjectLockMode: 'GOVERNANCE',
        ObjectLockRetainUntilDate: new Date(Date.now() + 1e6),
        ObjectLockLegalHoldStatus: 'OFF',
        ContentMD5: '1B2M2Y8AsgTpgAmY7PhCfg==',
      }),
      ['s3:PutObject', 's3:PutObjectRetention', 's3:PutObjectLegalHold'],
    ],
    ['a key of KMS', new PutObjectCommand({ ...key, ...kms }), ['s3:PutObject', 'kms:GenerateDataKey']],
    ["S3's own key", new PutObjectCommand({ ...key, ServerSideEncryption: 'aws:kms' }), ['s3:PutObject']],
    [
      'an upload in parts with a key of KMS',
      new CreateMultipartUploadCommand({ ...key, ...kms }),
      ['s3:PutObject', 'kms:GenerateDataKey', 'kms:Decrypt'],
    ],
    [
      'an upload in parts with tags',
      new CreateMultipartUploadCommand({ ...key, Tagging: 'a=b' }),
      ['s3:PutObject', 's3:PutObjectTagging'],
    ],
    ['HeadObject', new HeadObjectCommand(key), ['s3:GetObject']],
    [
      'GetObject of a key of KMS',
      new GetObjectCommand({ Bucket, Key: 'kms' }),
      ['s3:GetObject', 'kms:Decrypt'],
    ],
    ['HeadObject of a key of KMS', new HeadObjectCommand({ Bucket, Key: 'kms' }), ['s3:GetObject']],
    [
      'its checksum',
      new HeadObjectCommand({ Bucket, Key: 'kms', ChecksumMode: 'ENABLED' }),
      ['s3:GetObject', 'kms:Decrypt'],
    ],
    [
      'CopyObject, which takes the tags along',
      new CopyObjectCommand({ ...key, CopySource }),
      ['s3:GetObject', 's3:GetObjectTagging', 's3:PutObject', 's3:PutObjectTagging'],
    ],
    [
      'CopyObject without the tags',
      new CopyObjectCommand({ ...key, CopySource, TaggingDirective: 'REPLACE' }),
      ['s3:GetObject', 's3:PutObject'],
    ],
    [
      'CopyObject with other tags',
      new CopyObjectCommand({ ...key, CopySource, TaggingDirective: 'REPLACE', Tagging: 'a=b' }),
      ['s3:GetObject', 's3:PutObject', 's3:PutObjectTagging'],
    ],
    [
      'CopyObject of a key of KMS',
      new CopyObjectCommand({ ...key, CopySource: `${Bucket}/kms` }),
      ['s3:GetObject', 's3:PutObject', 'kms:Decrypt'],
    ],
    [
      'CopyObject onto what is there',
      new CopyObjectCommand({ ...key, CopySource: `${Bucket}/plain`, ...etag }),
      ['s3:GetObject', 's3:PutObject'],
    ],
    [
      'PutObjectTagging',
      new PutObjectTaggingCommand({ ...key, Tagging: { TagSet: [] } }),
      ['s3:PutObjectTagging'],
    ],
    ['DeleteObject', new DeleteObjectCommand(key), ['s3:DeleteObject']],
    [
      'a conditional delete',
      new DeleteObjectCommand({ ...key, ...etag }),
      ['s3:DeleteObject', 's3:GetObject'],
    ],
    ['ListObjectsV2', new ListObjectsV2Command({ Bucket }), ['s3:ListBucket']],
    ['ListMultipartUploads', new ListMultipartUploadsCommand({ Bucket }), ['s3:ListBucketMultipartUploads']],
  ])('%s', async (_name, command, actions) => {
    await using fixture = await start({ buckets: [{ name: Bucket, objectLock: true }] });
    for (const [Key, more] of [
      ['k', {}],
      ['plain', {}],
      ['tagged', { Tagging: 'c=d' }],
      ['kms', kms],
    ] as const) {
      await fixture.client.send(
        new PutObjectCommand({ Bucket, Key, Body: 'x', ChecksumAlgorithm: 'CRC32', ...more }),
      );
    }
    const answer = async (allowed: readonly string[]) => {
      const client = limited(fixture, policy({ Action: allowed, Resource: [bucketItself, objects, keys] }));
      const { length } = fixture.server.requests;
      const result = await outcome(client.send(command as PutObjectCommand));
      client.destroy();
      expect(fixture.server.requests).toHaveLength(length + 1);
      return result.slice(0, 3);
    };
    for (const left of actions) {
      const others = ['s3:none', ...actions.filter((action) => action !== left)];
      expect(await answer(others), `without ${left}`).toBe('403');
    }
    expect(await answer(actions)).toMatch(/^20[04]$/);
  });
});

test('a missing key is 404 where it may be listed, else 403', async () => {
  await using fixture = await start();
  const read = { Action: 's3:GetObject', Resource: objects };
  const list = (prefix: string) => ({
    Action: 's3:ListBucket',
    Resource: bucketItself,
    Condition: { StringLike: { 's3:prefix': prefix } },
  });
  const head = (...statements: Partial<Statement>[]) =>
    outcome(
      limited(fixture, policy(read, ...statements)).send(new HeadObjectCommand({ Bucket, Key: 'p/missing' })),
    );
  expect(await head()).toBe('403 Unknown');
  expect(await head(list('other/*'))).toBe('403 Unknown');
  expect(await head(list('p/*'))).toBe('404 NotFound');
});

test('only what lies below the prefix is listed', async () => {
  await using fixture = await start();
  const Condition = { StringLike: { 's3:prefix': 'p/*' } };
  const client = limited(fixture, policy({ Action: 's3:ListBucket', Condition }));
  const list = (Prefix?: string) => outcome(client.send(new ListObjectsV2Command({ Bucket, Prefix })));
  expect(await list('p/')).toBe('200');
  expect(await list('p/q')).toBe('200');
  expect(await list('o')).toBe('403 AccessDenied');
  expect(await list()).toBe('403 AccessDenied');
});

test('tags and locks of an object are told to those who may ask for them', async () => {
  await using fixture = await start();
  await fixture.client.send(new PutObjectCommand({ Bucket, Key, Tagging: 'a=b' }));
  const count = async (...actions: string[]) => {
    const client = limited(fixture, policy({ Action: actions }));
    return (await client.send(new HeadObjectCommand({ Bucket, Key }))).TagCount;
  };
  expect(await count('s3:GetObject')).toBeUndefined();
  expect(await count('s3:GetObject', 's3:GetObjectTagging')).toBe(1);
});

test('parts belong to the action of the object', async () => {
  await using fixture = await start();
  const { UploadId } = await fixture.client.send(new CreateMultipartUploadCommand({ Bucket, Key }));
  const part = { Bucket, Key, UploadId, PartNumber: 1, Body: 'x' };
  const send = (Action: string) =>
    outcome(limited(fixture, policy({ Action })).send(new UploadPartCommand(part)));
  expect(await send('s3:PutObject')).toBe('200');
  expect(await send('s3:GetObject')).toBe('403 AccessDenied');
});

describe('a policy', () => {
  const ask = (more: Partial<Ask> = {}): Ask => ({
    action: 's3:GetObject',
    arn: 'arn:aws:s3:::b/a*b',
    context: {},
    ...more,
  });
  test.each<[string, Partial<Statement>[], Partial<Ask>, boolean]>([
    ['allows what it names', [{}], {}, true],
    ['in any case', [{ Action: 'S3:getobject' }], {}, true],
    ['with wildcards', [{ Action: 's3:Get*', Resource: 'arn:aws:s3:::b/a?b' }], {}, true],
    ['and not more', [{ Action: 's3:Get' }], {}, false],
    ['nor elsewhere', [{ Resource: 'arn:aws:s3:::b' }], {}, false],
    [
      'takes a wildcard as it stands',
      [{ Resource: 'arn:aws:s3:::b/a${*}b' }],
      { arn: 'arn:aws:s3:::b/axb' },
      false,
    ],
    ['and finds it', [{ Resource: 'arn:aws:s3:::b/a${*}b' }], {}, true],
    ['denies before it allows', [{}, { Effect: 'Deny', Action: 's3:GetObject' }], {}, false],
    ['with a condition', [{ Condition: { StringEquals: { x: ['1', '2'] } } }], { context: { x: '2' } }, true],
    ['that does not hold', [{ Condition: { StringEquals: { x: '1' } } }], { context: { x: '2' } }, false],
    ['whose key is not there', [{ Condition: { StringLike: { x: '*' } } }], {}, false],
    ['or must not be', [{ Condition: { StringNotEquals: { x: '1' } } }], {}, true],
  ])('%s', (_name, statements, asked, isAllowed) => {
    expect(compilePolicy(policy(...statements))(ask(asked))).toBe(isAllowed);
  });

  test.each<[string, Partial<Statement> & object]>([
    ['NotAction', { NotAction: 's3:*' } as object],
    ['condition Bool', { Condition: { Bool: { x: 'true' } } }],
    ['a variable', { Resource: 'arn:aws:s3:::b/${aws:username}' }],
  ])('that has %s is refused', (what, statement) => {
    expect(() => compilePolicy(policy(statement))).toThrow(what);
  });
});

// What `check` says of a destination: each finding is provoked on the local server, and a healthy bucket has none.
import {
  DeletePublicAccessBlockCommand,
  PutBucketAclCommand,
  PutBucketLifecycleConfigurationCommand,
  PutBucketOwnershipControlsCommand,
  PutBucketPolicyCommand,
  PutBucketVersioningCommand,
  PutObjectLockConfigurationCommand,
  DeleteBucketEncryptionCommand,
  PutBucketEncryptionCommand,
  type LifecycleRule,
  type S3Client,
} from '@aws-sdk/client-s3';
import { describe, expect, onTestFinished, test } from 'vitest';
import { checkConfig } from '../../src/check/check.ts';
import type { Finding, Topic } from '../../src/check/finding.ts';
import type { DestinationConfig } from '../../src/config/config.ts';
import { runnerPolicy } from '../../src/config/iam-policy.ts';
import { configOf, configWith } from '../config/helpers.ts';
import { testBucket, type Bucket } from '../helpers/bucket.ts';
import type { S3ServerOptions } from '../s3-server/server.ts';
import { connect } from '../s3-server/testing.ts';

const name = 'acme-backup';

interface Given {
  readonly server?: S3ServerOptions;
  /** Lines of the folder. */
  readonly folder?: string;
  readonly destination?: Partial<DestinationConfig>;
  /** How the bucket is set up. */
  readonly setUp?: (client: S3Client, bucket: Bucket) => Promise<unknown>;
}

/** What is found of the destination. */
async function found({
  server,
  folder = '',
  destination = {},
  setUp = endUploads,
}: Given): Promise<Finding[]> {
  const bucket = await testBucket(server);
  const client = connect(bucket.server);
  onTestFinished(() => client.destroy());
  await setUp(client, bucket);
  const config = configOf(configWith({ folder }));
  const destinations = new Map([['backup', bucket.destination(destination)]]);
  const findings = await checkConfig({ ...config, destinations });
  return findings.filter(({ subject }) => subject === 'destination "backup"');
}

const withRule = (rule: string): Given => ({ folder: `rules: [{match: "**", ${rule}}]` });

function setLifecycle(client: S3Client, ...Rules: Partial<LifecycleRule>[]): Promise<unknown> {
  const rules = Rules.map((rule, index): LifecycleRule => ({
    ID: `rule ${index}`,
    Status: 'Enabled',
    Filter: { Prefix: '' },
    ...rule,
  }));
  const LifecycleConfiguration = { Rules: rules };
  return client.send(new PutBucketLifecycleConfigurationCommand({ Bucket: name, LifecycleConfiguration }));
}

const afterAWeek = { AbortIncompleteMultipartUpload: { DaysAfterInitiation: 7 } };

function endUploads(client: S3Client): Promise<unknown> {
  return setLifecycle(client, afterAWeek);
}

function setVersioning(client: S3Client): Promise<unknown> {
  const VersioningConfiguration = { Status: 'Enabled' } as const;
  return client.send(new PutBucketVersioningCommand({ Bucket: name, VersioningConfiguration }));
}

async function versioned(client: S3Client): Promise<void> {
  await endUploads(client);
  await setVersioning(client);
}

async function openToAll(client: S3Client): Promise<void> {
  await endUploads(client);
  await client.send(new DeletePublicAccessBlockCommand({ Bucket: name }));
  const Statement = [
    { Effect: 'Allow', Principal: '*', Action: 's3:GetObject', Resource: `arn:aws:s3:::${name}/*` },
  ];
  await client.send(new PutBucketPolicyCommand({ Bucket: name, Policy: JSON.stringify({ Statement }) }));
}

async function openByAcl(client: S3Client): Promise<void> {
  await endUploads(client);
  await client.send(new DeletePublicAccessBlockCommand({ Bucket: name }));
  await setOwnership(client);
  await client.send(new PutBucketAclCommand({ Bucket: name, ACL: 'public-read' }));
}

function setOwnership(client: S3Client): Promise<unknown> {
  const OwnershipControls = { Rules: [{ ObjectOwnership: 'ObjectWriter' as const }] };
  return client.send(new PutBucketOwnershipControlsCommand({ Bucket: name, OwnershipControls }));
}

async function lockAll(client: S3Client): Promise<void> {
  await endUploads(client);
  const ObjectLockConfiguration = {
    ObjectLockEnabled: 'Enabled',
    Rule: { DefaultRetention: { Mode: 'GOVERNANCE', Days: 1 } },
  } as const;
  await client.send(new PutObjectLockConfigurationCommand({ Bucket: name, ObjectLockConfiguration }));
}

const objectLock: S3ServerOptions = { buckets: [{ name, objectLock: true }] };

test('a healthy bucket has nothing but what is in order', async () => {
  const findings = await found({
    folder: 'policy: if-unchanged',
    setUp: versioned,
  });
  expect(findings.map(({ level, topic, message }) => `${level} ${topic}: ${message}`)).toEqual([
    'ok access: acme-backup/ can be written',
    'ok conditions: enforces conditions',
    'ok checksums: keeps checksums',
    'ok clock: has the same time',
    'ok versioning: keeps versions',
    'ok public: is not public',
    'ok encryption: encrypts by default (AES256)',
    'ok lifecycle: ends abandoned uploads',
  ]);
});

describe('is found:', () => {
  test.each<[what: string, Given, level: Finding['level'], Topic, message: string, advice: string]>([
    [
      'nobody listens',
      { destination: { endpoint: 'http://127.0.0.1:1' } },
      'error',
      'access',
      'nothing listens there',
      '',
    ],
    [
      'another region',
      { server: { buckets: [{ name, region: 'eu-west-1' }] }, setUp: async () => undefined },
      'error',
      'access',
      'the bucket is in eu-west-1: set `region: eu-west-1`',
      '',
    ],
    [
      'a region that the signature is refused for',
      { destination: { region: 'eu-west-1' } },
      'error',
      'access',
      'the bucket is in us-east-1: set `region: us-east-1`',
      '',
    ],
    [
      'another owner',
      { destination: { expectedBucketOwner: '999999999999' } },
      'error',
      'owner',
      'does not belong to account 999999999999',
      'find out whose it is',
    ],
    [
      'a clock that is off',
      {
        setUp: async (client, { server }) => {
          await endUploads(client);
          server.faults.add({ kind: 'clock', offsetSeconds: 60 });
        },
      },
      'warning',
      'clock',
      'is 60 s ahead of this machine',
      'timedatectl set-ntp true',
    ],
    [
      'no conditions',
      { server: { legacy: ['ignore-if-none-match'] }, folder: 'policy: skip-existing' },
      'error',
      'conditions',
      'ignores If-None-Match, so it cannot keep the policy of "documents" (skip-existing)',
      'unsafe-emulation: true',
    ],
    [
      'no If-Match',
      { server: { legacy: ['ignore-if-match'] }, folder: 'policy: newer-wins' },
      'error',
      'conditions',
      'ignores If-Match, so it cannot keep the policy of "documents" (newer-wins)',
      'unsafe-emulation: true',
    ],
    [
      'no conditions on deletes',
      {
        server: { legacy: ['ignore-conditions-on-delete'] },
        folder: 'policy: if-unchanged\ndelete: propagate',
        setUp: versioned,
      },
      'error',
      'conditions',
      'ignores If-Match on deletes, so it cannot keep the policy of "documents" (if-unchanged)',
      'policy overwrite',
    ],
    [
      'no right to delete',
      {
        server: { authorise: (action) => action !== 's3:DeleteObject' },
        folder: 'delete: propagate',
        setUp: versioned,
      },
      'error',
      'conditions',
      'lacks the right s3:DeleteObject or s3:GetObject, and deletes of "documents" (overwrite) are carried out there',
      'grant both, or use delete: keep',
    ],
    [
      'deletes without versions',
      { folder: 'delete: propagate' },
      'warning',
      'versioning',
      'keeps no versions, and deletes of "documents" are carried out there',
      'aws s3api put-bucket-versioning --bucket acme-backup',
    ],
    [
      'no conditions at the end of multipart uploads',
      { server: { legacy: ['ignore-conditions-on-complete'] }, folder: 'policy: skip-existing' },
      'warning',
      'conditions',
      'those over 5 GiB are blocked',
      '',
    ],
    [
      'no right to look',
      {
        server: { authorise: (action) => action !== 's3:GetObject' },
        folder: 'policy: if-unchanged',
      },
      'error',
      'conditions',
      'lacks the right s3:GetObject, which the policy of "documents" (if-unchanged) needs',
      'grant it',
    ],
    [
      'no checksums',
      { server: { legacy: ['ignore-checksums'] } },
      'warning',
      'checksums',
      'does not keep checksums',
      '',
    ],
    [
      'no tags on multipart uploads',
      { server: { legacy: ['drop-multipart-tags'] }, ...withRule('tags: {A: b}') },
      'warning',
      'tags',
      'drops tags of files over 8 MiB',
      '',
    ],
    [
      'rules that set ACLs where there are none',
      withRule('acl: public-read'),
      'error',
      'acls',
      'its bucket has ACLs disabled (object ownership: bucket owner enforced), and rules of "documents" set some',
      'use a bucket policy',
    ],
    [
      'rules that grant rights where there are no ACLs',
      withRule('grant-read: id=a'),
      'error',
      'acls',
      'ACLs disabled',
      'remove acl and grant-…',
    ],
    [
      'rules that lock where there are no locks',
      withRule('object-lock: {legal-hold: true}'),
      'error',
      'object-lock',
      'its bucket has no Object Lock, and rules of "documents" lock objects',
      'enable it for the bucket',
    ],
    [
      'uploads without checksum where everything is locked',
      { server: objectLock, destination: { checksum: 'none' }, setUp: lockAll },
      'error',
      'object-lock',
      'locks every object, for which S3 wants a checksum',
      'remove "checksum: none"',
    ],
    [
      'an encryption that is ignored',
      { server: { legacy: ['ignore-sse'] }, ...withRule('sse: aws:kms, sse-kms-key-id: alias/a') },
      'error',
      'rule-encryption',
      'ignores "sse: aws:kms" of folder "documents": its objects would not be encrypted',
      '',
    ],
    [
      'a policy for everybody',
      { setUp: openToAll },
      'error',
      'public',
      'its bucket is public by its policy',
      'aws s3api put-public-access-block --bucket acme-backup',
    ],
    [
      'an ACL for everybody',
      { setUp: openByAcl },
      'error',
      'public',
      'public by its ACL',
      'allow-public: true',
    ],
    [
      'a bucket that could become public',
      {
        setUp: async (client) => {
          await endUploads(client);
          await client.send(new DeletePublicAccessBlockCommand({ Bucket: name }));
        },
      },
      'note',
      'public',
      'is not public, and could become it',
      'aws s3api put-public-access-block --bucket acme-backup',
    ],
    [
      'no default encryption',
      {
        setUp: async (client) => {
          await endUploads(client);
          await client.send(new DeleteBucketEncryptionCommand({ Bucket: name }));
        },
      },
      'note',
      'encryption',
      'encrypts only what is sent with sse',
      'aws s3api put-bucket-encryption --bucket acme-backup',
    ],
    [
      'no end of abandoned uploads',
      { setUp: async () => undefined },
      'note',
      'lifecycle',
      'keeps the parts of uploads that nobody completes',
      `--lifecycle-configuration '{"Rules":[{"ID":"end-abandoned-uploads","Status":"Enabled","Filter":{"Prefix":""},"AbortIncompleteMultipartUpload":{"DaysAfterInitiation":7}}]}'`,
    ],
    [
      'an end for other prefixes only, to whose rules another is added',
      { setUp: (client) => setLifecycle(client, { ...afterAWeek, Filter: { Prefix: 'other/' } }) },
      'note',
      'lifecycle',
      'keeps the parts',
      'add to the 1 lifecycle rules of the bucket: {"ID":',
    ],
    [
      'an end that is switched off',
      { setUp: (client) => setLifecycle(client, { ...afterAWeek, Status: 'Disabled' }) },
      'note',
      'lifecycle',
      'keeps the parts',
      'add to the 1 lifecycle rules',
    ],
    [
      'a rule that deletes objects',
      { setUp: (client) => setLifecycle(client, { ...afterAWeek, Expiration: { Days: 30 } }) },
      'note',
      'lifecycle',
      'a lifecycle rule that deletes objects',
      '',
    ],
    [
      'what may not be asked',
      {
        server: { authorise: (action) => !/^s3:Get(Bucket(Acl|Policy|Versioning)|Lifecycle)/.test(action) },
        setUp: async () => undefined,
      },
      'note',
      'not-asked',
      'could not be asked about versioning, whether its policy is public, its ACL, lifecycle rules',
      'allow s3:GetBucketVersioning, s3:GetBucketPolicyStatus, s3:GetBucketAcl, s3:GetLifecycleConfiguration',
    ],
    [
      'what the store does not know',
      {
        setUp: async (client, { server }) => {
          await endUploads(client);
          for (const [operation, status, code] of [
            ['GetBucketEncryption', 501, 'NotImplemented'],
            ['GetPublicAccessBlock', 405, 'MethodNotAllowed'],
            ['GetBucketPolicyStatus', 404, 'NoSuchKey'],
          ] as const) {
            server.faults.add({ kind: 'answer', operation, status, code });
          }
        },
      },
      'note',
      'not-asked',
      'could not be asked about the public access block, whether its policy is public, default encryption: the store does not know',
      '',
    ],
  ])('%s', async (_what, given, level, topic, message, advice) => {
    const findings = (await found(given)).filter((finding) => finding.level !== 'ok');
    expect(findings).toMatchObject([{ level, topic, message: expect.stringContaining(message) as string }]);
    const { advice: said = '' } = findings[0]!;
    expect({ said, isSaid: said !== '' }).toEqual({
      said: expect.stringContaining(advice) as string,
      isSaid: advice !== '',
    });
  });
});

describe('is in order:', () => {
  test.each<[what: string, Given, Topic, message: string]>([
    [
      'a public bucket that is meant to be',
      { setUp: openToAll, destination: { allowPublic: true } },
      'public',
      'is public, as allow-public says',
    ],
    ['an ACL that changes nothing', withRule('acl: bucket-owner-full-control'), 'access', 'can be written'],
    [
      'an ACL where ACLs are on',
      {
        ...withRule('acl: public-read'),
        setUp: async (client) => {
          await endUploads(client);
          await setOwnership(client);
        },
      },
      'access',
      'can be written',
    ],
    [
      'a lock where there are locks',
      { server: objectLock, ...withRule('object-lock: {legal-hold: true}') },
      'versioning',
      'keeps versions',
    ],
    [
      'an encryption that the store knows',
      withRule('sse: aws:kms, sse-kms-key-id: alias/a'),
      'access',
      'can be written',
    ],
    [
      'a key of KMS by default',
      {
        setUp: async (client) => {
          await endUploads(client);
          const byDefault = { SSEAlgorithm: 'aws:kms', KMSMasterKeyID: 'alias/a' } as const;
          const ServerSideEncryptionConfiguration = {
            Rules: [{ ApplyServerSideEncryptionByDefault: byDefault }],
          };
          await client.send(
            new PutBucketEncryptionCommand({ Bucket: name, ServerSideEncryptionConfiguration }),
          );
        },
      },
      'encryption',
      'encrypts by default (aws:kms with key alias/a)',
    ],
    [
      'an end of uploads below the prefix',
      {
        destination: { prefix: 'web-1/docs/' },
        setUp: (client) => setLifecycle(client, { ...afterAWeek, Filter: { Prefix: 'web-1/' } }),
      },
      'lifecycle',
      'ends abandoned uploads',
    ],
    [
      'who may do what iam-policy prints',
      {
        setUp: async (client, { server }) => {
          await endUploads(client);
          const { accessKey, secretKey } = server;
          server.credentials.set(accessKey, {
            accessKey,
            secretKey,
            policy: runnerPolicy(configOf(configWith({}))),
          });
        },
      },
      'access',
      'can be written',
    ],
  ])('%s', async (_what, given, topic, message) => {
    const findings = await found(given);
    expect(findings.filter(({ level }) => level !== 'ok')).toEqual([]);
    expect(findings.find((finding) => finding.topic === topic)?.message).toContain(message);
  });
});

test(
  'each right of which `check` alone makes use is missed when it is taken away',
  { timeout: 60_000 },
  async () => {
    const config = configOf(configWith({}));
    const policy = runnerPolicy(config);
    const { Action: actions } = policy.Statement.find(({ Sid }) => Sid === 'BackupCheck')!;
    expect(actions.length).toBeGreaterThan(5);
    for (const action of actions) {
      const findings = await found({
        setUp: async (client, { server: { credentials, accessKey, secretKey } }) => {
          await endUploads(client);
          const Statement = policy.Statement.map((statement) => ({
            ...statement,
            Action: ['s3:none', ...statement.Action.filter((name) => name !== action)],
          }));
          credentials.set(accessKey, { accessKey, secretKey, policy: { ...policy, Statement } });
        },
      });
      const notes = findings.filter(({ level }) => level !== 'ok');
      expect(notes).toMatchObject([{ topic: 'not-asked', advice: `allow ${action} to have it checked` }]);
    }
  },
);

describe('uploads in parts that nobody ended', () => {
  const begun = (bucket: Bucket, daysAgo: number, key: string) =>
    bucket.server.store.createUpload({
      id: `upload of ${key}`,
      bucket: name,
      key,
      initiatedMs: Date.now() - daysAgo * 86_400_000,
    } as Parameters<typeof bucket.server.store.createUpload>[0]);

  test('are listed when they are a week old, and left alone', async () => {
    let place: Bucket | undefined;
    const findings = await found({
      setUp: async (client, bucket) => {
        await endUploads(client);
        begun(bucket, 8, 'big.iso');
        begun(bucket, 30, 'old.iso');
        begun(bucket, 6, 'young.iso');
        place = bucket;
      },
    });
    expect(findings.filter(({ topic }) => topic === 'uploads')).toEqual([
      expect.objectContaining({
        level: 'warning',
        message: expect.stringMatching(/^has 2 uploads in parts .*the oldest of "old\.iso" on /) as string,
        advice: expect.stringContaining('AbortIncompleteMultipartUpload') as string,
      }),
    ]);
    expect(place?.uploads).toEqual(['big.iso', 'old.iso', 'young.iso']);
  });
});

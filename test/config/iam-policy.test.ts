// What `iam-policy` prints for a config.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bucketPolicy, destinationPolicy, runnerPolicy } from '../../src/config/iam-policy.ts';
import { configOf, configWith, temporaryDirectory } from './helpers.ts';

const arn = 'arn:aws:s3:::acme-backup';
const always = ['s3:PutObject', 's3:AbortMultipartUpload', 's3:ListMultipartUploadParts', 's3:GetObject'];

function policyFor(parts: Parameters<typeof configWith>[0]) {
  return runnerPolicy(configOf(configWith(parts)));
}

function statement(policy: ReturnType<typeof policyFor>, sid: string) {
  return policy.Statement.find(({ Sid }) => Sid === sid);
}

test('the policy of a plain config, whole', () => {
  expect(policyFor({ destination: 'prefix: web-1/' })).toEqual({
    Version: '2012-10-17',
    Statement: [
      { Sid: 'BackupObjects', Effect: 'Allow', Action: always, Resource: [`${arn}/web-1/*`] },
      {
        Sid: 'BackupScratch',
        Effect: 'Allow',
        Action: ['s3:DeleteObject'],
        Resource: [`${arn}/web-1/.s3syncd-probe`],
      },
      {
        Sid: 'BackupList',
        Effect: 'Allow',
        Action: ['s3:ListBucket'],
        Resource: [arn],
        Condition: { StringLike: { 's3:prefix': ['web-1/*'] } },
      },
      { Sid: 'BackupUploads', Effect: 'Allow', Action: ['s3:ListBucketMultipartUploads'], Resource: [arn] },
      {
        Sid: 'BackupCheck',
        Effect: 'Allow',
        Action: [
          's3:GetBucketAcl',
          's3:GetBucketObjectLockConfiguration',
          's3:GetBucketOwnershipControls',
          's3:GetBucketPolicyStatus',
          's3:GetBucketPublicAccessBlock',
          's3:GetBucketVersioning',
          's3:GetEncryptionConfiguration',
          's3:GetLifecycleConfiguration',
        ],
        Resource: [arn],
      },
    ],
  });
});

describe('objects need, besides that', () => {
  test.each<[folder: string, actions: string[]]>([
    ['rules: [{match: "**", storage-class: STANDARD_IA, metadata: {a: b}, sse: AES256}]', []],
    ['policy: if-unchanged', []],
    ['delete: propagate', ['s3:DeleteObject']],
    [
      'rules: [{match: "*.log", tags: {A: b}}]',
      ['s3:PutObjectTagging', 's3:GetObjectTagging', 's3:PutObjectVersionTagging'],
    ],
    ['rules: [{match: "**", acl: bucket-owner-full-control}]', ['s3:PutObjectAcl', 's3:PutObjectVersionAcl']],
    ['rules: [{match: "**", grant-read: id=abc}]', ['s3:PutObjectAcl', 's3:PutObjectVersionAcl']],
    [
      'rules: [{match: "**", object-lock: {mode: GOVERNANCE, retain: 30d}}]',
      ['s3:PutObjectRetention', 's3:GetObjectRetention'],
    ],
    [
      'rules: [{match: "**", object-lock: {legal-hold: true}}]',
      ['s3:PutObjectLegalHold', 's3:GetObjectLegalHold'],
    ],
  ])('%s: %j', (folder, actions) => {
    expect(statement(policyFor({ folder }), 'BackupObjects')?.Action).toEqual([...always, ...actions]);
  });
});

test('folders that need other actions have statements of their own', () => {
  const top = [
    '  logs:',
    '    path: logs',
    '    to: backup',
    '    rules: [{match: "**", tags: {A: b}}]',
  ].join('\n');
  const policy = policyFor({ destination: 'prefix: "{folder}/"', top });
  expect(statement(policy, 'BackupObjects')).toMatchObject({
    Action: always,
    Resource: [`${arn}/documents/*`],
  });
  expect(statement(policy, 'BackupObjects2')).toMatchObject({
    Action: [...always, 's3:PutObjectTagging', 's3:GetObjectTagging', 's3:PutObjectVersionTagging'],
    Resource: [`${arn}/logs/*`],
  });
  expect(statement(policy, 'BackupList')?.Condition).toEqual({
    StringLike: { 's3:prefix': ['documents/*', 'logs/*'] },
  });
});

test('what is archived is written there, and looked at where the rules describe it', () => {
  const archive = 'delete: archive\narchive-prefix: "old/{folder}/"';
  const plain = policyFor({ destination: 'prefix: new/', folder: archive });
  expect(statement(plain, 'BackupObjects')?.Action).toContain('s3:DeleteObject');
  expect(statement(plain, 'BackupObjects2')).toMatchObject({
    Action: ['s3:PutObject'],
    Resource: [`${arn}/old/documents/*`],
  });
  expect(statement(plain, 'BackupList')?.Condition).toEqual({ StringLike: { 's3:prefix': ['new/*'] } });
  const folder = `${archive}\nrules: [{match: "**", tags: {A: b}}]`;
  expect(statement(policyFor({ destination: 'prefix: new/', folder }), 'BackupObjects2')?.Action).toEqual([
    's3:PutObject',
    's3:GetObject',
    's3:PutObjectTagging',
    's3:GetObjectTagging',
  ]);
});

test('a prefix is taken as it stands, and none is the whole bucket', () => {
  const odd = policyFor({ destination: 'prefix: "a*b?$/"' });
  expect(statement(odd, 'BackupObjects')?.Resource).toEqual([`${arn}/a\${*}b\${?}\${$}/*`]);
  const whole = policyFor({});
  expect(statement(whole, 'BackupObjects')?.Resource).toEqual([`${arn}/*`]);
  expect(statement(whole, 'BackupList')).not.toHaveProperty('Condition');
});

describe('a key of KMS', () => {
  test.each<[key: string, region: string, resource: string, condition: object]>([
    ['1234-ab', 'eu-central-1', 'arn:aws:kms:eu-central-1:*:key/1234-ab', {}],
    [
      'arn:aws:kms:eu-west-1:111122223333:key/1234-ab',
      'eu-west-1',
      'arn:aws:kms:eu-west-1:111122223333:key/1234-ab',
      {},
    ],
    [
      'alias/backup',
      'eu-central-1',
      'arn:aws:kms:eu-central-1:*:key/*',
      { 'ForAnyValue:StringEquals': { 'kms:ResourceAliases': ['alias/backup'] } },
    ],
    [
      'arn:aws:kms:eu-west-1:111122223333:alias/backup',
      'eu-west-1',
      'arn:aws:kms:eu-west-1:111122223333:key/*',
      { 'ForAnyValue:StringEquals': { 'kms:ResourceAliases': ['alias/backup'] } },
    ],
  ])('%s is used through S3 only', (key, region, resource, condition) => {
    const folder = `rules: [{match: "**", sse: aws:kms, sse-kms-key-id: "${key}"}]`;
    expect(statement(policyFor({ destination: `region: ${region}`, folder }), 'BackupKey')).toEqual({
      Sid: 'BackupKey',
      Effect: 'Allow',
      Action: ['kms:GenerateDataKey', 'kms:Decrypt'],
      Resource: [resource],
      Condition: { StringLike: { 'kms:ViaService': [`s3.${region}.amazonaws.com`] }, ...condition },
    });
  });

  test('is not asked for where it is the one of S3', () => {
    const policy = policyFor({ folder: 'rules: [{match: "**", sse: aws:kms}]' });
    expect(statement(policy, 'BackupKey')).toBeUndefined();
  });
});

test.each([
  ['eu-central-1', 'aws'],
  ['cn-north-1', 'aws-cn'],
  ['us-gov-west-1', 'aws-us-gov'],
])('in %s the partition is %s', (region, partition) => {
  const folder = 'rules: [{match: "**", sse: aws:kms, sse-kms-key-id: k}]';
  const arns = policyFor({ destination: `region: ${region}`, folder }).Statement.flatMap(
    ({ Resource }) => Resource,
  );
  expect(new Set(arns.map((resource) => resource.split(':')[1]))).toEqual(new Set([partition]));
});

test('who assumes a role needs nothing else, and the role has the rest', () => {
  const role = 'arn:aws:iam::111122223333:role/backup';
  const config = configOf(configWith({ destination: `role-arn: ${role}` }));
  expect(runnerPolicy(config).Statement).toEqual([
    { Sid: 'AssumeRole', Effect: 'Allow', Action: ['sts:AssumeRole'], Resource: [role] },
  ]);
  const direct = configOf(configWith({}));
  expect(destinationPolicy(config, config.destinations.get('backup')!)).toEqual(runnerPolicy(direct));
});

test('who comes with a token is let in by the role, and needs nothing', () => {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, 'token'), 'token');
  const role = 'role-arn: arn:aws:iam::111122223333:role/backup';
  const lines = `${role}\nweb-identity-token-file: token`;
  expect(runnerPolicy(configOf(configWith({ destination: lines }), {}, directory)).Statement).toEqual([]);
});

test('a bucket policy allows the principal the same, but for keys of KMS', () => {
  const folder = 'rules: [{match: "**", sse: aws:kms, sse-kms-key-id: k}]';
  const config = configOf(configWith({ folder }));
  const destination = config.destinations.get('backup')!;
  const principal = 'arn:aws:iam::444455556666:role/s3syncd';
  const identity = destinationPolicy(config, destination);
  expect(bucketPolicy(config, destination, principal).Statement).toEqual(
    identity.Statement.filter(({ Sid }) => Sid !== 'BackupKey').map((statement) => ({
      ...statement,
      Principal: { AWS: principal },
    })),
  );
});

test('names of statements differ although those of destinations are alike', () => {
  const config = configOf(
    [
      'version: 1',
      'state-dir: state',
      'destinations: {a-b: {bucket: bucket-one}, a.b: {bucket: bucket-two}}',
      'folders: {f: {path: f, to: [a-b, a.b]}}',
    ].join('\n'),
  );
  const names = runnerPolicy(config).Statement.map(({ Sid }) => Sid);
  expect(new Set(names).size).toBe(names.length);
  for (const name of names) expect(name).toMatch(/^[A-Za-z0-9]+$/);
});

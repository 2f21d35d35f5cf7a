// What `check` says of a bucket that is not what the rules need.
import { PutBucketOwnershipControlsCommand } from '@aws-sdk/client-s3';
import { describe, expect, onTestFinished, test } from 'vitest';
import { checkConfig } from '../src/check.ts';
import { configOf, configWith } from './config/helpers.ts';
import { testBucket } from './helpers/bucket.ts';
import type { S3ServerOptions } from './s3-server/server.ts';
import { connect } from './s3-server/testing.ts';

/** Errors and warnings of a destination, for a folder with one rule. */
async function found(rule: string, options: S3ServerOptions & { ownership?: 'ObjectWriter' } = {}) {
  const { ownership, ...serverOptions } = options;
  const bucket = await testBucket(serverOptions);
  if (ownership) {
    const client = connect(bucket.server);
    onTestFinished(() => client.destroy());
    const OwnershipControls = { Rules: [{ ObjectOwnership: ownership }] };
    await client.send(new PutBucketOwnershipControlsCommand({ Bucket: bucket.name, OwnershipControls }));
  }
  const config = configOf(configWith({ folder: `rules: [{match: "**", ${rule}}]` }));
  const findings = await checkConfig({
    ...config,
    destinations: new Map([['backup', bucket.destination()]]),
  });
  return findings
    .filter(({ subject, level }) => subject === 'destination "backup"' && level !== 'ok')
    .map(({ level, message }) => `${level}: ${message}`);
}

const noAcls =
  'error: its bucket has ACLs disabled (object ownership: bucket owner enforced), and rules of "documents" set some: remove acl and grant-… from them, and use a bucket policy, or enable ACLs for the bucket';
const noLock =
  'error: its bucket has no Object Lock, and rules of "documents" lock objects: enable it for the bucket, or remove object-lock from them';

describe('check', () => {
  test.each<[rule: string, options: Parameters<typeof found>[1], findings: string[]]>([
    ['acl: public-read', {}, [noAcls]],
    ['grant-read: id=a', {}, [noAcls]],
    ['acl: bucket-owner-full-control', {}, []],
    ['acl: public-read', { ownership: 'ObjectWriter' }, []],
    // Who may not look cannot say; S3 will.
    ['acl: public-read', { authorise: (action) => !action.endsWith('OwnershipControls') }, []],
    ['object-lock: {legal-hold: true}', {}, [noLock]],
    ['object-lock: {legal-hold: true}', { buckets: [{ name: 'acme-backup', objectLock: true }] }, []],
    ['sse: AES256', {}, []],
    ['sse: aws:kms, sse-kms-key-id: alias/a', {}, []],
    [
      'sse: aws:kms, sse-kms-key-id: alias/a',
      { legacy: ['ignore-sse'] },
      ['error: ignores "sse: aws:kms" of folder "documents": its objects would not be encrypted'],
    ],
    [
      'tags: {A: b}',
      { legacy: ['drop-multipart-tags'] },
      ['warning: drops tags of files over 8 MiB (multipart uploads): they get them by one more request'],
    ],
  ])('%s with %j', async (rule, options, findings) => {
    expect(await found(rule, options)).toEqual(findings);
  });
});

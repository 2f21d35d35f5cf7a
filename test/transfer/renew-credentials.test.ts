// Stale credentials: whoever wrote new ones where the old ones were need not restart the daemon.
import fs from 'node:fs';
import path from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { connect } from '../../src/transfer/connect.ts';
import { S3Destination } from '../../src/transfer/s3.ts';
import { testBucket } from '../helpers/bucket.ts';
import { bytes, plain, put, written } from '../helpers/destination-suite.ts';
import { none } from '../helpers/given.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';

async function withProfile() {
  const bucket = await testBucket();
  const file = path.join(temporaryDirectory(), 'credentials');
  /** Credentials that the store takes, under another name each time. */
  const issue = (accessKey: string): void => {
    const secretKey = `secret of ${accessKey}`;
    for (const credential of bucket.server.credentials.values()) credential.isExpired = true;
    bucket.server.credentials.set(accessKey, { accessKey, secretKey, sessionToken: `token of ${accessKey}` });
    const lines = [
      '[nightly]',
      `aws_access_key_id = ${accessKey}`,
      `aws_secret_access_key = ${secretKey}`,
      `aws_session_token = token of ${accessKey}`,
    ];
    fs.writeFileSync(file, lines.join('\n'));
  };
  issue('FIRST');
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', file);
  vi.stubEnv('AWS_CONFIG_FILE', `${file}.none`);
  onTestFinished(() => void vi.unstubAllEnvs());
  const { credentials: _, ...rest } = bucket.destination();
  const config = { ...rest, profile: 'nightly' };
  const client = connect(config);
  onTestFinished(() => client.destroy());
  return { bucket, issue, destination: new S3Destination(config, client) };
}

test('the file is read again when the token has expired, and nobody hears of it', async () => {
  const { bucket, issue, destination } = await withProfile();
  await written(destination, 'first', '');
  issue('SECOND');
  // At once: whoever is refused while another one renews waits for the same renewal.
  await Promise.all(['a', 'b', 'c', 'd'].map((key) => written(destination, key, 'content')));
  await destination.head('a');
  issue('THIRD');
  await expect(destination.head('a'), 'its answer has no code').rejects.toMatchObject({ class: 'transient' });
  await destination.head('a');
  expect(bucket.keys).toEqual(['a', 'b', 'c', 'd', 'first']);
  expect(bucket.server.requests.at(-1)).toMatchObject({ accessKey: 'THIRD', status: 200 });
});

test('without new ones it is refused, and nothing is sent twice for it', async () => {
  const { bucket, destination } = await withProfile();
  bucket.server.credentials.get('FIRST')!.isExpired = true;
  await expect(put(destination, 'a', '')).rejects.toMatchObject({ code: 'ExpiredToken', class: 'refused' });
  expect(bucket.count('PutObject')).toBe(1);
});

test('HEAD tells an expired token from an object that needs a key', async () => {
  const { bucket, destination } = await withProfile();
  await destination.put('a', bytes('content'), plain, undefined, none);
  bucket.server.credentials.get('FIRST')!.isExpired = true;
  await expect(destination.head('a')).rejects.toMatchObject({
    code: 'ExpiredToken',
    class: 'refused',
    message: expect.stringContaining('renew the credentials') as string,
  });
});

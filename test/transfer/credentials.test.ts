// Whose rights requests have, as the store sees it: a store with users of its own, and an STS that lends it roles.
import { chmodSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { DestinationConfig } from '../../src/config/config.ts';
import { connect } from '../../src/transfer/connect.ts';
import { S3Destination } from '../../src/transfer/s3.ts';
import { testBucket, type Bucket } from '../helpers/bucket.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';

const roleArn = 'arn:aws:iam::444455556666:role/backup';
const secretKey = 'canary-secret-77aa10';
const users = ['profile-user', 'default-user', 'environment-user', 'given-user'].map((accessKey) => ({
  accessKey,
  secretKey,
}));

let bucket: Bucket;
let directory: string;

beforeEach(async () => {
  bucket = await testBucket({
    credentials: [...users, { accessKey: 'role', secretKey, sessionToken: 'role-token' }],
  });
  directory = temporaryDirectory();
  // Nothing of the machine's own setup.
  vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', join(directory, 'none'));
  vi.stubEnv('AWS_CONFIG_FILE', join(directory, 'none'));
  onTestFinished(() => void vi.unstubAllEnvs());
});

function file(name: string, content: string): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  chmodSync(path, 0o600);
  return path;
}

function credentialsFile(): string {
  const entry = (name: string, id: string) =>
    `[${name}]\naws_access_key_id = ${id}\naws_secret_access_key = ${secretKey}\n`;
  return file('credentials', entry('default', 'default-user') + entry('nas', 'profile-user'));
}

/** The user whom the store saw. */
async function userOf(more: Partial<DestinationConfig>): Promise<string | undefined> {
  const { credentials: _, ...destination } = bucket.destination();
  const client = connect({ ...destination, ...more });
  onTestFinished(() => client.destroy());
  await new S3Destination({ ...destination, ...more }, client).head('a');
  return bucket.server.requests.at(-1)?.accessKey;
}

/** An STS that lends the role, and remembers who asked for it how. */
async function startSts() {
  const asked: Record<string, string | undefined>[] = [];
  const answer = async (request: IncomingMessage) => {
    const by = /Credential=([^/]+)/.exec(request.headers.authorization ?? '')?.[1];
    const parameters = Object.fromEntries(new URLSearchParams(await text(request)));
    asked.push({ ...parameters, by });
    const { Action = '' } = parameters;
    return (
      `<${Action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><${Action}Result><Credentials>` +
      `<AccessKeyId>role</AccessKeyId><SecretAccessKey>${secretKey}</SecretAccessKey>` +
      '<SessionToken>role-token</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration>' +
      `</Credentials></${Action}Result></${Action}Response>`
    );
  };
  const server = createServer((request, response) => {
    void answer(request).then((xml) => response.setHeader('content-type', 'text/xml').end(xml));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  vi.stubEnv('AWS_ENDPOINT_URL_STS', `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  return asked;
}

describe('requests have the rights', () => {
  test('of the environment, where the config names nobody', async () => {
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'environment-user');
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', secretKey);
    expect(await userOf({})).toBe('environment-user');
  });

  test("of a profile in a file of the destination's own", async () => {
    const sharedCredentialsFile = credentialsFile();
    expect(await userOf({ sharedCredentialsFile, profile: 'nas' })).toBe('profile-user');
    expect(await userOf({ sharedCredentialsFile })).toBe('default-user');
  });

  test('of a role, assumed with the external id and by whoever the file names', async () => {
    const asked = await startSts();
    const sharedCredentialsFile = credentialsFile();
    expect(await userOf({ sharedCredentialsFile, profile: 'nas', roleArn, externalId: 'e-17' })).toBe('role');
    expect(asked).toMatchObject([
      { Action: 'AssumeRole', RoleArn: roleArn, ExternalId: 'e-17', by: 'profile-user' },
    ]);
  });

  test('of a role, assumed by the keys of the config', async () => {
    const asked = await startSts();
    const credentials = { accessKeyId: 'given-user', secretAccessKey: secretKey };
    expect(await userOf({ credentials, roleArn })).toBe('role');
    expect(asked).toMatchObject([{ Action: 'AssumeRole', by: 'given-user' }]);
  });

  test('of a role, assumed with the token of a web identity', async () => {
    const asked = await startSts();
    expect(await userOf({ roleArn, webIdentityTokenFile: file('token', 'a.web.token') })).toBe('role');
    expect(asked).toMatchObject([
      { Action: 'AssumeRoleWithWebIdentity', RoleArn: roleArn, WebIdentityToken: 'a.web.token' },
    ]);
  });

  test('of a role that the environment names with its token, as in a cluster', async () => {
    const asked = await startSts();
    vi.stubEnv('AWS_ROLE_ARN', roleArn);
    vi.stubEnv('AWS_WEB_IDENTITY_TOKEN_FILE', file('token', 'a.web.token'));
    expect(await userOf({})).toBe('role');
    expect(asked).toMatchObject([{ Action: 'AssumeRoleWithWebIdentity', WebIdentityToken: 'a.web.token' }]);
  });
});

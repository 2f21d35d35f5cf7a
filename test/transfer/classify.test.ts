// Every failure has one class, by S3's code first and by the status second, and says what a person can do.
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { DestinationConfig } from '../../src/config/config.ts';
import { classify } from '../../src/transfer/classify.ts';
import { connect } from '../../src/transfer/connect.ts';
import { S3Destination } from '../../src/transfer/s3.ts';
import { testBucket, type Bucket } from '../helpers/bucket.ts';
import { listedKeys, put } from '../helpers/destination-suite.ts';

function open(bucket: Bucket, more: Partial<DestinationConfig> = {}): S3Destination {
  const config = bucket.destination(more);
  const client = connect(config);
  onTestFinished(() => client.destroy());
  return new S3Destination(config, client);
}

describe('an answer of S3', () => {
  test.each([
    [403, 'AccessDenied', 'denied', /the credentials lack the right/],
    [403, 'AllAccessDisabled', 'refused', ''],
    [403, 'InvalidAccessKeyId', 'refused', /does not know this access key/],
    [403, 'SignatureDoesNotMatch', 'refused', /the secret key is wrong/],
    [403, 'InvalidToken', 'refused', ''],
    [400, 'ExpiredToken', 'refused', /the session token has expired/],
    [400, 'TokenRefreshRequired', 'refused', /the session token has expired/],
    [403, 'RequestTimeTooSkewed', 'refused', /clock is wrong/],
    [404, 'NoSuchBucket', 'refused', /create the bucket, or correct `bucket`/],
    [301, 'PermanentRedirect', 'refused', /in another region: correct `region`/],
    [400, 'AuthorizationHeaderMalformed', 'refused', /in another region: correct `region`/],
    [307, 'TemporaryRedirect', 'refused', ''],
    [503, 'SlowDown', 'throttled', ''],
    [429, 'TooManyRequests', 'throttled', ''],
    [503, 'ServiceUnavailable', 'throttled', ''],
    [500, 'InternalError', 'transient', ''],
    [504, 'GatewayTimeout', 'transient', ''],
    [507, 'XMinioStorageFull', 'transient', ''],
    [400, 'RequestTimeout', 'transient', ''],
    [400, 'IncompleteBody', 'transient', ''],
    [400, 'BadDigest', 'transient', ''],
    [400, 'InvalidTag', 'permanent', ''],
    [400, 'InvalidStorageClass', 'permanent', ''],
    [400, 'KeyTooLongError', 'permanent', ''],
    [400, 'EntityTooLarge', 'permanent', ''],
    [400, 'InvalidRequest', 'permanent', ''],
    [405, 'MethodNotAllowed', 'permanent', ''],
    [501, 'NotImplemented', 'permanent', ''],
    [401, 'Unauthorized', 'denied', ''],
    [418, 'SomethingNew', 'permanent', ''],
    [599, 'SomethingNew', 'transient', ''],
  ])('%i %s is %s', async (status, code, failureClass, advice) => {
    const bucket = await testBucket();
    bucket.server.faults.add({ kind: 'answer', status, code });
    await expect(put(open(bucket), 'a', 'secret body')).rejects.toMatchObject({
      name: 'Failure',
      class: failureClass,
      code,
      status,
      message: expect.stringMatching(advice) as string,
    });
  });

  test.each([
    ['412', { kind: 'answer', status: 412, code: 'PreconditionFailed' }, 'precondition-failed'],
    ['409', { kind: 'answer', status: 409, code: 'ConditionalRequestConflict' }, 'busy'],
    ['409 of another kind', { kind: 'answer', status: 409, code: 'OperationAborted' }, 'busy'],
  ] as const)('%s is no failure but an outcome', async (_status, fault, kind) => {
    const bucket = await testBucket();
    bucket.server.faults.add(fault);
    expect(await put(open(bucket), 'a', 'content')).toMatchObject({ kind });
  });

  test('names operation, place, code and advice, and neither secret nor body', async () => {
    const bucket = await testBucket({ authorise: () => false });
    await expect(put(open(bucket), 'a', 'secret body')).rejects.toThrow(
      /^destination "backup": PutObject to acme-backup\/a failed: AccessDenied \(HTTP 403\): the credentials lack the right: see `s3syncd check`$/,
    );
  });

  test('that concerns the whole route names the bucket and the endpoint', async () => {
    const bucket = await testBucket();
    const destination = open(bucket, { bucket: 'no-such-bucket' });
    await expect(put(destination, 'a', 'content')).rejects.toThrow(
      `PutObject to bucket no-such-bucket at ${bucket.server.endpoint} failed: NoSuchBucket (HTTP 404): create the bucket`,
    );
  });

  test('about credentials that are wrong is refused, for real', async () => {
    const bucket = await testBucket();
    const wrong = (accessKeyId: string, secretAccessKey: string) =>
      listedKeys(open(bucket, { credentials: { accessKeyId, secretAccessKey } }), '');
    await expect(wrong('nobody', 'x')).rejects.toMatchObject({
      code: 'InvalidAccessKeyId',
      class: 'refused',
    });
    await expect(wrong(bucket.server.accessKey, 'x')).rejects.toMatchObject({
      code: 'SignatureDoesNotMatch',
      class: 'refused',
    });
  });
});

describe('a network', () => {
  test('where nobody listens is unreachable', async () => {
    const bucket = await testBucket();
    const destination = open(bucket);
    await bucket.server.close();
    await expect(put(destination, 'a', 'content')).rejects.toMatchObject({
      class: 'unreachable',
      code: 'ECONNREFUSED',
      status: undefined,
      message: expect.stringContaining(
        'nothing listens there: is the server up, is `endpoint` right?',
      ) as string,
    });
  });

  test('that takes no connection is unreachable, one that does not answer in time is not', () => {
    const subject = { operation: 'PutObject', key: 'a', bucket: 'b', endpoint: 'http://e', destination: 'd' };
    // As @smithy/node-http-handler words it: no host on loopback lets connections hang.
    const never =
      'the request socket did not establish a connection with the server within the configured timeout';
    const silent = 'the request socket timed out after 60000 ms of inactivity';
    const timeout = (message: string) => Object.assign(new Error(message), { name: 'TimeoutError' });
    expect(classify(timeout(never), subject)).toMatchObject({ class: 'unreachable', code: 'ConnectTimeout' });
    expect(classify(timeout(silent), subject)).toMatchObject({ class: 'transient', code: 'TimeoutError' });
  });

  test('that cuts every connection is transient, and the request may have landed', async () => {
    const server = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const destination = open(await testBucket(), { endpoint: `http://127.0.0.1:${port}` });
    await expect(put(destination, 'a', 'content')).rejects.toMatchObject({
      class: 'transient',
      code: 'ECONNRESET',
      mayHaveLanded: true,
    });
  });

  const subject = {
    operation: 'PutObject',
    key: 'a',
    bucket: 'b',
    endpoint: 'https://s3',
    destination: 'backup',
  };
  test.each([
    ['ENOTFOUND', 'unreachable', /the name does not resolve/],
    ['EAI_AGAIN', 'unreachable', /names do not resolve/],
    ['EHOSTUNREACH', 'unreachable', ''],
    ['ENETUNREACH', 'unreachable', ''],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'unreachable', /self-signed: name its CA in `ca-file`/],
    ['SELF_SIGNED_CERT_IN_CHAIN', 'unreachable', /private CA: name it in `ca-file`/],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'unreachable', /unknown CA: name it in `ca-file`/],
    ['CERT_HAS_EXPIRED', 'unreachable', ''],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'unreachable', ''],
    ['ECONNRESET', 'transient', ''],
    ['EPIPE', 'transient', ''],
    ['ETIMEDOUT', 'transient', ''],
  ])('that answers %s is %s, also when it is wrapped', (code, failureClass, advice) => {
    const cause = Object.assign(new Error(code), { code });
    for (const error of [cause, new Error('fetch failed', { cause })]) {
      expect(classify(error, subject)).toMatchObject({
        class: failureClass,
        code,
        mayHaveLanded: true,
        message: expect.stringMatching(advice) as string,
      });
    }
  });

  test.each([
    ['CredentialsProviderError', 'refused', /no credentials found: set `profile`/],
    ['TimeoutError', 'transient', /no answer in time/],
    ['Error', 'transient', ''],
  ])('an SDK error %s is %s', (name, failureClass, advice) => {
    const error = Object.assign(new Error('words'), { name });
    expect(classify(error, subject)).toMatchObject({
      class: failureClass,
      code: name,
      message: expect.stringMatching(advice) as string,
    });
  });
});

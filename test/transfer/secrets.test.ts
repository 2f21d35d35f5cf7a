// Errors and the log: whatever is printed of them, in any way, no secret is in it and nothing of what was sent.
import fs from 'node:fs';
import { inspect } from 'node:util';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { describe, expect, test, vi } from 'vitest';
import { Failure } from '../../src/core/failure.ts';
import { openLog } from '../../src/observe/log.ts';
import { classify } from '../../src/transfer/classify.ts';
import { connect } from '../../src/transfer/connect.ts';
import { testBucket } from '../helpers/bucket.ts';

const customerKey = Buffer.from('canary-customer-key-of-32-bytes!').toString('base64');
const secrets = {
  accessKeyId: 'AKIACANARY0000000001',
  secretAccessKey: 'canary-secret-3e91',
  sessionToken: 'canary-session-token-77',
  customerKey,
  content: 'canary-of-the-content',
  header: 'AWS4-HMAC-SHA256',
};

/** What of the secrets is in a text. */
const toldBy = (text: string) =>
  Object.entries(secrets)
    .filter(([, value]) => text.includes(value))
    .map(([name]) => name);

/** The error of a request that carries every secret, as the SDK throws it. */
async function sdkError(answer: { status: number; code: string; message?: string }): Promise<Error> {
  const bucket = await testBucket();
  const { accessKeyId, secretAccessKey, sessionToken } = secrets;
  const credentials = { accessKeyId, secretAccessKey, sessionToken };
  bucket.server.credentials.set(accessKeyId, {
    accessKey: accessKeyId,
    secretKey: secretAccessKey,
    sessionToken,
  });
  bucket.server.faults.add({ kind: 'answer', ...answer });
  const client = connect(bucket.destination({ credentials }));
  const put = new PutObjectCommand({
    Bucket: bucket.name,
    Key: 'a',
    Body: Buffer.from(secrets.content),
    SSECustomerAlgorithm: 'AES256',
    SSECustomerKey: customerKey,
  });
  const error = await client.send(put).then(
    () => undefined,
    (thrown: unknown) => thrown as Error,
  );
  client.destroy();
  return error!;
}

const subject = {
  operation: 'PutObject',
  key: 'a',
  bucket: 'acme',
  endpoint: 'http://here',
  destination: 'backup',
};

/** Every way to print an error that somebody may think of. */
function printed(error: Error): string {
  return [
    inspect(error, { showHidden: true, depth: Infinity }),
    JSON.stringify(error, Object.getOwnPropertyNames(error)),
    String(error),
    error.stack,
  ].join('\n');
}

/** What the log writes. */
function logged(write: (log: ReturnType<typeof openLog>) => void): string {
  const lines: string[] = [];
  const write2 = vi.spyOn(fs, 'writeSync').mockImplementation((_fd, bytes) => {
    lines.push(bytes);
    return Buffer.byteLength(bytes);
  });
  try {
    write(openLog('trace', {}));
  } finally {
    write2.mockRestore();
  }
  return lines.join('');
}

describe('a request that S3 refuses', () => {
  test('is an error of the SDK with secrets in it, of which a Failure has none', async () => {
    const error = await sdkError({ status: 400, code: 'InvalidArgument' });
    expect(toldBy(printed(error)), 'or this test would show nothing').not.toEqual([]);
    const failure = classify(error, subject);
    expect(failure).toBeInstanceOf(Failure);
    expect(toldBy(printed(failure))).toEqual([]);
  });

  test('is logged without its secrets, also where the error itself is logged', async () => {
    const error = await sdkError({ status: 400, code: 'InvalidArgument' });
    const text = logged((log) => {
      log.error({ err: error }, 'failed');
      log.error(error);
      log.error({ err: classify(error, subject) }, 'failed');
    });
    expect(text.trim().split('\n')).toHaveLength(3);
    expect(text).toContain('InvalidArgument');
    expect(toldBy(text)).toEqual([]);
  });

  test('with words that repeat it is told without them', async () => {
    const { accessKeyId } = secrets;
    const message = `malformed: Authorization: ${secrets.header} Credential=${accessKeyId}/20261125/us-east-1/s3/aws4_request`;
    const error = await sdkError({ status: 400, code: 'InvalidArgument', message });
    expect(error.message).toContain(accessKeyId);
    const failure = classify(error, subject);
    expect(failure.message).toMatch(/InvalidArgument \(HTTP 400\)$/);
    expect(toldBy(printed(failure))).toEqual([]);
  });
});

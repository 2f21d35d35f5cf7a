// The program and its admin endpoint, as a test in another language would use them.
import { HeadObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposable, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { Bucket, outcome } from './testing.ts';

const program = fileURLToPath(new URL('main.ts', import.meta.url));

function run(...flags: string[]) {
  return spawn(process.execPath, [program, ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
}

test('log, history, faults, legacy switches and credentials of another process', async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 's3-server-'));
  const requestLog = join(directory.path, 'requests');
  const child = run(
    '--bucket',
    Bucket,
    '--bucket',
    'other',
    '--admin',
    '--legacy',
    'opaque-etags',
    '--request-log',
    requestLog,
  );
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  const endpoint = /^s3-server listening on (http:\/\/127\.0\.0\.1:\d+)$/.exec(line)![1]!;
  const credentials = { accessKeyId: 's3syncd', secretAccessKey: 's3syncd-secret' };
  const client = new S3Client({
    endpoint,
    credentials,
    region: 'us-east-1',
    forcePathStyle: true,
    maxAttempts: 1,
  });
  const admin = async (method: string, what: string, body?: unknown): Promise<unknown> => {
    const sent = body === undefined ? {} : { body: JSON.stringify(body) };
    const answer = await fetch(`${endpoint}/_s3-server/${what}`, { method, ...sent });
    return answer.json();
  };
  const put = (more: object = {}): Promise<string> =>
    outcome(client.send(new PutObjectCommand({ Bucket, Key: 'a', Body: 'hello', ...more })));

  expect(await admin('GET', 'legacy')).toEqual(['opaque-etags']);
  expect(await admin('POST', 'legacy', ['ignore-if-none-match'])).toEqual(['ignore-if-none-match']);
  expect(await admin('POST', 'legacy', ['nonsense'])).toHaveProperty('error');
  expect([await put(), await put({ IfNoneMatch: '*' })]).toEqual(['200', '200']);
  const overwritten = await admin('GET', `history?bucket=${Bucket}&kind=overwrite`);
  expect(overwritten).toMatchObject([{ key: 'a', previousEtag: '5d41402abc4b2a76b9719d911017c592' }]);

  const fault = { kind: 'answer', status: 503, code: 'SlowDown', times: 1 };
  expect(await admin('POST', 'faults', fault)).toEqual({ id: 1, fault, calls: 0, hits: 0 });
  expect([await put(), await put()]).toEqual(['503 SlowDown', '200']);
  expect(await admin('GET', 'faults')).toMatchObject([{ id: 1, hits: 1 }]);
  expect(await admin('DELETE', 'faults?id=1')).toEqual({});
  expect(await admin('GET', 'faults')).toEqual([]);

  await admin('POST', 'credentials', { accessKey: 's3syncd', secretKey: 's3syncd-secret', isExpired: true });
  expect(await put()).toBe('400 ExpiredToken');
  expect(await outcome(client.send(new HeadObjectCommand({ Bucket, Key: 'a' })))).toMatch(/^400/);
  expect(await admin('GET', 'counts')).toEqual({ PutObject: 5, HeadObject: 1 });
  const refused = await admin('GET', 'requests?operation=HeadObject');
  expect(refused).toMatchObject([
    { operation: 'HeadObject', status: 400, code: 'ExpiredToken', bucket: Bucket, key: 'a' },
  ]);
  await admin('DELETE', 'requests');
  expect(await admin('GET', 'requests')).toEqual([]);
  expect(await admin('GET', 'nonsense')).toHaveProperty('error');

  client.destroy();
  child.kill('SIGTERM');
  expect(await once(child, 'exit')).toEqual([0, null]);
  const lines = (await readFile(requestLog, 'utf8')).trim().split('\n');
  expect(lines.map((entry) => (JSON.parse(entry) as { status: number }).status)).toEqual([
    200, 200, 503, 200, 400, 400,
  ]);
});

test('without --admin there is no such endpoint; wrong flags are usage errors', async () => {
  const child = run();
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  expect((await fetch(`${line.split(' ').at(-1)}/_s3-server/requests`)).status).toBe(403);
  child.kill('SIGINT');
  expect(await once(child, 'exit')).toEqual([0, null]);

  const wrong = run('--legacy', 'nonsense');
  const [message, [status]] = await Promise.all([text(wrong.stderr), once(wrong, 'exit')]);
  expect(status).toBe(1);
  expect(message).toContain('ignore-if-none-match');
});

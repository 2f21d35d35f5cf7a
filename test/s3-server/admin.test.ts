// The program and its admin endpoint, as a test in another language would use them.
import {
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposable, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { Bucket, connect, outcome } from './testing.ts';

const program = fileURLToPath(new URL('main.ts', import.meta.url));

const defaults = { region: 'us-east-1', accessKey: 's3syncd', secretKey: 's3syncd-secret' };

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
  const client = connect({ endpoint, ...defaults });
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

test('kill -9: what was answered with 200 is there after a restart', async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 's3-server-'));
  const begin = async (): Promise<{ child: ChildProcess; client: S3Client }> => {
    const child = run('--bucket', Bucket, '--data', directory.path);
    const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
    return { child, client: connect({ endpoint: line.split(' ').at(-1)!, ...defaults }) };
  };
  const first = await begin();
  for (let index = 0; index < 50; index++) {
    await first.client.send(new PutObjectCommand({ Bucket, Key: `a/${index}`, Body: `body ${index}` }));
  }
  first.child.kill('SIGKILL');
  await once(first.child, 'exit');
  first.client.destroy();

  const second = await begin();
  const { Body } = await second.client.send(new GetObjectCommand({ Bucket, Key: 'a/49' }));
  expect(await Body!.transformToString()).toBe('body 49');
  expect((await second.client.send(new ListObjectsV2Command({ Bucket }))).KeyCount).toBe(50);
  second.client.destroy();
  second.child.kill('SIGTERM');
  expect(await once(second.child, 'exit')).toEqual([0, null]);
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

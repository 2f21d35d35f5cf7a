// Every kind of fault: what the client sees, and what became of the object.
import {
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import { faultKinds, wireKinds, type Fault, type FaultKind } from './faults.ts';
import { Bucket, connect, outcome, start, type Fixture } from './testing.ts';

const Key = 'a';
const put = new PutObjectCommand({ Bucket, Key, Body: 'hello' });
const aborted = 'AbortError';

/** The outcome of a request which the client gives up as soon as the server has it. */
async function givenUp({ client, server }: Fixture, command: PutObjectCommand = put): Promise<string> {
  const abort = new AbortController();
  const sent = client.send(command, { abortSignal: abort.signal }).then(String, (error: Error) => error.name);
  await server.until(() => server.requests.length > 0);
  abort.abort();
  return sent;
}

interface Case {
  fault: Fault;
  seen: string;
  isStored: boolean;
}

const answers: Partial<Record<FaultKind, Case>> = {
  latency: { fault: { kind: 'latency', ms: 20 }, seen: '200', isStored: true },
  answer: { fault: { kind: 'answer', status: 503, code: 'SlowDown' }, seen: '503 SlowDown', isStored: false },
  'commit-then-answer': {
    fault: { kind: 'commit-then-answer', status: 500, code: 'InternalError' },
    seen: '500 InternalError',
    isStored: true,
  },
  'commit-then-drop': { fault: { kind: 'commit-then-drop' }, seen: 'ECONNRESET', isStored: true },
  'reset-request': { fault: { kind: 'reset-request', afterBytes: 0 }, seen: 'ECONNRESET', isStored: false },
  // The SDK takes these for a success of PutObject; a client has to look for the ETag.
  html: { fault: { kind: 'html' }, seen: '200', isStored: false },
  empty: { fault: { kind: 'empty' }, seen: '200', isStored: false },
};

test.each(Object.entries(answers))('%s', async (_kind, { fault, seen, isStored }) => {
  await using fixture = await start();
  const handle = fixture.server.faults.add(fault);
  expect(await outcome(fixture.client.send(put))).toBe(seen);
  expect(handle.hits).toBe(1);
  expect(fixture.server.store.objects(Bucket).has(Key)).toBe(isStored);
});

test('latency is waited for', async () => {
  await using fixture = await start();
  fixture.server.faults.add({ kind: 'latency', ms: 60 });
  const startedMs = performance.now();
  await fixture.client.send(put);
  expect(performance.now() - startedMs).toBeGreaterThan(55);
});

test('error-document: 200 with an error inside', async () => {
  await using fixture = await start();
  fixture.server.faults.add({ kind: 'error-document', code: 'InternalError' });
  // The SDK looks for it where S3 is known to do this, and calls it 500.
  const list = outcome(fixture.client.send(new ListObjectsV2Command({ Bucket })));
  expect(await list).toMatch(/InternalError|200/);
  expect(fixture.server.requests[0]).toMatchObject({ status: 200, faults: ['error-document'] });
});

test('stall: nothing is done and nothing answered', async () => {
  await using fixture = await start();
  fixture.server.faults.add({ kind: 'stall' });
  expect(await givenUp(fixture)).toBe(aborted);
  expect(fixture.server.requests[0]!.status).toBe(0);
  expect(fixture.server.store.objects(Bucket).size).toBe(0);
});

test('stall in the middle of the body', async () => {
  await using fixture = await start();
  fixture.server.faults.add({ kind: 'stall', afterBytes: 1024 * 1024 });
  const Body = Buffer.alloc(32 * 1024 * 1024);
  expect(await givenUp(fixture, new PutObjectCommand({ Bucket, Key, Body }))).toBe(aborted);
  expect(fixture.server.store.objects(Bucket).size).toBe(0);
});

test('commit-then-stall: it is done, and nothing answered', async () => {
  await using fixture = await start();
  const { client, server } = fixture;
  server.faults.add({ kind: 'commit-then-stall' });
  const abort = new AbortController();
  const sent = client.send(put, { abortSignal: abort.signal }).then(String, (error: Error) => error.name);
  await server.until(() => server.store.current(Bucket, Key) !== undefined);
  abort.abort();
  expect(await sent).toBe(aborted);
});

test('reset in the middle of a large body leaves nothing', async () => {
  await using fixture = await start();
  fixture.server.faults.add({ kind: 'reset-request', afterBytes: 1024 * 1024 });
  const Body = Buffer.alloc(16 * 1024 * 1024);
  expect(await outcome(fixture.client.send(new PutObjectCommand({ Bucket, Key, Body })))).toMatch(
    /ECONNRESET|EPIPE/,
  );
  expect(fixture.server.store.objects(Bucket).size).toBe(0);
});

test('truncate-answer: the connection ends within the body', async () => {
  await using fixture = await start();
  const { client, server } = fixture;
  await client.send(put);
  server.faults.add({ kind: 'truncate-answer', afterBytes: 3 });
  const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }));
  await expect(Body!.transformToString()).rejects.toThrow(/aborted/);
});

test('truncate-answer of an answer without a body', async () => {
  await using fixture = await start();
  fixture.server.faults.add({ kind: 'truncate-answer', afterBytes: 0 });
  expect(await outcome(fixture.client.send(put))).not.toBe('412');
  expect(fixture.server.store.objects(Bucket).has(Key)).toBe(true);
});

test('clock: refused as too skewed, and the Date header lets the SDK correct itself', async () => {
  await using fixture = await start();
  fixture.server.faults.add({ kind: 'clock', offsetSeconds: 3600 });
  expect(await outcome(fixture.client.send(put))).toBe('403 RequestTimeTooSkewed');
  const retrying = connect(fixture.server, { maxAttempts: 2 });
  expect(await outcome(retrying.send(put))).toBe('200');
  retrying.destroy();
});

test('a redirect to another region', async () => {
  await using fixture = await start();
  const fault: Fault = { kind: 'answer', status: 301, code: 'PermanentRedirect', region: 'eu-central-1' };
  fixture.server.faults.add(fault);
  expect(await outcome(fixture.client.send(put))).toBe('301 PermanentRedirect');
});

describe('which calls are hit', () => {
  const head = (fixture: Fixture, key: string): Promise<string> =>
    outcome(fixture.client.send(new HeadObjectCommand({ Bucket, Key: key })));
  const heads = async (fixture: Fixture, keys: string[]): Promise<string> => {
    const seen: string[] = [];
    for (const key of keys) seen.push((await head(fixture, key)).startsWith('503') ? 'x' : '.');
    return seen.join('');
  };
  const slow = { kind: 'answer', status: 503, code: 'SlowDown' } as const;

  test.each([
    [{ at: 2 }, '.x....'],
    [{ at: [1, 4] }, 'x..x..'],
    [{ every: 3 }, '..x..x'],
    [{ times: 2 }, 'xx....'],
    [{ keyPrefix: 'b' }, '.x.x.x'],
    [{ keyPattern: '^a$' }, 'x.x.x.'],
    [{ keyPrefix: 'b', at: 2 }, '...x..'],
    [{ operation: 'HeadObject', times: 1 }, 'x.....'],
    [{ operation: 'PutObject' }, '......'],
    [{ bucket: 'other' }, '......'],
    [{ probability: 1 }, 'xxxxxx'],
    [{ probability: 0 }, '......'],
  ] as [Partial<Fault>, string][])('%o: %s', async (match, expected) => {
    await using fixture = await start();
    fixture.server.faults.add({ ...slow, ...match });
    expect(await heads(fixture, ['a', 'b', 'a', 'b', 'a', 'b'])).toBe(expected);
  });

  test('the same seed hits the same calls', async () => {
    await using fixture = await start();
    const { faults } = fixture.server;
    const run = async (): Promise<string> => {
      const handle = faults.add({ ...slow, probability: 0.5, seed: 42 });
      const seen = await heads(
        fixture,
        Array.from({ length: 20 }, () => 'a'),
      );
      handle.clear();
      return seen;
    };
    const first = await run();
    expect(first).toMatch(/x/);
    expect(first).toMatch(/\./);
    expect(await run()).toBe(first);
    expect(faults.list()).toEqual([]);
  });

  test('a fault that could never hit is refused', async () => {
    await using fixture = await start();
    const { faults } = fixture.server;
    const add = (fault: object) => (): unknown => faults.add(fault as Fault);
    expect(add({ kind: 'explode' })).toThrow('unknown fault kind "explode"');
    expect(add({ kind: 'stall', operation: 'putobject' })).toThrow('unknown operation putobject');
    expect(add({ kind: 'stall', keyprefix: 'a' })).toThrow('unknown fault field keyprefix');
    expect(add({ kind: 'latency' })).toThrow('fault latency needs ms');
  });
});

test('this file tests every kind that the server does to itself', async () => {
  const { readFile } = await import('node:fs/promises');
  const source = await readFile(new URL(import.meta.url), 'utf8');
  expect(faultKinds.filter((kind) => !new RegExp(`kind: '${kind}'`).test(source))).toEqual([...wireKinds]);
});

// Every kind of fault, in front of a server that knows nothing of it: what the client sees, and what became of the object.
import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3';
import { expect, onTestFinished, test } from 'vitest';
import { faultKinds, type Fault, type FaultKind } from '../s3-server/faults.ts';
import { Bucket, connect, outcome, start } from '../s3-server/testing.ts';
import { startFaultProxy } from './proxy.ts';

const Key = 'a';
const put = new PutObjectCommand({ Bucket, Key, Body: 'hello' });

async function behindProxy(requestTimeout = 0) {
  const { server, client, ...fixture } = await start();
  const proxy = await startFaultProxy(server.endpoint);
  const proxied = connect(
    { ...server, endpoint: proxy.endpoint },
    { requestHandler: { requestTimeout, throwOnRequestTimeout: true, socketTimeout: requestTimeout } },
  );
  onTestFinished(async () => {
    proxied.destroy();
    client.destroy();
    await proxy[Symbol.asyncDispose]();
    await server.close();
  });
  return { server, proxy, client: proxied, ...fixture };
}

interface Case {
  readonly fault: Fault;
  /** What a PutObject comes to. */
  readonly seen: string;
  readonly isStored: boolean;
}

const status = 503;
const code = 'SlowDown';

/** `clock` is the server's own. */
const cases: Record<Exclude<FaultKind, 'clock'>, Case> = {
  latency: { fault: { kind: 'latency', ms: 20 }, seen: '200', isStored: true },
  answer: { fault: { kind: 'answer', status, code }, seen: '503 SlowDown', isStored: false },
  'error-document': { fault: { kind: 'error-document', code }, seen: '503 SlowDown', isStored: false },
  // The SDK takes these for a success of PutObject; a client has to look for the ETag.
  html: { fault: { kind: 'html' }, seen: '200', isStored: false },
  empty: { fault: { kind: 'empty' }, seen: '200', isStored: false },
  stall: { fault: { kind: 'stall' }, seen: 'ETIMEDOUT', isStored: false },
  'reset-request': { fault: { kind: 'reset-request', afterBytes: 3 }, seen: 'ECONNRESET', isStored: false },
  'commit-then-answer': {
    fault: { kind: 'commit-then-answer', status, code },
    seen: '503 SlowDown',
    isStored: true,
  },
  'commit-then-drop': { fault: { kind: 'commit-then-drop' }, seen: 'ECONNRESET', isStored: true },
  'commit-then-stall': { fault: { kind: 'commit-then-stall' }, seen: 'ETIMEDOUT', isStored: true },
  'truncate-answer': {
    fault: { kind: 'truncate-answer', afterBytes: 0 },
    seen: 'ECONNRESET',
    isStored: true,
  },
  'stall-answer': { fault: { kind: 'stall-answer', afterBytes: 0 }, seen: 'ECONNRESET', isStored: true },
  'slow-answer': { fault: { kind: 'slow-answer', bytesPerSecond: 2_000 }, seen: '200', isStored: true },
  duplicate: { fault: { kind: 'duplicate' }, seen: '200', isStored: true },
};

test.each(Object.entries(cases))('%s', async (kind, { fault, seen, isStored }) => {
  const { server, proxy, client } = await behindProxy(seen === 'ETIMEDOUT' ? 300 : 2_000);
  const handle = proxy.faults.add(fault);
  const found = await outcome(client.send(put));
  // What comes of half an answer depends on where it ends.
  expect(seen === 'ECONNRESET' ? found !== '200' : found === seen, found).toBe(true);
  expect(handle.hits).toBe(1);
  expect(server.store.objects(Bucket).has(Key)).toBe(isStored);
  expect(server.counts()['PutObject'] ?? 0).toBe(isStored ? (kind === 'duplicate' ? 2 : 1) : 0);
});

test('this file tests every kind that a proxy can do', () => {
  expect(Object.keys(cases).toSorted()).toEqual(faultKinds.filter((kind) => kind !== 'clock').toSorted());
});

test('the clock is the server‘s own, and the server leaves to the proxy what happens on the way', async () => {
  const { server, proxy } = await behindProxy();
  expect(() => proxy.faults.add({ kind: 'clock', offsetSeconds: 1 })).toThrow('clock cannot be done here');
  expect(() => server.faults.add({ kind: 'duplicate' })).toThrow('duplicate cannot be done here');
});

test('what no fault is for goes through as it is, with the signature that the client made', async () => {
  const { server, proxy, client } = await behindProxy();
  proxy.faults.add({ kind: 'html', operation: 'HeadObject' });
  const Body = Buffer.alloc(3 * 1024 ** 2, 'content ');
  await client.send(new PutObjectCommand({ Bucket, Key: 'a b/ü+&', Body }));
  const got = await client.send(new GetObjectCommand({ Bucket, Key: 'a b/ü+&' }));
  expect(Buffer.from(await got.Body!.transformToByteArray()).equals(Body)).toBe(true);
  expect(server.requests.map((request) => request.status)).toEqual([200, 200]);
});

test('a body that is cut in the middle never becomes an object', async () => {
  const { server, proxy, client } = await behindProxy(500);
  const Body = Buffer.alloc(3 * 1024 ** 2);
  for (const kind of ['reset-request', 'stall'] as const) {
    proxy.faults.add({ kind, afterBytes: 1024 ** 2, times: 1 });
    expect(await outcome(client.send(new PutObjectCommand({ Bucket, Key, Body })))).not.toBe('200');
  }
  expect(server.store.objects(Bucket).size).toBe(0);
});

test('a listing is known by its prefix', async () => {
  const { proxy, client } = await behindProxy();
  proxy.faults.add({ kind: 'answer', status, code, keyPrefix: 'here/' });
  const list = (Prefix: string) => outcome(client.send(new ListObjectsV2Command({ Bucket, Prefix })));
  expect([await list('here/'), await list('there/')]).toEqual(['503 SlowDown', '200']);
});

// When it is not the files: nobody answers, nothing is allowed, the bucket is gone, the folder is.
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { Endpoint, Trouble } from '../../src/drain/endpoint.ts';
import { Failure } from '../../src/core/failure.ts';
import { Bucket, testBucket } from '../helpers/bucket.ts';
import { drainedFolder, DrainedFolder, until } from '../helpers/drained.ts';
import { startS3Server } from '../s3-server/server.ts';

const MiB = 1024 ** 2;

// The shortest backoff: half a second, then one.
beforeEach(() => {
  const random = vi.spyOn(Math, 'random').mockReturnValue(0);
  return () => random.mockRestore();
});

/** A port where nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

function names(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `file-${index}`);
}

/** Requests that the folder's destination sent. */
function sent(folder: DrainedFolder): number {
  return [...folder.route.destination.requests.values()].reduce((sum, count) => sum + count, 0);
}

describe('T3.15: an endpoint where nobody answers', () => {
  test('from the start: nothing is tried but the listing, the trouble is told once, and it ends by itself', async () => {
    const port = await closedPort();
    const bucket = await testBucket();
    const folder = await drainedFolder({ endpoint: `http://127.0.0.1:${port}` }, bucket);
    for (const name of names(50)) folder.write(name, name);
    const drain = folder.run();
    const { trouble } = folder.route.endpoint;
    await until(() => trouble.current?.tries === 2);
    expect([...folder.route.destination.requests.keys()]).toEqual(['ListObjectsV2']);
    expect(folder.journal.trouble(folder.route.routeId)).toMatchObject({
      class: 'unreachable',
      code: 'ECONNREFUSED',
      message: expect.stringContaining('is the server up, is `endpoint` right?') as string,
    });
    expect(folder.counts).toMatchObject({ pending: 50, retrying: 0, claimed: 0 });
    expect(drain.status.nextTryMs).toBe(trouble.current?.nextTryMs);

    await using _server = await startS3Server({ port, buckets: [bucket.name] });
    await until(() => folder.counts.baselines === 50);
    expect(folder.log).toEqual([
      { level: 'error', message: expect.stringContaining('ECONNREFUSED') as string },
      { level: 'info', message: 'destination works again' },
    ]);
    expect(folder.journal.trouble(folder.route.routeId)).toBeUndefined();
  });

  test('from one moment on: one change tries it per interval, and no attempt is counted', async () => {
    const port = await closedPort();
    const server = await startS3Server({ port, buckets: ['acme-backup'] });
    const folder = await drainedFolder({}, new Bucket(server));
    folder.write('first', '');
    await folder.drained();
    await server.close();

    for (const name of names(40)) folder.write(name, name);
    folder.run();
    const { trouble } = folder.route.endpoint;
    await until(() => trouble.current?.tries === 1);
    await until(() => folder.counts.claimed === 0);
    const afterFirstWave = folder.reports.length;
    await until(() => trouble.current?.tries === 2);
    await until(() => folder.counts.claimed === 0);
    expect(folder.reports.length - afterFirstWave).toBe(1);
    expect(folder.counts).toMatchObject({ pending: 40, retrying: 0 });

    await using _again = await startS3Server({ port, buckets: ['acme-backup'] });
    await until(() => folder.counts.pending + folder.counts.claimed === 0);
    expect(folder.counts.baselines).toBe(41);
  });

  test('`once` gives it three tries, and ends', async () => {
    const folder = await drainedFolder({ endpoint: `http://127.0.0.1:${await closedPort()}` });
    folder.write('a', 'a');
    expect(await folder.drained()).toEqual({});
    expect(folder.route.endpoint.trouble.current?.tries).toBe(3);
    expect(folder.counts).toMatchObject({ pending: 1 });
  });

  test('`once` ends when nothing is left that needs it', async () => {
    const folder = await drainedFolder({ endpoint: `http://127.0.0.1:${await closedPort()}` });
    folder.journal.finishListing(folder.route.routeId, Date.now());
    folder.write('a', 'a');
    folder.onHandled = ({ outcome }) => outcome === 'retry' && folder.remove('a');
    expect(await folder.drained()).toEqual({ a: 'vanished (never-synced)' });
  });

  test('is not taken to answer by a change that asks nothing', async () => {
    const folder = await drainedFolder({ policy: 'skip-existing' });
    folder.write('known', '');
    await folder.drained();
    await folder.bucket.server.close();
    folder.run();
    folder.write('a', 'a');
    const { trouble } = folder.route.endpoint;
    await until(() => trouble.current?.tries === 1);
    folder.write('known', 'changed');
    await until(() => folder.reports.some(({ words }) => words === 'skipped-existing (exists)'));
    expect(trouble.current).toBeDefined();
  });

  test('is tried at once when a person says so', async () => {
    const folder = await drainedFolder({ endpoint: `http://127.0.0.1:${await closedPort()}` });
    vi.mocked(Math.random).mockReturnValue(0.999);
    folder.write('a', 'a');
    const drain = folder.run();
    const { trouble } = folder.route.endpoint;
    await until(() => trouble.current?.tries === 1);
    const before = sent(folder);
    drain.retryNow();
    await until(() => sent(folder) > before);
    expect(trouble.current?.tries ?? 0).toBeLessThanOrEqual(1);
  });
});

describe('T3.15: a bucket that is not there', () => {
  test('pauses its route, with one alert, and no other one at the same endpoint', async () => {
    const bucket = await testBucket();
    const gone = new Bucket(bucket.server);
    const endpoint = new Endpoint('shared');
    const good = await drainedFolder({ prefix: 'good/' }, bucket);
    const bad = new DrainedFolder(
      Object.assign(gone, { name: 'no-such-bucket' }),
      good.it,
      { prefix: 'bad/' },
      endpoint,
    );
    for (const name of names(20)) bad.write(name, name);
    bad.run();
    await until(() => bad.log.length > 0);
    expect(bad.log[0]!.message).toMatch(/NoSuchBucket.*create the bucket, or correct `bucket`/);
    for (const name of names(20)) good.write(name, name);
    Object.assign(good.route, { endpoint });
    good.run();
    await until(() => good.counts.baselines === 20);
    expect(endpoint.trouble.current).toBeUndefined();
    expect(bad.counts).toMatchObject({ pending: 20, retrying: 0, failed: 0 });
    expect(bad.log).toHaveLength(1);
  });

  test('ends `once` at the first answer', async () => {
    const bucket = await testBucket();
    const folder = await drainedFolder({}, Object.assign(bucket, { name: 'no-such-bucket' }));
    folder.write('a', 'a');
    expect(await folder.drained()).toEqual({});
    expect(bucket.count('ListObjectsV2')).toBe(1);
    expect(folder.counts).toMatchObject({ pending: 1 });
  });
});

describe('T3.15: AccessDenied', () => {
  test('on one key fails that file, and pauses nothing', async () => {
    let denied = true;
    const authorise = (_action: string, _bucket: string, key: string) => !(denied && key === 'files/secret');
    const folder = await drainedFolder({}, await testBucket({ authorise }));
    for (const name of ['a', 'secret', 'b', 'c']) folder.write(name, name);
    expect(await folder.drained()).toMatchObject({
      a: 'uploaded (new)',
      b: 'uploaded (new)',
      c: 'uploaded (new)',
      secret: 'failed (AccessDenied)',
    });
    expect(folder.log).toEqual([]);
    expect(folder.journal.failures.list(folder.route.routeId)).toMatchObject([
      { path: 'secret', state: 'failed', code: 'AccessDenied' },
    ]);
    denied = false;
    folder.journal.retry(folder.route.routeId, Date.now());
    expect(await folder.drained()).toEqual({ secret: 'uploaded (new)' });
  });

  test('on every key pauses the route with one alert; what failed is tried again when it ends', async () => {
    let denied = true;
    const authorise = (action: string) => !(denied && action === 's3:PutObject');
    const folder = await drainedFolder({}, await testBucket({ authorise }));
    for (const name of names(100)) folder.write(name, name);
    folder.run();
    await until(() => folder.log.length > 0 && folder.counts.claimed === 0);
    const tried = folder.bucket.count('PutObject');
    expect(tried).toBeLessThan(100);
    denied = false;
    await until(() => folder.counts.baselines === 100);
    expect(folder.log.map(({ level }) => level)).toEqual(['error', 'info']);
  });
});

describe('AccessDenied below one directory', () => {
  const authorise = (_action: string, _bucket: string, key: string) => !key.startsWith('files/secret/');

  test('does not keep the files beside it waiting, before it or after it', { timeout: 30_000 }, async () => {
    const folder = await drainedFolder({}, await testBucket({ authorise }));
    const secrets = names(300).map((name) => `secret/${name}`);
    for (const name of [...secrets, ...names(20), 'late']) folder.writeUnseen(name, name);
    folder.observe(...secrets);
    folder.observe(...names(20));
    const drain = folder.run();
    await until(() => folder.counts.baselines === 20);
    folder.observe('late');
    drain.poke();
    await until(() => folder.counts.baselines === 21 && folder.counts.failed === 300);
    // Once each, and those once more that failed before anything had worked; a lean PUT and one of the SDK each time.
    expect(folder.bucket.count('PutObject')).toBeLessThan(2 * (300 + 64) + 50);
    expect(folder.log.map(({ level }) => level)).toEqual(['error', 'info']);
  });
});

describe('T3.15: a store that says "slow down"', () => {
  test('gets half of the requests at once, and every file in the end', async () => {
    const folder = await drainedFolder();
    folder.write('first', '');
    await folder.drained();
    const fault = { kind: 'answer', status: 503, code: 'SlowDown', operation: 'PutObject' } as const;
    const slow = folder.bucket.server.faults.add({ ...fault, keyPrefix: 'files/a' });
    const { concurrency } = folder.route.endpoint;
    const before = concurrency.limit;
    folder.write('a', 'a');
    folder.onHandled = ({ words }) => {
      slow.clear();
      if (words.startsWith('retry')) folder.observe('a');
    };
    await folder.drained();
    expect(folder.reports.map(({ words }) => words)).toEqual([
      'uploaded (new)',
      'retry (SlowDown)',
      'uploaded (new)',
    ]);
    expect(concurrency.limit).toBe(before / 2);
    expect(folder.log).toEqual([]);
  });
});

describe('a folder that is halted', () => {
  test('has nothing done, not even asked, until it is there again', async () => {
    const folder = await drainedFolder();
    const drain = folder.drain();
    drain.halt(true);
    const ended = drain.run();
    folder.write('a', 'a');
    drain.poke();
    await until(() => folder.counts.pending === 1);
    expect(folder.bucket.server.counts()).toEqual({});
    drain.halt(false);
    await folder.untilHandled(1);
    expect(folder.bucket.content('files/a')).toBe('a');

    drain.halt(true);
    folder.remove('a');
    drain.finish();
    await ended;
    expect(folder.counts).toMatchObject({ pending: 1, claimed: 0 });
    expect(folder.baseline('a')).toMatchObject({ gone: false });
  });
});

describe('stop', () => {
  test('waits for what is in flight and gives back what is not', async () => {
    const folder = await drainedFolder();
    folder.write('first', '');
    await folder.drained();
    folder.bucket.server.clearRequests();
    for (const name of names(60)) folder.write(name, name);
    const drain = folder.drain();
    const ended = drain.run();
    await folder.bucket.arrival('PutObject');
    drain.stop();
    await ended;
    const { baselines, pending, claimed, retrying } = folder.counts;
    expect({ claimed, retrying, all: baselines + pending }).toEqual({ claimed: 0, retrying: 0, all: 61 });
    expect(folder.bucket.keys).toHaveLength(baselines);
  });

  test('interrupts an upload in parts where it can go on', async () => {
    const folder = await drainedFolder();
    folder.write('a', Buffer.alloc(40 * MiB, 'x'));
    const drain = folder.drain();
    const ended = drain.run();
    await folder.bucket.arrival('UploadPart');
    drain.stop();
    await ended;
    expect(folder.counts).toMatchObject({ pending: 1, claimed: 0, retrying: 0 });
    expect(folder.bucket.uploads).toEqual(['files/a']);
    expect(await folder.drained()).toEqual({ a: 'uploaded (new)' });
    expect(folder.bucket.count('CreateMultipartUpload')).toBe(1);
    expect(folder.bucket.attributes('files/a')?.size).toBe(40 * MiB);
    expect(folder.bucket.uploads).toEqual([]);
  });

  test('does not wait for a listing', async () => {
    const folder = await drainedFolder();
    folder.bucket.server.faults.add({ kind: 'stall', operation: 'ListObjectsV2' });
    folder.write('a', 'a');
    const drain = folder.drain();
    const ended = drain.run();
    await folder.bucket.arrival('ListObjectsV2');
    drain.stop();
    await ended;
    expect(folder.counts).toMatchObject({ pending: 1 });
    expect(folder.log).toEqual([]);
  });
});

describe('progress', () => {
  test('is missed when a change is due for five minutes and nothing is under way', async () => {
    const folder = await drainedFolder();
    const drain = folder.drain();
    folder.write('a', 'a');
    const later = Date.now() + 300_001;
    expect(() => drain.proveProgress(Date.now())).not.toThrow();
    expect(() => drain.proveProgress(later)).toThrow(/although changes wait for 300 s/);
    drain.halt(true);
    expect(() => drain.proveProgress(later)).not.toThrow();
  });
});

describe('the time between tries', () => {
  const failure = new Failure('nobody there', { class: 'unreachable', code: 'ECONNREFUSED' });

  test('grows with every try, up to a minute', () => {
    const trouble = new Trouble();
    const waits: number[] = [];
    for (let nowMs = 0; waits.length < 9; nowMs = trouble.current!.nextTryMs) {
      trouble.begin(failure, nowMs, 0);
      waits.push(trouble.current!.nextTryMs - nowMs);
    }
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
    expect(trouble.current).toMatchObject({ sinceMs: 0, tries: 9 });
    trouble.end();
    expect(trouble.current).toBeUndefined();
  });

  test('does not grow by requests that fail together', () => {
    const trouble = new Trouble();
    for (let request = 0; request < 50; request++) trouble.begin(failure, request, 0);
    expect(trouble.current).toMatchObject({ tries: 1, nextTryMs: 500 });
  });
});

describe('places at an endpoint', () => {
  test('are all for the only route', () => {
    const endpoint = new Endpoint('only');
    endpoint.join(1);
    const { limit } = endpoint.concurrency;
    for (let taken = 0; taken < limit; taken++) {
      expect(endpoint.hasPlaceFor(1)).toBe(true);
      endpoint.take(1);
    }
    expect(endpoint.hasPlaceFor(1)).toBe(false);
    endpoint.release(1);
    expect(endpoint.hasPlaceFor(1)).toBe(true);
  });

  test('are kept for a route that has none, whatever the others take', () => {
    const endpoint = new Endpoint('shared');
    for (const route of [1, 2, 3, 4]) endpoint.join(route);
    while (endpoint.hasPlaceFor(1)) endpoint.take(1);
    for (const route of [2, 3, 4]) expect(endpoint.hasPlaceFor(route)).toBe(true);
    expect(endpoint.inFlight).toBeLessThan(endpoint.concurrency.limit);
  });
});

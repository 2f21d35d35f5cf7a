// Several destinations for one folder: what goes where, with whose rights, and that nothing else is asked for.
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { RouteStatus } from '../../src/observe/status.ts';
import { closedPort, noLocalServer, startStore, until, workspace } from './harness.ts';
import type { Store } from './harness.ts';

/** settle 200ms + 3 s. */
const convergeMs = 3_200;

const accountOne = '111122223333';
const accountTwo = { id: '444455556666', accessKey: 'account-two' };

describe.skipIf(noLocalServer)('with two destinations', () => {
  test('only what is tagged Project=ProjectX goes to account 2', async () => {
    const { home, one, two } = await twoAccounts({ tags: { Project: 'ProjectX' } });
    home.write('project-x/plan.txt', 'X');
    home.write('project-y/plan.txt', 'Y');
    home.write('notes.txt', 'neither');

    await home.once();
    expect(await one.keys()).toEqual(['notes.txt', 'project-x/plan.txt', 'project-y/plan.txt']);
    expect(await two.keys()).toEqual(['project-x/plan.txt']);
    expect(await two.tags('project-x/plan.txt')).toEqual({ Project: 'ProjectX' });
    for (const store of [one, two]) {
      const { accessKey } = store;
      expect(store.requests.filter((request) => request.accessKey !== accessKey)).toEqual([]);
    }
  });

  test('what is not selected costs no request and leaves no trace, however often it is scanned', async () => {
    const { home, one, two } = await twoAccounts({ match: 'project-x/**', 'smaller-than': '10B' });
    home.write('project-x/small', 'small');
    home.write('project-x/large', 'larger than ten');
    home.write('notes.txt', 'n');
    await home.once();
    expect(await two.keys()).toEqual(['project-x/small']);

    one.forget();
    two.forget();
    const { folders } = await home.once();
    expect(folders.docs.requests).toEqual({});
    expect(Object.values(folders.docs.outcomes).every((count) => count === 0)).toBe(true);
    expect([one.counts, two.counts]).toEqual([{}, {}]);
    const status = await home.status();
    expect(status.folders[0]!.routes.map(({ settled, pending }) => [settled, pending])).toEqual([
      [3, 0],
      [1, 0],
    ]);
  });

  test('a file that is selected no more keeps its object as it was, and comes back when it is again', async () => {
    const { home, one, two } = await twoAccounts({ 'smaller-than': '10B' });
    home.write('grows', 'small');
    const daemon = await home.start();
    await home.awaitEqual(convergeMs, { store: two });

    fs.appendFileSync(home.path('grows'), ' and larger and larger');
    await home.awaitEqual(convergeMs, { store: one });
    await daemon.stop();
    expect(String(await two.get('grows'))).toBe('small');
    two.forget();
    await home.once();
    expect(two.counts).toEqual({});
    expect((await home.s3syncd('plan', '--json')).json.actions).toEqual([]);

    home.write('grows', 'again');
    await home.once();
    expect(String(await two.get('grows'))).toBe('again');
  });

  test('another selector sends what it takes now, and takes nothing away', async () => {
    const { home, two, configure } = await twoAccounts({ tags: { Project: 'ProjectX' } });
    home.write('project-x/plan.txt', 'X');
    home.write('project-y/plan.txt', 'Y');
    await home.once();

    configure({ tags: { Project: 'ProjectY' } });
    two.forget();
    const plan = (await home.s3syncd('plan', '--json')).json.actions;
    expect(plan).toMatchObject([{ destination: 'two', path: 'project-y/plan.txt', action: 'upload' }]);
    await home.once();
    expect(two.counts).toEqual({ PutObject: 1 });
    expect(await two.keys()).toEqual(['project-x/plan.txt', 'project-y/plan.txt']);

    fs.rmSync(home.path('project-x/plan.txt'));
    await home.once();
    expect(await two.keys()).toEqual(['project-x/plan.txt', 'project-y/plan.txt']);
  });

  test('each has a policy of its own', async () => {
    const { home, one, two, configure } = await twoAccounts();
    configure(undefined, { policy: 'skip-existing' });
    home.write('a', 'first');
    await home.once();
    home.write('a', 'second');
    await home.once();
    expect(String(await one.get('a'))).toBe('second');
    expect(String(await two.get('a'))).toBe('first');
  });
});

/** How the second destination fails, for as long as the test runs. */
const sicknesses: Record<string, (two: Store) => Promise<Record<string, unknown>>> = {
  'answers 503': async (two) => {
    two.server.faults.add({ kind: 'answer', status: 503, code: 'SlowDown' });
    return {};
  },
  'takes requests and never answers': async (two) => {
    two.server.faults.add({ kind: 'stall' });
    return {};
  },
  'refuses connections': async () => ({ endpoint: `http://127.0.0.1:${await closedPort()}` }),
  'does not know our credentials': async (two) => {
    two.server.credentials.delete(two.accessKey);
    return {};
  },
};

const files = 150;

describe.skipIf(noLocalServer)('one destination is complete while the other', () => {
  test.each(Object.keys(sicknesses))('%s', { timeout: 60_000 }, async (sickness) => {
    const { home, one, two, configure } = await twoAccounts();
    configure(undefined, {}, await sicknesses[sickness]!(two));
    for (let number = 1; number < files; number++) home.write(`d${number % 7}/${number}`, `file ${number}`);
    home.write('in parts', randomBytes(20 * 1024 ** 2));
    const daemon = await home.start();
    await home.awaitEqual(10_000, { store: one });
    // An orderly end would wait for the other one.
    await daemon.kill();

    const [healthy, sick] = (await home.status()).folders[0]!.routes;
    expect(healthy).toMatchObject({ failed: 0, blocked: 0, retrying: 0 });
    expect(healthy).not.toHaveProperty('trouble');
    // Nothing is given up either.
    expect(sick).toMatchObject({ settled: 0, failed: 0, blocked: 0 });
    expect(sick!.pending + sick!.inFlight).toBe(files);
    expect(two.server.store.objects(two.bucket).size).toBe(0);
  });
});

describe.skipIf(noLocalServer)('what was asked for', () => {
  test('is told by status for each destination, as the store counted it, over a restart', async () => {
    const { home, one, two } = await twoAccounts({ match: 'project-x/**' });
    home.write('project-x/plan.txt', 'X');
    home.write('notes.txt', 'n');
    await home.once();
    const daemon = await home.start();
    home.write('project-x/more.txt', 'more');
    await home.awaitEqual(convergeMs, { store: one });
    await daemon.stop();

    const [toOne, toTwo] = (await home.status()).folders[0]!.routes;
    expect(toOne!.usage.today.requests).toEqual(one.counts);
    expect(toTwo!.usage.month.requests).toEqual(two.counts);
    expect(toTwo!.usage.today.bytes).toBe('X'.length + 'more'.length);
    // What an S3-compatible store charges, nobody knows.
    expect(toTwo!.usage.today).not.toHaveProperty('cost');
    expect(toTwo!.usage).not.toHaveProperty('prices');
    expect((await home.s3syncd('status')).stdout).toMatch(
      /\n {4}today 4 requests, \d+ B, this month 4 requests, \d+ B\n/,
    );
  });

  test('is what plan said before, by kind and bytes', async () => {
    const { home, one, two } = await twoAccounts({ 'smaller-than': '1MiB' });
    home.write('same', 'is there already');
    await one.put('same', 'is there already');
    home.write('project-x/plan.txt', 'X');
    home.write('in parts', randomBytes(20 * 1024 ** 2));

    for (const step of ['first', 'later'] as const) {
      if (step === 'later') home.write('project-x/plan.txt', 'changed');
      const { estimates } = (await home.s3syncd('plan', '--json')).json;
      one.forget();
      two.forget();
      await home.once();
      const sent = (store: Store) =>
        store.requests
          .filter(({ operation }) => operation === 'PutObject' || operation === 'UploadPart')
          .reduce((sum, { bytes }) => sum + bytes, 0);
      expect(estimates).toEqual([
        { folder: 'docs', destination: 's3', requests: one.counts, bytes: sent(one) },
        { folder: 'docs', destination: 'two', requests: two.counts, bytes: sent(two) },
      ]);
    }
    expect((await home.s3syncd('plan')).stdout).toBe('nothing to do\n');
  });

  test('slows down when the budget of the day nears its end, says so once, and drops nothing', async () => {
    const store = await startStore();
    const home = workspace(store, { destination: { 'requests-per-day': 100 } });
    for (let number = 0; number < 150; number++) home.write(`${number}`, `file ${number}`);

    const daemon = await home.start();
    const { used, requestsPerDay } = await daemon.logged(/budget of requests nears its end/);
    expect([used, requestsPerDay]).toEqual([80, 100]);
    await until(async () => (await home.status()).folders[0]!.routes[0]!.inFlight === 0, 20_000);
    const { code, stdout } = await home.s3syncd('status');
    expect(stdout).toMatch(
      /! \d+ of the 100 requests of today are used: what is left is spread until 00:00 UTC/,
    );
    expect(code).toBe(75);
    await daemon.stop();
    // The requests that were under way at the same time end, and no more begin.
    expect(store.requests.length).toBeLessThan(80 + 32);
    expect(daemon.log.filter(({ msg }) => msg.includes('budget'))).toHaveLength(1);

    const again = await home.s3syncd('once');
    expect(again.code).toBe(75);
    expect(again.stderr).toMatch(/requests of today are used/);
    const [{ budget, settled, pending, usage }] = (await home.status()).folders[0]!.routes as [RouteStatus];
    expect(budget).toEqual({ requestsPerDay: 100, used: store.requests.length, slowed: true });
    expect(usage.today.requests).toEqual(store.counts);
    expect(settled + pending).toBe(150);
  });
});

/** A folder that goes to account 1, and to account 2 as far as it is selected. */
async function twoAccounts(when?: Record<string, unknown>) {
  const one = await startStore();
  const two = await startStore({ account: accountTwo });
  const home = workspace(one);
  home.env = { ...home.env, TWO_ID: two.accessKey, TWO_SECRET: two.secretKey };
  const configure = (
    selector?: Record<string, unknown>,
    more: Record<string, unknown> = {},
    destination: Record<string, unknown> = {},
  ) =>
    home.configure({
      destination: { 'expected-bucket-owner': accountOne },
      destinations: {
        two: {
          bucket: two.bucket,
          endpoint: two.endpoint,
          region: two.region,
          'expected-bucket-owner': accountTwo.id,
          credentials: { 'access-key-id': '${env:TWO_ID}', 'secret-access-key': '${env:TWO_SECRET}' },
          ...destination,
        },
      },
      folder: {
        to: ['s3', { destination: 'two', ...(selector && { when: selector }), ...more }],
        rules: [
          { match: 'project-x/**', tags: { Project: 'ProjectX' } },
          { match: 'project-y/**', tags: { Project: 'ProjectY' } },
        ],
      },
    });
  configure(when);
  return { home, one, two, configure };
}

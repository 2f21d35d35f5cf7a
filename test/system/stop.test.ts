// The end of a run: orderly within ten seconds whatever the server does, gone on with at the next start, and no secret in
// anything that is left behind.
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { noLocalServer, startStore, until, workspace } from './harness.ts';
import type { Store } from './harness.ts';

const MiB = 1024 ** 2;

describe('stopped', () => {
  test('when idle, it ends at once and leaves no socket', async () => {
    const home = workspace(await startStore());
    home.write('a', 'a');
    const daemon = await home.start();
    await home.awaitEqual(3_200);
    expect(await daemon.stop()).toBeLessThan(2_000);
    expect(fs.readdirSync(home.stateDir).toSorted()).toStrictEqual([
      'journal.db',
      'journal.db.start',
      'lock.db',
    ]);
    const ctrlC = await home.start();
    expect(await ctrlC.stop('SIGINT')).toBeLessThan(2_000);
    expect((await home.s3syncd('status')).stdout).toMatch(/not running; this is what its journal says/);
  });

  test.skipIf(noLocalServer)(
    'in the middle of a large file, it goes on with it at the next start',
    async () => {
      const store = await startStore({ discardBodies: true });
      const home = workspace(store);
      home.write('large', randomBytes(160 * MiB));
      const slow = store.server.faults.add({ kind: 'latency', ms: 300, operation: 'UploadPart' });
      const daemon = await home.start();
      await until(() => parts(store, 200) >= 4, 20_000);
      const tookMs = await daemon.stop();
      slow.clear();
      const confirmed = parts(store, 200);

      await home.once();

      await home.expectEqual();
      console.log(`stopped in ${tookMs} ms after ${confirmed} of 10 parts; ${parts(store)} were sent in all`);
      expect(tookMs).toBeLessThan(3_000);
      expect(parts(store, 200)).toBe(10);
      expect(store.counts).toMatchObject({ CreateMultipartUpload: 1, CompleteMultipartUpload: 1 });
    },
  );

  test.skipIf(noLocalServer).each([
    ['never answers', { kind: 'stall' } as const],
    ['takes no file', { kind: 'stall', operation: 'PutObject' } as const],
    ['takes no part', { kind: 'stall', operation: 'UploadPart' } as const],
    ['stops reading', { kind: 'stall', afterBytes: 1 } as const],
  ])('while the server %s, run ends within ten seconds', async (_, fault) => {
    const store = await startStore();
    const home = workspace(store);
    const added = store.server.faults.add({ ...fault });
    const daemon = await home.start();
    for (let number = 0; number < 10; number++) home.write(String(number), 'x');
    home.write('large', randomBytes(40 * MiB));
    await until(() => added.hits > 0, 10_000);
    const tookMs = await daemon.stop();
    console.log(`stopped in ${tookMs} ms`);
    expect(tookMs).toBeLessThan(10_000);

    store.server.faults.clear();
    await home.once();
    await home.expectEqual();
  });

  test.skipIf(noLocalServer)(
    'while the server never answers, once ends within ten seconds, too',
    async () => {
      const store = await startStore();
      const home = workspace(store);
      for (const name of ['a', 'b', 'c']) home.write(name, name);
      const fault = store.server.faults.add({ kind: 'stall', operation: 'PutObject' });
      const child = home.spawn(['once', '--config', home.configFile]);
      await until(() => fault.hits >= 3, 10_000);
      const startedAt = performance.now();
      child.kill('SIGTERM');
      await until(
        () => child.exitCode !== null || child.signalCode !== null,
        10_000,
        () => 'once does not end',
      );
      console.log(`once ended in ${Math.round(performance.now() - startedAt)} ms with ${child.exitCode}`);
      expect([1, 75]).toContain(child.exitCode);
    },
  );

  test.skipIf(noLocalServer)('twice, it ends at once', async () => {
    const store = await startStore();
    const home = workspace(store);
    const fault = store.server.faults.add({ kind: 'stall', operation: 'PutObject' });
    const daemon = await home.start();
    home.write('a', 'a');
    await until(() => fault.hits > 0, 10_000);
    daemon.child.kill('SIGTERM');
    await daemon.logged('s3syncd stops');
    expect(await daemon.stop()).toBeLessThan(1_000);
  });
});

describe('what it leaves behind', () => {
  test('is a log of JSON lines and a journal, and no secret is in either', async () => {
    const store = await startStore();
    const home = workspace(store, {
      destination: {
        credentials: {
          'access-key-id': '${env:CANARY_ID}',
          'secret-access-key': '${env:CANARY_SECRET}',
        },
      },
      destinations: {
        wrong: {
          bucket: store.bucket,
          endpoint: store.endpoint,
          region: store.region,
          prefix: 'wrong/',
          credentials: { 'access-key-id': '${env:CANARY_ID}', 'secret-access-key': '${env:CANARY_WRONG}' },
        },
      },
      folder: { to: ['s3', 'wrong'], rules: [{ match: '**', tags: { A: 'b' } }] },
      top: { log: { level: 'trace' } },
    });
    const secrets = [store.secretKey, 'canary-wrong-secret-77', 'canary-of-the-content-4711'];
    home.env = {
      ...home.env,
      CANARY_ID: store.accessKey,
      CANARY_SECRET: secrets[0],
      CANARY_WRONG: secrets[1],
    };
    const daemon = await home.start();
    home.write('a', secrets[2]!);
    home.write('b', Buffer.concat([Buffer.from(secrets[2]!), randomBytes(9 * MiB)]));
    await home.awaitEqual(3_200);
    await until(async () => (await home.s3syncd('status')).code === 1, 10_000);
    const outputs = [
      await home.s3syncd('status', '--json'),
      await home.s3syncd('status'),
      await home.s3syncd('check'),
      await home.s3syncd('plan', '--json'),
    ];
    await daemon.stop();

    expect(daemon.log.length).toBeGreaterThan(3);
    for (const line of daemon.log) {
      expect(line).toMatchObject({
        level: expect.any(String),
        time: expect.any(Number),
        msg: expect.any(String),
      });
    }
    expect(daemon.stdout).toBe('');
    const places: [string, string][] = [
      ['log', daemon.stderr],
      ...outputs.map(({ stdout, stderr }): [string, string] => ['output', stdout + stderr]),
      ...fs
        .readdirSync(home.stateDir)
        .map((name): [string, string] => [name, fs.readFileSync(path.join(home.stateDir, name), 'latin1')]),
    ];
    const leaks = places.flatMap(([place, text]) =>
      secrets.filter((secret) => text.includes(secret)).map((secret) => `${secret} in ${place}`),
    );
    expect(leaks).toStrictEqual([]);
  });

  test('is readable by its user only', async () => {
    const home = workspace(await startStore());
    const daemon = await home.start();
    expect(fs.statSync(home.stateDir).mode & 0o777).toBe(0o700);
    expect(fs.statSync(path.join(home.stateDir, 'control.sock')).mode & 0o777).toBe(0o660);
    await daemon.stop();
  });
});

function parts(store: Store, status?: number): number {
  return store.requests.filter(
    (request) => request.operation === 'UploadPart' && request.status === (status ?? request.status),
  ).length;
}

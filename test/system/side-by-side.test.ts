// Several folders and destinations: what one of them suffers the others never notice.
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { CreateBucketCommand } from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import { closedPort, noLocalServer, startStore, until, workspace } from './harness.ts';
import type { Store, Workspace } from './harness.ts';

/** settle 200ms + 3 s. */
const convergeMs = 3_200;

const overload = { status: 503, code: 'SlowDown' };

describe.skipIf(noLocalServer)('a folder is kept in S3 while', () => {
  test.each([
    ['never answers', { kind: 'stall' } as const],
    ['stops reading', { kind: 'stall', afterBytes: 10 } as const],
    ['is slow', { kind: 'latency', ms: 20_000 } as const],
    ['is overloaded', { kind: 'answer', ...overload } as const],
    ['fails after it stored', { kind: 'commit-then-answer', status: 500, code: 'InternalError' } as const],
    ['resets every connection', { kind: 'reset-request', afterBytes: 1 } as const],
  ])('the endpoint of another %s', async (_, fault) => {
    const { home, other, sick } = await twoFolders();
    sick.server.faults.add({ operation: 'PutObject', ...fault });
    const daemon = await home.start();
    fillBoth(other, home);

    await home.awaitEqual(convergeMs);
    home.write('later.txt', 'and it goes on');
    expect(await home.awaitEqual(convergeMs)).toBeLessThan(3 * convergeMs);
    // An orderly stop would wait for the sick one.
    await daemon.kill();
  });

  test('the endpoint of another is not there', async () => {
    const { home, other } = await twoFolders({ endpoint: `http://127.0.0.1:${await closedPort()}` });
    await home.start();
    fillBoth(other, home);

    await home.awaitEqual(convergeMs);

    const { stdout, code } = await home.s3syncd('status');
    expect(stdout).toMatch(/! destination "sick": .*ECONNREFUSED.*nothing listens there/);
    expect(code).toBe(75);
  });

  test('another bucket of the same endpoint never answers', async () => {
    const store = await startStore();
    const home = twoFoldersOf(store, store, { bucket: 'sick-bucket' });
    await store.client.send(new CreateBucketCommand({ Bucket: 'sick-bucket' }));
    store.server.faults.add({ kind: 'stall', operation: 'PutObject', bucket: 'sick-bucket' });
    const daemon = await home.start();
    fillBoth(otherFolder(home), home);

    expect(await home.awaitEqual(convergeMs)).toBeLessThan(3 * convergeMs);
    await daemon.kill();
  });

  test('another of its own destinations never answers', async () => {
    const store = await startStore();
    const sick = await startStore();
    const { endpoint, bucket, region } = sick;
    sick.server.faults.add({ kind: 'stall', operation: 'PutObject' });
    const home = workspace(store, {
      destinations: { sick: { endpoint, bucket, region } },
      folder: { to: ['sick', 's3'] },
    });
    const daemon = await home.start();
    fill(home.folder);

    expect(await home.awaitEqual(convergeMs)).toBeLessThan(3 * convergeMs);
    await daemon.kill();
  });

  test('another folder is not there', async () => {
    const store = await startStore();
    const home = workspace(store, {
      destination: { prefix: '{folder}/' },
      folders: { missing: { path: 'missing', to: 's3' } },
    });
    await home.start();
    fill(home.folder);

    await home.awaitEqual(convergeMs, { prefix: 'docs/' });

    const { stdout, code } = await home.s3syncd('status');
    expect(stdout).toMatch(/missing {2}.* {2}halted\n {2}! folder "missing": .*missing does not exist/);
    expect(code).toBe(1);
  });
});

describe.skipIf(noLocalServer)('what an endpoint missed', () => {
  test('arrives by itself when it is back', async () => {
    const port = await closedPort();
    const store = await startStore();
    const home = workspace(store, { destination: { endpoint: `http://127.0.0.1:${port}` } });
    await home.start();
    fill(home.folder);
    await until(async () => (await home.s3syncd('status')).code === 75, 10_000);

    const proxy = net.createServer((socket) => {
      const upstream = net.connect(store.server.port, '127.0.0.1');
      socket.pipe(upstream).pipe(socket);
      for (const end of [socket, upstream]) end.on('error', () => end.destroy());
    });
    proxy.listen(port, '127.0.0.1');
    try {
      // The pauses grow to a minute; so early they are a few seconds.
      expect(await home.awaitEqual(8_000)).toBeLessThan(24_000);
      await until(async () => (await home.s3syncd('status')).code === 0, 3_000);
    } finally {
      proxy.close();
    }
  });
});

/** A folder `docs` on a healthy store, and a folder `other` on a sick one. */
async function twoFolders(destination: Record<string, unknown> = {}) {
  const healthy = await startStore();
  const sick = await startStore();
  const home = twoFoldersOf(healthy, sick, destination);
  return { home, sick, other: otherFolder(home) };
}

function twoFoldersOf(
  healthy: Store,
  { endpoint, bucket, region }: Store,
  destination: Record<string, unknown>,
) {
  const home = workspace(healthy, {
    destinations: { sick: { endpoint, bucket, region, ...destination } },
    folders: { other: { path: 'other', to: 'sick', settle: '200ms' } },
  });
  fs.mkdirSync(otherFolder(home));
  return home;
}

function otherFolder(home: Workspace): string {
  return path.join(home.directory, 'other');
}

/** The sick one first, and with more bytes than the daemon ever holds in memory. */
function fillBoth(other: string, home: Workspace): void {
  const large = randomBytes(7 * 1024 ** 2);
  for (let number = 0; number < 40; number++) fs.writeFileSync(path.join(other, `large ${number}`), large);
  fill(other);
  fill(home.folder);
}

function fill(folder: string): void {
  for (let number = 0; number < 100; number++)
    fs.writeFileSync(path.join(folder, `${number}`), `file ${number}`);
  fs.writeFileSync(path.join(folder, 'in parts'), randomBytes(9 * 1024 ** 2));
}

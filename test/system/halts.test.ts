// Halts: nothing is done for a folder that is not there, nor for a bucket that is not the one it was. Each says why, since when
// and what ends it; the one goes on by itself, the other when a person says so.
import fs from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import { CreateBucketCommand, DeleteBucketCommand, DeleteObjectCommand } from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import { leastPrivilege, noLocalServer, startStore, until, workspace } from './harness.ts';
import type { Store, Workspace } from './harness.ts';

const hour = 3_600_000;

async function synced(): Promise<{ store: Store; home: Workspace }> {
  const store = await startStore();
  const home = workspace(store, { folder: { delete: 'propagate', 'delete-grace': '100ms' } });
  for (let number = 0; number < 30; number++) home.write(`dir/${number}`, `content ${number}`);
  await home.once();
  return { store, home };
}

async function empty(store: Store): Promise<void> {
  for (const Key of await store.keys())
    await store.client.send(new DeleteObjectCommand({ Bucket: store.bucket, Key }));
}

/** As if the store had last been asked so long ago. */
function asIfAgo(home: Workspace, ms: number): void {
  const database = new Database(path.join(home.stateDir, 'journal.db'));
  database.prepare('UPDATE route SET proved_at = proved_at - ?').run(ms);
  database.close();
}

const emptied =
  /! HALTED: folder "docs": of the objects that were put to destination "s3" none is there .*it is empty/;

describe.skipIf(noLocalServer)('a bucket that was emptied', () => {
  test('halts `once` within a day, over restarts, until it is resumed', async () => {
    const { store, home } = await synced();
    await empty(store);
    asIfAgo(home, 21 * hour);
    home.write('new', 'new');
    fs.rmSync(home.path('dir/0'));
    store.forget();
    for (let start = 0; start < 2; start++) {
      const halted = await home.s3syncd('once');
      expect(halted.code).toBe(1);
      expect(halted.stderr).toMatch(emptied);
    }
    expect(store.counts).toEqual({ HeadObject: 1, ListObjectsV2: 1 });
    const status = await home.status();
    expect(status.folders[0]!.routes[0]!.halt).toMatchObject({ reason: 'store-emptied', needsResume: true });
    expect((await home.s3syncd('failures')).stdout).toMatch(/none is there any more/);

    expect((await home.s3syncd('resume', '--folder', 'other')).code).toBe(1);
    const resumed = await home.s3syncd('resume', '--json', '--folder', 'docs', '--destination', 's3');
    expect(resumed.json).toMatchObject({
      resumed: [{ folder: 'docs', destination: 's3', reason: 'store-emptied' }],
      left: [],
      problems: [],
    });
    expect(resumed.code).toBe(0);
    const report = await home.once();
    expect(report.folders.docs.outcomes).toMatchObject({ uploaded: 30, deleted: 0 });
    await home.expectEqual();
    expect((await home.s3syncd('resume')).stdout).toBe('nothing is halted\n');
  });
});

test.skipIf(noLocalServer || leastPrivilege)(
  'a bucket that is deleted and created anew under a running daemon gets nothing before it is resumed',
  async () => {
    const { store, home } = await synced();
    const daemon = await home.start();
    await empty(store);
    const Bucket = store.bucket;
    await store.client.send(new DeleteBucketCommand({ Bucket }));
    home.write('new', 'new');
    await until(async () => /NoSuchBucket/.test((await home.s3syncd('status')).stdout), 20_000);
    await store.client.send(new CreateBucketCommand({ Bucket }));
    await until(async () => emptied.test((await home.s3syncd('status')).stdout), 60_000);
    expect(await store.keys()).toEqual([]);
    expect((await home.s3syncd('status')).code).toBe(1);

    const resumed = await home.s3syncd('resume');
    expect(resumed.stdout).toMatch(/resumed +docs → s3 +store-emptied\n.*the daemon is at it/);
    await home.awaitEqual(20_000);
    await until(async () => (await home.s3syncd('status')).code === 0, 10_000);
    await daemon.stop();
  },
);

test('a folder that is not there is halted, also over a restart, and goes on when it is back', async () => {
  const { home } = await synced();
  fs.renameSync(home.folder, `${home.folder}.away`);
  const daemon = await home.start();
  const halted = async () => (await home.status()).folders[0]!.halt;
  await until(async () => (await halted()) !== undefined, 20_000);
  const first = await halted();
  expect(first).toMatchObject({ reason: 'root-missing', needsResume: false });
  await daemon.stop();
  const again = await home.start();
  await until(async () => (await halted()) !== undefined, 20_000);
  expect(await halted()).toEqual(first);
  const resumed = await home.s3syncd('resume');
  expect(resumed.code).toBe(1);
  expect(resumed.stdout).toMatch(
    /^halted +docs +folder "docs": \S+ does not exist\. .*goes on when it is back/,
  );
  await again.stop();

  fs.renameSync(`${home.folder}.away`, home.folder);
  const last = await home.start();
  home.write('new', 'new');
  await home.awaitEqual(20_000);
  await until(async () => (await home.s3syncd('status')).code === 0, 10_000);
  expect(await halted()).toBeUndefined();
  await last.stop();
});

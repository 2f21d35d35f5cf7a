// Deletes with the built program: what goes, and that nothing goes when the disk, the folder or a person's hand is in
// doubt. What was deleted is judged by the server's log and history, not by what s3syncd says.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { DeleteObjectCommand } from '@aws-sdk/client-s3';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { LegacySwitch } from '../s3-server/legacy.ts';
import { noLocalServer, noRoot, startStore, until, workspace } from './harness.ts';
import type { ConfigParts, Store, Workspace } from './harness.ts';

type Policy = 'overwrite' | 'skip-existing' | 'if-unchanged' | 'newer-wins';
const policies = ['overwrite', 'skip-existing', 'if-unchanged', 'newer-wins'] as const;

/** A folder whose deletes go to the bucket after 300 ms, with files that are in it. */
async function synced(
  names: readonly string[],
  { folder, ...parts }: ConfigParts = {},
  legacy: LegacySwitch[] = [],
): Promise<{ store: Store; home: Workspace }> {
  const store = await startStore({ legacy });
  const home = workspace(store, {
    destination: { prefix: 'docs/' },
    folder: { delete: 'propagate', 'delete-grace': '300ms', ...folder },
    top: { log: { level: 'debug' } },
    ...parts,
  });
  for (const name of names) home.write(name, `content of ${name}`);
  await home.once();
  if (!noLocalServer) store.forget();
  return { store, home };
}

function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, number) => `${number % 5}/${String(number).padStart(3, '0')}`);
}

function deletesSent(store: Store): string[] {
  return store.requests
    .filter(({ operation, key }) => operation.startsWith('DeleteObject') && !key.endsWith('.s3syncd-probe'))
    .map(({ key }) => key)
    .toSorted();
}

/** Waits until so many deletes are held. */
async function held(home: Workspace, count: number): Promise<void> {
  let seen = 0;
  await until(
    async () => (seen = (await home.status()).folders[0]!.routes[0]!.held) === count,
    30_000,
    () => `${seen} deletes are held instead of ${count}`,
  );
}

describe.skipIf(noLocalServer)('T2: the object of a file that was deleted', () => {
  const kinds = ['ours', 'adopted', 'changed by another', 'deleted by another'] as const;
  type Cell = [outcome: string, ...requests: string[]];
  const cells: Record<Policy, Record<(typeof kinds)[number], Cell>> = {
    overwrite: {
      ours: ['deleted', 'DeleteObject'],
      adopted: ['deleted', 'DeleteObject'],
      'changed by another': ['deleted', 'DeleteObject'],
      'deleted by another': ['deleted', 'DeleteObject'],
    },
    'skip-existing': {
      ours: ['deleted', 'DeleteObject if-match'],
      adopted: ['kept-remote'],
      'changed by another': ['kept-remote', 'DeleteObject if-match', 'HeadObject'],
      'deleted by another': ['deleted', 'DeleteObject if-match'],
    },
    'if-unchanged': {
      ours: ['deleted', 'DeleteObject if-match'],
      adopted: ['kept-remote'],
      'changed by another': ['conflict', 'DeleteObject if-match', 'HeadObject'],
      'deleted by another': ['deleted', 'DeleteObject if-match'],
    },
    'newer-wins': {
      ours: ['deleted', 'DeleteObject if-match'],
      adopted: ['kept-remote'],
      'changed by another': ['remote-newer', 'DeleteObject if-match', 'HeadObject'],
      'deleted by another': ['deleted', 'DeleteObject if-match'],
    },
  };

  test.each(policies)('%s: does what its cells of T2 say', async (policy) => {
    const store = await startStore();
    await store.put('docs/adopted', 'content of adopted');
    const home = workspace(store, {
      destination: { prefix: 'docs/' },
      folder: { policy, delete: 'propagate', 'delete-grace': '300ms', 'max-delete': { percent: 100 } },
      top: { log: { level: 'debug' } },
    });
    for (const name of [...kinds, 'stays']) home.write(name, `content of ${name}`);
    await home.once();
    await store.put('docs/changed by another', 'theirs');
    await store.client.send(
      new DeleteObjectCommand({ Bucket: store.bucket, Key: 'docs/deleted by another' }),
    );
    store.forget();

    const daemon = await home.start();
    for (const name of kinds) fs.rmSync(home.path(name));
    const outcomeOf = (name: string) => daemon.handled([name]).map(({ outcome }) => String(outcome));
    await until(
      () => kinds.every((name) => outcomeOf(name).length > 0),
      20_000,
      () => daemon.stderr,
    );
    await daemon.stop();

    const found = Object.fromEntries(
      kinds.map((name) => {
        const requests = store.requests
          .filter(({ key }) => key === `docs/${name}`)
          .map(
            ({ operation, headers }) => `${operation}${headers['if-match'] === undefined ? '' : ' if-match'}`,
          );
        return [name, [outcomeOf(name).join(), ...requests]];
      }),
    );
    expect(found).toStrictEqual(cells[policy]);
    const kept = policy === 'overwrite' ? [] : ['docs/adopted', 'docs/changed by another'];
    expect(await store.keys()).toEqual([...kept, 'docs/stays']);
  });

  test('keep: stays, as it does without being asked', async () => {
    const { store, home } = await synced(['a', 'b'], { folder: { delete: 'keep' } });
    fs.rmSync(home.path('a'));
    expect((await home.once()).folders.docs.outcomes).toMatchObject({ 'kept-remote': 1, deleted: 0 });
    expect(store.requests).toEqual([]);
  });

  test('archive: is moved to its archive key first', async () => {
    const { store, home } = await synced(['a', 'b', 'd/c'], {
      folder: { delete: 'archive', 'archive-prefix': 'old/{folder}/' },
    });
    fs.rmSync(home.path('d/c'));
    const { outcomes } = (await home.once()).folders.docs;
    expect(outcomes).toMatchObject({ archived: 1, deleted: 0 });
    const keys = await store.keys();
    expect(keys).toEqual(['docs/a', 'docs/b', expect.stringMatching(/^old\/docs\/d\/c\.\d{8}T\d{9}Z$/)]);
    expect(String(await store.get(keys[2]!))).toBe('content of d/c');
  });
});

describe('once', () => {
  test('waits out the grace and deletes what is gone', async () => {
    const { store, home } = await synced(['a', 'b', 'c']);
    fs.rmSync(home.path('a'));
    const plan = (await home.s3syncd('plan', '--json')).json;
    expect(plan.actions).toMatchObject([
      { path: 'a', action: 'delete', reason: 'deleted-locally', key: 'docs/a' },
    ]);
    expect((await home.once()).folders.docs.outcomes).toMatchObject({ deleted: 1, 'kept-remote': 0 });
    expect(await store.keys()).toEqual(['docs/b', 'docs/c']);
    await home.expectEqual({ prefix: 'docs/' });
    expect((await home.once()).requests).toEqual({});
  });

  test('holds what is too much, and says so', async () => {
    const { store, home } = await synced(numbered(20));
    for (const name of numbered(20).slice(0, 12)) fs.rmSync(home.path(name));
    const plan = (await home.s3syncd('plan', '--json')).json;
    expect(plan.summary.counts).toEqual({ hold: 12 });
    await home.once(5);
    expect(await store.keys()).toHaveLength(20);
    const { code, stdout } = await home.s3syncd('deletes');
    expect(code).toBe(5);
    expect(stdout).toMatch(/0\/000 +docs → s3 +docs\/0\/000 +too-many +gone for .*12 deletes held/s);
    // Without a daemon the answer goes into the journal, and the next run carries it out.
    expect((await home.s3syncd('deletes approve', '0', '1/001')).code).toBe(5);
    expect((await home.s3syncd('deletes discard')).code).toBe(0);
    await home.once();
    expect((await store.keys()).filter((key) => key < 'docs/2')).toEqual([
      'docs/0/015',
      'docs/1/006',
      'docs/1/011',
      'docs/1/016',
    ]);
    expect(await store.keys()).toHaveLength(16);
  });
});

describe.skipIf(noLocalServer)('not one DELETE is sent, and status says why,', () => {
  const names = numbered(40);

  /** What is done to the folder of a running daemon, and what status says then. */
  const dangers: [string, (home: Workspace) => void, RegExp][] = [
    ['when 60 % of the tree are deleted', (home) => removeAll(home, names.slice(0, 24)), /24 held/],
    ['when every file is deleted', (home) => removeAll(home, names), /40 held/],
    ['when the folder is emptied', (home) => empty(home.folder), /40 held.*root-empty/s],
    [
      'when the folder is removed',
      (home) => fs.rmSync(home.folder, { recursive: true }),
      /halted.*(does not exist|was removed)/s,
    ],
    [
      'when the folder is moved away',
      (home) => fs.renameSync(home.folder, `${home.folder}.moved`),
      /halted.*(does not exist|was removed)/s,
    ],
    [
      'when another folder takes its place',
      (home) => {
        fs.renameSync(home.folder, `${home.folder}.old`);
        fs.mkdirSync(home.folder);
        home.write('other', 'other');
      },
      /another directory stands at/,
    ],
  ];

  test.each(dangers)('%s', async (_, endanger, line) => {
    const { store, home } = await synced(names);
    const daemon = await home.start();
    endanger(home);
    let text = '';
    await until(
      async () => line.test((text = (await home.s3syncd('status')).stdout)),
      30_000,
      () => text,
    );
    // Whatever would have been sent, would have been sent by now: grace, burst and all.
    await graces(home, 4);
    expect(deletesSent(store)).toEqual([]);
    expect((await store.keys()).filter((key) => names.includes(key.slice('docs/'.length)))).toHaveLength(40);
    await daemon.stop();
  });

  test('when the folder is swapped for an older copy while nobody runs', async () => {
    const { store, home } = await synced(names);
    fs.cpSync(home.folder, `${home.folder}.copy`, { recursive: true, preserveTimestamps: true });
    fs.rmSync(home.folder, { recursive: true });
    fs.renameSync(`${home.folder}.copy`, home.folder);
    removeAll(home, names.slice(0, 3));
    await home.once(5);
    expect(deletesSent(store)).toEqual([]);
    expect((await home.s3syncd('deletes')).stdout).toMatch(/root-replaced: another directory stands at/);
    // A person says that it is meant to be there: exactly these go, and the folder is at home again.
    expect((await home.s3syncd('deletes approve')).code).toBe(0);
    await home.once();
    expect(deletesSent(store)).toEqual(
      names
        .slice(0, 3)
        .map((name) => `docs/${name}`)
        .toSorted(),
    );
    fs.rmSync(home.path(names[10]!));
    await home.once();
    expect(deletesSent(store)).toHaveLength(4);
  });

  test('but a folder that is the same under another device is at home', async () => {
    const { store, home } = await synced(names);
    // Every file as it was, in a directory of another identity: as after a restart that numbered the disks anew.
    const twin = `${home.folder}.twin`;
    fs.mkdirSync(twin);
    for (const name of fs.readdirSync(home.folder)) fs.renameSync(home.path(name), path.join(twin, name));
    fs.rmdirSync(home.folder);
    fs.renameSync(twin, home.folder);
    expect((await home.once()).requests).toEqual({});
    fs.rmSync(home.path(names[0]!));
    await home.once();
    expect(deletesSent(store)).toEqual([`docs/${names[0]}`]);
  });

  test.skipIf(noRoot)('when the folder becomes unreadable', async () => {
    const { store, home } = await synced(names);
    home.giveToNobody();
    for (const file of fs.readdirSync(home.stateDir))
      fs.chownSync(path.join(home.stateDir, file), 65_534, 65_534);
    fs.chmodSync(home.configFile, 0o644);
    const daemon = await home.start({ asNobody: true });
    removeAll(home, names.slice(0, 3));
    fs.chmodSync(home.folder, 0o000);
    onTestFinished(() => fs.chmodSync(home.folder, 0o755));
    let text = '';
    await until(
      async () => /halted.*cannot read/s.test((text = (await home.s3syncd('status')).stdout)),
      30_000,
      () => text,
    );
    await graces(home, 4);
    expect(deletesSent(store)).toEqual([]);
    await daemon.stop();
  });

  test.skipIf(noRoot)('when a file system is mounted over a directory, or unmounted from it', async () => {
    const store = await startStore();
    const home = workspace(store, {
      destination: { prefix: 'docs/' },
      folder: { delete: 'propagate', 'delete-grace': '300ms' },
    });
    for (const name of [...names, 'disk/a', 'disk/b']) home.write(name, name);
    const [disk, plain] = [home.path('disk'), home.path('3')];
    mount(disk);
    for (const name of ['disk/a', 'disk/b']) home.write(name, name);
    await home.once();
    store.forget();
    const daemon = await home.start();
    mount(plain);
    execFileSync('umount', [disk]);
    fs.rmSync(home.path('disk/a'));
    // Nothing tells of a mount but the next look at what is below: somebody writes there.
    await daemon.stop();
    await home.once(5);
    const { stdout } = await home.s3syncd('deletes');
    expect(stdout).toMatch(/disk\/a .* other-device/);
    expect(stdout).toMatch(/3\/003 .* other-device/);
    expect(deletesSent(store)).toEqual([]);
    execFileSync('umount', [plain]);
    await home.once(5);
    expect((await home.s3syncd('deletes')).stdout).not.toMatch(/3\/003/);
    expect(deletesSent(store)).toEqual([]);
  });

  test.skipIf(noRoot)('when a file system is mounted over the folder, or unmounted from it', async () => {
    const store = await startStore();
    const home = workspace(store, {
      destination: { prefix: 'docs/' },
      folder: { delete: 'propagate', 'delete-grace': '300ms' },
    });
    mount(home.folder);
    for (const name of names) home.write(name, name);
    await home.once();
    store.forget();
    const daemon = await home.start();
    mount(home.folder);
    home.write('on another disk', 'other');
    await daemon.logged(/another directory stands at/);
    await graces(home, 4);
    expect(deletesSent(store)).toEqual([]);
    await daemon.stop();
    execFileSync('umount', [home.folder]);
    execFileSync('umount', [home.folder]);
    // Nobody ran to see it go.
    await home.once(5);
    expect(deletesSent(store)).toEqual([]);
    expect((await home.s3syncd('deletes')).stdout).toMatch(/root-(replaced|empty)/);
  });
});

describe.skipIf(noLocalServer)('held deletes', () => {
  test('go when they are approved, exactly those, while the daemon runs', async () => {
    const names = numbered(40);
    const { store, home } = await synced(names);
    const daemon = await home.start();
    removeAll(home, names.slice(0, 24));
    home.write('new', 'uploads go on');
    await held(home, 24);
    await until(async () => (await store.keys()).includes('docs/new'), 10_000);
    const listed = (await home.s3syncd('deletes list', '--json', '2')).json.deletes as {
      path: string;
      key: string;
    }[];
    expect(listed.map(({ path: each }) => each)).toEqual(
      names.slice(0, 24).filter((name) => name.startsWith('2/')),
    );
    // One of them comes back before it is sent: its object stays.
    home.write('2/002', 'content of 2/002');
    await held(home, 23);
    const { code, stdout } = await home.s3syncd('deletes approve', '2');
    expect([code, stdout]).toEqual([
      5,
      expect.stringMatching(/approve +2\/007 .*20 deletes still held|19 deletes still held/s),
    ]);
    const expected = listed.map(({ key }) => key).filter((key) => key !== 'docs/2/002');
    await until(() => deletesSent(store).length >= expected.length, 20_000);
    await graces(home, 3);
    expect(deletesSent(store)).toEqual(expected.toSorted());
    // The rest is kept, and the folder is well again.
    expect((await home.s3syncd('deletes discard')).code).toBe(0);
    expect((await home.s3syncd('status')).code).toBe(0);
    await daemon.stop();
    expect((await store.keys()).length).toBe(41 - expected.length);
  });

  test('are none of which nothing is known: a path that is wrong changes nothing', async () => {
    const { home } = await synced(numbered(20));
    removeAll(home, numbered(20).slice(0, 12));
    await home.once(5);
    const { code, stderr } = await home.s3syncd('deletes approve', '0', 'nowhere');
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^nowhere: no delete is held there/m)]);
    expect((await home.s3syncd('deletes list', '--json')).json.deletes).toHaveLength(12);
  });
});

function removeAll(home: Workspace, names: readonly string[]): void {
  for (const name of names) fs.rmSync(home.path(name));
}

function empty(directory: string): void {
  for (const name of fs.readdirSync(directory)) fs.rmSync(path.join(directory, name), { recursive: true });
}

function mount(directory: string): void {
  execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', directory]);
  onTestFinished(() => {
    try {
      execFileSync('umount', [directory], { stdio: 'ignore' });
    } catch {
      // The test has done it.
    }
  });
}

/** Lets so many graces go by, as the daemon's clock has them: asking for its status takes its time. */
async function graces(home: Workspace, count: number): Promise<void> {
  const endsAt = performance.now() + count * 300;
  while (performance.now() < endsAt) await home.status();
}

describe.skipIf(noLocalServer)('many deletes that wait', () => {
  test('for files that were renamed leave those, and whoever asks, their turn', async () => {
    const names = Array.from({ length: 800 }, (_, number) => `${number % 8}/${number}`);
    const store = await startStore();
    const home = workspace(store, {
      folder: {
        delete: 'propagate',
        'delete-grace': '100ms',
        settle: '50ms',
        'max-delete': { count: 10_000, percent: 100 },
      },
    });
    for (const name of names) home.write(name, `content of ${name}`);
    await home.start();
    await home.awaitEqual(15_000);
    // Until the copies are answered, nobody can tell how many files are gone and how many have another name.
    store.server.faults.add({ kind: 'latency', ms: 2_000, operation: 'CopyObject' });
    for (const [index, name] of names.entries()) {
      if (index % 2 === 0) fs.rmSync(home.path(name));
      else fs.renameSync(home.path(name), home.path(`${name} renamed`));
    }
    await store.server.until(() => store.counts['CopyObject'] !== undefined);
    expect((await home.status()).running).toBe(true);
    store.server.faults.clear();
    await home.awaitEqual(30_000);
  });
});

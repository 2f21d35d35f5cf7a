// The disk of the state directory is full, or answers with errors: the daemon says so, begins nothing that it could not
// remember, and goes on by itself when there is space. A disk that goes on failing ends it.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { noCommand, noLocalServer, noRoot, startStore, until, workspace } from './harness.ts';
import type { Daemon, Store, Workspace } from './harness.ts';

/** A workspace with some files, whose state directory is on a small disk of its own. */
function onSmallDisk(store: Store): { home: Workspace; disk: SmallDisk } {
  const home = workspace(store);
  const disk = new SmallDisk(path.join(home.directory, 'disk'));
  home.configure({ top: { 'state-dir': path.join(disk.path, 'state') } });
  for (let number = 0; number < oldCount; number++) home.write(`old/${number}`, `old ${number}`);
  return { home, disk };
}

const oldCount = 200;
const old = Array.from({ length: oldCount }, (_, number) => `old/${number}`);

class SmallDisk {
  readonly path: string;

  constructor(mountPoint: string) {
    this.path = mountPoint;
    fs.mkdirSync(mountPoint);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'tmpfs', mountPoint]);
    onTestFinished(() => void execFileSync('umount', ['--lazy', mountPoint]));
  }

  /** @param leftBytes what is left free */
  fill(leftBytes = 0): void {
    assert.throws(() => fs.writeFileSync(this.#filler, Buffer.alloc(64 * 1024 ** 2)), { code: 'ENOSPC' });
    fs.truncateSync(this.#filler, fs.statSync(this.#filler).size - leftBytes);
  }

  free(): void {
    fs.rmSync(this.#filler);
  }

  get #filler(): string {
    return path.join(this.path, 'filler');
  }
}

const toldFull = (daemon: Daemon) =>
  daemon.log.filter(({ level, msg }) => level === 'error' && /is full/.test(msg));

/** The log of the journal has some room left, whatever else is on the disk: changes until that is used up. */
async function changeUntilFull(home: Workspace, daemon: Daemon): Promise<void> {
  let round = 0;
  await until(() => {
    for (let number = 0; number < 50; number++) home.write(`new-${round}/${number}`, `${round} ${number}`);
    round += 1;
    return toldFull(daemon).length > 0;
  }, 30_000);
}

describe.skipIf(noLocalServer || noRoot)('a full disk', () => {
  test('is waited for: nothing is claimed meanwhile, and everything goes on when there is space', async () => {
    const store = await startStore();
    const { home, disk } = onSmallDisk(store);
    const daemon = await home.start();
    await home.awaitEqual(10_000);

    disk.fill();
    await changeUntilFull(home, daemon);
    const status = await home.s3syncd('status');
    expect(status.stdout).toMatch(/! the disk of the journal in \S+ is full \(SQLITE_FULL\): .*free some/);
    expect(status.code).toBe(75);
    const sent = store.counts['PutObject'];
    // More than a batch, and deletes, while nothing can be remembered.
    for (let number = 0; number < 1_500; number++) home.write(`meanwhile/${number}`, `${number}`);
    fs.rmSync(home.path('old'), { recursive: true });
    await until(() => toldFull(daemon).length > 0, 5_000);
    expect((await home.status()).journalTrouble).toMatchObject({ code: 'SQLITE_FULL', temporary: true });
    expect(store.counts['PutObject']).toBe(sent);
    disk.free();

    await home.awaitEqual(60_000, { kept: old });
    await until(async () => (await home.s3syncd('status')).code === 0, 20_000);
    expect(toldFull(daemon)).toHaveLength(1);
    expect(daemon.log.filter(({ msg }) => /can be written again/.test(msg))).toHaveLength(1);
    await daemon.stop();
    store.forget();
    await home.once();
    expect(store.counts).toStrictEqual({});
  });

  test('in the middle of uploads keeps their ends, and sends nothing twice', async () => {
    const store = await startStore();
    const { home, disk } = onSmallDisk(store);
    const slow = store.server.faults.add({ kind: 'latency', ms: 1_000, operation: 'PutObject' });
    const daemon = await home.start();
    await until(() => slow.hits > 0, 20_000);
    disk.fill();
    await changeUntilFull(home, daemon);
    slow.clear();
    expect((await home.status()).journalTrouble).toBeDefined();
    disk.free();

    await home.awaitEqual(60_000);
    await daemon.stop();
    const files = (await store.keys()).length;
    console.log(`${files} files, ${store.counts['PutObject']} PutObject`);
    expect(store.counts['PutObject']).toBe(files);
  });

  test('and a kill lose nothing', async () => {
    const store = await startStore();
    const { home, disk } = onSmallDisk(store);
    const daemon = await home.start();
    await home.awaitEqual(10_000);
    disk.fill();
    await changeUntilFull(home, daemon);
    await daemon.kill();
    disk.free();
    expect((await home.once()).folders.docs.outcomes.failed).toBe(0);
    await home.expectEqual();
  });

  test('ends `once`, and lets neither it nor `run` begin, with a line that says what to do', async () => {
    const store = await startStore();
    const { home, disk } = onSmallDisk(store);
    fs.mkdirSync(path.join(disk.path, 'state'));
    disk.fill();
    for (const verb of ['once', 'run']) {
      const refused = await home.s3syncd(verb);
      expect(refused.code).toBe(75);
      expect(refused.stderr).toMatch(
        /^the journal in \S+ cannot be opened \(\w+: .*\): free some space on its disk\n$/,
      );
    }
    disk.free();
    await home.once();
    disk.fill(300 * 1024);
    for (let number = 0; number < 1_000; number++) home.write(`new/${number}`, `${number}`);
    const ended = await home.s3syncd('once');
    expect(ended.code).toBe(75);
    expect(ended.stderr).toMatch(/! the disk of the journal in \S+ is full \(SQLITE_FULL\)/);
    disk.free();
    await home.once();
    await home.expectEqual();
  });
});

test.skipIf(noLocalServer || noRoot || noCommand('strace'))(
  'a disk that fails ends it, after a few tries and with a word, and the next start loses nothing',
  async () => {
    const home = workspace(await startStore());
    for (const name of old) home.write(name, name);
    const daemon = await home.start();
    await home.awaitEqual(10_000);
    const injection = ['-e', 'inject=pwrite64:error=EIO'];
    const strace = spawn('strace', [
      '-f',
      '-qq',
      '-o',
      '/dev/null',
      '-p',
      String(daemon.child.pid),
      ...injection,
    ]);
    onTestFinished(() => void strace.kill('SIGKILL'));
    await until(() => {
      home.write(`new/${performance.now()}`, 'new');
      return daemon.log.some(
        ({ level, msg }) => level === 'error' && /cannot be written \(SQLITE_IOERR/.test(msg),
      );
    }, 20_000);
    const status = await home.s3syncd('status');
    expect(status.code).toBe(1);
    expect(status.stdout).toMatch(/! the journal in \S+ cannot be written \(SQLITE_IOERR_WRITE\)/);

    await until(() => !daemon.running, 60_000);
    expect(await daemon.exited).toBe(1);
    expect(daemon.log.at(-2)?.msg ?? '').toMatch(
      /s3syncd ends, because it does nothing that it cannot remember/,
    );
    if (strace.exitCode === null) await once(strace, 'exit');
    await daemon.kill();
    await home.once();
    await home.expectEqual();
  },
);

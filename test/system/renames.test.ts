// Renames by the built program on a real server: what was in S3 under another path is not sent again, whoever interferes and
// whenever the program ends.
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { noLocalServer, seededRandom, startStore, until, workspace } from './harness.ts';
import type { Store, Workspace } from './harness.ts';

describe.skipIf(noLocalServer)('renaming a directory of 10,000 files', () => {
  const names = Array.from({ length: 10_000 }, (_, number) => `${number % 40}/${number}.txt`);
  const keysIn = (directory: string) => names.map((name) => `${directory}/${name}`);

  test('uploads 0 bytes under overwrite, also when it is stopped amid it', { timeout: 900_000 }, async () => {
    const store = await startStore({ discardBodies: true });
    const home = workspace(store);
    for (const name of names) home.write(`before/${name}`, `content of ${name}`);
    const daemon = await home.start();
    await home.awaitEqual(120_000);
    store.forget();

    fs.renameSync(home.path('before'), home.path('after'));
    await home.awaitEqual(120_000, { kept: keysIn('before') });
    expect(store.counts).toStrictEqual({ CopyObject: 10_000 });

    store.forget();
    fs.renameSync(home.path('after'), home.path('last'));
    await until(() => copies(store) >= 6_000, 360_000);
    await daemon.stop();
    const copied = copies(store);
    const report = await home.once();

    await home.expectEqual({ kept: [...keysIn('before'), ...keysIn('after')] });
    console.log(`stopped after ${copied} copies`);
    expect(copied).toBeLessThan(10_000);
    expect(report.folders.docs.bytes).toBe(0);
    expect(report.folders.docs.outcomes).toMatchObject({ copied: 10_000 - copied, uploaded: 0 });
    expect(report.requests).toStrictEqual({ CopyObject: 10_000 - copied });
    expect(store.counts).toStrictEqual({ CopyObject: 10_000 });
    store.forget();
    await home.once();
    expect(store.counts).toStrictEqual({});
  });
});

describe.skipIf(noLocalServer)('logrotate’s chain of ten', () => {
  test.each(['overwrite', 'if-unchanged'] as const)(
    '%s: equals the tree afterwards, while the daemon runs and while it does not',
    async (policy) => {
      const store = await startStore();
      const home = workspace(store, { folder: { policy } });
      let written = 0;
      const log = () => {
        written += 1;
        home.write('log', `log ${written}: `.padEnd(100 + written, 'x'));
      };
      const rotate = () => {
        for (let number = 9; number >= 0; number--) {
          const [from, to] = [number === 0 ? 'log' : `log.${number}`, `log.${number + 1}`];
          if (fs.existsSync(home.path(from))) fs.renameSync(home.path(from), home.path(to));
        }
        log();
      };
      log();
      const daemon = await home.start();
      await home.awaitEqual(10_000);
      // One by one until the chain is full, and on.
      for (let turn = 0; turn < 13; turn++) {
        rotate();
        await home.awaitEqual(10_000);
      }
      expect(copies(store)).toBe(1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10 * 4);
      // Several at once, so that a name is passed on before it was looked at.
      for (let turn = 0; turn < 3; turn++) rotate();
      await home.awaitEqual(10_000);
      await daemon.stop();

      for (let turn = 0; turn < 4; turn++) rotate();
      store.forget();
      await home.once();
      await home.expectEqual();
      // Of eleven files seven are where others were, and four are new.
      expect([copies(store), store.counts['PutObject']]).toStrictEqual([7, 4]);
    },
  );
});

describe.skipIf(noLocalServer)('killed amid a storm of renames', () => {
  test('ten times at random, it loses nothing and mistakes nothing', async () => {
    const random = seededRandom();
    const store = await startStore({ discardBodies: true });
    const home = workspace(store, { folder: { settle: '50ms' } });
    const names = Array.from({ length: 1_000 }, (_, number) => `${number}.txt`);
    for (const name of names)
      home.write(`here/${name}`, `${name} and nothing else`.repeat(1 + (name.length % 3)));
    fs.mkdirSync(home.path('there'));
    await home.once();
    store.forget();
    for (let kill = 1; kill <= 10; kill++) {
      const child = home.spawn([kill % 2 === 0 ? 'once' : 'run', '--config', home.configFile]);
      const copied = copies(store);
      for (let turn = 0; turn < 300; turn++) moveOne(home, random);
      if (kill % 3 === 0) swapDirectories(home);
      await until(() => copies(store) > copied + random() * 200 || child.exitCode !== null, 60_000);
      child.kill('SIGKILL');
      await until(() => child.exitCode !== null || child.signalCode !== null, 5_000);
    }
    await home.once();

    const there = (directory: string) => new Set(fs.readdirSync(home.path(directory)));
    const kept = ['here', 'there'].flatMap((directory) =>
      [...everIn(store, directory)]
        .filter((name) => !there(directory).has(name))
        .map((name) => `${directory}/${name}`),
    );
    await home.expectEqual({ kept });
    console.log(`10 kills over ${JSON.stringify(store.counts)}`);
    expect(copies(store)).toBeGreaterThan(0);
    store.forget();
    await home.once();
    expect(store.counts).toStrictEqual({});
  });
});

describe.skipIf(noLocalServer)('somebody else writes where files are renamed to', () => {
  test.each(['skip-existing', 'if-unchanged', 'newer-wins'] as const)(
    '%s: 400 files, and not one object of the other is replaced',
    async (policy) => {
      const store = await startStore();
      const home = workspace(store, { folder: { policy } });
      const names = Array.from({ length: 400 }, (_, number) => String(number).padStart(3, '0'));
      for (const name of names) home.write(`a/${name}`, `ours ${name}`);
      await home.once();
      store.forget();
      fs.renameSync(home.path('a'), home.path('b'));
      const theirs = names.toReversed();
      const put = async () => {
        for (let name = theirs.shift(); name !== undefined; name = theirs.shift())
          await store.put(`b/${name}`, 'theirs', { IfNoneMatch: '*' }).catch(() => undefined);
      };
      const syncing = home.once(policy === 'skip-existing' ? 0 : 5);
      await store.server.until(() => copies(store) > 20);
      await Promise.all(Array.from({ length: 16 }, put));
      const { outcomes } = (await syncing).folders.docs;

      const history = store.server.store
        .history({ bucket: store.bucket })
        .filter(({ key }) => key.startsWith('b/'));
      const ours = history.filter(({ accessKey }) => accessKey === store.accessKey).length;
      console.log(`of 400 keys s3syncd got ${ours}, the other ${history.length - ours}`);
      expect(history.filter(({ kind }) => kind !== 'write')).toStrictEqual([]);
      expect(outcomes).toMatchObject({ copied: ours, uploaded: 0 });
      expect(outcomes['skipped-existing'] + outcomes.conflict).toBe(400 - ours);
      // Where b was not confirmed, a is kept.
      expect((await store.keys('a/')).length).toBe(400);
    },
  );
});

test('plan says what is copied, and from where', async () => {
  const store = await startStore();
  const home = workspace(store);
  home.write('a', 'content');
  await home.once();
  fs.renameSync(home.path('a'), home.path('b'));
  const { json } = await home.s3syncd('plan', '--json');
  expect(json.actions).toContainEqual({
    folder: 'docs',
    destination: 's3',
    path: 'b',
    key: 'b',
    action: 'copy',
    reason: 'renamed',
    bytes: 0,
    from: 'a',
  });
  expect(json.summary.bytes).toBe(0);
  expect((await home.s3syncd('plan')).stdout).toMatch(/copy +b ← a/);
});

/** The probe's own left out. */
function copies(store: Store): number {
  return store.requests.filter(
    ({ operation, status, key }) => operation === 'CopyObject' && status === 200 && key !== '.s3syncd-probe',
  ).length;
}

/** Moves a file to the other directory, under its name or that of another file. */
function moveOne(home: Workspace, random: () => number): void {
  const [from, to] = random() < 0.5 ? ['here', 'there'] : ['there', 'here'];
  const names = fs.readdirSync(home.path(from));
  const name = names[Math.floor(random() * names.length)];
  if (name !== undefined) fs.renameSync(home.path(`${from}/${name}`), home.path(`${to}/${name}`));
}

function swapDirectories(home: Workspace): void {
  fs.renameSync(home.path('here'), path.join(home.directory, 'aside'));
  fs.renameSync(home.path('there'), home.path('here'));
  fs.renameSync(path.join(home.directory, 'aside'), home.path('there'));
}

/** Names that ever had an object in a directory. */
function everIn(store: Store, directory: string): Set<string> {
  const history = store.server.store.history({ bucket: store.bucket });
  const keys = history.map(({ key }) => key).filter((key) => key.startsWith(`${directory}/`));
  return new Set(keys.map((key) => path.basename(key)));
}

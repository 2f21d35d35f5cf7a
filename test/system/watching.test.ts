// What the kernel keeps from a watcher: directories beyond its limit, and events beyond its queue. Both are found by looking.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { queuedEventsMax } from '../../src/watch/limits.ts';
import { noLocalServer, startStore, until, workspace, type Workspace } from './harness.ts';

const directories = Array.from({ length: 300 }, (_, number) => `d/${number}`);

/** Runs a command with so many watches for its user, which its namespace alone is told. */
function withWatches(limit: number): string[] {
  return [
    'unshare',
    '-Ur',
    'sh',
    '-c',
    `echo ${limit} >/proc/sys/user/max_inotify_watches && exec "$0" "$@"`,
  ];
}

function noNamespaces(): boolean {
  const [command = '', ...args] = withWatches(100);
  const isLacking = spawnSync(command, [...args, 'true']).status !== 0;
  if (isLacking) console.log('skipping the tests that need user namespaces');
  return isLacking;
}

describe.skipIf(noNamespaces())('with 100 watches for 300 directories', () => {
  test('nothing is missed, and the folder is degraded and says which limit to raise', async () => {
    const store = await startStore();
    const home = workspace(store);
    for (const directory of directories) home.write(`${directory}/before`, directory);
    await home.start({ within: withWatches(100) });
    await home.awaitEqual(15_000);

    const [folder] = (await home.status()).folders;
    expect(folder).toMatchObject({ state: 'degraded' });
    expect(folder!.reasons.join()).toMatch(/max_user_watches=\d+\): raise it, e\.g\. sysctl fs\.inotify\./);
    expect((await home.s3syncd('status')).stdout).toMatch(/degraded.*\n {2}! the system's limit of watched/);

    for (const directory of directories) {
      home.write(`${directory}/after`, `new in ${directory}`);
      fs.appendFileSync(home.path(`${directory}/before`), ', changed');
    }
    home.write('d/new/below/it', 'in a directory that is new');
    // Polled every 5 s, or as long as ten scans take.
    await home.awaitEqual(15_000);
  });
});

describe.skipIf(noLocalServer)('while a loop stands still', () => {
  const names = Array.from({ length: 500 }, (_, number) => `${number % 10}/${number}`);
  const rounds = 48;

  test.each(['watch', 'main'])(
    `of the %s thread, ${names.length * rounds} writes are not missed, nor what comes after the kernel's queue is full`,
    async (blocked) => {
      expect(names.length * rounds, 'more than the queue takes').toBeGreaterThan(queuedEventsMax());
      const home = workspace(await startStore());
      const gate = path.join(home.directory, 'gate');
      home.env['NODE_OPTIONS'] = `--import ${new URL('gate.ts', import.meta.url).href}`;
      home.env['S3SYNCD_TEST_GATE'] = gate;
      home.env['S3SYNCD_TEST_BLOCKED'] = blocked;
      for (const name of names) home.write(name, 'before');
      await home.start();
      await home.awaitEqual(15_000);

      fs.writeFileSync(gate, '');
      await until(() => fs.existsSync(`${gate}.shut`), 20_000);
      writeInTurns(home, names, rounds);
      // The queue of a thread that does not read has no room for an event of these.
      for (const name of names.slice(0, 100)) home.write(`late/${name}`, 'when the queue was full');
      for (const name of names.slice(250)) home.write(name, 'last');
      fs.rmSync(gate);

      // Long before the hourly scan.
      await home.awaitEqual(15_000);
    },
  );
});

/** One write to each, again and again: the kernel merges only what repeats its last event. */
function writeInTurns(home: Workspace, names: readonly string[], rounds: number): void {
  for (let round = 1; round <= rounds; round++) {
    for (const name of names) fs.writeFileSync(home.path(name), `round ${round}`, { flag: 'r+' });
  }
}

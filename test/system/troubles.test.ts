// Troubles: each has a line of its own in `status` that says what is wrong and what to do, the rest goes on, and the exit
// code is the contract's.
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { noLocalServer, noRoot, startStore, until, workspace } from './harness.ts';
import type { ConfigParts, Store, Workspace } from './harness.ts';

interface Trouble {
  readonly what: string;
  readonly make: (home: Workspace) => void;
  readonly line: RegExp;
  readonly code: number;
  readonly parts?: ConfigParts;
}

const pathTroubles: readonly Trouble[] = [
  {
    what: 'a FIFO',
    make: (home) => execFileSync('mkfifo', [home.path('pipe')]),
    line: /! pipe: blocked, fifo: it is a named pipe.*exclude it/,
    code: 1,
  },
  {
    what: 'a socket',
    make: (home) => listenOn(home.path('sock')),
    line: /! sock: blocked, socket: it is a socket.*exclude it/,
    code: 1,
  },
  {
    what: 'a link that leads to a directory above it',
    make: (home) => (fs.mkdirSync(home.path('d')), fs.symlinkSync('..', home.path('d/loop'))),
    line: /! d\/loop: blocked, symlink-loop: .*remove the link/,
    code: 1,
    parts: { folder: { symlinks: 'follow' } },
  },
  {
    what: 'links that lead to each other',
    make: (home) => (fs.symlinkSync('b', home.path('a')), fs.symlinkSync('a', home.path('b'))),
    line: /! a: blocked, symlink-loop: /,
    code: 1,
    parts: { folder: { symlinks: 'follow' } },
  },
  {
    what: 'a name that is not UTF-8',
    make: (home) =>
      fs.writeFileSync(Buffer.concat([Buffer.from(`${home.folder}/caf`), Buffer.from([0xe9])]), 'x'),
    line: /! caf\\xE9: blocked, name-not-utf8: .*once it is renamed/,
    code: 1,
  },
  {
    what: 'a key of more than 1,024 bytes',
    make: (home) => home.write(`${`${'d'.repeat(200)}/`.repeat(5)}${'f'.repeat(30)}`, 'x'),
    line: /: blocked, key-too-long: .*1,024 bytes.*shorten/,
    code: 1,
  },
];

describe('a path that cannot be synced', () => {
  test.each(pathTroubles)('$what has its line, and the rest goes on', async ({ make, line, code, parts }) => {
    const store = await startStore();
    const home = workspace(store, parts);
    home.write('fine.txt', 'fine');
    make(home);

    await expectTrouble(home, line, code);
    expect(await store.keys()).toContain('fine.txt');
    // Seen by a running daemon, too; and it ends when it is mended.
    const daemon = await home.start();
    home.write('later.txt', 'later');
    await until(async () => (await store.keys()).includes('later.txt'), 10_000);
    expect((await home.s3syncd('status')).stdout).toMatch(line);
    await daemon.stop();
    for (const name of fs.readdirSync(home.folder, 'buffer')) {
      if (!String(name).endsWith('.txt')) {
        fs.rmSync(Buffer.concat([Buffer.from(`${home.folder}/`), name]), { recursive: true });
      }
    }
    expect((await home.s3syncd('once')).code).toBe(0);
    expect((await home.s3syncd('status')).code).toBe(0);
  });

  test.skipIf(noRoot)('a device has its line, and the rest goes on', async () => {
    const store = await startStore();
    const home = workspace(store);
    if (spawnSync('mknod', [home.path('zero'), 'c', '1', '5']).status !== 0) return;
    home.write('fine.txt', 'fine');
    await expectTrouble(home, /! zero: blocked, device: it is a device.*exclude it/, 1);
    expect(await store.keys()).toStrictEqual(['fine.txt']);
  });

  test.skipIf(noRoot)(
    'unreadable files and directories have their lines, and are synced when they can be read',
    async () => {
      const store = await startStore();
      const home = workspace(store);
      home.write('secret.txt', 'secret');
      home.write('closed/a.txt', 'a');
      home.write('fine.txt', 'fine');
      fs.chmodSync(home.path('secret.txt'), 0o000);
      fs.chmodSync(home.path('closed'), 0o000);
      home.giveToNobody();
      const once = await home.run(['once', '--config', home.configFile], { asNobody: true });
      expect(once.code).toBe(1);
      expect(once.stderr).toMatch(/! secret.txt: blocked, unreadable: .*read access/);
      expect(await store.keys()).toStrictEqual(['fine.txt']);

      const daemon = await home.start({ asNobody: true });
      const { stdout, code } = await home.s3syncd('status');
      expect(stdout).toMatch(/! secret.txt: blocked, unreadable: .*read access/);
      expect(stdout).toMatch(/! closed: blocked, unreadable: .*(read|search)/);
      expect(code).toBe(1);
      fs.chmodSync(home.path('secret.txt'), 0o644);
      fs.chmodSync(home.path('closed'), 0o755);
      await home.awaitEqual(5_000);
      await until(async () => (await home.s3syncd('status')).code === 0, 5_000);
      await daemon.stop();
    },
  );
});

describe('a folder', () => {
  test('that is not there is halted, and synced when it comes', async () => {
    const store = await startStore();
    const home = workspace(store);
    fs.rmSync(home.folder, { recursive: true });
    await expectTrouble(
      home,
      /docs {2}.* {2}halted\n {2}! folder "docs": .*docs does not exist.*Nothing is deleted/,
      1,
    );

    await home.start();
    expect((await home.s3syncd('status')).stdout).toMatch(/does not exist/);
    home.write('came.txt', 'came');
    await home.awaitEqual(8_000);
    await until(async () => (await home.s3syncd('status')).code === 0, 5_000);
  });

  test('that goes and comes back loses nothing and keeps its objects', async () => {
    const store = await startStore();
    const home = workspace(store);
    for (let number = 0; number < 20; number++) home.write(`${number}`, `file ${number}`);
    await home.start();
    await home.awaitEqual(3_200);
    const requests = noLocalServer ? 0 : store.requests.length;
    fs.renameSync(home.folder, `${home.folder}.away`);
    await until(async () => /halted/.test((await home.s3syncd('status')).stdout), 10_000);
    expect((await home.s3syncd('status')).code).toBe(1);
    fs.writeFileSync(`${home.folder}.away/new`, 'written while it was away');
    fs.renameSync(`${home.folder}.away`, home.folder);

    await home.awaitEqual(8_000);

    expect(noLocalServer ? 1 : store.requests.length - requests).toBe(1);
    await until(async () => (await home.s3syncd('status')).code === 0, 5_000);
  });

  test('that is a file is refused with its line', async () => {
    const store = await startStore();
    const home = workspace(store);
    fs.rmdirSync(home.folder);
    fs.writeFileSync(home.folder, 'a file');
    const { code, stderr } = await home.s3syncd('once');
    expect(stderr).toMatch(
      /config\.yaml:\d+:\d+: folders\.docs\.path: .*docs is not a directory; name the directory/,
    );
    expect(code).toBe(78);
  });
});

describe('a destination', () => {
  test.each([
    [
      'whose bucket does not exist',
      { destination: { bucket: 'there-is-no-such-bucket' } },
      /! destination "s3": .*there-is-no-such-bucket.*NoSuchBucket.*create the bucket, or correct `bucket`/,
      1,
    ],
    [
      'where nobody listens',
      { destination: { endpoint: 'http://127.0.0.1:9' } },
      /! destination "s3": .*127\.0\.0\.1:9.*ECONNREFUSED.*nothing listens there/,
      75,
    ],
    [
      'whose name does not resolve',
      { destination: { endpoint: 'http://no-such-host.invalid' } },
      /! destination "s3": .*no-such-host\.invalid.*(ENOTFOUND|EAI_AGAIN).*DNS/,
      75,
    ],
  ] as const)('%s', async (_, parts, line, code) => {
    const store = await startStore();
    const home = workspace(store, parts);
    home.write('a', 'a');
    await expectTrouble(home, line, code);
    expect((await home.s3syncd('check')).code).toBe(code);
  });

  test.each([
    ['wrong secret', { AWS_SECRET_ACCESS_KEY: 'wrong' }, /SignatureDoesNotMatch.*the secret key is wrong/],
    [
      'unknown access key',
      { AWS_ACCESS_KEY_ID: 'NOBODY' },
      /InvalidAccessKeyId.*does not know this access key/,
    ],
    [
      'no credentials',
      { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '' },
      /CredentialsProviderError.*no credentials found: set/,
    ],
  ] as const)('with a %s', async (_, env, line) => {
    const store = await startStore();
    const home = workspace(store);
    home.env = { ...home.env, ...env };
    home.write('a', 'a');
    await expectTrouble(home, line, 1);
    // It is mended by a restart with what is right.
    home.env = { ...home.env, AWS_ACCESS_KEY_ID: store.accessKey, AWS_SECRET_ACCESS_KEY: store.secretKey };
    await home.once();
    await home.expectEqual();
    expect((await home.s3syncd('status')).code).toBe(0);
  });

  test.skipIf(noLocalServer)(
    'that forbids one file says so about this file, and takes the others',
    async () => {
      const store = await startStore();
      const home = workspace(store);
      denied(store, 'PutObject', '^forbidden$');
      for (const name of ['a', 'b', 'forbidden', 'z']) home.write(name, name);
      const result = await home.s3syncd('once');
      expect(result.stderr).toMatch(/! forbidden: (failed|retrying), AccessDenied: .*lack the right/);
      expect([1, 75]).toContain(result.code);
      expect(await store.keys()).toStrictEqual(['a', 'b', 'z']);
    },
  );

  test.skipIf(noLocalServer)('that forbids everything says it once, not for every file', async () => {
    const store = await startStore();
    const home = workspace(store);
    denied(store, 'PutObject', '');
    for (let number = 0; number < 500; number++) home.write(String(number), 'x');
    const startedAt = performance.now();
    const result = await home.s3syncd('once');
    expect(result.stderr).toMatch(/! destination "s3": PutObject .* failed: AccessDenied/);
    expect(result.code).toBe(1);
    expect(store.requests.length).toBeLessThan(150);
    expect(performance.now() - startedAt).toBeLessThan(15_000);
  });

  test.skipIf(noLocalServer)('that is slow for a while is waited for', async () => {
    const store = await startStore();
    const home = workspace(store);
    store.server.faults.add({
      kind: 'answer',
      status: 503,
      code: 'SlowDown',
      operation: 'PutObject',
      probability: 0.5,
      times: 200,
    });
    for (let number = 0; number < 300; number++) home.write(String(number), 'x');
    await home.start();
    await home.awaitEqual(20_000);
    await until(async () => (await home.s3syncd('status')).code === 0, 5_000);
    expect((await home.status()).folders[0]!.routes[0]).toMatchObject({
      failed: 0,
      retrying: 0,
      settled: 300,
    });
  });
});

describe('the command line', () => {
  test('refuses a bad config with its place, with 78, and has started nothing', async () => {
    const store = await startStore();
    const home = workspace(store, { folder: { settel: '1s', to: 'nowhere' }, top: { 'log-level': 1 } });
    home.write('a', 'a');
    for (const verb of ['run', 'once', 'plan', 'check', 'status', 'retry']) {
      const { code, stdout, stderr } = await home.s3syncd(verb);
      expect(code).toBe(78);
      expect(stdout).toBe('');
      expect(stderr).toMatch(/config\.yaml:\d+:\d+: folders\.docs.*settel.*settle/);
      expect(stderr).toMatch(/config\.yaml:\d+:\d+: .*nowhere/);
      expect(stderr).toMatch(/config\.yaml:\d+:\d+: .*log-level/);
    }
    expect(fs.existsSync(home.stateDir)).toBe(false);
    expect(await store.keys()).toStrictEqual([]);
  });

  test('refuses a config that is not there', async () => {
    const home = workspace(await startStore());
    const { code, stderr } = await home.run(['once', '-c', 'nowhere.yaml']);
    expect(code).toBe(78);
    expect(stderr).toMatch(/nowhere\.yaml/);
    expect(stderr).not.toMatch(/ at .*\.js:\d+/);
  });

  test.each([
    ['an unknown verb', ['snyc']],
    ['an unknown option', ['once', '--fast']],
    ['an argument too many', ['once', 'now']],
    ['an option without its value', ['once', '--config']],
    ['no verb', []],
  ])('refuses %s with 2', async (_, args) => {
    const home = workspace(await startStore());
    const { code, stdout, stderr } = await home.run(args);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/s3syncd --help|Usage: s3syncd/);
  });

  test('has no status before the first run, and says so with 3', async () => {
    const home = workspace(await startStore());
    const status = await home.s3syncd('status');
    expect(status.code).toBe(3);
    expect(status.stderr).toMatch(/no daemon runs and there is no journal/);
    const retry = await home.s3syncd('retry');
    expect(retry.code).toBe(3);
    expect(retry.stderr).toMatch(/no daemon runs/);
  });

  test('refuses a state directory in which others could put something, with 78', async () => {
    const store = await startStore();
    const open = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 's3syncd-open-')), 'open');
    onTestFinished(() => fs.rmSync(path.dirname(open), { recursive: true }));
    const stateDir = path.join(open, 'state');
    const home = workspace(store, { top: { 'state-dir': stateDir } });
    home.write('a', 'a');
    fs.mkdirSync(open);
    fs.chmodSync(open, 0o777);
    for (const verb of ['run', 'once']) {
      const { code, stdout, stderr } = await home.s3syncd(verb);
      expect({ code, stdout }).toEqual({ code: 78, stdout: '' });
      expect(stderr).toMatch(
        /^state-dir .* lies in .*open, where every user may .*; run: chmod o-w .*open, or .*\n$/,
      );
    }
    expect(await store.keys()).toEqual([]);
    expect((await home.s3syncd('check')).stdout).toMatch(/✗ state-dir .*: lies in .*open/);
  });

  test.skipIf(noRoot)(
    'says to another user that this is not theirs to see, and not that nothing is there',
    async () => {
      const home = workspace(await startStore());
      home.write('a', 'a');
      await home.once();
      fs.chmodSync(home.directory, 0o755);
      for (const verb of ['status', 'failures', 'history', 'conflicts', 'deletes', 'retry', 'once']) {
        const { code, stdout, stderr } = await home.run([verb, '--config', home.configFile], {
          asNobody: true,
        });
        expect({ code, stdout }, verb).toEqual({ code: verb === 'once' ? 78 : 1, stdout: '' });
        expect(stderr, verb).toMatch(
          /^(EACCES: .*|connect EACCES .*|state-dir .*belongs to another user.*); run it as th(e|at) user/m,
        );
        expect(stderr, verb).not.toMatch(/ at .*\.js:\d+/);
      }
    },
  );

  test('lets one daemon use a state directory, and tells the second one', async () => {
    const store = await startStore();
    const home = workspace(store);
    await home.start();
    for (const verb of ['run', 'once']) {
      const { code, stderr } = await home.s3syncd(verb);
      expect(code).toBe(75);
      expect(stderr).toMatch(/another s3syncd is using .*state\. Stop it first/);
    }
    // The first one goes on, and can be asked.
    home.write('a', 'a');
    await home.awaitEqual(3_200);
    expect((await home.s3syncd('status')).stdout).toMatch(/is running \(pid \d+/);
    expect((await home.s3syncd('plan')).stdout).toBe('nothing to do\n');
    expect((await home.s3syncd('retry')).code).toBe(0);
  });
});

/** `once` ends with the code and the line; `status` says the same. */
async function expectTrouble(home: Workspace, line: RegExp, code: number): Promise<void> {
  const once = await home.s3syncd('once');
  expect(once.stderr).toMatch(line);
  expect(once.code).toBe(code);
  const status = await home.s3syncd('status');
  expect(status.stdout).toMatch(line);
  expect(status.code).toBe(code);
}

function denied(store: Store, operation: 'PutObject', keyPattern: string): void {
  store.server.faults.add({ kind: 'answer', status: 403, code: 'AccessDenied', operation, keyPattern });
}

function listenOn(file: string): void {
  // Closing it would remove it: the socket of a program that has died.
  const script = `require('net').createServer().listen(process.argv[1], () => process.exit())`;
  execFileSync(process.execPath, ['-e', script, path.basename(file)], { cwd: path.dirname(file) });
  if (fs.existsSync(file)) return;
  const server = net.createServer().listen(file);
  onTestFinished(() => void server.close());
}

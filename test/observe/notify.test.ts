import { execFileSync } from 'node:child_process';
import { chmodSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { openNotifier } from '../../src/observe/notify.ts';

function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 's3syncd-notify-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return directory;
}

describe('through a descriptor', () => {
  function passed(environment: NodeJS.ProcessEnv = {}) {
    const file = join(temporaryDirectory(), 'socket');
    const fd = openSync(file, 'a');
    const names = [...Array.from({ length: fd - 3 }, () => 'other'), 'notify'];
    const env: NodeJS.ProcessEnv = {
      LISTEN_PID: String(process.pid),
      LISTEN_FDS: String(names.length),
      LISTEN_FDNAMES: names.join(':'),
      ...environment,
    };
    return { fd, env, said: () => readFileSync(file, 'utf8') };
  }

  test('a message is one write', () => {
    const { fd, env, said } = passed();
    openNotifier(env)!.send({ READY: '1', STATUS: 'two folders' });
    closeSync(fd);
    expect(said()).toBe('READY=1\nSTATUS=two folders');
  });

  test('a line break in a value is no second assignment', () => {
    const { fd, env, said } = passed();
    openNotifier(env)!.send({ STATUS: 'cannot read\nMAINPID=1' });
    closeSync(fd);
    expect(said()).toBe('STATUS=cannot read MAINPID=1');
  });

  test('children do not take it for theirs', () => {
    const { fd, env } = passed();
    openNotifier(env);
    closeSync(fd);
    expect(env).toEqual({});
  });

  test("somebody else's is left alone", () => {
    const { fd, env, said } = passed({ LISTEN_PID: '1' });
    expect(openNotifier(env)).toBeUndefined();
    closeSync(fd);
    expect(said()).toBe('');
    expect(env).toHaveProperty('LISTEN_PID');
  });

  test('one without the name is left alone', () => {
    const { fd, env } = passed({ LISTEN_FDNAMES: 'http' });
    expect(openNotifier(env)).toBeUndefined();
    closeSync(fd);
  });

  test('a closed one harms nobody', () => {
    const { fd, env } = passed();
    const notifier = openNotifier(env)!;
    closeSync(fd);
    expect(() => notifier.send({ WATCHDOG: '1' })).not.toThrow();
  });
});

describe('through systemd-notify', () => {
  /** A systemd-notify that notes its arguments, after `before`. */
  function fake(before = ''): { env: NodeJS.ProcessEnv; directory: string; calls: () => string[] } {
    const directory = temporaryDirectory();
    const program = join(directory, 'systemd-notify');
    const log = join(directory, 'calls');
    writeFileSync(log, '');
    writeFileSync(program, `#!/bin/sh\ncd ${directory}\n${before}\nIFS='|'; echo "$*" >>calls\n`);
    chmodSync(program, 0o755);
    const env = { NOTIFY_SOCKET: '/run/systemd/notify', PATH: `${directory}:${process.env['PATH']}` };
    return { env, directory, calls: () => readFileSync(log, 'utf8').split('\n').slice(0, -1) };
  }

  test('assignments are its arguments', async () => {
    const { env, calls } = fake();
    openNotifier(env)!.send({ READY: '1', STATUS: 'all is well' });
    await vi.waitFor(() => expect(calls()).toEqual(['READY=1|STATUS=all is well']));
  });

  test('what is said while one runs leaves together, the last value of each', async () => {
    // Who opens the gate while the writer for another one has not closed it reads nothing, and waits on.
    const { env, directory, calls } = fake('until read line <gate; do :; done');
    execFileSync('mkfifo', [join(directory, 'gate')]);
    const notifier = openNotifier(env)!;
    notifier.send({ READY: '1' });
    notifier.send({ STATUS: 'one', WATCHDOG: '1' });
    notifier.send({ STATUS: 'two' });
    expect(calls()).toEqual([]);
    for (const count of [1, 2]) {
      await writeFile(join(directory, 'gate'), 'go\n'); // waits for the child to open it
      await vi.waitFor(() => expect(calls()).toHaveLength(count));
    }
    expect(calls()).toEqual(['READY=1', 'STATUS=two|WATCHDOG=1']);
  });

  test('what failed leaves with the next message, except for signs of life', async () => {
    const { env, directory, calls } = fake('test -e works || { touch failed; exit 1; }');
    const notifier = openNotifier(env)!;
    notifier.send({ READY: '1', WATCHDOG: '1', EXTEND_TIMEOUT_USEC: '1' });
    await vi.waitFor(() => readFileSync(join(directory, 'failed')));
    writeFileSync(join(directory, 'works'), '');
    await vi.waitFor(() => {
      notifier.send({ STATUS: 'next' });
      expect(calls()[0]).toBe('READY=1|STATUS=next');
    });
  });

  test('one that is not installed harms nobody', async () => {
    const directory = temporaryDirectory();
    const notifier = openNotifier({ NOTIFY_SOCKET: '/run/systemd/notify', PATH: directory })!;
    notifier.send({ READY: '1' });
    writeFileSync(join(directory, 'systemd-notify'), `#!/bin/sh\necho "$*" >>${directory}/calls\n`);
    chmodSync(join(directory, 'systemd-notify'), 0o755);
    await vi.waitFor(() => {
      notifier.send({ STATUS: 'installed' });
      expect(readFileSync(join(directory, 'calls'), 'utf8')).toContain('READY=1 STATUS=installed\n');
    });
  });
});

describe('the watchdog', () => {
  const NOTIFY_SOCKET = '/run/systemd/notify';

  test.each([
    { says: 'nothing', env: {}, watchdogMs: undefined },
    { says: '60 s', env: { WATCHDOG_USEC: '60000000' }, watchdogMs: 20_000 },
    {
      says: '60 s to us',
      env: { WATCHDOG_USEC: '60000000', WATCHDOG_PID: String(process.pid) },
      watchdogMs: 20_000,
    },
    {
      says: '60 s to another process',
      env: { WATCHDOG_USEC: '60000000', WATCHDOG_PID: '1' },
      watchdogMs: undefined,
    },
    { says: 'nonsense', env: { WATCHDOG_USEC: 'soon' }, watchdogMs: undefined },
  ])('says $says: beat each $watchdogMs ms', ({ env, watchdogMs }) => {
    expect(openNotifier({ NOTIFY_SOCKET, ...env })).toMatchObject({ watchdogMs });
  });

  test('outside of systemd nobody is told', () => {
    expect(openNotifier({ WATCHDOG_USEC: '60000000' })).toBeUndefined();
  });
});

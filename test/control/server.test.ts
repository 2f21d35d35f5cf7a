// The control socket among other local users.
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { once } from 'node:events';
import { describe, expect, onTestFinished, test } from 'vitest';
import { askDaemon } from '../../src/control/client.ts';
import { startControlServer } from '../../src/control/server.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';

const noRoot = process.getuid?.() !== 0;
if (noRoot) console.log('skipping the tests that need root to be two users');

const socketOf = (stateDir: string) => path.join(stateDir, 'control.sock');

async function start(stateDir: string) {
  const server = await startControlServer(stateDir, { 'GET /name': () => 'me' });
  onTestFinished(() => server.close());
}

/** A socket on which nobody listens any more. */
async function leaveSocket(file: string): Promise<void> {
  const server = net.createServer().listen(`${file}.live`);
  await once(server, 'listening');
  fs.linkSync(`${file}.live`, file);
  server.close();
  await once(server, 'close');
}

describe('the control socket', () => {
  test('is for owner and group from the moment that it is there', async () => {
    const stateDir = temporaryDirectory();
    const mask = process.umask(0);
    onTestFinished(() => void process.umask(mask));
    const starting = start(stateDir);
    expect((fs.statSync(socketOf(stateDir)).mode & 0o777).toString(8), 'before anybody could connect').toBe(
      '660',
    );
    expect(process.umask(), 'files that are made meanwhile have their own modes').toBe(0);
    await starting;
    expect(await askDaemon(stateDir, 'GET', '/name')).toBe('me');
  });

  test('of a daemon that died is replaced', async () => {
    const stateDir = temporaryDirectory();
    await leaveSocket(socketOf(stateDir));
    expect(await askDaemon(stateDir, 'GET', '/name')).toBeUndefined();
    await start(stateDir);
    expect(await askDaemon(stateDir, 'GET', '/name')).toBe('me');
  });

  test.each([
    ['a file', (file: string) => fs.writeFileSync(file, 'precious')],
    ['a link', (file: string) => fs.symlinkSync(`${file}.elsewhere`, file)],
    ['a directory', (file: string) => fs.mkdirSync(file)],
  ])('is not put in the place of %s, which stays', async (_what, plant) => {
    const stateDir = temporaryDirectory();
    plant(socketOf(stateDir));
    await expect(start(stateDir)).rejects.toThrow('is not a socket of the user that runs s3syncd');
    expect(fs.lstatSync(socketOf(stateDir), { throwIfNoEntry: false })).toBeDefined();
  });

  test.skipIf(noRoot)('is not put in the place of another user’s', async () => {
    const stateDir = temporaryDirectory();
    await leaveSocket(socketOf(stateDir));
    fs.chownSync(socketOf(stateDir), 12_345, 12_345);
    await expect(start(stateDir)).rejects.toThrow('somebody else put it there');
  });
});

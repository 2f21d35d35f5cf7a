// The confused deputy: a daemon that may read everything, and a local user who may write in its folder and nowhere else. No
// byte from outside the folder reaches S3, whatever is exchanged for what and when, and nothing that is planted stops it.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { noCommand, noLocalServer, noRoot, startStore, until, workspace, type Workspace } from './harness.ts';

const canary = 'canary-from-outside-the-folder';
const attackMs = 6_000;

/** A directory beside the folder whose file only root may read; the attacker knows its name. */
function outsideOf(home: Workspace): string {
  const outside = path.join(home.directory, 'outside');
  fs.mkdirSync(outside, { mode: 0o755 });
  fs.writeFileSync(path.join(outside, 'secret'), canary, { mode: 0o600 });
  return outside;
}

/** @returns how often something was exchanged for something else */
async function attack(home: Workspace, outside: string): Promise<number> {
  const script = path.join(import.meta.dirname, 'attacker.ts');
  const args = [process.execPath, script, home.folder, outside, String(attackMs)];
  const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups'];
  const child = spawn('setpriv', [...nobody, ...args], {
    cwd: home.folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (more: string) => (text += more));
  let trouble = '';
  child.stderr.setEncoding('utf8').on('data', (more: string) => (trouble += more));
  const [code] = (await once(child, 'close')) as [number];
  expect(code, trouble).toBe(0);
  return Number(text);
}

/** One of the files goes through another way into the bucket. */
function plain(body: Buffer): string {
  return (body.length > 2 && body.readUInt16BE() === 0x1f8b ? gunzipSync(body) : body).toString('latin1');
}

test.skipIf(noRoot || noLocalServer || noCommand('setpriv')).each(['skip', 'follow'] as const)(
  'nothing from outside the folder is uploaded (symlinks: %s)',
  async (symlinks) => {
    const store = await startStore({ versioning: true });
    const home = workspace(store, {
      folder: { symlinks, settle: '1ms', 'settle-max': '10ms', rules: [{ match: 'f2', compress: 'gzip' }] },
    });
    fs.chmodSync(home.directory, 0o755);
    fs.chmodSync(home.folder, 0o777);
    const outside = outsideOf(home);
    spawnSync('mknod', [home.path('zero'), 'c', '1', '5']);
    home.secrets.add('what lies outside', canary);
    const daemon = await home.start();

    const exchanges = await attack(home, outside);

    // It is not held up: what comes after is in S3 at once.
    home.write('after', 'after');
    await until(
      async () => (await store.keys()).includes('after'),
      60_000,
      () => `what came after is not in S3:\n${daemon.stderr}`,
    );
    await daemon.stop();
    const versions = store.server.store.history({ bucket: store.bucket });
    const bodies = versions
      .filter(({ kind }) => kind !== 'delete')
      .map(({ key, versionId }) => store.server.store.version(store.bucket, key, versionId))
      .map((version) => plain(store.server.store.body(version!)));
    console.log(`${exchanges} exchanges, ${bodies.length} versions uploaded`);
    expect(exchanges).toBeGreaterThan(200);
    expect(bodies.length, 'it does upload meanwhile').toBeGreaterThan(5);
    expect(bodies.filter((body) => body.includes(canary))).toEqual([]);
    expect(bodies.filter((body) => body.startsWith('honest')).length).toBeGreaterThan(2);
    const { stdout } = await home.s3syncd('failures');
    for (const planted of ['pipe0', 'pipe7']) expect(stdout).toContain(planted);
  },
);

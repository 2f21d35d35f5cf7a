// What `check` says of this machine.
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Finding } from '../../src/check/finding.ts';
import {
  checkCredentials,
  checkFolder,
  checkHardLinks,
  checkStateDir,
  checkWatches,
} from '../../src/check/machine.ts';
import { configOf, configWith } from '../config/helpers.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';

function words(findings: readonly Finding[]): string[] {
  return findings.map(({ level, topic, message }) => `${level} ${topic}: ${message}`);
}

describe('the state directory', () => {
  test('is in order, made or not yet', () => {
    const directory = temporaryDirectory();
    fs.chmodSync(directory, 0o700);
    const inOrder = ['ok state-dir: can be written'];
    expect(words(checkStateDir(directory))).toEqual(inOrder);
    expect(words(checkStateDir(path.join(directory, 'later/state')))).toEqual(inOrder);
    expect(fs.readdirSync(directory)).toEqual([]);
  });

  test('is not for others to read', () => {
    const directory = temporaryDirectory();
    fs.chmodSync(directory, 0o750);
    const [, open] = checkStateDir(directory);
    expect(open).toMatchObject({ level: 'warning', topic: 'state-dir', advice: `chmod 700 ${directory}` });
  });

  test('cannot be within a file', () => {
    const file = path.join(temporaryDirectory(), 'file');
    fs.writeFileSync(file, '');
    fs.chmodSync(file, 0o400);
    expect(checkStateDir(path.join(file, 'state'))[0]).toMatchObject({
      level: 'error',
      topic: 'state-dir',
      message: 'cannot be written',
    });
  });

  test('needs room', () => {
    const findings = words(checkStateDir('/nowhere', () => 100 * 1024 ** 2));
    expect(findings).toContain(
      'warning disk-space: has 100 MiB left on its disk; when that is full, nothing is synced',
    );
  });
});

describe('a folder', () => {
  function folderWith(...directories: string[]) {
    const home = temporaryDirectory();
    const root = path.join(home, 'documents');
    fs.mkdirSync(root);
    for (const directory of directories) fs.mkdirSync(path.join(root, directory), { recursive: true });
    const config = configOf(configWith({ folder: 'exclude: [node_modules/]' }), {}, home);
    return { root, folder: config.folders[0]! };
  }

  test('is in order, and its directories are counted but for the excluded ones', () => {
    const { root, folder } = folderWith('a/b', 'c', 'node_modules/x/y', 'kept/out');
    fs.writeFileSync(path.join(root, 'kept/.s3ignore'), 'out/\n');
    const { findings, directories } = checkFolder(folder);
    expect(words(findings)).toEqual([`ok folder: ${root} can be read`]);
    // The folder itself, a, a/b, c, kept.
    expect(directories).toBe(5);
  });

  test('that is not there is an error', () => {
    const { root, folder } = folderWith();
    fs.rmdirSync(root);
    expect(checkFolder(folder).findings).toMatchObject([{ level: 'error', topic: 'folder' }]);
  });

  test.skipIf(process.getuid?.() === 0)('names directories that cannot be read', () => {
    const { root, folder } = folderWith('open', 'closed');
    fs.chmodSync(path.join(root, 'closed'), 0o000);
    const [, closed] = checkFolder(folder).findings;
    fs.chmodSync(path.join(root, 'closed'), 0o700);
    expect(closed).toMatchObject({
      level: 'warning',
      message: 'cannot be read in 1 of its directories (closed): nothing below them is synced',
    });
  });
});

describe('the watches that the kernel grants', () => {
  test.each<[directories: number, granted: number, finding: string]>([
    [80, 100, 'ok inotify: is enough (80 of 100)'],
    [
      81,
      100,
      'warning inotify: is nearly used up: 81 directories need a watch each, and the kernel grants 100 to a user',
    ],
    [
      101,
      100,
      'warning inotify: is too low: 101 directories need a watch each, and the kernel grants 100 to a user; the rest is polled',
    ],
  ])('for %d directories of %d', (directories, granted, finding) => {
    expect(words(checkWatches(directories, granted))).toEqual([finding]);
  });

  test.each([
    [101, 524_288],
    [300_000, 1_048_576],
  ])('for %d directories should be %d', (directories, wanted) => {
    expect(checkWatches(directories, 100)[0]?.advice).toBe(
      `echo fs.inotify.max_user_watches=${wanted} | sudo tee /etc/sysctl.d/60-s3syncd.conf && ` +
        `sudo sysctl fs.inotify.max_user_watches=${wanted}`,
    );
  });
});

describe('files with credentials', () => {
  function withFile(mode: number) {
    const file = path.join(temporaryDirectory(), 'credentials');
    fs.writeFileSync(file, '');
    fs.chmodSync(file, mode);
    return file;
  }

  test.each<[name: string]>([['AWS_SHARED_CREDENTIALS_FILE'], ['AWS_WEB_IDENTITY_TOKEN_FILE']])(
    'in $%s are not for others to read',
    (name) => {
      const config = configOf(configWith({}));
      const home = temporaryDirectory();
      const open = withFile(0o644);
      expect(checkCredentials(config, { HOME: home, [name]: open })).toMatchObject([
        { level: 'warning', topic: 'credentials', subject: open, advice: `chmod o= ${open}` },
      ]);
      expect(checkCredentials(config, { HOME: home, [name]: withFile(0o600) })).toEqual([]);
      expect(checkCredentials(config, { HOME: home, [name]: path.join(home, 'none') })).toEqual([]);
    },
  );

  test('are no matter where the config brings its own', () => {
    const keys = 'credentials: {access-key-id: "${env:ID}", secret-access-key: "${env:KEY}"}';
    const config = configOf(configWith({ destination: keys }), { ID: 'id', KEY: 'key' });
    const env = { AWS_SHARED_CREDENTIALS_FILE: withFile(0o644) };
    expect(checkCredentials(config, env)).toEqual([]);
  });
});

test.each([
  ['0', ['warning hard-links']],
  ['1', []],
  [undefined, []],
])('fs.protected_hardlinks of %s', (level, told) => {
  expect(checkHardLinks(level).map(({ level: how, topic }) => `${how} ${topic}`)).toEqual(told);
});

// A folder in the watch thread over its life: its root, its limits, and what it says when.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { describe, expect, test, vi } from 'vitest';
import { systemFiles } from '../../src/edge/files.ts';
import { OverflowGauge } from '../../src/watch/gauge.ts';
import { folderAt, type Attentive } from './attentive.ts';
import { attend, canRunAsNobody, nobody, temporaryDirectory, write } from './given.ts';

// For machines that do much else: nothing here takes a second by itself, but the overflow of the real queue.
vi.setConfig({ testTimeout: 20_000 });

function absences(folder: Attentive): string[] {
  const observations = folder.all('observed').flatMap((message) => message.observations);
  return observations.filter(({ seen }) => seen === 'absent').map(({ name }) => name);
}

function rootStates(folder: Attentive): string[] {
  return folder.all('root').map(({ state }) => state);
}

describe('a root', () => {
  test('that is missing at the start is awaited', async () => {
    const root = `${temporaryDirectory()}/later`;
    const folder = attend(folderAt(root));
    await folder.until('missing', () => rootStates(folder).includes('missing'));
    expect(folder.all('root')[0]?.message).toContain(root);
    expect(folder.all('scanned')).toEqual([]);
    write(root, 'a');
    await folder.scanned();
    await folder.catchesUp();
    expect(rootStates(folder)).toEqual(['missing', 'ok']);
    write(root, 'b');
    await folder.catchesUp();
  });

  test.each<[string, (root: string) => void]>([
    ['moved away', (root) => renameSync(root, `${root}.away`)],
    ['deleted', (root) => rmSync(root, { recursive: true })],
  ])('that is %s is missing, and nothing in it is absent', async (_what, act) => {
    const parent = temporaryDirectory();
    const root = `${parent}/root`;
    write(root, 'a', 'd/b', 'd/c');
    const folder = attend(folderAt(root));
    await folder.catchesUp();
    await folder.scanned();
    act(root);
    await folder.until('missing', () => rootStates(folder).includes('missing'));
    expect(absences(folder)).toEqual([]);
    expect(folder.all('scanned')).toHaveLength(1);
  });

  test('that comes back as it was is scanned and watched again', async () => {
    const parent = temporaryDirectory();
    const root = `${parent}/root`;
    write(root, 'a', 'd/b', 'd/c');
    const folder = attend(folderAt(root));
    await folder.scanned();
    renameSync(root, `${parent}/away`);
    await folder.until('missing', () => rootStates(folder).includes('missing'));
    unlinkSync(`${parent}/away/a`);
    write(`${parent}/away`, 'new');
    renameSync(`${parent}/away`, root);
    await folder.until('ok', () => rootStates(folder).at(-1) === 'ok');
    await folder.catchesUp();
    expect(absences(folder)).toEqual(['a']);
    write(root, 'd/new');
    await folder.catchesUp();
  });

  test('in whose place an empty directory stands is replaced: new files are seen, none is absent', async () => {
    const parent = temporaryDirectory();
    const root = `${parent}/root`;
    write(root, 'a', 'd/b', 'd/c');
    const folder = attend(folderAt(root));
    await folder.scanned();
    renameSync(root, `${parent}/away`);
    mkdirSync(root);
    await folder.until('replaced', () => rootStates(folder).at(-1) === 'replaced');
    await folder.scanned(2);
    write(root, 'new');
    await folder.until('new file', () => folder.known.files().has('new'));
    folder.watch.scan();
    await folder.scanned(3);
    expect(absences(folder)).toEqual([]);
    expect(rootStates(folder).at(-1)).toBe('replaced');

    renameSync(root, `${parent}/wrong`);
    renameSync(`${parent}/away`, root);
    await folder.until('ok', () => rootStates(folder).at(-1) === 'ok');
    await folder.catchesUp();
  });

  test('that was deleted and made anew under the same inode number is not taken for an emptied one', async () => {
    const root = `${temporaryDirectory()}/root`;
    write(root, 'a', 'd/b', 'd/c');
    const folder = attend(folderAt(root));
    await folder.scanned();
    rmSync(root, { recursive: true });
    mkdirSync(root);
    await folder.until('replaced', () => rootStates(folder).at(-1) === 'replaced');
    await folder.scanned(2);
    expect(absences(folder)).toEqual([]);
  });

  test('in whose place a copy stands is the folder again', async () => {
    const parent = temporaryDirectory();
    const root = `${parent}/root`;
    write(root, 'a', 'd/b', 'd/c');
    const folder = attend(folderAt(root));
    await folder.scanned();
    execFileSync('cp', ['-a', root, `${parent}/copy`]);
    unlinkSync(`${parent}/copy/a`);
    renameSync(root, `${parent}/away`);
    renameSync(`${parent}/copy`, root);
    await folder.until('ok', () => rootStates(folder).at(-1) === 'ok');
    await folder.catchesUp();
    expect(absences(folder)).toContain('a');
  });

  test('that is replaced while a batch waits is scanned when that one was taken', async () => {
    const parent = temporaryDirectory();
    const root = `${parent}/root`;
    write(parent, ...Array.from({ length: 1500 }, (_, index) => `root/${index}`), 'other/new');
    const folder = attend(folderAt(root));
    folder.acknowledges = false;
    await folder.until('a batch', () => folder.all('observed').length === 1);
    renameSync(root, `${parent}/away`);
    renameSync(`${parent}/other`, root);
    await folder.until('replaced', () => rootStates(folder).at(-1) === 'replaced');
    folder.acknowledges = true;
    folder.watch.acknowledge(1);
    await folder.scanned();
    expect(folder.known.files().has('new')).toBe(true);
    expect(absences(folder)).toEqual([]);
  });

  test('that is a file is not a directory', async () => {
    const parent = temporaryDirectory();
    write(parent, 'file');
    const folder = attend(folderAt(`${parent}/file`));
    await folder.until('told', () => rootStates(folder).length > 0);
    expect(rootStates(folder)).toEqual(['not-a-directory']);
  });

  test('that is a symlink is the directory it leads to', async () => {
    const parent = temporaryDirectory();
    write(parent, 'one/a', 'two/a');
    symlinkSync('one', `${parent}/root`);
    const folder = attend(folderAt(`${parent}/root`));
    await folder.scanned();
    write(parent, 'one/b');
    await folder.catchesUp();
    expect([...folder.known.files().keys()]).toEqual(['a', 'b']);
  });

  test.each<[string, number]>([
    ['unmounted', 0],
    ['mounted over', 1],
  ])('that is %s says so, and nothing in it is absent', (what, index) => {
    const mayMount = process.getuid?.() === 0 || spawnSync('unshare', ['-rm', 'true']).status === 0;
    if (!mayMount) {
      console.warn('skipped: a root that is unmounted (needs to mount: root or user namespaces)');
      return;
    }
    const flags = process.getuid?.() === 0 ? '-m' : '-rm';
    const script = new URL('mounts.ts', import.meta.url).pathname;
    const out = execFileSync('unshare', [flags, process.execPath, script, temporaryDirectory(), what], {
      encoding: 'utf8',
    });
    expect(JSON.parse(out)).toEqual({
      states: [
        ['replaced', 'ok'],
        ['replaced', 'ok'],
      ][index],
      absent: [],
      sawNew: true,
    });
  });
});

describe('a scan', () => {
  test('comes again after the interval', async () => {
    const root = temporaryDirectory();
    write(root, 'a');
    const folder = attend(folderAt(root, { rescanMs: 20 }));
    await folder.scanned(3);
    expect(folder.all('observed')).toHaveLength(1);
  });

  test('is all that happens without watching, once and when asked', async () => {
    const root = temporaryDirectory();
    write(root, 'a', 'd/b');
    const folder = attend(folderAt(root, { rescanMs: 1 }), { watch: false });
    await folder.scanned();
    expect(folder.all('scanned')[0]).toMatchObject({ files: 2, directories: 2 });
    expect(folder.all('watching')).toEqual([]);
    write(root, 'c');
    folder.watch.scan();
    await folder.scanned(2);
    await folder.catchesUp();
  });

  test('says what it found in batches, each after the last was acknowledged', async () => {
    const root = temporaryDirectory();
    write(root, ...Array.from({ length: 2500 }, (_, index) => `${index % 7}/${index}`));
    const folder = attend(folderAt(root));
    folder.acknowledges = false;
    for (let batch = 1; folder.all('scanned').length === 0; batch++) {
      await folder.until(
        `batch ${batch}`,
        () => folder.all('observed').length === batch || folder.all('scanned').length > 0,
      );
      expect(folder.all('observed').length).toBeLessThanOrEqual(batch);
      folder.watch.acknowledge(batch);
    }
    const sizes = folder.all('observed').map((message) => message.observations.length);
    expect(sizes.reduce((sum, size) => sum + size)).toBe(2500);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(1000);
  });
});

describe('events', () => {
  test('of many writes to a file are one observation, and wait while a batch is not acknowledged', async () => {
    const root = temporaryDirectory();
    write(root, 'a', 'b');
    const folder = attend(folderAt(root));
    await folder.scanned();
    const before = folder.all('observed').length;
    folder.acknowledges = false;
    write(root, 'first');
    await folder.until('a batch', () => folder.all('observed').length === before + 1);
    for (let index = 0; index < 100; index++) appendFileSync(`${root}/a`, 'x');
    write(root, 'probe');
    // Seen, but kept back.
    await folder.until('nothing', () => true);
    expect(folder.all('observed')).toHaveLength(before + 1);
    folder.acknowledges = true;
    folder.watch.acknowledge(folder.all('observed').at(-1)?.batch ?? 0);
    await folder.catchesUp();
    const names = folder
      .all('observed')
      .slice(before + 1)
      .flatMap((message) => message.observations.map(({ name }) => name));
    expect(names.filter((name) => name === 'a')).toHaveLength(1);
  });

  test('of very many files in a directory become a scan of it', async () => {
    const root = temporaryDirectory();
    write(root, 'd/0');
    const folder = attend(folderAt(root), { pace: { collectMs: 50 } });
    await folder.scanned();
    for (let index = 0; index < 2000; index++) writeFileSync(`${root}/d/${index}`, '');
    await folder.catchesUp();
    const events = folder.all('observed').filter(({ cause }) => cause === 'event');
    expect(events.flatMap(({ observations }) => observations).length).toBeLessThan(1000);
    expect(folder.all('scanned')).toHaveLength(1);
  });

  test('of excluded names are not told', async () => {
    const root = temporaryDirectory();
    write(root, 'a', 'cache/x');
    const folder = attend(folderAt(root, { exclude: ['*.tmp', 'cache/'] }));
    await folder.scanned();
    write(root, 'b.tmp', 'cache/y', 'd/c.tmp', 'd/cache/z', 'd/real');
    await folder.until('the real one', () => folder.known.files().has('d/real'));
    expect([...folder.known.files().keys()].toSorted()).toEqual(['a', 'd/real']);
  });

  test('follow an ignore file that changes', async () => {
    const root = temporaryDirectory();
    write(root, 'd/a', 'd/secret/b', 'd/deep/secret/c');
    writeFileSync(`${root}/d/.s3ignore`, 'secret/\n');
    const folder = attend(folderAt(root));
    await folder.scanned();
    expect([...folder.known.files().keys()].toSorted()).toEqual(['d/.s3ignore', 'd/a']);
    write(root, 'd/secret/kept-back');
    write(root, 'd/told');
    await folder.until('told', () => folder.known.files().has('d/told'));
    expect(folder.known.files().has('d/secret/kept-back')).toBe(false);
    unlinkSync(`${root}/d/.s3ignore`);
    await folder.catchesUp();
    // Directories that were excluded are watched now.
    write(root, 'd/deep/secret/new');
    await folder.catchesUp();
    writeFileSync(`${root}/d/.s3ignore`, 'a\n');
    await folder.scanned(3);
    appendFileSync(`${root}/d/a`, 'x');
    write(root, 'd/z');
    await folder.until('z', () => folder.known.files().has('d/z'));
    expect(folder.difference()).toEqual(['d/a']);
  });

  test('at a symlink’s target are told of the symlink too where symlinks are followed', async () => {
    const root = temporaryDirectory();
    write(root, 'real/a', 'real/b');
    mkdirSync(`${root}/links`);
    symlinkSync('../real', `${root}/links/directory`);
    symlinkSync('../real/a', `${root}/links/file`);
    const folder = attend(folderAt(root, { symlinks: 'follow' }));
    await folder.scanned();
    appendFileSync(`${root}/real/a`, 'x');
    const told = () =>
      folder
        .all('observed')
        .flatMap(({ cause, observations }) =>
          cause === 'event' ? observations.map(({ directory, name }) => `${directory}/${name}`) : [],
        );
    await folder.until('all three', () => told().length >= 3);
    expect(told().toSorted()).toEqual(['links/directory/a', 'links/file', 'real/a']);
    write(root, 'real/new/c');
    const scanned = () =>
      folder.all('observed').flatMap(({ observations }) => observations.map(({ directory }) => directory));
    await folder.until(
      'both',
      () => scanned().includes('links/directory/new') && scanned().includes('real/new'),
    );
  });

  test('of a name that is not UTF-8 lead to an obstacle, and to its end', async () => {
    const root = temporaryDirectory();
    write(root, 'd/a');
    const folder = attend(folderAt(root));
    await folder.scanned();
    const bad = Buffer.from(`${root}/d/bad\xff`, 'latin1');
    writeFileSync(bad, '');
    await folder.until('obstacle', () =>
      folder.all('observed').some(({ obstacles }) => obstacles.length === 1),
    );
    unlinkSync(bad);
    await folder.until('cleared', () => folder.all('observed').some(({ cleared }) => cleared.length === 1));
    mkdirSync(Buffer.from(`${root}/d/dir\xff`, 'latin1'));
    await folder.until(
      'obstacle',
      () => folder.all('observed').filter(({ obstacles }) => obstacles.length > 0).length === 2,
    );
    expect(folder.all('degraded')).toEqual([]);
  });
});

describe('an overflow', () => {
  test('that is suspected leads to a new watcher and a scan, which find what was lost', async () => {
    const root = temporaryDirectory();
    write(root, 'd/0');
    const gauge = new OverflowGauge(1000, () => folder.watch.suspectOverflow());
    const folder = attend(folderAt(root), { countEvent: () => gauge.count() });
    await folder.scanned();
    // The loop is blocked all the while, so all events arrive in one turn.
    for (let index = 0; index < 600; index++) write(root, `d/${index}`);
    await folder.scanned(2);
    expect(folder.all('watching')).toHaveLength(2);
    await folder.catchesUp();
    write(root, 'd/afterwards');
    await folder.catchesUp();
  });

  test('of the real queue loses events and is found out', { timeout: 60_000 }, async () => {
    const limit = Number(readFileSync('/proc/sys/fs/inotify/max_queued_events', 'utf8'));
    const root = temporaryDirectory();
    write(root, ...Array.from({ length: 10 }, (_, index) => `${index}/`));
    const gauge = new OverflowGauge(limit / 2, () => folder.watch.suspectOverflow());
    const folder = attend(folderAt(root), { countEvent: () => gauge.count() });
    await folder.scanned();
    for (let index = 0; index < limit * 0.75; index++) writeFileSync(`${root}/${index % 10}/${index}`, '');
    await folder.scanned(2);
    await folder.catchesUp();
    expect(folder.known.files().size).toBe(limit * 0.75);
  });

  test('gauge counts what arrives in one turn of the loop', async () => {
    let suspicions = 0;
    const gauge = new OverflowGauge(3, () => suspicions++);
    gauge.count();
    gauge.count();
    await new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)));
    gauge.count();
    gauge.count();
    expect(suspicions).toBe(0);
    gauge.count();
    gauge.count();
    expect(suspicions).toBe(1);
  });
});

describe('a directory without permission', () => {
  test('is an obstacle, is watched once it may be, and leaves the others alone', () => {
    const script = new URL('forbidden.ts', import.meta.url);
    if (!canRunAsNobody(script, 'a directory that may not be watched')) return;
    const root = temporaryDirectory();
    chownSync(root, nobody, nobody);
    const child = spawnSync(process.execPath, [script.pathname, root], {
      uid: nobody,
      gid: nobody,
      encoding: 'utf8',
    });
    expect(child.stderr).toBe('');
    expect(JSON.parse(child.stdout)).toEqual({ obstacles: ['closed'], degraded: [], absent: [] });
  });
});

test('a folder that cannot be watched for its name is polled', async () => {
  const root = `${temporaryDirectory()}/back\\slash`;
  write(root, 'a');
  const folder = attend(folderAt(root));
  await folder.scanned();
  write(root, 'b');
  await folder.catchesUp();
  expect(folder.all('degraded').map(({ reasons }) => reasons)).toEqual([
    [expect.stringContaining('backslash')],
  ]);
});

test.each([
  [0x6969, 'NFS'],
  [0xff534d42, 'CIFS'],
  [0x65735546, 'FUSE'],
])(
  'a folder on a file system of kind %i (%s) is polled, because others change it unheard',
  async (number, name) => {
    const root = temporaryDirectory();
    write(root, 'a');
    const folder = attend(folderAt(root), { files: { ...systemFiles, fileSystem: () => number } });
    await folder.scanned();
    write(root, 'b');
    await folder.catchesUp();
    expect(folder.all('degraded').map(({ reasons }) => reasons)).toEqual([
      [`${name} does not tell of changes made elsewhere: the folder is polled`],
    ]);
  },
);

test('a new directory is seen while the whole folder is being scanned', async () => {
  const root = temporaryDirectory();
  write(root, ...Array.from({ length: 2000 }, (_, index) => `${index % 20}/${index}`));
  const folder = attend(folderAt(root));
  folder.acknowledges = false;
  await folder.until('the first batch', () => folder.all('observed').length === 1);
  write(root, 'new/file');
  const sawNew = () =>
    folder.all('observed').some(({ observations }) => observations.some(({ name }) => name === 'file'));
  for (let batch = 1; !sawNew(); batch++) {
    folder.watch.acknowledge(batch);
    await folder.until(`batch ${batch + 1}`, () => folder.all('observed').length === batch + 1);
  }
  expect(folder.all('scanned')).toEqual([]);
  folder.acknowledges = true;
  folder.watch.acknowledge(folder.all('observed').length);
  await folder.catchesUp();
});

describe('too few watches', () => {
  test(
    'degrade the folder: it is polled, says which limit to raise, and recovers',
    { timeout: 30_000 },
    () => {
      const setLimit = 'echo 60 > /proc/sys/user/max_inotify_watches';
      if (!existsSync('/proc/sys/user') || spawnSync('unshare', ['-Ur', 'sh', '-c', setLimit]).status !== 0) {
        console.warn('skipped: too few watches (needs user namespaces, to lower the limit in one)');
        return;
      }
      const script = new URL('few-watches.ts', import.meta.url).pathname;
      const out = execFileSync(
        'unshare',
        ['-Ur', 'sh', '-c', `${setLimit} && exec "$0" "$@"`, process.execPath, script, temporaryDirectory()],
        { encoding: 'utf8' },
      );
      expect(JSON.parse(out)).toEqual({
        reason: expect.stringMatching(/fs\.inotify\.max_user_watches=\d+/),
        foundByPolling: true,
        recovered: [],
        watchedAgain: true,
      });
    },
  );
});

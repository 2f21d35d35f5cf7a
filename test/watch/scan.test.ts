import { execFileSync, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  mkdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../../src/edge/clock.ts';
import { systemFiles } from '../../src/edge/files.ts';
import { joinPath } from '../../src/core/key.ts';
import type { SymlinkMode } from '../../src/core/policy.ts';
import {
  RootUnreadable,
  scan,
  type Extent,
  type Findings,
  type ScanCounts,
  type ScanSubject,
} from '../../src/watch/scan.ts';
import { Selection } from '../../src/watch/selection.ts';
import { filesIn } from './attentive.ts';
import { canRunAsNobody, nobody, temporaryDirectory, write } from './given.ts';
import { MemoryKnown } from './memory-known.ts';

/** A folder on disk, what the journal knows of it, and scans that compare them. */
function given(
  options: {
    routeIds?: number[];
    symlinks?: SymlinkMode;
    exclude?: string[];
    tellAbsent?: boolean;
    selects?: ScanSubject['selects'];
  } = {},
) {
  const root = temporaryDirectory();
  const routeIds = options.routeIds ?? [1];
  const known = new MemoryKnown(routeIds);
  const subject = {
    folderId: 1,
    root,
    routeIds,
    symlinks: options.symlinks ?? 'skip',
    selects: options.selects,
    selection: new Selection({ include: [], exclude: options.exclude ?? [] }, systemFiles),
    files: systemFiles,
    clock: systemClock,
    known,
    reported: new Set<string>(),
    tellAbsent: options.tellAbsent ?? true,
  };
  const slices = (extent?: Extent): { slices: Findings[]; counts: ScanCounts } => {
    const slices: Findings[] = [];
    const steps = scan(subject, extent);
    for (;;) {
      const step = steps.next();
      if (step.done) return { slices, counts: step.value };
      slices.push(step.value);
    }
  };
  const findings = (extent?: Extent): Findings => {
    const all = slices(extent).slices;
    return {
      observations: all.flatMap((slice) => slice.observations),
      obstacles: all.flatMap((slice) => slice.obstacles),
      cleared: all.flatMap((slice) => slice.cleared),
    };
  };
  return {
    root,
    known,
    slices,
    findings,
    /** What a scan finds, as words: `path` for a file, `-path` for one that is absent, `!path reason` for an obstacle. */
    scan: (extent?: Extent): string[] => {
      const found = findings(extent);
      known.settle(found);
      return words(found);
    },
  };
}

function words(found: Findings): string[] {
  const name = (name: string | Uint8Array) =>
    typeof name === 'string' ? name : Buffer.from(name).toString('latin1');
  return [
    ...found.observations.map((o) => (o.seen === 'absent' ? '-' : '') + joinPath(o.directory, o.name)),
    ...found.obstacles.map((o) => `!${joinPath(o.directory, name(o.name))} ${o.reason}`),
    ...found.cleared.map((o) => `~${joinPath(o.directory, name(o.name))}`),
  ].toSorted();
}

describe('a scan', () => {
  test('finds every file of a new tree, and nothing when it was settled', () => {
    const folder = given();
    write(folder.root, 'a', 'b/c', 'b/d/e', 'empty/');
    expect(folder.scan()).toEqual(['a', 'b/c', 'b/d/e']);
    expect(folder.scan()).toEqual([]);
    expect(folder.slices().counts).toMatchObject({ files: 3, directories: 4, recognised: 3, missed: 0 });
  });

  test.each<[string, (root: string) => void, string[]]>([
    ['a file that was appended to', (root) => appendFileSync(`${root}/a/1`, 'x'), ['a/1']],
    ['a file that was touched', (root) => utimesSync(`${root}/a/1`, 1, 1), ['a/1']],
    ['a file with other rights', (root) => chmodSync(`${root}/a/1`, 0o600), ['a/1']],
    [
      'a file that was rewritten with its size and mtime kept',
      (root) => {
        const { atime, mtime } = statSync(`${root}/a/1`);
        writeFileSync(`${root}/a/1`, 'A/1');
        utimesSync(`${root}/a/1`, atime, mtime);
      },
      ['a/1'],
    ],
    ['a file that is gone', (root) => unlinkSync(`${root}/a/1`), ['-a/1']],
    ['a file under another name', (root) => renameSync(`${root}/a/1`, `${root}/a/9`), ['-a/1', 'a/9']],
    ['a file in place of another', (root) => renameSync(`${root}/a/1`, `${root}/a/2`), ['-a/1', 'a/2']],
    [
      'a directory that is gone',
      (root) => rmSync(`${root}/a`, { recursive: true }),
      ['-a/1', '-a/2', '-a/b/3'],
    ],
    [
      'a directory under another name',
      (root) => renameSync(`${root}/a`, `${root}/z`),
      ['-a/1', '-a/2', '-a/b/3', 'z/1', 'z/2', 'z/b/3'],
    ],
    [
      'a directory that was moved within',
      (root) => renameSync(`${root}/a/b`, `${root}/c/b`),
      ['-a/b/3', 'c/b/3'],
    ],
    [
      'a file where a directory was',
      (root) => {
        rmSync(`${root}/a`, { recursive: true });
        writeFileSync(`${root}/a`, '');
      },
      ['-a/1', '-a/2', '-a/b/3', 'a'],
    ],
    [
      'a directory where a file was',
      (root) => {
        unlinkSync(`${root}/a/1`);
        write(root, 'a/1/x');
      },
      ['-a/1', 'a/1/x'],
    ],
    [
      'a symlink where a directory was',
      (root) => {
        renameSync(`${root}/a`, `${root}/z`);
        symlinkSync('z', `${root}/a`);
      },
      ['-a/1', '-a/2', '-a/b/3', 'z/1', 'z/2', 'z/b/3'],
    ],
    [
      'a symlink where a file was',
      (root) => {
        unlinkSync(`${root}/a/1`);
        symlinkSync('2', `${root}/a/1`);
      },
      ['-a/1'],
    ],
  ])('finds %s', (_what, act, found) => {
    const folder = given();
    write(folder.root, 'a/1', 'a/2', 'a/b/3', 'c/4');
    folder.scan();
    act(folder.root);
    expect(folder.scan()).toEqual(found);
    expect(folder.scan()).toEqual([]);
  });

  test('tells of a file only to the routes that do not know it, and of an absence also to those that may be sending it', () => {
    const folder = given({ routeIds: [7, 8] });
    write(folder.root, 'a');
    const [first] = folder.findings().observations;
    folder.known.settle({ observations: [{ ...first!, routeIds: [7] }], obstacles: [], cleared: [] });
    expect(folder.findings().observations).toMatchObject([{ name: 'a', routeIds: [8] }]);
    unlinkSync(`${folder.root}/a`);
    expect(folder.findings().observations).toMatchObject([{ name: 'a', routeIds: [7, 8], seen: 'absent' }]);
    folder.scan();
    expect(folder.scan()).toEqual([]);
  });

  test('tells of a file only to the routes that take it, and once to the one that took it before', () => {
    const folder = given({
      routeIds: [7, 8],
      selects: (routeId, path, file) => routeId === 7 || (path.startsWith('d/') && file.size < 5),
    });
    write(folder.root, 'a', 'd/b');
    expect(folder.findings().observations).toMatchObject([
      { name: 'a', routeIds: [7] },
      { name: 'b', routeIds: [7, 8] },
    ]);
    folder.scan();
    expect(folder.scan()).toEqual([]);

    appendFileSync(`${folder.root}/d/b`, 'has grown');
    expect(folder.findings().observations).toMatchObject([
      { name: 'b', routeIds: [7], seen: { size: 12 } },
      { name: 'b', routeIds: [8], seen: 'absent' },
    ]);
    folder.scan();
    expect(folder.scan()).toEqual([]);

    writeFileSync(`${folder.root}/d/b`, '1');
    expect(folder.findings().observations).toMatchObject([{ name: 'b', routeIds: [7, 8] }]);
  });

  test('sees nanoseconds', () => {
    const folder = given();
    write(folder.root, 'a');
    execFileSync('touch', ['-d', '2024-01-01 00:00:00.123456789Z', `${folder.root}/a`]);
    expect(folder.findings().observations[0]?.seen).toMatchObject({ mtimeNs: 1704067200123456789n });
  });

  test.each([
    ['a newline', 'a\nb'],
    ['quotes', `'"\``],
    ['an emoji', '🏔️'],
    ['a decomposed letter', 'e\u0301'],
    ['a composed letter', '\u00e9'],
    ['255 bytes', 'x'.repeat(255)],
    ['a leading dash', '-rf'],
    ['a backslash', 'a\\b'],
    ['a colon and a star', 'c:*?'],
    ['the name of a property', '__proto__'],
    ['another one', 'constructor'],
    ['spaces at its ends', ' a '],
    ['a control character', 'a\u0001\u007f'],
    ['three dots', '...'],
    ['a replacement character that is really there', 'a\ufffdb'],
  ])('takes a name with %s for what it is, of files and of directories', (_what, name) => {
    const folder = given();
    write(folder.root, name, `d/${name}/x`);
    expect(folder.scan()).toEqual([`d/${name}/x`, name].toSorted());
    expect(folder.scan()).toEqual([]);
    rmSync(`${folder.root}/d/${name}`, { recursive: true });
    expect(folder.scan()).toEqual([`-d/${name}/x`]);
  });

  test('reports a name that is not UTF-8 once, and when it is gone', () => {
    const folder = given();
    write(folder.root, 'good', 'd/good');
    const bad = Buffer.from(`${folder.root}/d/bad\xff`, 'latin1');
    const badDirectory = Buffer.from(`${folder.root}/dir\xfe`, 'latin1');
    writeFileSync(bad, '');
    mkdirSync(badDirectory);
    writeFileSync(Buffer.concat([badDirectory, Buffer.from('/inside')]), '');
    expect(folder.scan()).toEqual(['!d/bad\xff name-not-utf8', '!dir\xfe name-not-utf8', 'd/good', 'good']);
    expect(folder.scan()).toEqual([]);
    unlinkSync(bad);
    rmSync(badDirectory, { recursive: true });
    expect(folder.scan()).toEqual(['~d/bad\xff', '~dir\xfe']);
    expect(folder.scan()).toEqual([]);
  });

  test('forgets such a name with the directory it was in', () => {
    const folder = given();
    write(folder.root, 'd/e/good');
    writeFileSync(Buffer.from(`${folder.root}/d/e/bad\xff`, 'latin1'), '');
    folder.scan();
    rmSync(`${folder.root}/d`, { recursive: true });
    expect(folder.scan()).toEqual(['-d/e/good', '~d/e/bad\xff']);
  });

  test('sees FIFOs and sockets, and does not open them', async () => {
    const folder = given();
    execFileSync('mkfifo', [`${folder.root}/fifo`, `${folder.root}/.s3ignore`]);
    const server = createServer();
    onTestFinished(() => void server.close());
    await new Promise<void>((resolve) => server.listen(`${folder.root}/socket`, resolve));
    expect(folder.scan()).toEqual(['.s3ignore', 'fifo', 'socket']);
    expect(folder.scan()).toEqual([]);
  });

  test('does not report a file that came between listing and comparison', () => {
    const folder = given();
    write(folder.root, 'a');
    folder.scan();
    unlinkSync(`${folder.root}/a`);
    folder.known.onAsked = () => write(folder.root, 'a');
    expect(folder.scan()).toEqual([]);
  });

  test('does not report the files of a directory that came between listing and comparison', () => {
    const folder = given();
    write(folder.root, 'd/a');
    folder.scan();
    renameSync(`${folder.root}/d`, `${folder.root}.away`);
    folder.known.onAsked = (path) => {
      if (path === '') renameSync(`${folder.root}.away`, `${folder.root}/d`);
      folder.known.onAsked = () => undefined;
    };
    expect(folder.scan()).toEqual([]);
  });

  test('hands over its findings in bounded slices', () => {
    const folder = given();
    write(folder.root, ...Array.from({ length: 1200 }, (_, index) => `${index % 3}/${index}`));
    const { slices } = folder.slices();
    expect(slices.reduce((sum, slice) => sum + slice.observations.length, 0)).toBe(1200);
    expect(Math.max(...slices.map((slice) => slice.observations.length))).toBeLessThanOrEqual(500);
    slices.forEach((slice) => folder.known.settle(slice));
    for (const directory of ['0', '1', '2']) rmSync(`${folder.root}/${directory}`, { recursive: true });
    const absent = folder.slices().slices.map((slice) => slice.observations.length);
    expect(absent.reduce((sum, length) => sum + length)).toBe(1200);
    expect(Math.max(...absent)).toBeLessThanOrEqual(500);
  });

  test('counts what is missing, and says nothing of it, while the root is in doubt', () => {
    const folder = given({ tellAbsent: false });
    write(folder.root, 'a', 'd/b', 'd/c');
    folder.scan();
    rmSync(`${folder.root}/d`, { recursive: true });
    write(folder.root, 'new');
    expect(folder.scan()).toEqual(['new']);
    expect(folder.slices().counts).toMatchObject({ recognised: 2, missed: 2 });
  });

  test('fails when the folder itself cannot be listed', () => {
    const folder = given();
    write(folder.root, 'a');
    folder.scan();
    rmSync(folder.root, { recursive: true });
    expect(() => folder.scan()).toThrow(RootUnreadable);
  });
});

test('whatever happens to a folder, a scan finds it, and the next one finds nothing', () => {
  const names = ['a', 'b', '__proto__', 'e\u0301'];
  const path = fc
    .array(fc.constantFrom(...names), { minLength: 1, maxLength: 3 })
    .map((parts) => parts.join('/'));
  const act = fc.oneof(
    fc.record({ kind: fc.constant('write'), path, other: path }),
    fc.record({ kind: fc.constant('remove'), path, other: path }),
    fc.record({ kind: fc.constant('move'), path, other: path }),
    fc.record({ kind: fc.constant('link'), path, other: path }),
    fc.record({ kind: fc.constant('scan part'), path, other: path }),
  );
  fc.assert(
    fc.property(fc.array(fc.array(act, { maxLength: 8 }), { minLength: 2, maxLength: 4 }), (rounds) => {
      const folder = given();
      for (const acts of rounds) {
        for (const { kind, path, other } of acts) {
          if (kind === 'scan part') folder.scan({ path, depth: 'tree' });
          else attempt(() => perform(folder.root, kind, path, other));
        }
        folder.scan();
        expect(folder.known.files()).toEqual(filesIn(folder.root));
        expect(folder.scan()).toEqual([]);
      }
    }),
    { numRuns: 60 },
  );
});

function perform(root: string, kind: string, path: string, other: string): void {
  if (kind === 'write') write(root, path);
  else if (kind === 'remove') rmSync(`${root}/${path}`, { recursive: true });
  else if (kind === 'move') renameSync(`${root}/${path}`, `${root}/${other}`);
  else symlinkSync(`${root}/${other}`, `${root}/${path}`);
}

/** Some acts are impossible: a directory cannot be moved into itself. */
function attempt(act: () => void): void {
  try {
    act();
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
  }
}

describe('a scan of a part', () => {
  test('looks at a directory alone, or at all below it', () => {
    const folder = given();
    write(folder.root, 'a/1', 'a/b/2', 'c');
    expect(folder.scan({ path: 'a', depth: 'directory' })).toEqual(['a/1']);
    expect(folder.scan({ path: 'a', depth: 'tree' })).toEqual(['a/b/2']);
    expect(folder.scan()).toEqual(['c']);
  });

  test('of one directory leaves those below alone, even when they are gone', () => {
    const folder = given();
    write(folder.root, 'a/1', 'a/b/2');
    folder.scan();
    rmSync(`${folder.root}/a/b`, { recursive: true });
    expect(folder.scan({ path: 'a', depth: 'directory' })).toEqual([]);
    expect(folder.scan({ path: 'a', depth: 'tree' })).toEqual(['-a/b/2']);
  });

  test.each<[string, (root: string) => void, string[]]>([
    ['is gone', () => undefined, ['-a/b/1', '-a/b/c/2']],
    ['is a file now', (root) => write(root, 'a/b'), ['-a/b/1', '-a/b/c/2', 'a/b']],
    ['is a symlink now', (root) => symlinkSync('/', `${root}/a/b`), ['-a/b/1', '-a/b/c/2']],
    [
      'lies below a symlink now',
      (root) => {
        rmSync(`${root}/a`, { recursive: true });
        symlinkSync('/', `${root}/a`);
      },
      ['-a/b/1', '-a/b/c/2', '-a/x'],
    ],
  ])('reports everything below a directory that %s', (_what, act, found) => {
    const folder = given();
    write(folder.root, 'a/b/1', 'a/b/c/2', 'a/x');
    folder.scan();
    rmSync(`${folder.root}/a/b`, { recursive: true });
    act(folder.root);
    expect(folder.scan({ path: 'a/b', depth: 'tree' })).toEqual(found);
    expect(folder.scan()).toEqual([]);
  });
});

describe('symlinks', () => {
  test('are counted and not followed by default', () => {
    const folder = given();
    write(folder.root, 'd/a');
    symlinkSync('d', `${folder.root}/directory`);
    symlinkSync('d/a', `${folder.root}/file`);
    symlinkSync('nowhere', `${folder.root}/dangling`);
    expect(folder.scan()).toEqual(['d/a']);
    expect(folder.slices().counts.skippedSymlinks).toBe(3);
  });

  test('are followed inside the folder if asked', () => {
    const folder = given({ symlinks: 'follow' });
    write(folder.root, 'd/a');
    symlinkSync('d', `${folder.root}/directory`);
    symlinkSync('directory/a', `${folder.root}/file`);
    symlinkSync('nowhere', `${folder.root}/dangling`);
    expect(folder.scan()).toEqual(['d/a', 'directory/a', 'file']);
    expect(folder.scan()).toEqual([]);
    appendFileSync(`${folder.root}/d/a`, 'x');
    expect(folder.scan()).toEqual(['d/a', 'directory/a', 'file']);
    unlinkSync(`${folder.root}/directory`);
    expect(folder.scan()).toEqual(['-directory/a', '-file']);
  });

  test('are obstacles when they lead out of the folder or into themselves', () => {
    const folder = given({ symlinks: 'follow' });
    write(folder.root, 'd/a');
    symlinkSync('/etc', `${folder.root}/out`);
    symlinkSync(`${folder.root}.other`, `${folder.root}/beside`);
    mkdirSync(`${folder.root}.other`);
    onTestFinished(() => rmSync(`${folder.root}.other`, { recursive: true }));
    symlinkSync('../d', `${folder.root}/d/up`);
    symlinkSync('..', `${folder.root}/d/root`);
    symlinkSync('self', `${folder.root}/self`);
    expect(folder.scan()).toEqual([
      '!beside symlink-outside',
      '!d/root symlink-loop',
      '!d/up symlink-loop',
      '!out symlink-outside',
      '!self symlink-loop',
      'd/a',
    ]);
    expect(folder.scan()).toEqual([]);
    unlinkSync(`${folder.root}/out`);
    unlinkSync(`${folder.root}/self`);
    write(folder.root, 'self');
    expect(folder.scan()).toEqual(['-out', 'self']);
    expect(folder.scan()).toEqual([]);
  });

  test('that lead to each other end', () => {
    const folder = given({ symlinks: 'follow' });
    write(folder.root, 'a/1', 'b/2');
    symlinkSync('../b', `${folder.root}/a/b`);
    symlinkSync('../a', `${folder.root}/b/a`);
    expect(folder.scan()).toEqual([
      '!a/b/a symlink-loop',
      '!b/a/b symlink-loop',
      'a/1',
      'a/b/2',
      'b/2',
      'b/a/1',
    ]);
    expect(folder.scan({ path: 'a/b', depth: 'tree' })).toEqual([]);
    expect(folder.scan()).toEqual([]);
  });
});

describe('excluded names', () => {
  test('are neither observed nor reported absent', () => {
    const folder = given({ exclude: ['*.tmp', 'cache/'] });
    write(folder.root, 'a', 'a.tmp', 'cache/x', 'd/cache/y');
    expect(folder.scan()).toEqual(['a']);
    const before = given();
    write(before.root, 'a.tmp', 'cache/x');
    const known = before.findings();
    folder.known.settle(known);
    expect(folder.scan()).toEqual([]);
    rmSync(`${folder.root}/cache`, { recursive: true });
    unlinkSync(`${folder.root}/a.tmp`);
    expect(folder.scan()).toEqual([]);
  });

  test('come from ignore files too, which are read when they change', () => {
    const folder = given();
    write(folder.root, 'd/keep', 'd/secret', 'd/e/secret', 'secret');
    writeFileSync(`${folder.root}/d/.s3ignore`, 'secret\n');
    expect(folder.scan()).toEqual(['d/.s3ignore', 'd/keep', 'secret']);
    writeFileSync(`${folder.root}/d/.s3ignore`, '/secret\n');
    expect(folder.scan()).toEqual(['d/.s3ignore', 'd/e/secret']);
    unlinkSync(`${folder.root}/d/.s3ignore`);
    expect(folder.scan()).toEqual(['-d/.s3ignore', 'd/secret']);
  });

  test('an excluded directory is not even listed', () => {
    const folder = given({ exclude: ['node_modules/'] });
    write(folder.root, 'a', 'node_modules/x/y');
    folder.scan();
    expect(folder.slices().counts.directories).toBe(1);
  });

  test('an ignore file that cannot be read keeps everything back', () => {
    const folder = given();
    write(folder.root, 'd/a', 'b');
    symlinkSync('.s3ignore', `${folder.root}/d/.s3ignore`);
    expect(folder.scan()).toEqual(['b']);
  });
});

// Root may read everything, so these run as another user.
const scanScript = new URL('scan-as-nobody.ts', import.meta.url);
describe.skipIf(!canRunAsNobody(scanScript, 'directories that cannot be read'))(
  'an unreadable directory',
  () => {
    test.each([
      ['that cannot be listed', 0o300, true],
      ['that cannot be listed nor entered', 0o000, true],
      ['that can be listed but not entered', 0o600, true],
      ['that can only be read', 0o500, false],
    ])('%s is an obstacle, and nothing below it is absent', (_what, mode, isObstacle) => {
      const root = temporaryDirectory();
      write(root, 'a', 'closed/b', 'closed/d/c');
      giveToNobody(root, ['', 'a', 'closed', 'closed/b', 'closed/d', 'closed/d/c']);
      const first = scanAsNobody(root, { scans: 1 });
      expect(first).toEqual([['a', 'closed/b', 'closed/d/c']]);
      const later = scanAsNobody(root, { scans: 4, closed: 'closed', mode, closeAfter: 1, openAfter: 3 });
      expect(later).toEqual([
        ['a', 'closed/b', 'closed/d/c'],
        isObstacle ? ['!closed unreadable'] : [],
        [],
        // Nothing but the obstacle ends.
        isObstacle ? ['-closed'] : [],
      ]);
    });

    test('that is the folder itself ends the scan', () => {
      const root = temporaryDirectory();
      write(root, 'a');
      giveToNobody(root, ['', 'a']);
      chmodSync(root, 0);
      expect(scanAsNobody(root, { scans: 1 })).toEqual('RootUnreadable');
    });
  },
);

test('a path that is too long to be looked at is an obstacle', () => {
  const folder = given();
  // Deeper than PATH_MAX, as only relative paths can make it.
  execFileSync(
    'sh',
    ['-c', 'n=$(printf %0200d 0); i=0; while [ $i -lt 25 ]; do mkdir $n && cd -P $n; i=$((i+1)); done'],
    {
      cwd: folder.root,
    },
  );
  onTestFinished(() => void execFileSync('rm', ['-rf', folder.root]));
  const found = folder.scan();
  expect(found).toHaveLength(1);
  expect(found[0]).toMatch(/ key-too-long$/);
});

function giveToNobody(root: string, paths: readonly string[]): void {
  for (const path of paths) chownSync(join(root, path), nobody, nobody);
}

function scanAsNobody(
  root: string,
  options: { scans: number; closed?: string; mode?: number; closeAfter?: number; openAfter?: number },
): string[][] | string {
  const child = spawnSync(process.execPath, [scanScript.pathname, root, JSON.stringify(options)], {
    uid: nobody,
    gid: nobody,
    encoding: 'utf8',
  });
  expect(child.stderr).toBe('');
  return JSON.parse(child.stdout);
}

// `run`: whatever happens in the folder, the bucket follows within settle + 3 s, and nothing else is ever sent.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { noCommand, noLocalServer, startStore, until, workspace } from './harness.ts';
import type { Daemon, Store, Workspace } from './harness.ts';

/** The contract's promise for a folder with the default `settle: 1s`. */
const convergeMs = 4_000;

/** What every test begins with: files that are in the bucket already, and of which nothing should be heard again. */
const unchanged = Array.from({ length: 30 }, (_, number) => `unchanged/${number}.txt`);

interface Step {
  readonly what: string;
  readonly act: () => void;
  /** Keys whose files are gone now. */
  readonly gone?: readonly string[];
  /** Paths of which nothing must be sent, although an event came. */
  readonly touched?: readonly string[];
}

describe('the bucket follows', () => {
  test('every way in which files and directories come, change and go', async () => {
    const { home, daemon, store } = await watching();
    const at = (name: string) => home.path(name);
    const move = (from: string, to: string) => fs.renameSync(at(from), at(to));
    const elsewhere = `${home.directory}/elsewhere`;
    fs.mkdirSync(`${elsewhere}/tree/deep`, { recursive: true });
    fs.writeFileSync(`${elsewhere}/tree/deep/er.txt`, 'from elsewhere');
    fs.writeFileSync(`${elsewhere}/file.txt`, 'from elsewhere, too');
    const steps: readonly Step[] = [
      { what: 'a file is created', act: () => home.write('a.txt', 'one\n') },
      { what: 'appended to', act: () => fs.appendFileSync(at('a.txt'), 'two\n') },
      { what: 'rewritten in the same size', act: () => fs.writeFileSync(at('a.txt'), 'TWO\none\n') },
      { what: 'rewritten in place', act: () => overwrite(at('a.txt'), 2, 'X') },
      { what: 'truncated', act: () => fs.truncateSync(at('a.txt'), 3) },
      { what: 'emptied', act: () => fs.truncateSync(at('a.txt'), 0) },
      { what: 'filled again', act: () => fs.writeFileSync(at('a.txt'), 'again\n') },
      { what: 'touched', act: () => fs.utimesSync(at('a.txt'), 1, 1), touched: ['a.txt'] },
      { what: 'made read-only', act: () => fs.chmodSync(at('a.txt'), 0o444), touched: ['a.txt'] },
      { what: 'renamed', act: () => move('a.txt', 'b.txt'), gone: ['a.txt'] },
      { what: 'replaced by another', act: () => replace(at('b.txt'), 'another\n') },
      {
        what: 'a directory is made with a file at once',
        act: () =>
          execFileSync('sh', ['-c', 'mkdir -p p/q/r && echo deep > p/q/r/s.txt'], { cwd: home.folder }),
      },
      { what: 'a file appears in it', act: () => home.write('p/q/t.txt', 't') },
      { what: 'it is renamed', act: () => move('p', 'v'), gone: ['p/q/r/s.txt', 'p/q/t.txt'] },
      { what: 'a file below it changes', act: () => fs.appendFileSync(at('v/q/r/s.txt'), 'er') },
      { what: 'a directory below it moves', act: () => move('v/q/r', 'r'), gone: ['v/q/r/s.txt'] },
      { what: 'a directory comes from elsewhere', act: () => fs.renameSync(`${elsewhere}/tree`, at('tree')) },
      { what: 'a file in it changes', act: () => home.write('tree/deep/er.txt', 'changed here') },
      {
        what: 'a file comes from elsewhere',
        act: () => fs.renameSync(`${elsewhere}/file.txt`, at('file.txt')),
      },
      {
        what: 'a directory leaves',
        act: () => fs.renameSync(at('tree'), `${elsewhere}/tree`),
        gone: ['tree/deep/er.txt'],
      },
      { what: 'it comes back', act: () => fs.renameSync(`${elsewhere}/tree`, at('tree')) },
      { what: 'a file is deleted', act: () => fs.rmSync(at('file.txt')), gone: ['file.txt'] },
      { what: 'it comes back as it was', act: () => home.write('file.txt', 'from elsewhere, too') },
      {
        what: 'it is deleted and made anew',
        act: () => (fs.rmSync(at('file.txt')), home.write('file.txt', 'new')),
      },
      {
        what: 'a file becomes a directory',
        act: () => (fs.rmSync(at('b.txt')), home.write('b.txt/c', 'c')),
        gone: ['b.txt'],
      },
      { what: 'two files change names', act: () => exchange(at('file.txt'), at('v/q/t.txt')) },
      {
        what: 'a directory is deleted',
        act: () => fs.rmSync(at('v'), { recursive: true }),
        gone: ['v/q/t.txt'],
      },
      { what: 'a file gets a hard link', act: () => fs.linkSync(at('file.txt'), at('hard.txt')) },
    ];

    const times: string[] = [];
    const kept = new Set<string>();
    const touched: string[] = [];
    for (const { what, act, gone = [], touched: quiet = [] } of steps) {
      const handledBefore = daemon.handled(quiet).length;
      for (const key of gone) kept.add(key);
      act();
      touched.push(...quiet);
      // A touched file is waited for in the log, because nothing of it shall be seen in the bucket.
      const handled = () => daemon.handled(quiet).length >= handledBefore + quiet.length;
      await until(handled, 3 * convergeMs, () => `${what}: not handled`);
      const present = new Set(fs.readdirSync(home.folder, { recursive: true }).map(String));
      const isHere = (key: string) => present.has(key) && fs.statSync(at(key)).isFile();
      const tookMs = await home
        .awaitEqual(convergeMs, {
          kept: [...kept].filter((key) => !isHere(key)),
          times: touched.length === 0,
        })
        .catch((error: unknown) => Promise.reject(new Error(`${what}: ${String(error)}`)));
      times.push(`${what}: ${tookMs} ms`);
    }
    console.log(times.join('\n'));
    if (noLocalServer) return;
    expect(uploads(store, 'a.txt')).toBe(7);
    expect(uploadedKeys(store)).not.toContain('b.txt.new');
    expectNothingElse(store);
  });

  test.skipIf(noLocalServer || noCommand('vim'))('what vim saves, and never its other files', async () => {
    const { home, store } = await watching();
    home.write('notes.txt', 'one\n');
    await home.awaitEqual(convergeMs);
    for (const backup of ['nobackup', 'backup', 'backupcopy=yes', 'backupcopy=no']) {
      execFileSync('vim', [
        '-es',
        '-u',
        'NONE',
        '-c',
        `set ${backup}`,
        '-c',
        'normal otwo',
        '-c',
        'wq',
        home.path('notes.txt'),
      ]);
      fs.rmSync(home.path('notes.txt~'), { force: true });
      await home.awaitEqual(convergeMs);
    }
    expect(uploads(store, 'notes.txt')).toBe(5);
    expect(uploadedKeys(store)).toStrictEqual(['notes.txt']);
  });

  test.skipIf(noLocalServer)(
    'what sed -i and other atomic savers leave, and never their temporary names',
    async () => {
      const { home, store } = await watching();
      home.write('config.ini', 'a=1\n');
      home.write('b.ini', 'b=1\n');
      await home.awaitEqual(convergeMs);
      execFileSync('sed', ['-i', 's/1/2/', home.path('config.ini')]);
      execFileSync('sed', ['-i.tmp', 's/1/2/', home.path('b.ini')]);
      fs.rmSync(home.path('b.ini.tmp'));
      for (let save = 0; save < 20; save++) replace(home.path('config.ini'), `save=${save}\n`);
      await home.awaitEqual(convergeMs);
      expect(uploadedKeys(store)).toStrictEqual(['b.ini', 'config.ini']);
      expect(uploads(store, 'config.ini')).toBe(2);
    },
  );

  test.skipIf(noLocalServer)(
    'a tree that is copied, without what an ignore file excludes that comes after it',
    async () => {
      const { home, daemon, store } = await watching();
      home.write('project/main.txt', 'source');
      await home.awaitEqual(convergeMs);
      home.write('project/.env.secret', 'canary');
      // It is in the journal, and has a second to settle.
      await until(async () => (await home.status()).folders[0]!.routes[0]!.pending > 0, 900);
      home.write('project/.s3ignore', '*.secret\n');
      await home.awaitEqual(convergeMs, { without: (path) => path.endsWith('.secret') });
      await daemon.stop();
      await home.once();
      expect(uploadedKeys(store)).toStrictEqual(['project/.s3ignore', 'project/main.txt']);
    },
  );

  test.skipIf(noLocalServer)('a burst of 5,000 files', async () => {
    const { home, store } = await watching();
    for (let number = 0; number < 5_000; number++) {
      home.write(`burst/${number % 50}/${number}.txt`, `file ${number}`);
    }
    const startedAt = performance.now();
    await store.server.until(() => store.server.counts()['PutObject']! >= 5_000 + unchanged.length);
    const tookMs = Math.round(performance.now() - startedAt);
    console.log(`5,000 files: ${tookMs} ms after the last was written`);
    await home.awaitEqual(convergeMs);
    expect(tookMs).toBeLessThan(3 * convergeMs);
    expect(store.counts['PutObject']).toBe(5_000 + unchanged.length);
    expectNothingElse(store);
  });
});

describe('a file that is being written', () => {
  test.skipIf(noLocalServer)('is sent once, when it has come to rest', async () => {
    const { home, store } = await watching();
    for (let piece = 0; piece < 8; piece++) {
      fs.appendFileSync(home.path('slow.bin'), Buffer.alloc(10_000, piece));
      await delay(350);
    }
    await home.awaitEqual(convergeMs);
    expect(uploads(store, 'slow.bin')).toBe(1);
  });

  test.skipIf(noLocalServer)('for ever is sent every settle-max', async () => {
    const { home, store } = await watching({ 'settle-max': '2s' });
    const startedAt = performance.now();
    while (uploads(store, 'endless.log') < 3) {
      fs.appendFileSync(home.path('endless.log'), `${new Date().toISOString()}\n`);
      await delay(150);
      if (performance.now() - startedAt > 30_000) break;
    }
    const tookMs = Math.round(performance.now() - startedAt);
    console.log(`three uploads of a log that never rests, with settle-max 2s: ${tookMs} ms`);
    expect(uploads(store, 'endless.log')).toBe(3);
    expect(tookMs).toBeGreaterThan(4_000);
    await home.awaitEqual(convergeMs);
  });
});

/** A running daemon on a folder that is in the bucket already. */
async function watching(folder: Record<string, unknown> = {}) {
  const store = await startStore();
  const home: Workspace = workspace(store, {
    folder: { settle: '1s', ...folder },
    top: { log: { level: 'debug' } },
  });
  for (const name of unchanged) home.write(name, name);
  await home.once();
  const daemon: Daemon = await home.start();
  return { store, home, daemon };
}

/** PutObject requests for a key. */
function uploads(store: Store, key: string): number {
  return store.requests.filter((request) => request.operation === 'PutObject' && request.key === key).length;
}

/** Keys that were written since the unchanged files. */
function uploadedKeys(store: Store): string[] {
  const keys = store.requests
    .filter(({ method, key }) => method !== 'GET' && !unchanged.includes(key))
    .map(({ key }) => key);
  return [...new Set(keys)].toSorted();
}

/** Each unchanged file was sent once, and nothing was asked but the listing of the first contact and copies of what was renamed. */
function expectNothingElse(store: Store): void {
  for (const name of unchanged) expect(uploads(store, name)).toBe(1);
  const { PutObject, ListObjectsV2, CopyObject: _renames, ...others } = store.counts;
  expect(PutObject).toBeGreaterThan(0);
  expect(ListObjectsV2).toBe(1);
  expect(others).toStrictEqual({});
}

function overwrite(file: string, position: number, text: string): void {
  const fd = fs.openSync(file, 'r+');
  fs.writeSync(fd, text, position);
  fs.closeSync(fd);
}

/** As editors save: a new file, renamed over the old one. */
function replace(file: string, content: string): void {
  fs.writeFileSync(`${file}.new`, content);
  fs.renameSync(`${file}.new`, file);
}

function exchange(a: string, b: string): void {
  fs.renameSync(a, `${a}.tmp`);
  fs.renameSync(b, a);
  fs.renameSync(`${a}.tmp`, b);
}

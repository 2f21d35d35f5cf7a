// A day of the daemon, killed at calls of fsync and pwrite all over it: whatever it had come to, the journal says nothing
// that is not so, the next start makes folder and bucket equal, and nothing stays behind in the store.
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import { describe, expect, test } from 'vitest';
import { askDaemon } from '../../src/control/client.ts';
import { journalFile } from '../../src/journal/journal.ts';
import type { Status } from '../../src/observe/status.ts';
import { atScale } from '../helpers/scale.ts';
import { noCommand, noLocalServer, startStore, until, workspace } from '../system/harness.ts';
import type { Store, Workspace } from '../system/harness.ts';

const MiB = 1024 ** 2;
const calls = ['fsync', 'pwrite64'] as const;

/** Of each call; `npm run soak:long` kills at every fsync, and at as many writes. */
const points = atScale(15, 15, 400);

const settings = {
  folder: {
    delete: 'propagate',
    'delete-grace': '200ms',
    settle: '50ms',
    'max-delete': { count: 1_000, percent: 100 },
  },
};

describe.skipIf(noLocalServer || noCommand('strace'))('killed in the course of a day', () => {
  test.each(calls)(
    'at calls of %s, it goes on as if nothing had been',
    async (call) => {
      const all = await countedCalls(call);
      const every = Math.max(1, Math.floor(all / points));
      const kills = Array.from({ length: Math.min(points, all) }, (_, index) => 1 + index * every);
      let struck = 0;
      for (const kill of kills) {
        const store = await startStore();
        const home = workspace(store, settings);
        const child = startUnder(home, ['-e', `inject=${call}:signal=SIGKILL:when=${kill}`]);
        await liveThroughADay(home, child);
        await end(child);
        if (child.signalCode === 'SIGKILL') struck += 1;
        const what = `killed at ${call} ${kill}`;
        expect(untrue(home, store), `${what}: what the journal says is so`).toStrictEqual([]);

        await home.once();

        await home.expectEqual();
        expect(await store.uploads(), what).toStrictEqual([]);
        store.forget();
        await home.once();
        expect(store.countsButSearches, `${what}: nothing is left to do`).toStrictEqual({});
        // The two large files, and one of them under its other name.
        expect(store.counts['ListMultipartUploads'] ?? 0, what).toBeLessThanOrEqual(3);
        await store.close();
        home.remove();
      }
      console.log(`${call}: ${struck} kills of ${kills.length}, up to call ${kills.at(-1)} of ${all}`);
      // The last calls of a day may be more or fewer than they were when they were counted.
      expect(struck).toBeGreaterThanOrEqual(kills.length * 0.8);
    },
    120_000 + points * 30_000,
  );
});

/** How often a day calls it. */
async function countedCalls(call: string): Promise<number> {
  const store = await startStore();
  const home = workspace(store, settings);
  const counts = path.join(home.directory, 'counts');
  const child = startUnder(home, ['-c', '-o', counts]);
  await liveThroughADay(home, child);
  await end(child);
  await until(() => fs.existsSync(counts) && fs.readFileSync(counts, 'utf8').includes('total'), 20_000);
  const row = fs
    .readFileSync(counts, 'utf8')
    .split('\n')
    .find((line) => line.trimEnd().endsWith(` ${call}`));
  return Number(row?.trim().split(/\s+/)[3]);
}

/** `run`, with strace as a process beside it (-D), so that signals and exit code are the program's own. */
function startUnder(home: Workspace, options: readonly string[]): ChildProcess {
  const output = options.includes('-o') ? [] : ['-o', '/dev/null'];
  const child = home.spawn(['run', '--config', home.configFile], {
    within: ['strace', '-D', '-f', '-qq', '-e', `trace=${calls.join(',')}`, ...output, ...options],
  });
  child.stdout!.resume();
  child.stderr!.resume();
  return child;
}

function isGone(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

async function end(child: ChildProcess): Promise<void> {
  child.kill('SIGTERM');
  await until(() => isGone(child), 60_000);
}

/**
 * All that happens to files, in two halves: what was sent and not yet recorded when the daemon was killed, and then deleted,
 * nobody knows to be ours, so there is no second half without the first.
 */
async function liveThroughADay(home: Workspace, child: ChildProcess): Promise<void> {
  for (let number = 0; number < 30; number++) home.write(`${number % 3}/${number}`, `morning of ${number}`);
  home.write('big', randomBytes(20 * MiB));
  home.write('big too', randomBytes(9 * MiB));
  await isRecordedOrGone(home, child);
  if (isGone(child)) return;
  for (let number = 0; number < 10; number++) home.write(`${number % 3}/${number}`, `evening of ${number}`);
  for (let number = 10; number < 15; number++) fs.rmSync(home.path(`${number % 3}/${number}`));
  for (let number = 30; number < 40; number++) home.write(`new/${number}`, `new, ${number}`);
  fs.renameSync(home.path('2'), home.path('two'));
  fs.renameSync(home.path('big too'), home.path('big renamed'));
  fs.appendFileSync(home.path('big'), 'and more');
  await isRecordedOrGone(home, child);
}

/** Folder and bucket are equal, and the journal knows. */
async function isRecordedOrGone(home: Workspace, child: ChildProcess): Promise<void> {
  let isEqual = false;
  await until(
    async () => {
      if (isGone(child)) return true;
      isEqual ||= (await home.differences()).length === 0;
      return isEqual && (await isQuiet(home));
    },
    240_000,
    () => 'neither equal nor gone',
  );
}

async function isQuiet(home: Workspace): Promise<boolean> {
  const status = (await askDaemon(home.stateDir, 'GET', '/status').catch(() => undefined)) as
    | Status
    | undefined;
  const route = status?.folders[0]!.routes[0];
  return route !== undefined && route.pending + route.inFlight + route.retrying + route.held === 0;
}

/** Paths of which the journal believes that an object was in S3 which never was. */
function untrue(home: Workspace, store: Store): string[] {
  const file = journalFile(home.stateDir);
  if (!fs.existsSync(file)) return [];
  // Looked at as a copy: the journal's own recovery is the next start's.
  const copy = path.join(home.directory, 'copy');
  fs.mkdirSync(copy);
  for (const suffix of ['', '-wal']) {
    if (fs.existsSync(file + suffix)) fs.copyFileSync(file + suffix, path.join(copy, `journal${suffix}`));
  }
  const database = new Database(path.join(copy, 'journal'));
  const hasTables =
    database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'baseline'").get() !== undefined;
  const rows = hasTables
    ? database
        .prepare<[], [string, string, string]>(
          'SELECT path, name, etag FROM baseline JOIN directory USING (dir_id) WHERE etag IS NOT NULL',
        )
        .raw()
        .all()
    : [];
  database.close();
  return rows.flatMap(([directory, name, etag]) => {
    const key = directory === '' ? name : `${directory}/${name}`;
    const history = store.server.store.history({ bucket: store.bucket, key });
    return history.some((version) => version.etag === etag.replaceAll('"', '')) ? [] : [key];
  });
}

// The journal where it hurts most: killed at every fsync and every write of its file, with every error that a disk can answer
// there, and with the power cut. What it acknowledged it has, and no error of a disk is ever taken for damage.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import Database from 'better-sqlite3';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Journal, journalFile } from '../../src/journal/journal.ts';
import { atScale } from '../helpers/scale.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';
import { noCommand, noRoot } from '../system/harness.ts';

const writer = path.join(import.meta.dirname, '../journal/writer.ts');

/** The size that the journal has for each path: of a change, which is newer, or of a baseline. */
const sizesKnown = `
  SELECT path || '/' || name, max(size) FROM
    (SELECT dir_id, name, seen_size AS size FROM change UNION ALL SELECT dir_id, name, size FROM baseline)
  JOIN directory USING (dir_id) GROUP BY dir_id, name`;

/** What a writer said on stdout that the journal has for good: `path size`, sizes growing. */
function acknowledged(stdout: string): Map<string, number> {
  const whole = stdout.slice(0, stdout.lastIndexOf('\n') + 1).split('\n');
  return new Map(
    whole.filter((line) => line !== '').map((line) => [line.split(' ')[0]!, Number(line.split(' ')[1])]),
  );
}

/** Opens the journal as a start does. @returns what it lost; `damaged` if it was taken for that */
function lost(stateDir: string, observed: ReadonlyMap<string, number>): string[] {
  const journal = Journal.open(stateDir);
  const { recovery } = journal;
  journal.close();
  if (recovery !== undefined) return [recovery.kind];
  const database = new Database(journalFile(stateDir), { readonly: true });
  const known = new Map(database.prepare<[], [string, number]>(sizesKnown).raw().all());
  database.close();
  return [...observed].filter(([name, size]) => (known.get(name) ?? 0) < size).map(([name]) => name);
}

/** Runs a writer in which something happens at a system call, until it ends of it. */
function runInjected(stateDir: string, injection: string) {
  const command = ['-f', '-qq', '-o', '/dev/null', '-e', `inject=${injection}`, process.execPath, writer];
  return spawnSync('strace', [...command, stateDir, '1'], { encoding: 'utf8', timeout: 60_000 });
}

const calls = ['fsync', 'pwrite64'] as const;

describe.skipIf(noCommand('strace'))('what was acknowledged is there', () => {
  /** Making the tables alone writes more pages than a writer's first minutes. */
  const points = { fsync: 40, pwrite64: 240 };
  const every = { fsync: 1, pwrite64: atScale(4, 4, 1) };

  test.each(calls)('after SIGKILL at calls of %s', (call) => {
    const kills = Array.from({ length: points[call] / every[call] }, (_, index) => 1 + index * every[call]);
    const losses = kills.map((point) => {
      const stateDir = temporaryDirectory();
      const { stdout, signal, status } = runInjected(stateDir, `${call}:signal=SIGKILL:when=${point}`);
      expect([signal, status], 'it was killed').not.toEqual([null, 0]);
      const observed = acknowledged(stdout);
      return { acknowledged: observed.size, lost: lost(stateDir, observed) };
    });
    console.log(
      `${call}: ${kills.length} kills up to call ${kills.at(-1)}, ${sum(losses.map((each) => each.acknowledged))} acknowledged`,
    );
    expect(losses.flatMap((each) => each.lost)).toEqual([]);
    expect(Math.max(...losses.map((each) => each.acknowledged))).toBeGreaterThan(0);
  });

  const errors = ['EIO', 'ENOSPC', 'EROFS'] as const;
  test.each(calls.flatMap((call) => errors.map((error) => [call, error] as const)))(
    'after %s answered %s from some call on, which is no damage',
    (call, error) => {
      const found = [1, 2, 3, 5, 8, 13, 21].flatMap((point) => {
        const stateDir = temporaryDirectory();
        const { stdout, status, stderr } = runInjected(stateDir, `${call}:error=${error}:when=${point}+`);
        expect(status, 'it ended of it, and said so').not.toBe(0);
        expect(stderr).toMatch(
          /SQLITE_(IOERR|FULL|CANTOPEN|READONLY)|disk I\/O|disk is full|EIO|ENOSPC|EROFS/,
        );
        const kept = fs.readdirSync(stateDir).filter((name) => name.includes('.damaged-'));
        return [...kept, ...lost(stateDir, acknowledged(stdout))];
      });
      expect(found).toEqual([]);
    },
  );
});

const cuts = 15;

test.skipIf(noRoot || noCommand('mkfs.ext4'))(
  `${cuts} power cuts lose nothing that was acknowledged`,
  async () => {
    const directory = temporaryDirectory();
    const image = path.join(directory, 'disk');
    const [disk, after] = [path.join(directory, 'mounted'), path.join(directory, 'after')];
    fs.writeFileSync(image, '');
    fs.truncateSync(image, 48 * 1024 ** 2);
    execFileSync('mkfs.ext4', ['-q', '-F', image]);
    for (const mountPoint of [disk, after]) fs.mkdirSync(mountPoint);
    execFileSync('mount', ['-o', 'loop', image, disk]);
    onTestFinished(() => execFileSync('umount', [disk]) && undefined);
    const child = spawn(process.execPath, [writer, path.join(disk, 'state'), '1'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(async () => {
      const ended = once(child, 'exit');
      child.kill('SIGCONT');
      child.kill('SIGKILL');
      await ended;
    });
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    const observed = new Map<string, number>();
    for (let cut = 1; cut <= cuts; cut++) {
      for (let line = 0; line < 7 + 13 * cut; line++) {
        const [name = '', size] = String((await lines.next()).value).split(' ');
        observed.set(name, Number(size));
      }
      child.kill('SIGSTOP');
      // What the disk has at this moment, and not what the kernel still means to write to it.
      const copy = path.join(directory, `cut-${cut}`);
      fs.copyFileSync(image, copy);
      child.kill('SIGCONT');
      execFileSync('mount', ['-o', 'loop', copy, after]);
      try {
        // A copy of the disk has the inodes of the original: to the journal it is the same file.
        expect(lost(path.join(after, 'state'), observed)).toEqual([]);
      } finally {
        execFileSync('umount', [after]);
        fs.rmSync(copy);
      }
    }
  },
);

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}

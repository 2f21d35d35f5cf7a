// Two daemons and somebody else write to the same keys under if-unchanged: what nobody may lose is judged by the server's
// history, what a person is told by `conflicts`.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { describe, expect, test } from 'vitest';
import { noLocalServer, seededRandom, startStore, until, workspace, type Workspace } from './harness.ts';

const keys = Array.from({ length: 12 }, (_, number) => `file-${number}`);
const rounds = 150;

describe.skipIf(noLocalServer)('two daemons with if-unchanged on one prefix, and a foreign client', () => {
  test('lose no write of another, list each lost race, and resolve it in each of three ways', async () => {
    const random = seededRandom();
    const pick = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)]!;
    const store = await startStore();
    const parts = { folder: { policy: 'if-unchanged', settle: '50ms' } };
    const [a, b] = [workspace(store, parts), workspace(store, parts)];
    const daemons = [await a.start(), await b.start()];
    /** Who wrote what, by the ETag that it has as an object. */
    const writers = new Map<string, string>();
    const content = (writer: string, round: number) => {
      const text = `${writer} wrote this in round ${round}`;
      writers.set(createHash('md5').update(text).digest('hex'), writer);
      return text;
    };

    for (let round = 0; round < rounds; round++) {
      const key = pick(keys);
      switch (pick(['a', 'b', 'foreign'])) {
        case 'a':
          a.write(key, content('a', round));
          break;
        case 'b':
          b.write(key, content('b', round));
          break;
        default:
          await store.put(key, content('foreign', round));
      }
    }
    await quiet(a);
    await quiet(b);

    const history = store.server.store.history({ bucket: store.bucket });
    const writerOf = (etag: unknown) => writers.get(String(etag));
    const lost = history.filter(
      ({ accessKey, kind, etag, previousEtag }) =>
        accessKey === store.accessKey &&
        kind === 'overwrite' &&
        writers.has(String(etag)) &&
        writerOf(etag) !== writerOf(previousEtag),
    );
    expect(lost).toStrictEqual([]);
    for (const home of [a, b]) {
      const differing: string[] = [];
      for (const key of keys.filter((name) => fs.existsSync(home.path(name)))) {
        if (String(await store.get(key)) !== fs.readFileSync(home.path(key), 'utf8')) differing.push(key);
      }
      // Each file that is not in S3 lost a race. What was won is not looked at again: others may have written since.
      const { json, code } = await home.s3syncd('conflicts', '--json');
      const listed: string[] = json.conflicts.map(({ path }: { path: string }) => path);
      expect(code).toBe(5);
      expect(listed.filter((path) => !differing.includes(path))).toStrictEqual([]);
      const wonBefore = differing.filter((key) => !listed.includes(key));
      const settled = new Set(
        history
          .filter(({ kind }) => !kind.startsWith('delete'))
          .map(({ key, etag }) => `${key} ${String(etag)}`),
      );
      const wasWritten = (key: string) =>
        settled.has(
          `${key} ${createHash('md5')
            .update(fs.readFileSync(home.path(key)))
            .digest('hex')}`,
        );
      expect(
        wonBefore.filter((key) => !wasWritten(key)),
        'neither in S3 nor listed',
      ).toStrictEqual([]);
      console.log(`${rounds} writes to ${keys.length} keys: ${listed.length} conflicts are open`);
    }

    // A decision is about the object that was seen, and others have written since: all are looked at once more.
    expect((await a.s3syncd('retry')).code).toBe(0);
    await quiet(a);
    const [overwritten, skipped, kept] = (await a.s3syncd('conflicts list', '--json')).json.conflicts.map(
      ({ path }: { path: string }) => path,
    ) as string[];
    const before = { skipped: String(await store.get(skipped!)), kept: String(await store.get(kept!)) };
    for (const [flag, path] of [
      ['--overwrite', overwritten!],
      ['--skip', skipped!],
      ['--keep-both', kept!],
    ] as const) {
      expect(await a.s3syncd('conflicts resolve', flag, path)).toMatchObject({ code: 0 });
    }
    await quiet(a);
    const mine = (path: string) => fs.readFileSync(a.path(path), 'utf8');
    expect(String(await store.get(overwritten!))).toBe(mine(overwritten!));
    expect(String(await store.get(skipped!))).toBe(before.skipped);
    expect(String(await store.get(kept!))).toBe(before.kept);
    const copies = (await store.keys()).filter((key) => key.startsWith(`${kept}.conflict-`));
    expect(copies).toHaveLength(1);
    expect(String(await store.get(copies[0]!))).toBe(mine(kept!));
    const open = (await a.s3syncd('conflicts', '--json')).json.conflicts;
    const resolved = [overwritten, skipped, kept];
    expect(open.filter(({ path }: { path: string }) => resolved.includes(path))).toStrictEqual([]);
    expect((await a.s3syncd('conflicts resolve', '--skip', '--all')).code).toBe(0);
    await quiet(a);
    expect((await a.s3syncd('conflicts')).code).toBe(0);
    for (const daemon of daemons) await daemon.stop();
  }, 240_000);
});

/** Resolves when a daemon has nothing to do. */
async function quiet(home: Workspace): Promise<void> {
  let seen = 0;
  await until(async () => {
    const routes = (await home.status()).folders.flatMap((folder) => folder.routes);
    const isQuiet = routes.every(({ pending, inFlight }) => pending + inFlight === 0);
    // Twice: what was written a moment ago may not have been told yet.
    seen = isQuiet ? seen + 1 : 0;
    return seen === 2;
  }, 60_000);
}

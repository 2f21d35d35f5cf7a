// Files that change while they are read or sent: an object is one state of its file or it is not written, and the last
// state always arrives.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { md5, multipartEtag } from './compare.ts';
import { noLocalServer, startStore, until, workspace } from './harness.ts';
import type { Store, Workspace } from './harness.ts';
import { stateOf } from './state.ts';

const MiB = 1024 ** 2;
const convergeMs = 5_000;

const changes: [what: string, act: (file: string) => void][] = [
  ['rewritten', (file) => fs.writeFileSync(file, randomBytes(fs.statSync(file).size))],
  ['changed at its end', (file) => patch(file, fs.statSync(file).size - 3)],
  ['changed at its beginning', (file) => patch(file, 0)],
  ['truncated', (file) => fs.truncateSync(file, Math.floor(fs.statSync(file).size / 2))],
  ['emptied', (file) => fs.truncateSync(file, 0)],
  ['extended', (file) => fs.appendFileSync(file, randomBytes(100_000))],
  ['replaced', (file) => (fs.writeFileSync(`${file}.new`, 'another'), fs.renameSync(`${file}.new`, file))],
  ['deleted and made anew', (file) => (fs.rmSync(file), fs.writeFileSync(file, randomBytes(2_000)))],
];

describe.skipIf(noLocalServer)('while it is sent', () => {
  test.each([
    ['in one piece', 1 * MiB, 'PutObject', []],
    ['in parts', 60 * MiB, 'UploadPart', []],
    // Where the end of a multipart upload ignores conditions, large files go as one stream.
    ['as a stream', 20 * MiB, 'PutObject', ['ignore-conditions-on-complete' as const]],
  ] as const)(
    '%s, a file may change in any way: no torn object, and the last state arrives',
    async (_, size, operation, legacy) => {
      const store = await startStore({ legacy: [...legacy], versioning: true });
      const home = workspace(store, { folder: { policy: legacy.length > 0 ? 'if-unchanged' : 'overwrite' } });
      const states = new States(home);
      await home.start();
      for (const [what] of changes) {
        store.server.faults.add({ kind: 'latency', ms: 1_500, operation, keyPattern: `^${what}$`, times: 1 });
        home.write(what, randomBytes(size));
        states.remember(what);
      }
      const underWay = (what: string) =>
        store.requests.some((request) => request.operation === operation && request.key === what);
      for (const [what, act] of changes) {
        await until(
          () => underWay(what),
          20_000,
          () => `${what} is never sent`,
        );
        act(home.path(what));
        states.remember(what);
      }

      await home.awaitEqual(convergeMs);

      expect(states.torn(store)).toStrictEqual([]);
      expect(await store.uploads()).toStrictEqual([]);
      await until(async () => (await home.s3syncd('status')).code === 0, 5_000);
    },
  );

  test('a file that vanishes is no error', async () => {
    const store = await startStore();
    const home = workspace(store);
    store.server.faults.add({ kind: 'latency', ms: 800, operation: 'UploadPart' });
    home.write('here', 'here');
    home.write('gone', randomBytes(40 * MiB));
    const syncing = home.once();
    await store.server.until(() => store.requests.some(({ operation }) => operation === 'UploadPart'));
    fs.rmSync(home.path('gone'));

    await syncing;

    // What was opened was sent as it was; or it was left. In parts or torn it is not there.
    expect((await store.keys()).filter((key) => key !== 'gone')).toStrictEqual(['here']);
    expect(await store.uploads()).toStrictEqual([]);
  });
});

describe.skipIf(noLocalServer)('a writer that never rests', () => {
  test('leaves in a bucket with versions only states that the file had', async () => {
    const store = await startStore({ versioning: true });
    // So little settling takes many states, and on a loaded machine a temporary file at rest for as long.
    const home = workspace(store, {
      folder: { settle: '50ms', 'settle-max': '300ms', exclude: ['*.tmp'] },
    });
    const sizes = { small: 1_000, medium: 300_000, large: 4 * MiB, parts: 12 * MiB };
    await home.start();
    const writers = Object.entries(sizes).flatMap(([name, size]) =>
      ['in place', 'by renaming'].map((how) => ({ key: `${name} ${how}`, size, how })),
    );

    const counts = await Promise.all(
      writers.map(({ key, size, how }) => writeFor(8_000, home.path(key), size, how)),
    );
    await home.awaitEqual(convergeMs);

    let versions = 0;
    for (const { key, size } of writers) {
      const written = store.server.store.history({ bucket: store.bucket, key });
      versions += written.length;
      const mixed = written
        .map(({ versionId }) => bodyOf(store, key, versionId))
        .filter((body) => !body.equals(stateOf(body.readUInt32BE(), size)));
      expect(mixed).toHaveLength(0);
      expect(written.length).toBeGreaterThan(0);
    }
    const states = counts.reduce((sum, count) => sum + count, 0);
    expect(versions).toBeGreaterThan(20);
    console.log(`${versions} versions of ${states} states, none of them mixed`);
  });

  test('in small steps is caught by once in one of its states, and by the next one in its last', async () => {
    const store = await startStore();
    const home = workspace(store);
    const writing = writeFor(2_500, home.path('busy'), 200_000, 'in place');
    await until(() => fs.existsSync(home.path('busy')), 5_000);
    const first = await home.s3syncd('once', '--json');
    expect([0, 75]).toContain(first.code);
    await writing;
    await home.once();
    await home.expectEqual();
  });
});

/** ETags of everything that a file was, taken when it was at rest. */
class States {
  readonly #home: Workspace;
  readonly #etags = new Map<string, Set<string>>();

  constructor(home: Workspace) {
    this.#home = home;
  }

  remember(name: string): void {
    const file = this.#home.path(name);
    const etags = this.#etags.get(name) ?? new Set();
    etags.add(md5(fs.readFileSync(file))).add(multipartEtag(file, fs.statSync(file).size));
    this.#etags.set(name, etags);
  }

  torn(store: Store) {
    return store.server.store
      .history({ bucket: store.bucket })
      .filter(
        ({ key, etag }) =>
          path.basename(key) !== '.s3syncd-probe' && !this.#etags.get(key)?.has(String(etag)),
      );
  }
}

function bodyOf(store: Store, key: string, versionId: string): Buffer {
  const version = store.server.store.version(store.bucket, key, versionId);
  return store.server.store.body(version!);
}

async function writeFor(ms: number, file: string, size: number, how: string): Promise<number> {
  const writer = path.join(import.meta.dirname, 'writer.ts');
  const child = spawn(process.execPath, [writer, file, String(size), String(ms), how], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (more: string) => (text += more));
  const [code] = (await once(child, 'close')) as [number];
  expect(code).toBe(0);
  return Number(text);
}

function patch(file: string, position: number): void {
  const fd = fs.openSync(file, 'r+');
  fs.writeSync(fd, '!!!', position);
  fs.closeSync(fd);
}

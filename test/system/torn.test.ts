// Files that change while they are read or sent: an object is one state of its file or it is not written, and the last
// state always arrives.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DeleteObjectCommand } from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import { atScale } from '../helpers/scale.ts';
import { md5, multipartEtag } from './compare.ts';
import { noLocalServer, startStore, until, workspace } from './harness.ts';
import type { Store, Workspace } from './harness.ts';
import { numberOf, ways, type Way } from './state.ts';

const MiB = 1024 ** 2;
const convergeMs = 5_000;
const writingMs = atScale(8_000, 60_000);

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
  test(
    'leaves in a bucket with versions only states that the file had',
    async () => {
      const store = await startStore({ versioning: true });
      const { bucket, endpoint, region } = store;
      // So little settling takes many states, and on a loaded machine a temporary file at rest for as long.
      const home = workspace(store, {
        destination: { prefix: 'one/' },
        destinations: { two: { bucket, endpoint, region, 'path-style': true, prefix: 'two/' } },
        folder: {
          to: ['s3', { destination: 'two', policy: 'if-unchanged' }],
          settle: '50ms',
          'settle-max': '300ms',
          exclude: ['*.tmp'],
        },
      });
      await home.start();
      const sizes = { small: 1_000, medium: 400_000, large: 4 * MiB, parts: 12 * MiB };
      const files = Object.entries(sizes).flatMap(([name, size]) =>
        ways.map((way) => ({ name: `${name} ${way}`, size, way })),
      );
      const versions = new Versions(store);

      const writing = Promise.all(
        files.map(async ({ name, size, way }) => ({
          ...(await writeFor(writingMs, home.path(name), size, way)),
          name,
        })),
      );
      let isOver = false;
      void writing.then(() => (isOver = true));
      while (!isOver) {
        await delay(500);
        for (const file of files) await versions.check(file);
      }
      const written = await writing;
      for (const prefix of ['one/', 'two/']) await home.awaitEqual(30_000, { prefix });
      for (const file of files) await versions.check(file);

      const isSlow = ({ name, number }: Mixture) =>
        written.find((file) => file.name === name)!.slow.includes(number);
      expect(versions.mixtures.filter((mixture) => !isSlow(mixture))).toStrictEqual([]);
      for (const { name } of files) expect(versions.counts.get(name), name).toBeGreaterThan(1);
      const sum = (counts: Iterable<number>) => [...counts].reduce((total, count) => total + count, 0);
      console.log(
        `${sum(versions.counts.values())} versions in two places of ${sum(written.map(({ states }) => states))} states, ` +
          `none of them mixed but ${versions.mixtures.length} of the ${sum(written.map(({ slow }) => slow.length))} that took long to write`,
      );
    },
    writingMs + 240_000,
  );

  test('in small steps is caught by once in one of its states, and by the next one in its last', async () => {
    const store = await startStore();
    const home = workspace(store);
    const writing = writeFor(2_500, home.path('busy'), 200_000, 'rewritten in place');
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

interface Mixture {
  readonly name: string;
  /** The state that it begins with. */
  readonly number: number;
}

/** Every version that there ever was, looked at once; what is looked at and replaced is removed, so that all of them need no room. */
class Versions {
  readonly counts = new Map<string, number>();
  readonly mixtures: Mixture[] = [];
  readonly #store: Store;
  readonly #seen = new Set<string>();

  constructor(store: Store) {
    this.#store = store;
  }

  async check({ name, size, way }: { name: string; size: number; way: Way }): Promise<void> {
    const { bucket, client, server } = this.#store;
    for (const Key of [`one/${name}`, `two/${name}`]) {
      for (const { kind, versionId } of server.store.history({ bucket, key: Key })) {
        if (kind === 'delete-version' || this.#seen.has(versionId)) continue;
        this.#seen.add(versionId);
        this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
        const body = server.store.body(server.store.version(bucket, Key, versionId)!);
        if (numberOf(body, size, way) === undefined) {
          this.mixtures.push({ name, number: body.length < 4 ? -1 : body.readUInt32BE() });
        }
        if (server.store.current(bucket, Key)?.versionId === versionId) continue;
        await client.send(new DeleteObjectCommand({ Bucket: bucket, Key, VersionId: versionId }));
      }
    }
  }
}

async function writeFor(
  ms: number,
  file: string,
  size: number,
  way: Way,
): Promise<{ states: number; slow: number[] }> {
  const writer = path.join(import.meta.dirname, 'writer.ts');
  const child = spawn(process.execPath, [writer, file, String(size), String(ms), way], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (more: string) => (text += more));
  const [code] = (await once(child, 'close')) as [number];
  expect(code).toBe(0);
  return JSON.parse(text);
}

function patch(file: string, position: number): void {
  const fd = fs.openSync(file, 'r+');
  fs.writeSync(fd, '!!!', position);
  fs.closeSync(fd);
}

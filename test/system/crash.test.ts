// kill -9: whenever it strikes, the next start goes on as if nothing had been, no object is ever half a file, and nothing
// stays behind in the store that somebody pays for.
import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startFaultProxy } from '../fault-proxy/proxy.ts';
import type { Fault } from '../s3-server/faults.ts';
import { md5 } from './compare.ts';
import { leastPrivilege, noLocalServer, seededRandom, startStore, until, workspace } from './harness.ts';
import type { Store, Workspace } from './harness.ts';

const MiB = 1024 ** 2;
const GiB = 1024 ** 3;
const partSize = 16 * MiB;

/** What may be under way when the process ends: parts in flight. */
const partsInFlight = 6;

/** `npm run soak` has 200. */
const kills = Number(process.env['S3SYNCD_TEST_KILLS'] ?? 25);

/** What the network does besides, and the store: an upload may have been made, a part stored, and nobody told. */
const faults: readonly Fault[] = [
  { kind: 'commit-then-drop' },
  { kind: 'answer', status: 503, code: 'SlowDown' },
  { kind: 'reset-request', afterBytes: 100 },
  { kind: 'commit-then-answer', status: 500, code: 'InternalError' },
  { kind: 'latency', ms: 300 },
];

describe.skipIf(noLocalServer)('killed', () => {
  test(
    `${kills} times at random, it loses nothing, tears nothing and leaves nothing behind`,
    async () => {
      const random = seededRandom();
      const store = await startStore({ discardBodies: true });
      const proxy = await startFaultProxy(store.endpoint);
      onTestFinished(() => proxy[Symbol.asyncDispose]());
      const home = workspace(store, {
        folder: { settle: '100ms' },
        destination: { endpoint: proxy.endpoint },
      });
      const small = new SmallFiles(home, 5_000);
      const big = new BigFile(home.path('big.bin'));
      const startedAt = performance.now();
      let requests = 0;

      for (let kill = 1; kill <= kills; kill++) {
        small.change(60, random);
        if (kill % 17 === 0) big.change(Math.floor(random() * 64));
        proxy.faults.clear();
        // The other times there are no faults but the kill.
        const fault = kill % 2 === 0 ? undefined : faults[(kill >> 1) % faults.length];
        if (fault) proxy.faults.add({ ...fault, probability: 0.2, seed: kill });
        const verb = kill % 2 === 0 ? 'run' : 'once';
        const child = home.spawn([verb, '--config', home.configFile]);
        // Whatever the machine is busy with: amid the start, or when it has begun to send.
        if (kill % 10 !== 0) await until(() => store.requests.length > 0, 60_000);
        await delay(random() * 700);
        // What has ended before is as good as what is killed: there was nothing left to do.
        child.kill('SIGKILL');
        await until(() => child.exitCode !== null || child.signalCode !== null, 20_000);
        requests += store.requests.length;
        store.forget();
      }
      proxy.faults.clear();
      await home.once();

      await home.expectEqual();
      expect(await store.uploads()).toStrictEqual([]);
      const torn = store.server.store
        .history({ bucket: store.bucket })
        .filter(({ key, etag }) => !(key === 'big.bin' ? big.states : small.statesOf(key)).has(String(etag)));
      expect(torn).toStrictEqual([]);
      console.log(
        `${kills} kills in ${Math.round((performance.now() - startedAt) / 1000)} s, amid ${requests} requests`,
      );
      store.forget();
      await home.once();
      expect(store.countsButSearches).toStrictEqual({});
      expect(store.counts['ListMultipartUploads'] ?? 0, 'at most one for the large file').toBeLessThanOrEqual(
        1,
      );
    },
    300_000 + kills * 6_000,
  );

  test('in the middle of 1 GiB, it sends again only what was not confirmed', async () => {
    const store = await startStore({ discardBodies: true });
    const home = workspace(store);
    const big = new BigFile(home.path('big.bin'));
    const child = home.spawn(['once', '--config', home.configFile]);
    const partsDone = () =>
      store.requests.filter(({ operation, status }) => operation === 'UploadPart' && status === 200).length;
    await until(() => partsDone() >= 30, 30_000);
    child.kill('SIGKILL');
    await until(() => child.signalCode !== null, 5_000);
    const confirmed = partsDone();

    await home.once();

    const sent = sentParts(store);
    console.log(`killed after ${confirmed} of 64 parts; ${sent} parts were sent in all`);
    expect(sent).toBeLessThanOrEqual(64 + partsInFlight);
    expect((await store.objects()).get('big.bin')?.etag).toBe([...big.states][0]);
    expect(store.counts['CreateMultipartUpload']).toBe(1);
  });

  test.each([
    ['when an upload was created and not yet remembered', 'CreateMultipartUpload'],
    ['when a part was stored and not yet remembered', 'UploadPart'],
    ['when an upload was completed and not yet remembered', 'CompleteMultipartUpload'],
  ] as const)('%s, it ends with one object and no upload', async (_, operation) => {
    const { store, home } = await killedAfter(operation);

    const report = await home.once();

    await home.expectEqual();
    expect(await store.uploads()).toStrictEqual([]);
    expect(store.server.store.history({ bucket: store.bucket, key: 'big' })).toHaveLength(1);
    expect(report.folders.docs.outcomes.uploaded).toBe(1);
  });

  test.each([
    ['deleted', (home: Workspace) => fs.rmSync(home.path('big'))],
    ['changed', (home: Workspace) => fs.appendFileSync(home.path('big'), 'more')],
    ['cut to almost nothing', (home: Workspace) => fs.truncateSync(home.path('big'), 10)],
    ['renamed', (home: Workspace) => fs.renameSync(home.path('big'), home.path('bigger'))],
    ['replaced by a directory', (home: Workspace) => (fs.rmSync(home.path('big')), home.write('big/x', 'x'))],
    ['excluded', (home: Workspace) => home.configure({ folder: { exclude: ['big'] } })],
  ])('in an upload of a file that is %s afterwards, it leaves no upload', async (what, act) => {
    const { store, home } = await killedAfter('UploadPart');
    expect(await store.uploads()).toStrictEqual(['big']);
    act(home);

    await home.once();

    await home.expectEqual({ without: (path) => what === 'excluded' && path === 'big' });
    expect(await store.uploads()).toStrictEqual([]);
  });

  // Who may write below the new prefix only may end nothing below the old one.
  test.skipIf(leastPrivilege).each([
    [
      'its folder is taken out of the config',
      (home: Workspace) => {
        const config = JSON.parse(fs.readFileSync(home.configFile, 'utf8')) as {
          folders: Record<string, object>;
        };
        fs.mkdirSync(path.join(home.directory, 'other'));
        config.folders = { other: { ...config.folders['docs'], path: path.join(home.directory, 'other') } };
        fs.writeFileSync(home.configFile, JSON.stringify(config));
      },
    ],
    ['its keys get another prefix', (home: Workspace) => home.configure({ destination: { prefix: 'new/' } })],
  ])('in an upload, it leaves none when %s', async (_, act) => {
    const { store, home } = await killedAfter('UploadPart');
    expect(await store.uploads()).toStrictEqual(['big']);
    act(home);

    await home.once();

    expect(await store.uploads()).toStrictEqual([]);
    store.forget();
    await home.once();
    expect(store.counts).toStrictEqual({});
  });

  test('by a store that made an upload and did not say so, it leaves none', async () => {
    const store = await startStore();
    const home = workspace(store);
    home.write('big', randomBytes(40 * MiB));
    const fault = {
      status: 500,
      code: 'InternalError',
      operation: 'CreateMultipartUpload',
      times: 4,
    } as const;
    store.server.faults.add({ kind: 'commit-then-answer', ...fault });

    await home.once();

    await home.expectEqual();
    expect(store.counts['CreateMultipartUpload']).toBe(5);
    expect(await store.uploads()).toStrictEqual([]);
  });

  test('when skip-existing had written and not yet remembered it, it takes the object for its own', async () => {
    const { store, home } = await killedAfter('PutObject', { policy: 'skip-existing' });

    const report = await home.once();

    await home.expectEqual();
    expect(store.server.store.history({ bucket: store.bucket, key: 'small' })).toHaveLength(1);
    expect(report.folders.docs.outcomes).toMatchObject({ 'skipped-existing': 0, conflict: 0 });
  });
});

/** A sync of `small` and `big` (three parts) that was killed when the store had done this, and had not answered. */
async function killedAfter(
  operation: 'CreateMultipartUpload' | 'UploadPart' | 'CompleteMultipartUpload' | 'PutObject',
  folder: Record<string, unknown> = {},
) {
  const store = await startStore();
  const home = workspace(store, { folder });
  home.write(
    operation === 'PutObject' ? 'small' : 'big',
    randomBytes(operation === 'PutObject' ? 100 : 40 * MiB),
  );
  const fault = store.server.faults.add({
    kind: 'commit-then-stall',
    operation,
    keyPattern: '^(small|big)$',
  });
  const child = home.spawn(['once', '--config', home.configFile]);
  await until(() => fault.hits > 0, 20_000);
  // Until it is done, not only asked for.
  await delay(300);
  child.kill('SIGKILL');
  await until(() => child.signalCode !== null, 5_000);
  store.server.faults.clear();
  return { store, home };
}

function sentParts(store: Store): number {
  const bytes = store.requests
    .filter(({ operation }) => operation === 'UploadPart')
    .reduce((sum, { headers }) => sum + Number(headers['content-length']), 0);
  return bytes / partSize;
}

/** Files of which each says which it is and which state this is. */
class SmallFiles {
  readonly #home: Workspace;
  readonly #states = new Map<string, Set<string>>();

  constructor(home: Workspace, count: number) {
    this.#home = home;
    for (let number = 0; number < count; number++) this.#write(`${number % 40}/${number}.txt`, 1);
  }

  change(count: number, random: () => number): void {
    const names = [...this.#states.keys()];
    for (let change = 0; change < count; change++) {
      const name = names[Math.floor(random() * names.length)]!;
      this.#write(name, this.statesOf(name).size + 1);
    }
  }

  /** MD5s of all that the file ever held. */
  statesOf(name: string): Set<string> {
    return this.#states.get(name) ?? new Set();
  }

  #write(name: string, state: number): void {
    const content = `${name}, state ${state}\n`.repeat(1 + ((name.length * state) % 50));
    this.#home.write(name, content);
    this.#states.set(name, this.statesOf(name).add(md5(content)));
  }
}

/** 1 GiB, most of it holes, each part different from the others. */
class BigFile {
  /** ETags of all that the file ever held. */
  readonly states = new Set<string>();
  readonly #file: string;
  readonly #parts: Buffer[] = [];

  constructor(file: string) {
    this.#file = file;
    fs.writeFileSync(file, '');
    fs.truncateSync(file, GiB);
    for (let part = 0; part < GiB / partSize; part++) this.#mark(part, 1);
    this.#remember();
  }

  change(part: number): void {
    this.#mark(part, this.states.size + 1);
    this.#remember();
  }

  #mark(part: number, state: number): void {
    const bytes = Buffer.alloc(partSize);
    bytes.write(`part ${part}, state ${state}`);
    const fd = fs.openSync(this.#file, 'r+');
    fs.writeSync(fd, bytes.subarray(0, 4096), 0, 4096, part * partSize);
    fs.closeSync(fd);
    this.#parts[part] = createHash('md5').update(bytes).digest();
  }

  #remember(): void {
    this.states.add(`${md5(Buffer.concat(this.#parts))}-${this.#parts.length}`);
  }
}

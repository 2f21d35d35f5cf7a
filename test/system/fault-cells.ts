// Every fault at every request that matters, between the real daemon and a real server: it ends with every file in S3, no
// version of an object is anything but a state of its file, what somebody else wrote stays, no upload is left behind, and
// meanwhile status never says that something is in S3 which is not.
//
// One daemon for each operation: each fault has a folder of its own, so that all are met side by side. The proxy takes any
// server, but these policies need one that enforces conditions, which Ceph's gateway of the wider tests does not.
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { ListObjectVersionsCommand } from '@aws-sdk/client-s3';
import { describe, expect, onTestFinished, test } from 'vitest';
import { askDaemon } from '../../src/control/client.ts';
import type { FolderStatus, Status } from '../../src/observe/status.ts';
import { startFaultProxy, type FaultProxy } from '../fault-proxy/proxy.ts';
import type { Fault, FaultHandle } from '../s3-server/faults.ts';
import { md5 } from './compare.ts';
import { noLocalServer, startStore, until, workspace, type Store, type Workspace } from './harness.ts';

const MiB = 1024 ** 2;

/** By its short name, which is the folder's too. */
const faults: Readonly<Record<string, Fault>> = {
  delay: { kind: 'latency', ms: 300 },
  reset: { kind: 'reset-request', afterBytes: 0 },
  'reset-in-body': { kind: 'reset-request', afterBytes: 1000 },
  'answer-cut': { kind: 'truncate-answer', afterBytes: 0 },
  'answer-slow': { kind: 'slow-answer', bytesPerSecond: 1_000 },
  'answer-lost': { kind: 'commit-then-drop' },
  'answer-replaced': { kind: 'commit-then-answer', status: 500, code: 'InternalError' },
  duplicate: { kind: 'duplicate' },
  'error-500': { kind: 'answer', status: 500, code: 'InternalError' },
  'slow-down-503': { kind: 'answer', status: 503, code: 'SlowDown' },
  'too-many-429': { kind: 'answer', status: 429, code: 'TooManyRequests' },
  'expired-token-400': { kind: 'answer', status: 400, code: 'ExpiredToken' },
  'request-timeout-400': { kind: 'answer', status: 400, code: 'RequestTimeout' },
  'skewed-403': { kind: 'answer', status: 403, code: 'RequestTimeTooSkewed' },
  'redirect-301': { kind: 'answer', status: 301, code: 'PermanentRedirect', region: 'eu-central-1' },
  'redirect-307': { kind: 'answer', status: 307, code: 'TemporaryRedirect', location: 'http://192.0.2.1/' },
  'error-in-200': { kind: 'error-document', code: 'InternalError' },
  'html-200': { kind: 'html' },
  'empty-200': { kind: 'empty' },
};

/** What S3 answers to writes that carry a condition. */
const refusals: Readonly<Record<string, Fault>> = {
  'conflict-409': { kind: 'answer', status: 409, code: 'ConditionalRequestConflict' },
  'precondition-412': { kind: 'answer', status: 412, code: 'PreconditionFailed' },
};

interface Operation {
  readonly name: NonNullable<Fault['operation']>;
  readonly size: number;
  readonly faults: Readonly<Record<string, Fault>>;
  /** What else must happen, so that the operation is asked for. */
  readonly before?: Fault;
  /** Changes the file while this is under way. */
  readonly changeDuring?: NonNullable<Fault['operation']>;
  /** Also in `once`: the others are parts of what is tried here. */
  readonly once?: boolean;
}

const small = 2_000;
const large = 8 * MiB + 1;

const operations: readonly Operation[] = [
  { name: 'ListObjectsV2', size: small, faults, once: true },
  { name: 'PutObject', size: small, faults: { ...faults, ...refusals }, once: true },
  { name: 'HeadObject', size: large, faults, once: true },
  { name: 'CreateMultipartUpload', size: large, faults },
  { name: 'UploadPart', size: large, faults },
  { name: 'CompleteMultipartUpload', size: large, faults: { ...faults, ...refusals }, once: true },
  // After the SDK's three tries the journal's next one goes on with the upload.
  {
    name: 'ListParts',
    size: large,
    faults,
    before: { kind: 'answer', status: 500, code: 'InternalError', operation: 'UploadPart', times: 3 },
  },
  {
    name: 'AbortMultipartUpload',
    size: large,
    faults,
    before: { kind: 'latency', ms: 1_500, operation: 'UploadPart', times: 1 },
    changeDuring: 'UploadPart',
  },
];

/** One fault at one operation: a folder with a file to upload, and an object of somebody else at another file's key. */
class Cell {
  readonly name: string;
  readonly folder: string;
  readonly states: Buffer[];
  readonly fault: FaultHandle;
  readonly before: FaultHandle | undefined;
  readonly #store: Store;

  constructor(name: string, fault: Fault, operation: Operation, home: Workspace, proxy: FaultProxy) {
    this.name = name;
    this.#store = home.store;
    this.folder = path.join(home.directory, name);
    fs.mkdirSync(this.folder);
    this.states = [randomBytes(operation.size)];
    fs.writeFileSync(path.join(this.folder, 'file'), this.states[0]!);
    fs.writeFileSync(path.join(this.folder, 'theirs'), 'ours');
    // Not the probe's scratch key.
    const meant = { keyPrefix: `${name}/`, keyPattern: '/(file)?$' };
    this.fault = proxy.faults.add({ ...fault, ...meant, operation: operation.name, times: 1 });
    if (operation.before) this.before = proxy.faults.add({ ...operation.before, ...meant });
  }

  change(): void {
    const added = randomBytes(10);
    this.states.push(Buffer.concat([this.states[0]!, added]));
    fs.appendFileSync(path.join(this.folder, 'file'), added);
  }

  /** The ETag of each version that there ever was, newest first. */
  async versions(key: string): Promise<{ size: number; etag: string }[]> {
    const Prefix = `${this.name}/${key}`;
    const { Versions = [] } = await this.#store.client.send(
      new ListObjectVersionsCommand({ Bucket: this.#store.bucket, Prefix }),
    );
    return Versions.map(({ Size = 0, ETag = '' }) => ({ size: Size, etag: ETag.replaceAll('"', '') }));
  }

  /** What any object that we write must be. */
  get expected(): { size: number; etag: string }[] {
    return this.states.map((bytes) => {
      const etag = bytes.length <= 8 * MiB ? md5(bytes) : `${md5(createDigest(bytes))}-1`;
      return { size: bytes.length, etag };
    });
  }

  async isEqual(): Promise<boolean> {
    const [newest] = await this.versions('file');
    return newest !== undefined && newest.etag === this.expected.at(-1)!.etag;
  }
}

/** A multipart ETag is the digest of the parts' digests. */
function createDigest(part: Buffer): Buffer {
  return Buffer.from(md5(part), 'hex');
}

/** Status says that nothing is missing: neither waiting nor in trouble. */
function saysDone({ routes }: FolderStatus): boolean {
  return routes.every(
    (route) => route.pending + route.inFlight + route.failed + route.blocked === 0 && !route.trouble,
  );
}

async function given(operation: Operation, policy: string): Promise<{ home: Workspace; cells: Cell[] }> {
  const store = await startStore({ versioning: true });
  const proxy = await startFaultProxy(store.endpoint);
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  const home = workspace(store);
  const cells = Object.entries(operation.faults).map(
    ([name, fault]) => new Cell(name, fault, operation, home, proxy),
  );
  for (const { name } of cells) await store.put(`${name}/theirs`, 'theirs, and other than ours');
  const s3 = { bucket: store.bucket, endpoint: proxy.endpoint, region: store.region, 'path-style': true };
  home.configure({
    destinations: Object.fromEntries(cells.map(({ name }) => [name, { ...s3, prefix: `${name}/` }])),
    folders: Object.fromEntries(
      cells.map(({ name, folder }) => [name, { path: folder, to: name, policy, settle: '50ms' }]),
    ),
  });
  return { home, cells };
}

async function expectWhole(operation: Operation, cells: readonly Cell[], store: Store): Promise<void> {
  for (const cell of cells) {
    const what = `${operation.name}, ${cell.name}`;
    expect(cell.fault.hits, `${what}: the fault was met`).toBe(1);
    expect(await cell.isEqual(), `${what}: the file is in S3`).toBe(true);
    for (const version of await cell.versions('file')) {
      expect(cell.expected, `${what}: every version is a state of the file`).toContainEqual(version);
    }
    expect(await cell.versions('theirs'), `${what}: what is theirs stays`).toHaveLength(1);
  }
  // An upload that a middlebox had made twice is nobody's: its id was told to nobody.
  const left = (await store.uploads()).filter((key) => !key.startsWith('duplicate/'));
  expect(left, `${operation.name}: uploads left behind`).toEqual([]);
}

/** Declares the tests of some operations. */
export function faultTests(names: readonly Operation['name'][]): void {
  const meant = operations.filter(({ name }) => names.includes(name));
  describe.skipIf(noLocalServer).each(meant)('a fault at $name', (operation) => {
    test(`while the daemon runs: ${Object.keys(operation.faults).join(', ')}`, async () => {
      const { home, cells } = await given(operation, 'skip-existing');
      await home.start();
      const waiting = new Set(cells);
      const unchanged = new Set(operation.changeDuring ? cells : []);
      await until(
        async () => {
          for (const cell of unchanged) {
            if (cell.before?.hits === 1 && unchanged.delete(cell)) cell.change();
          }
          const { folders } = (await askDaemon(home.stateDir, 'GET', '/status')) as Status;
          for (const cell of waiting) {
            const folder = folders.find(({ name }) => name === cell.name)!;
            if (!saysDone(folder) || folder.routes[0]!.settled < 2 || unchanged.has(cell)) continue;
            // An event of the last change may still be on its way.
            if (cell.states.length > 1 && !(await cell.isEqual())) continue;
            expect(await cell.isEqual(), `${cell.name}: status tells the truth`).toBe(true);
            waiting.delete(cell);
          }
          return waiting.size === 0;
        },
        60_000,
        () => `still not in S3: ${[...waiting].map((cell) => cell.name).join(', ')}`,
      );
      await expectWhole(operation, cells, home.store);
    });

    test.runIf(operation.once)('in `once`, which is run until it says that all is well', async () => {
      const { home, cells } = await given(operation, 'if-unchanged');
      // 5: all that is left are the conflicts over what is theirs.
      let code: number | null = null;
      for (let run = 1; run <= 4 && code !== 5; run++) {
        ({ code } = await home.s3syncd('once'));
        const { folders } = await home.status();
        for (const cell of cells) {
          const isDone = saysDone(folders.find(({ name }) => name === cell.name)!);
          expect(!isDone || (await cell.isEqual()), `${cell.name}: status tells the truth`).toBe(true);
        }
      }
      expect(code).toBe(5);
      await expectWhole(operation, cells, home.store);
    });
  });
}

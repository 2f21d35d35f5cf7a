// Policies on a real server: the tables of docs/semantics.md, cell by cell, with the requests that each may cost. What
// must not be replaced is judged by the server's history, not by what s3syncd says.
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  S3ServiceException,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import { noLocalServer, startStore, until, workspace } from './harness.ts';
import type { Store, Workspace } from './harness.ts';

const MiB = 1024 ** 2;
const localTime = Date.UTC(2024, 0, 15) / 1000;

type Policy = 'overwrite' | 'skip-existing' | 'if-unchanged' | 'newer-wins';

/** What was done about a file: its outcome, and the requests for its key, with the condition of a write. */
type Cell = [outcome: string, ...requests: string[]];

describe.skipIf(noLocalServer)('at first contact', () => {
  const relations = ['missing', 'size', 'local newer', 'local older', 'same', 'remote only'] as const;

  // Equal sizes with different ETags are settled by a HEAD, which knows checksum and mtime.
  const cells: Record<Policy, Record<(typeof relations)[number], Cell>> = {
    overwrite: {
      missing: ['uploaded', 'PutObject'],
      size: ['uploaded', 'PutObject'],
      'local newer': ['uploaded', 'HeadObject', 'PutObject'],
      'local older': ['uploaded', 'HeadObject', 'PutObject'],
      same: ['adopted'],
      'remote only': [''],
    },
    'skip-existing': {
      missing: ['uploaded', 'PutObject if-none-match: *'],
      size: ['skipped-existing'],
      'local newer': ['skipped-existing', 'HeadObject'],
      'local older': ['skipped-existing', 'HeadObject'],
      same: ['adopted'],
      'remote only': [''],
    },
    'if-unchanged': {
      missing: ['uploaded', 'PutObject if-none-match: *'],
      size: ['conflict'],
      'local newer': ['conflict', 'HeadObject'],
      'local older': ['conflict', 'HeadObject'],
      same: ['adopted'],
      'remote only': [''],
    },
    'newer-wins': {
      missing: ['uploaded', 'PutObject if-none-match: *'],
      size: ['uploaded', 'HeadObject', 'PutObject if-match'],
      'local newer': ['uploaded', 'HeadObject', 'PutObject if-match'],
      'local older': ['remote-newer', 'HeadObject'],
      same: ['adopted'],
      'remote only': [''],
    },
  };

  test.each(Object.keys(cells) as Policy[])('%s does what its column of T1 says', async (policy) => {
    const store = await startStore();
    const home = workspace(store, { folder: { policy }, top: { log: { level: 'debug' } } });
    const remotes: Record<string, [body: string, mtime: number]> = {
      size: ['another length', localTime - 100],
      'local newer': ['remot', localTime - 100],
      'local older': ['remot', localTime + 100],
      same: ['local', localTime],
      'remote only': ['remote', localTime],
    };
    for (const name of relations.slice(0, -1)) writeAt(home, name, 'local', localTime);
    for (const [key, [body, mtime]] of Object.entries(remotes)) {
      await store.put(key, body, { Metadata: { mtime: String(mtime) } });
    }

    expect(await handled(home, cells[policy])).toStrictEqual(cells[policy]);
    expect(requestsFor(store, '', 'ListObjectsV2')).toHaveLength(1);
    expectHistory(store, policy);
  });
});

describe.skipIf(noLocalServer)('in the steady state', () => {
  const kinds = [
    'create',
    'create, exists',
    'create, exists alike',
    'modify',
    'touch',
    'chmod',
    'delete',
    'renamed',
    'renamed onto theirs',
    'renamed over another',
  ] as const;

  const cells: Record<
    'overwrite' | 'skip-existing' | 'if-unchanged',
    Record<(typeof kinds)[number], Cell>
  > = {
    overwrite: {
      create: ['uploaded', 'PutObject'],
      'create, exists': ['uploaded', 'PutObject'],
      'create, exists alike': ['uploaded', 'PutObject'],
      modify: ['uploaded', 'PutObject'],
      touch: ['touched'],
      chmod: ['touched'],
      delete: ['kept-remote'],
      renamed: ['copied', 'CopyObject'],
      'renamed onto theirs': ['copied', 'CopyObject'],
      'renamed over another': ['copied', 'CopyObject'],
    },
    'skip-existing': {
      create: ['uploaded', 'PutObject if-none-match: *'],
      'create, exists': ['skipped-existing', 'PutObject if-none-match: *', 'HeadObject'],
      'create, exists alike': ['adopted', 'PutObject if-none-match: *', 'HeadObject'],
      modify: ['skipped-existing'],
      touch: ['touched'],
      chmod: ['touched'],
      delete: ['kept-remote'],
      renamed: ['copied', 'CopyObject if-none-match: *'],
      'renamed onto theirs': ['skipped-existing', 'CopyObject if-none-match: *', 'HeadObject'],
      'renamed over another': ['skipped-existing'],
    },
    'if-unchanged': {
      create: ['uploaded', 'PutObject if-none-match: *'],
      'create, exists': ['conflict', 'PutObject if-none-match: *', 'HeadObject'],
      'create, exists alike': ['adopted', 'PutObject if-none-match: *', 'HeadObject'],
      modify: ['uploaded', 'PutObject if-match'],
      touch: ['touched'],
      chmod: ['touched'],
      delete: ['kept-remote'],
      renamed: ['copied', 'CopyObject if-none-match: *'],
      'renamed onto theirs': ['conflict', 'CopyObject if-none-match: *', 'HeadObject'],
      'renamed over another': ['copied', 'CopyObject if-match'],
    },
  };

  test.each(Object.keys(cells) as (keyof typeof cells)[])(
    '%s does what its column of T2 says',
    async (policy) => {
      const store = await startStore();
      const home = workspace(store, { folder: { policy }, top: { log: { level: 'debug' } } });
      const renames = ['rename', 'rename onto', 'rename over', 'renamed over another'];
      for (const name of ['modify', 'touch', 'chmod', 'delete', ...renames])
        writeAt(home, name, `before ${name}`, localTime);
      await home.once();
      store.forget();

      for (const name of ['create', 'create, exists', 'create, exists alike']) home.write(name, 'created');
      await store.put('create, exists', 'foreign');
      await store.put('create, exists alike', 'created');
      home.write('modify', 'behind modify');
      fs.utimesSync(home.path('touch'), 1, 1);
      fs.chmodSync(home.path('chmod'), 0o600);
      fs.rmSync(home.path('delete'));
      await store.put('renamed onto theirs', 'foreign');
      fs.renameSync(home.path('rename'), home.path('renamed'));
      fs.renameSync(home.path('rename onto'), home.path('renamed onto theirs'));
      fs.renameSync(home.path('rename over'), home.path('renamed over another'));

      expect(await handled(home, cells[policy])).toStrictEqual(cells[policy]);
      expect(requestsFor(store, '', 'ListObjectsV2')).toHaveLength(0);
      expectHistory(store, policy);
    },
  );

  const eager: Record<Policy, Record<'touch' | 'chmod' | 'touch, changed by another', Cell>> = {
    overwrite: {
      touch: ['meta-updated', 'CopyObject if-match'],
      chmod: ['meta-updated', 'CopyObject if-match'],
      'touch, changed by another': ['uploaded', 'CopyObject if-match', 'HeadObject', 'PutObject'],
    },
    'skip-existing': { touch: ['touched'], chmod: ['touched'], 'touch, changed by another': ['touched'] },
    'if-unchanged': {
      touch: ['meta-updated', 'CopyObject if-match'],
      chmod: ['meta-updated', 'CopyObject if-match'],
      'touch, changed by another': ['conflict', 'CopyObject if-match', 'HeadObject'],
    },
    'newer-wins': {
      touch: ['meta-updated', 'CopyObject if-match'],
      chmod: ['meta-updated', 'CopyObject if-match'],
      'touch, changed by another': ['remote-newer', 'CopyObject if-match', 'HeadObject'],
    },
  };

  test.each(Object.keys(eager) as Policy[])(
    '%s with `preserve-changes: eager` does what its column of T2 says',
    async (policy) => {
      const store = await startStore();
      const folder = { policy, preserve: ['mtime', 'mode'], 'preserve-changes': 'eager' };
      const home = workspace(store, { folder, top: { log: { level: 'debug' } } });
      for (const name of Object.keys(eager[policy])) writeAt(home, name, 'before', localTime);
      await home.once();
      const changed = 'touch, changed by another';
      await store.put(changed, 'theirs now', { Metadata: { mtime: String(localTime + 100) } });
      store.forget();
      for (const name of ['touch', changed]) fs.utimesSync(home.path(name), 1, 1);
      fs.chmodSync(home.path('chmod'), 0o600);

      expect(await handled(home, eager[policy])).toStrictEqual(eager[policy]);
      expectHistory(store, policy);
    },
  );

  test('if-unchanged sees that somebody else changed what it wrote', async () => {
    const store = await startStore();
    const home = workspace(store, { folder: { policy: 'if-unchanged' }, top: { log: { level: 'debug' } } });
    home.write('changed', 'before');
    home.write('changed alike', 'before');
    await home.once();
    home.write('changed', 'ours');
    home.write('changed alike', 'ours, too');
    await store.put('changed', 'theirs');
    await store.put('changed alike', 'ours, too');
    store.forget();

    const cells: Record<string, Cell> = {
      changed: ['conflict', 'PutObject if-match', 'HeadObject'],
      'changed alike': ['adopted', 'PutObject if-match', 'HeadObject'],
    };
    expect(await handled(home, cells)).toStrictEqual(cells);
    const { stdout, code } = await home.s3syncd('status');
    expect(stdout).toMatch(/changed: conflict, remote-changed: somebody else/);
    expect(code).toBe(5);
    expect(String(await store.get('changed'))).toBe('theirs');
  });
});

describe.skipIf(noLocalServer)('skip-existing', () => {
  test('replaces none of 1,000 objects for which somebody else races', async () => {
    const store = await startStore();
    const home = workspace(store, { folder: { policy: 'skip-existing' } });
    const names = Array.from({ length: 1_000 }, (_, number) => String(number).padStart(4, '0'));
    for (const name of names) home.write(name, 'ours');
    const theirs = names.toReversed();
    const put = async () => {
      for (let name = theirs.shift(); name !== undefined; name = theirs.shift()) {
        await store.put(name, 'foreign', { IfNoneMatch: '*' }).catch(ignorePreconditionFailed);
      }
    };
    const syncing = home.once();
    await store.server.until(
      () => store.requests.filter(({ operation }) => operation === 'PutObject').length > 20,
    );
    await Promise.all(Array.from({ length: 24 }, put));

    const { outcomes } = (await syncing).folders.docs;

    const written = store.server.store
      .history({ bucket: store.bucket })
      .filter(({ key }) => !key.endsWith('.s3syncd-probe'));
    const ours = written.filter(({ accessKey }) => accessKey === store.accessKey).length;
    console.log(`of 1,000 keys s3syncd got ${ours}, the other ${written.length - ours}`);
    expect(written.filter(({ kind }) => kind !== 'write')).toStrictEqual([]);
    expect(written).toHaveLength(1_000);
    expect(ours).toBeGreaterThan(0);
    expect(ours).toBeLessThan(1_000);
    expect(outcomes).toMatchObject({ uploaded: ours, 'skipped-existing': 1_000 - ours });
  });

  test('refuses a store that ignores If-None-Match, and says what to do', async () => {
    const store = await startStore({ legacy: ['ignore-if-none-match'] });
    const home = workspace(store, { folder: { policy: 'skip-existing' } });
    home.write('a', 'ours');
    await store.put('b', 'theirs');
    home.write('b', 'ours');

    const { code, stderr } = await home.s3syncd('once');

    expect(code).toBe(1);
    expect(stderr).toMatch(
      /policy skip-existing needs a store that enforces If-None-Match.*unsafe-emulation: true/s,
    );
    expect((await home.s3syncd('status')).code).toBe(1);
    expect((await home.s3syncd('check')).stdout).toMatch(/✗ destination "s3": ignores If-None-Match/);
    expect((await store.keys()).filter((key) => !key.includes('probe'))).toStrictEqual(['b']);
  });

  test('looks first on such a store, where that is allowed', async () => {
    const store = await startStore({ legacy: ['ignore-if-none-match'] });
    const home = workspace(store, {
      folder: { policy: 'skip-existing' },
      destination: { 'unsafe-emulation': true },
    });
    await store.put('b', 'theirs');
    await store.put('c', 'theirs, longer');
    for (const name of ['a', 'b', 'c']) home.write(name, 'ours');

    const report = await home.once();

    expect(report.folders.docs.outcomes).toMatchObject({ uploaded: 1, 'skipped-existing': 2 });
    expect(String(await store.get('b'))).toBe('theirs');
    home.write('d', 'ours');
    await store.put('d', 'theirs');
    expect((await home.once()).folders.docs.outcomes).toMatchObject({ uploaded: 0, 'skipped-existing': 1 });
    expect(String(await store.get('d'))).toBe('theirs');
  });

  test('of a large file is safe where only the end of a multipart upload ignores conditions', async () => {
    const store = await startStore({ legacy: ['ignore-conditions-on-complete'] });
    const home = workspace(store, { folder: { policy: 'skip-existing' } });
    home.write('large', randomBytes(20 * MiB));

    await home.once();

    await home.expectEqual();
    expect(requestsFor(store, 'large')).toStrictEqual(['PutObject if-none-match: *']);
  });
});

describe.skipIf(noLocalServer)('objects that are equal already', () => {
  test('are taken over with one listing per 1,000, whatever uploaded them', async () => {
    const store = await startStore();
    const home = workspace(store);
    const files = Array.from({ length: 2_100 }, (_, number) => `${number % 7}/${number}`);
    for (const name of files) home.write(name, `content of ${name}`);
    await Promise.all(files.map((name) => store.put(name, `content of ${name}`)));
    // So that every part size makes another number of parts.
    const large = randomBytes(31 * MiB);
    for (const partSize of [5, 8, 15, 16]) {
      home.write(`large/${partSize}`, large);
      await putInParts(store, `large/${partSize}`, large, partSize * MiB);
    }

    const report = await home.once();

    expect(report.requests).toStrictEqual({ ListObjectsV2: 3 });
    expect(report.folders.docs.outcomes).toMatchObject({ adopted: 2_104, uploaded: 0 });
    fs.appendFileSync(home.path('0/0'), 'more');
    expect((await home.once()).requests).toStrictEqual({ PutObject: 1 });
  });

  test('are told by their checksum where the ETag says nothing', async () => {
    const store = await startStore({ legacy: ['opaque-etags'] });
    const home = workspace(store);
    for (const name of ['crc32', 'sha256', 'crc64nvme', 'different']) home.write(name, 'content');
    await store.put('crc32', 'content', { ChecksumAlgorithm: 'CRC32' });
    await store.put('sha256', 'content', { ChecksumAlgorithm: 'SHA256' });
    await store.put('crc64nvme', 'content', { ChecksumAlgorithm: 'CRC64NVME' });
    await store.put('different', 'CONTENT', { ChecksumAlgorithm: 'CRC32' });

    const report = await home.once();

    expect(report.folders.docs.outcomes).toMatchObject({ adopted: 3, uploaded: 1 });
    expect(report.requests).toStrictEqual({ ListObjectsV2: 1, HeadObject: 4, PutObject: 1 });
  });
});

describe.skipIf(noLocalServer)('whatever the network does to one request', () => {
  const faults = {
    'refused with 500': { kind: 'answer', status: 500, code: 'InternalError' },
    'refused with 503': { kind: 'answer', status: 503, code: 'SlowDown' },
    'in conflict': { kind: 'answer', status: 409, code: 'ConditionalRequestConflict' },
    'done, answered with 500': { kind: 'commit-then-answer', status: 500, code: 'InternalError' },
    'done, not answered': { kind: 'commit-then-drop' },
    'done, answered in part': { kind: 'truncate-answer', afterBytes: 5 },
    'reset in the middle': { kind: 'reset-request', afterBytes: 3 },
    'answered by a portal': { kind: 'html' },
    'answered with nothing': { kind: 'empty' },
    '200 with an error': { kind: 'error-document', code: 'InternalError' },
  } as const;
  const operations = ['PutObject', 'CreateMultipartUpload', 'UploadPart', 'CompleteMultipartUpload'] as const;

  test.each(['overwrite', 'skip-existing', 'if-unchanged'] as const)(
    'under %s every file arrives, and nobody else is overwritten',
    async (policy) => {
      const store = await startStore({ discardBodies: true });
      const home = workspace(store, { folder: { policy } });
      for (const [what, fault] of Object.entries(faults)) {
        for (const operation of operations) {
          // Only writes of objects are refused like that.
          if (what === 'in conflict' && !['PutObject', 'CompleteMultipartUpload'].includes(operation))
            continue;
          const name = `${operation} ${what}`;
          home.write(name, randomBytes(operation === 'PutObject' ? 1_000 : 9 * MiB));
          store.server.faults.add({ ...fault, operation, keyPattern: `^${name}$`, times: 1 });
        }
      }

      const report = await home.once();

      await home.expectEqual();
      const { outcomes } = report.folders.docs;
      expect(outcomes).toMatchObject({
        uploaded: 38,
        adopted: 0,
        'skipped-existing': 0,
        conflict: 0,
        failed: 0,
      });
      expect(await store.uploads()).toStrictEqual([]);
      expectHistory(store, policy);
      expect(store.server.faults.list().filter(({ hits }) => hits === 0)).toStrictEqual([]);
    },
  );
});

/** Runs the daemon until nothing is to do, and tells what came of each path, and what it cost. */
async function handled(home: Workspace, expected: Record<string, Cell>): Promise<Record<string, Cell>> {
  const daemon = await home.start();
  const names = Object.keys(expected).filter((name) => expected[name]![0] !== '');
  const isDone = () => names.every((name) => daemon.handled([name]).length > 0);
  await until(isDone, 10_000, () => daemon.stderr);
  await daemon.stop();
  return Object.fromEntries(
    Object.keys(expected).map((name) => {
      const outcomes = daemon.handled([name]).map(({ outcome }) => String(outcome));
      return [name, [outcomes.join(), ...requestsFor(home.store, name)]];
    }),
  );
}

function requestsFor(store: Store, key: string, only?: string): string[] {
  return store.requests
    .filter((request) => request.key === key && request.operation === (only ?? request.operation))
    .map(({ operation, headers }) => {
      const absent =
        headers['if-none-match'] === undefined ? '' : ` if-none-match: ${headers['if-none-match']}`;
      return `${operation}${absent}${headers['if-match'] === undefined ? '' : ' if-match'}`;
    });
}

/** Nothing was deleted; and but for overwrite, nobody else's object was replaced. */
function expectHistory(store: Store, policy: Policy): void {
  const history = store.server.store
    .history({ bucket: store.bucket })
    .filter(({ key }) => path.basename(key) !== '.s3syncd-probe');
  const ours = history.filter(({ accessKey }) => accessKey === store.accessKey);
  expect(ours.filter(({ kind }) => kind.startsWith('delete'))).toStrictEqual([]);
  if (policy === 'overwrite') return;
  const own = new Set<string>();
  const replaced = history.filter(({ accessKey, kind, etag, previousEtag }) => {
    if (accessKey === store.accessKey) own.add(String(etag));
    return accessKey === store.accessKey && kind === 'overwrite' && !own.has(String(previousEtag));
  });
  // newer-wins replaces what is older, under the condition that it still is what was looked at.
  expect(policy === 'newer-wins' ? [] : replaced).toStrictEqual([]);
}

function writeAt(home: Workspace, name: string, content: string, mtime: number): void {
  home.write(name, content);
  fs.utimesSync(home.path(name), mtime, mtime);
}

async function putInParts(store: Store, key: string, bytes: Buffer, partSize: number): Promise<void> {
  const { client, bucket: Bucket } = store;
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key: key }));
  const Parts = [];
  for (let start = 0, PartNumber = 1; start < bytes.length; start += partSize, PartNumber++) {
    const Body = bytes.subarray(start, start + partSize);
    const { ETag } = await client.send(
      new UploadPartCommand({ Bucket, Key: key, UploadId, PartNumber, Body }),
    );
    Parts.push({ PartNumber, ETag });
  }
  await client.send(
    new CompleteMultipartUploadCommand({ Bucket, Key: key, UploadId, MultipartUpload: { Parts } }),
  );
}

function ignorePreconditionFailed(error: unknown): void {
  if (!(error instanceof S3ServiceException && error.name === 'PreconditionFailed')) throw error;
}

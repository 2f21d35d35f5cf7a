// Files that are compressed and encrypted on their way: what ordinary tools make of the objects, and that a body of unknown
// length is one state of its file too, or nothing.
import { spawnSync } from 'node:child_process';
import { createCipheriv } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import { Decrypter, generateX25519Identity, identityToRecipient } from 'age-encryption';
import { describe, expect, test, vi } from 'vitest';
import type { Transform } from '../../src/core/transform.ts';
import { ByteBudget } from '../../src/transfer/limits.ts';
import { checksumOf } from '../../src/transfer/checksum.ts';
import { until } from '../helpers/drained.ts';
import { absent, ifMatch, none } from '../helpers/given.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';
import { enforcesAll, isOpen, subject, type Subject } from '../helpers/uploading.ts';

// Keys are made and large files compressed, on whatever machine.
vi.setConfig({ testTimeout: 60_000 });

const MiB = 1024 ** 2;
const identity = await generateX25519Identity();
const recipient = await identityToRecipient(identity);

const gunzip = ['gunzip', '-c'];
const unzstd = ['zstd', '-dc'];
const ageDecrypt = ['age', '-d', '-i', 'key.txt'];

/** How each is made, and what a person pipes it through. */
const transforms: [name: string, Transform, tools: string[][]][] = [
  ['gzip', { compress: 'gzip' }, [gunzip]],
  ['zstd', { compress: 'zstd' }, [unzstd]],
  ['age', { recipients: [recipient] }, [ageDecrypt]],
  ['gzip age', { compress: 'gzip', recipients: [recipient] }, [ageDecrypt, gunzip]],
  ['zstd age', { compress: 'zstd', recipients: [recipient] }, [ageDecrypt, unzstd]],
];

/** Content that shrinks to nothing. */
function text(size: number): Buffer {
  return Buffer.alloc(size, 'the quick brown fox ');
}

/** Content that nothing shrinks, of which every piece can be told from every other. */
function noise(size: number): Buffer {
  return createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16)).update(Buffer.alloc(size));
}

/** What has to be uploaded in parts, however it is transformed. */
const large = noise(24 * MiB + 1);

function bodyOf(it: Subject): Buffer {
  return it.bucket.server.store.body(it.bucket.attributes('k')!);
}

function missing(tools: readonly string[][]): string | undefined {
  return tools.map(([tool]) => tool!).find((tool) => spawnSync(tool, ['--version']).error !== undefined);
}

/** The body piped through tools. */
function restored(body: Buffer, tools: readonly string[][]): Buffer {
  const cwd = temporaryDirectory();
  fs.writeFileSync(path.join(cwd, 'key.txt'), identity);
  return tools.reduce((input, [tool, ...args]) => {
    const { status, stdout, stderr } = spawnSync(tool!, args, { cwd, input, maxBuffer: 256 * MiB });
    if (status !== 0) throw new Error(`${tool}: ${stderr.toString()}`);
    return stdout;
  }, body);
}

async function undone(body: Buffer, { compress, recipients }: Transform): Promise<Buffer> {
  const compressed = recipients ? await decrypted(body, identity) : body;
  if (compress === 'gzip') return zlib.gunzipSync(compressed);
  return compress === 'zstd' ? zlib.zstdDecompressSync(compressed) : compressed;
}

async function decrypted(body: Buffer, by: string): Promise<Buffer> {
  const decrypter = new Decrypter();
  decrypter.addIdentity(by);
  return Buffer.from(await decrypter.decrypt(body));
}

describe.each(transforms)('%s:', (name, transform, tools) => {
  test.each([
    ['an empty file', Buffer.alloc(0)],
    ['a small file', text(100_000)],
    ['a file that may become a small object', text(9 * MiB)],
    ['a large file', large],
  ])('%s is restored by the libraries', async (_what, original) => {
    const it = await subject();
    it.transform = transform;
    it.write(original);
    const result = await it.upload(absent);
    expect(result).toMatchObject({ kind: 'written', checksum: await checksumOf('crc32', original) });
    expect(it.bucket.attributes('k')?.headers).toMatchObject({
      'x-amz-meta-s3syncd-transform': name,
      'x-amz-meta-s3syncd-size': String(original.length),
    });
    // Sent with the body, or with each of its parts, and verified there.
    expect(it.bucket.attributes('k')?.checksum).toMatchObject({ algorithm: 'CRC32' });
    expect(it.bucket.uploads).toEqual([]);
    expect((await undone(bodyOf(it), transform)).equals(original)).toBe(true);
  });

  const tool = missing(tools);
  const unless = tool === undefined ? '' : `: ${tool} is not installed`;
  test.skipIf(tool !== undefined)(`a large file is restored by ordinary tools${unless}`, async () => {
    const it = await subject();
    it.transform = transform;
    it.write(large);
    await it.upload();
    expect(restored(bodyOf(it), tools).equals(large)).toBe(true);
  });
});

test('what is encrypted tells nothing of its content but its size and time', async () => {
  const it = await subject();
  it.transform = { recipients: [recipient] };
  for (const content of [text(1000), large]) {
    it.write(content);
    await it.upload();
    // That of a write is random.
    const named = Object.keys(it.bucket.attributes('k')!.headers).filter(
      (name) => name.startsWith('x-amz-meta-') && name !== 'x-amz-meta-s3syncd-write',
    );
    expect(named.toSorted()).toEqual([
      'x-amz-meta-mtime',
      'x-amz-meta-s3syncd-size',
      'x-amz-meta-s3syncd-transform',
    ]);
  }
});

test('each recipient can decrypt, and nobody else', async () => {
  const it = await subject();
  const other = await generateX25519Identity();
  it.transform = { recipients: [recipient, await identityToRecipient(other)] };
  it.write('content');
  await it.upload();
  for (const each of [identity, other])
    expect((await decrypted(bodyOf(it), each)).toString()).toBe('content');
  const nobody = await generateX25519Identity();
  await expect(decrypted(bodyOf(it), nobody)).rejects.toThrow('no identity matched');
});

describe.each([
  ['zstd', { compress: 'zstd' }],
  ['zstd age', { compress: 'zstd', recipients: [recipient] }],
] as [string, Transform][])('a large file, %s,', (_name, transform) => {
  const streamed = async (options?: Parameters<typeof subject>[0]) => {
    const it = await subject(options);
    it.transform = transform;
    it.write(large);
    return it;
  };

  test.each([
    ['changes', (it: Subject) => fs.appendFileSync(it.file, '!')],
    ['becomes shorter', (it: Subject) => fs.truncateSync(it.file, 23 * MiB)],
    ['changes its mode', (it: Subject) => fs.chmodSync(it.file, 0o600)],
    ['is replaced in place', (it: Subject) => fs.writeFileSync(it.file, text(large.length))],
  ])('is not completed when it %s while it is read', async (_what, change) => {
    const it = await streamed();
    void it.bucket.arrival('UploadPart').then(() => change(it));
    expect(await it.upload()).toEqual({ kind: 'changed' });
    expect(it.bucket.content('k')).toBeUndefined();
    expect(it.bucket.count('CompleteMultipartUpload') + it.bucket.count('PutObject')).toBe(0);
    expect(it.bucket.uploads).toEqual([]);
    expect(it.memory.find()).toBeUndefined();
  });

  test('that changes before its first part is made is not sent', async () => {
    const it = await streamed();
    const memory = await it.partBudget.acquire(65 * MiB);
    const result = it.upload();
    await until(() => isOpen(it.file));
    fs.appendFileSync(it.file, '!');
    memory[Symbol.dispose]();
    expect(await result).toEqual({ kind: 'changed' });
    expect(it.bucket.uploads).toEqual([]);
    expect(it.bucket.keys).toEqual([]);
  });

  test('is stopped at once, and leaves nothing', async () => {
    const it = await streamed();
    it.bucket.server.faults.add({ kind: 'stall', operation: 'UploadPart', at: 1 });
    void it.bucket.arrival('UploadPart').then(() => it.stop.abort());
    expect(await it.upload()).toEqual({ kind: 'interrupted' });
    expect(it.bucket.uploads).toEqual([]);
    expect(it.memory.find()).toBeUndefined();
  });

  test.each([
    ['UploadPart', 403, 'AccessDenied', 'denied'],
    ['CompleteMultipartUpload', 403, 'AccessDenied', 'denied'],
    ['CreateMultipartUpload', 403, 'AccessDenied', 'denied'],
  ] as const)('leaves nothing when %s fails', async (operation, status, code, failureClass) => {
    const it = await streamed();
    it.bucket.server.faults.add({ kind: 'answer', status, code, operation, at: 1 });
    await expect(it.upload()).rejects.toMatchObject({ code, class: failureClass });
    expect(it.bucket.uploads).toEqual([]);
    expect(it.memory.find()).toBeUndefined();
    expect(await it.upload()).toMatchObject({ kind: 'written' });
  });

  test('ends what could not be ended, and begins anew', async () => {
    const it = await streamed();
    const failure = { kind: 'answer', status: 500, code: 'InternalError' } as const;
    it.bucket.server.faults.add({ ...failure, operation: 'AbortMultipartUpload', times: 3 });
    void it.bucket.arrival('UploadPart').then(() => it.stop.abort());
    expect(await it.upload()).toEqual({ kind: 'interrupted' });
    expect(it.bucket.uploads).toEqual(['k']);
    expect(await it.upload(none, { signal: new AbortController().signal })).toMatchObject({
      kind: 'written',
    });
    expect(it.bucket.uploads).toEqual([]);
  });

  test('under a condition that does not hold is not sent at all', async () => {
    const it = await streamed();
    it.bucket.put('k', 'theirs');
    for (const condition of [absent, ifMatch('"00000000000000000000000000000000"')]) {
      expect(await it.upload(condition)).toEqual({ kind: 'precondition-failed' });
    }
    expect(it.bucket.server.counts()).toEqual({ HeadObject: 2 });
  });

  test('under a condition that ceases to hold is refused at its end, and leaves nothing', async () => {
    const it = await streamed();
    const put = it.bucket.arrival('CompleteMultipartUpload').then(() => it.bucket.put('k', 'theirs'));
    expect(['precondition-failed', 'busy']).toContain((await it.upload(absent)).kind);
    await put;
    expect(it.bucket.content('k')).toBe('theirs');
    expect(it.bucket.uploads).toEqual([]);
    expect(it.memory.find()).toBeUndefined();
  });

  test('under If-Match, with the object gone at its end, leaves nothing either', async () => {
    const it = await streamed();
    const etag = it.bucket.put('k', 'ours');
    const removed = it.bucket.arrival('CompleteMultipartUpload').then(() => it.bucket.remove('k'));
    expect(['uncertain', 'busy']).toContain((await it.upload(ifMatch(etag))).kind);
    await removed;
    expect(it.bucket.uploads).toEqual([]);
  });

  test('goes in one request where the store enforces conditions on PutObject only', async () => {
    const it = await streamed({ legacy: ['ignore-conditions-on-complete'] });
    const capabilities = { ...enforcesAll, completeIfAbsent: false };
    const result = await it.upload(absent, { capabilities });
    expect(result).toMatchObject({ kind: 'written', checksum: await checksumOf('crc32', large) });
    expect(it.bucket.server.counts()).toEqual({ HeadObject: 1, PutObject: 1 });
    expect(await it.upload(absent, { capabilities })).toMatchObject({ kind: 'precondition-failed' });
  });

  test('and there too is nothing when it changes while it is read', async () => {
    const it = await streamed();
    const capabilities = { ...enforcesAll, completeIfAbsent: false };
    void it.bucket.arrival('PutObject').then(() => fs.appendFileSync(it.file, '!'));
    expect(await it.upload(absent, { capabilities })).toEqual({ kind: 'changed' });
    expect(it.bucket.keys).toEqual([]);
  });

  test('gives its memory back, and takes no more than there is', async () => {
    const it = await streamed();
    const partBudget = new ByteBudget(32 * MiB);
    await it.upload(none, { partBudget });
    expect(partBudget.tryAcquire(32 * MiB)).toBeDefined();
  });
});

test('an upload in parts from before the rules said to compress is ended', async () => {
  const it = await subject();
  it.write(large);
  void it.bucket.arrival('UploadPart').then(() => it.stop.abort());
  expect(await it.upload()).toEqual({ kind: 'interrupted' });
  expect(it.bucket.uploads).toEqual(['k']);
  it.transform = { compress: 'zstd' };
  expect(await it.upload(none, { signal: new AbortController().signal })).toMatchObject({ kind: 'written' });
  expect(it.bucket.uploads).toEqual([]);
});

// One file as one object: one state of the file or nothing, in one request or in parts, from the start or from where the
// last try stopped.
import fs from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Precondition, Remote } from '../../src/core/object.ts';
import { checksumLike, checksumOf } from '../../src/transfer/checksum.ts';
import { ByteBudget } from '../../src/transfer/limits.ts';
import { plain } from '../helpers/destination-suite.ts';
import { until } from '../helpers/drained.ts';
import { absent, ifMatch, none } from '../helpers/given.ts';
import { content, enforcesAll, isOpen, memoryOfOne, subject, type Subject } from '../helpers/uploading.ts';

const MiB = 1024 ** 2;

describe('a small file', () => {
  test('goes up in one request, with its checksum, mtime and condition', async () => {
    const it = await subject();
    it.write('content');
    const result = await it.upload(absent);
    expect(result).toMatchObject({
      kind: 'written',
      etag: `"${it.bucket.attributes('k')!.etag}"`,
      file: { size: 7, mtimeNs: fs.statSync(it.file, { bigint: true }).mtimeNs },
      checksum: { algorithm: 'crc32', value: it.bucket.attributes('k')!.checksum!.value },
    });
    expect(it.bucket.content('k')).toBe('content');
    expect(it.bucket.server.counts()).toEqual({ PutObject: 1 });
    expect(it.bucket.server.requests[0]!.headers).toMatchObject({ 'if-none-match': '*' });
  });

  test.each([
    ['crc32', 'x-amz-checksum-crc32'],
    ['sha256', 'x-amz-checksum-sha256'],
    ['crc64nvme', 'x-amz-checksum-crc64nvme'],
  ] as const)('has its %s verified by the store', async (checksum, header) => {
    const it = await subject();
    it.write('content');
    const result = await it.upload(none, { checksum });
    expect(it.bucket.server.requests[0]!.headers).toHaveProperty(header);
    expect(result).toMatchObject({ checksum: { algorithm: checksum } });
  });

  test('sends no checksum where none is wanted, and knows one all the same', async () => {
    const it = await subject();
    it.write('content');
    expect(await it.upload(none, { checksum: 'none' })).toMatchObject({ checksum: { algorithm: 'crc32' } });
    const headers = Object.keys(it.bucket.server.requests[0]!.headers);
    expect(headers.filter((name) => name.startsWith('x-amz-checksum'))).toEqual([]);
  });

  test.each([
    ['was replaced', (it: Subject) => it.write('CONTENT')],
    ['was cut short', (it: Subject) => fs.truncateSync(it.file, 3)],
    ['has grown', (it: Subject) => fs.appendFileSync(it.file, '!')],
    ['had its mode changed', (it: Subject) => fs.chmodSync(it.file, 0o600)],
  ])('that %s before it was read is not sent', async (_what, change) => {
    const it = await subject();
    it.write('content');
    const memory = await it.budget.acquire(17 * MiB);
    const result = it.upload();
    await until(() => isOpen(it.file));
    change(it);
    memory[Symbol.dispose]();
    expect(await result).toEqual({ kind: 'changed' });
    expect(it.bucket.server.counts()).toEqual({});
  });

  test('that is gone has vanished', async () => {
    const it = await subject();
    expect(await it.upload()).toEqual({ kind: 'vanished' });
  });

  test('waits for memory, and gives it back', async () => {
    const it = await subject();
    it.write('content');
    await it.upload();
    expect(it.budget.tryAcquire(16 * MiB)).toBeDefined();
  });
});

describe('a large file', () => {
  const size = 40 * MiB;

  test('goes up in parts of 16 MiB, and is then an object like any other', async () => {
    const it = await subject();
    const bytes = content(size);
    it.write(bytes);
    const result = await it.upload();
    expect(it.partsSent).toEqual(['1', '2', '3']);
    expect(result).toMatchObject({
      kind: 'written',
      checksum: { algorithm: 'crc32', value: expect.stringMatching(/-3$/) as string, partSize: 16 * MiB },
    });
    const version = it.bucket.attributes('k')!;
    expect(it.bucket.server.store.body(version).equals(bytes)).toBe(true);
    expect(version.headers).toMatchObject({ 'content-type': 'text/plain' });
    expect(it.bucket.uploads).toEqual([]);
  });

  test.each(['crc32', 'sha256', 'crc64nvme'] as const)(
    'has the %s of every part verified by the store, and kept for the object',
    async (checksum) => {
      const it = await subject();
      it.write(content(32 * MiB));
      await it.upload(none, { checksum });
      const kept = it.bucket.attributes('k')?.checksum;
      expect(kept).toMatchObject({ algorithm: checksum.toUpperCase() });
      const bytes = it.bucket.server.store.body(it.bucket.attributes('k')!);
      const partSize = kept!.value.includes('-') ? { partSize: 16 * MiB } : {};
      const like = { algorithm: checksum, value: kept!.value, ...partSize };
      expect(await checksumLike(like, [bytes])).toMatchObject({ value: kept!.value });
    },
  );

  test('is known for ours by its metadata, also a small one that is written under a condition', async () => {
    const it = await subject();
    const mark = async (bytes: number, precondition: Precondition) => {
      it.write(content(bytes));
      await it.upload(precondition, { writeId: 'ours' });
      const { object } = (await it.destination.head('k')) as Extract<Remote, { kind: 'object' }>;
      return object.writeId;
    };
    expect(await mark(size, none)).toBe('ours');
    expect(await mark(10, none)).toBeUndefined();
    const head = (await it.destination.head('k')) as Extract<Remote, { kind: 'object' }>;
    expect(await mark(11, ifMatch(head.object.etag))).toBe('ours');
  });

  test('of exactly two parts has two', async () => {
    const it = await subject();
    it.write(content(32 * MiB));
    await it.upload();
    expect(it.partsSent).toEqual(['1', '2']);
    expect(it.bucket.attributes('k')).toMatchObject({ size: 32 * MiB });
  });

  test('under a condition that does not hold is not sent at all', async () => {
    const it = await subject();
    it.bucket.put('k', 'theirs');
    it.write(content(size));
    expect(await it.upload(absent)).toEqual({ kind: 'precondition-failed' });
    expect(await it.upload(ifMatch('"00000000000000000000000000000000"'))).toMatchObject({
      kind: 'precondition-failed',
    });
    expect(it.bucket.server.counts()).toEqual({ HeadObject: 2 });
  });

  test('under a condition that ceases to hold is refused at its end, and leaves nothing', async () => {
    const it = await subject();
    it.write(content(size));
    const put = it.bucket.arrival('CompleteMultipartUpload').then(() => it.bucket.put('k', 'theirs'));
    expect(await it.upload(absent)).toMatchObject({
      kind: expect.stringMatching(/^(precondition-failed|busy)$/) as string,
    });
    await put;
    expect(it.bucket.content('k')).toBe('theirs');
    expect(it.bucket.uploads).toEqual([]);
    expect(it.memory.find()).toBeUndefined();
  });

  test('under If-Match, with the object gone at its end, leaves nothing either', async () => {
    const it = await subject();
    const etag = it.bucket.put('k', 'ours');
    it.write(content(size));
    const removed = it.bucket.arrival('CompleteMultipartUpload').then(() => it.bucket.remove('k'));
    expect(['uncertain', 'busy']).toContain((await it.upload(ifMatch(etag))).kind);
    await removed;
    expect(it.bucket.uploads).toEqual([]);
  });

  test('gives its memory back, and takes no more than there is', async () => {
    const it = await subject();
    it.write(content(size));
    const partBudget = new ByteBudget(16 * MiB);
    await it.upload(none, { partBudget });
    expect(partBudget.tryAcquire(16 * MiB)).toBeDefined();
  });

  test('reports one failure, the first, whatever the other parts do', async () => {
    const it = await subject();
    it.write(content(64 * MiB));
    it.bucket.server.faults.add({ kind: 'stall', operation: 'UploadPart', at: [1, 2, 4] });
    const denied = { kind: 'answer', status: 403, code: 'AccessDenied' } as const;
    it.bucket.server.faults.add({ ...denied, operation: 'UploadPart', at: 3 });
    await expect(it.upload()).rejects.toMatchObject({ code: 'AccessDenied', class: 'denied' });
  });
});

describe('an upload that was interrupted', () => {
  const size = 40 * MiB;

  test('by a failure goes on with the parts that are missing', async () => {
    const it = await subject();
    const bytes = content(size);
    it.write(bytes);
    const full = { kind: 'answer', status: 507, code: 'XMinioStorageFull' } as const;
    // One lane: part 2 fails, as often as the SDK tries it, when part 1 is there.
    it.bucket.server.faults.add({ ...full, operation: 'UploadPart', at: [2, 3, 4, 5] });
    const partBudget = new ByteBudget(16 * MiB);
    await expect(it.upload(none, { partBudget })).rejects.toMatchObject({ class: 'transient' });
    it.bucket.server.faults.clear();
    expect(it.bucket.uploads).toEqual(['k']);
    it.bucket.server.clearRequests();
    expect(await it.upload(none, { partBudget })).toMatchObject({ kind: 'written' });
    expect(it.partsSent).toEqual(['2', '3']);
    expect(it.bucket.count('CreateMultipartUpload')).toBe(0);
    expect(it.bucket.server.store.body(it.bucket.attributes('k')!).equals(bytes)).toBe(true);
  });

  test('as it began, with nobody knowing of it, is ended by the next try even if the first search for it failed', async () => {
    const it = await subject();
    it.write(content(size));
    it.bucket.server.faults.add({ kind: 'commit-then-drop', operation: 'CreateMultipartUpload', times: 1 });
    const broken = { kind: 'answer', status: 500, code: 'InternalError' } as const;
    const search = it.bucket.server.faults.add({ ...broken, operation: 'ListMultipartUploads' });
    await expect(it.upload()).rejects.toMatchObject({ class: 'transient' });
    expect(search.hits).toBeGreaterThan(0);
    expect(it.bucket.uploads).toEqual(['k', 'k']);
    it.bucket.server.faults.clear();
    expect(await it.upload()).toMatchObject({ kind: 'written' });
    expect(it.bucket.uploads).toEqual([]);
  });

  test('by a stop says so, and goes on later', async () => {
    const it = await subject();
    it.write(content(size));
    const partBudget = new ByteBudget(16 * MiB);
    const onBytes = () => it.stop.abort();
    expect(await it.upload(none, { partBudget, onBytes })).toEqual({ kind: 'interrupted' });
    expect(it.memory.find()?.parts).toHaveLength(1);
    it.bucket.server.clearRequests();
    const { signal } = new AbortController();
    expect(await it.upload(none, { signal })).toMatchObject({ kind: 'written' });
    expect(it.partsSent).toEqual(['2', '3']);
  });

  test('and whose parts were not recorded trusts the store’s list where it has checksums', async () => {
    const it = await subject();
    it.write(content(size));
    const onBytes = () => it.stop.abort();
    await it.upload(none, { partBudget: new ByteBudget(16 * MiB), onBytes });
    const { parts: _, ...begun } = it.memory.find()!;
    it.memory = { ...memoryOfOne(), find: () => ({ ...begun, parts: [] }) };
    it.bucket.server.clearRequests();
    const { signal } = new AbortController();
    expect(await it.upload(none, { signal })).toMatchObject({ kind: 'written' });
    const known = it.bucket.attributes('k')!.parts!.every(({ checksum }) => checksum !== undefined);
    expect(it.partsSent).toEqual(known ? ['2', '3'] : ['1', '2', '3']);
  });

  test.each([
    ['the file was changed', (it: Subject) => it.write(content(size, 1)), {}],
    ['the file became larger', (it: Subject) => it.write(content(50 * MiB)), {}],
    ['the object is to be described otherwise', () => undefined, { describe: () => plain }],
  ])('is aborted and begun anew when %s', async (_what, change, more) => {
    const it = await subject();
    it.write(content(size));
    const onBytes = () => it.stop.abort();
    await it.upload(none, { partBudget: new ByteBudget(16 * MiB), onBytes });
    it.bucket.server.clearRequests();
    change(it);
    const { signal } = new AbortController();
    expect(await it.upload(none, { signal, ...more })).toMatchObject({ kind: 'written' });
    expect(it.bucket.server.counts()).toMatchObject({ AbortMultipartUpload: 1, CreateMultipartUpload: 1 });
    expect(it.partsSent).toContain('1');
    expect(it.bucket.server.store.body(it.bucket.attributes('k')!).equals(fs.readFileSync(it.file))).toBe(
      true,
    );
    expect(it.bucket.uploads).toEqual([]);
  });

  test('is begun anew for a file that was changed and given its old time again', async () => {
    const it = await subject();
    it.write(content(size));
    const { atime, mtime } = fs.statSync(it.file);
    fs.utimesSync(it.file, atime, mtime);
    const onBytes = () => it.stop.abort();
    await it.upload(none, { partBudget: new ByteBudget(16 * MiB), onBytes });
    it.write(content(size, 1));
    fs.utimesSync(it.file, atime, mtime);
    const { signal } = new AbortController();
    expect(await it.upload(none, { signal })).toMatchObject({ kind: 'written' });
    const stored = it.bucket.server.store.body(it.bucket.attributes('k')!);
    expect(stored.equals(fs.readFileSync(it.file)), 'parts of two states never meet').toBe(true);
  });

  test('is uncertain when the store no longer knows it', async () => {
    const it = await subject();
    it.write(content(size));
    const onBytes = () => it.stop.abort();
    await it.upload(none, { partBudget: new ByteBudget(16 * MiB), onBytes });
    await it.destination.abortUpload(it.memory.find()!);
    const { signal } = new AbortController();
    expect(await it.upload(none, { signal })).toEqual({ kind: 'uncertain' });
    expect(it.memory.find()).toBeUndefined();
    expect(await it.upload(none, { signal })).toMatchObject({ kind: 'written' });
  });

  test('is uncertain when the store forgets it in the middle', async () => {
    const it = await subject();
    it.write(content(size));
    const onBytes = () => {
      const [first] = it.bucket.server.store.uploads(it.bucket.name);
      if (first) it.bucket.server.store.abort(first.id);
    };
    expect(await it.upload(none, { partBudget: new ByteBudget(16 * MiB), onBytes })).toEqual({
      kind: 'uncertain',
    });
    expect(it.memory.find()).toBeUndefined();
  });

  test('is uncertain when the answer to Complete was lost', async () => {
    const it = await subject();
    it.write(content(size));
    const lost = { kind: 'commit-then-drop', operation: 'CompleteMultipartUpload' } as const;
    it.bucket.server.faults.add(lost);
    await expect(it.upload(absent)).rejects.toMatchObject({ class: 'transient' });
    it.bucket.server.faults.clear();
    expect(it.bucket.attributes('k')).toMatchObject({ size });
    const { kind } = await it.upload(absent);
    expect(['uncertain', 'written']).toContain(kind);
    expect(it.bucket.ourChanges('k')).toEqual(['write']);
    expect(it.bucket.uploads).toEqual([]);
  });
});

describe('a large file that changes while it is sent', () => {
  const size = 40 * MiB;

  test.each([
    ['is rewritten', (it: Subject) => it.write(content(size, 1))],
    ['is changed in place', (it: Subject) => overwriteByte(it.file, size - 1)],
    ['is changed where it was sent already', (it: Subject) => overwriteByte(it.file, 0)],
    ['is cut short', (it: Subject) => fs.truncateSync(it.file, 20 * MiB)],
    ['grows', (it: Subject) => fs.appendFileSync(it.file, '!')],
  ])('and %s is never completed, and nothing is left behind', async (_what, change) => {
    const it = await subject();
    it.write(content(size));
    let changed = false;
    const onBytes = () => {
      if (!changed) change(it);
      changed = true;
    };
    const partBudget = new ByteBudget(16 * MiB);
    expect(await it.upload(none, { partBudget, onBytes })).toEqual({ kind: 'changed' });
    expect(it.bucket.count('CompleteMultipartUpload')).toBe(0);
    expect(it.bucket.keys).toEqual([]);
    expect(it.bucket.uploads).toEqual([]);
    expect(it.memory.find()).toBeUndefined();
  });

  function overwriteByte(file: string, position: number): void {
    const fd = fs.openSync(file, 'r+');
    fs.writeSync(fd, 'X', position);
    fs.closeSync(fd);
  }
});

describe('where Complete does not enforce conditions', () => {
  const size = 12 * MiB;
  const capabilities = { ...enforcesAll, completeIfAbsent: false };

  test('a large file is one streamed PUT under a condition, and in parts without one', async () => {
    const it = await subject();
    const bytes = content(size);
    it.write(bytes);
    expect(await it.upload(absent, { capabilities })).toMatchObject({ kind: 'written' });
    expect(it.bucket.server.counts()).toEqual({ PutObject: 1 });
    expect(it.bucket.server.requests[0]!.headers).toMatchObject({
      'if-none-match': '*',
      'content-length': String(size),
    });
    expect(it.bucket.server.store.body(it.bucket.attributes('k')!).equals(bytes)).toBe(true);
    it.bucket.server.clearRequests();
    await it.upload(none, { capabilities });
    expect(it.bucket.count('PutObject')).toBe(0);
  });

  test('its checksum is known', async () => {
    const it = await subject();
    it.write(content(size));
    const streamed = await it.upload(absent, { capabilities });
    const checksum = await checksumOf('crc32', fs.readFileSync(it.file));
    expect(streamed).toMatchObject({ checksum });
  });

  test.each([
    ['rewritten', (it: Subject) => it.write(content(size, 1))],
    ['cut short', (it: Subject) => fs.truncateSync(it.file, 1)],
    ['appended to', (it: Subject) => fs.appendFileSync(it.file, '!')],
  ])('a file that is %s meanwhile is never an object', async (_what, change) => {
    const it = await subject();
    it.write(content(size));
    let changed = false;
    const onBytes = () => {
      if (!changed) change(it);
      changed = true;
    };
    expect(await it.upload(absent, { capabilities, onBytes })).toEqual({ kind: 'changed' });
    expect(it.bucket.keys).toEqual([]);
  });

  test('a file of more than 5 GiB is not sent', async () => {
    const it = await subject();
    it.write('');
    fs.truncateSync(it.file, 5 * 1024 ** 3 + 1);
    expect(await it.upload(absent, { capabilities })).toEqual({ kind: 'cannot-enforce' });
    expect(it.bucket.server.counts()).toEqual({});
  });
});

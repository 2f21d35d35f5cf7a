// Apply: objects are brought in line with rules that were changed, where they are and only if they are still ours.
import { describe, expect, test } from 'vitest';
import type { Rule } from '../../src/core/rules.ts';
import { testBucket } from '../helpers/bucket.ts';
import { drainedFolder, type DrainedFolder, type FolderOptions } from '../helpers/drained.ts';

const all = (rule: Omit<Rule, 'match'>): readonly Rule[] => [{ match: '**', ...rule }];
const lockable = () => testBucket({ buckets: [{ name: 'acme-backup', objectLock: true }] });

/** A file that was uploaded under some rules, and a config that has others now. */
async function changedRules(
  before: readonly Rule[],
  after: readonly Rule[],
  options: FolderOptions = {},
  bucket = testBucket(),
): Promise<DrainedFolder> {
  const it = await drainedFolder({ ...options, rules: before }, await bucket);
  it.write('a.log', 'content');
  await it.drained();
  it.restart({ rules: after });
  it.bucket.server.clearRequests();
  return it;
}

describe('tags', () => {
  test('are put with one request, and nothing else is asked for', async () => {
    const it = await changedRules(all({ tags: { Kind: 'x' } }), all({ tags: { Kind: '{ext}' } }));
    expect(await it.applied()).toEqual({ 'a.log': 'meta-updated (tags)' });
    expect(it.bucket.attributes('files/a.log')?.tags).toEqual([['Kind', 'log']]);
    expect(it.bucket.server.counts()).toEqual({ PutObjectTagging: 1 });
    expect(it.bucket.ourChanges('files/a.log'), 'no new version').toEqual(['write']);
    expect(await it.applied(), 'it is in line now').toEqual({});
  });

  test.each(['if-unchanged', 'newer-wins', 'skip-existing'] as const)(
    '%s: are not put on what somebody else wrote',
    async (policy) => {
      const it = await changedRules([], all({ tags: { Kind: 'x' } }), { policy });
      it.bucket.put('files/a.log', 'theirs');
      expect(await it.applied()).toEqual({ 'a.log': 'conflict (remote-changed)' });
      expect(it.bucket.attributes('files/a.log')?.tags).toEqual([]);
    },
  );

  test('of an object that is gone are written with the object, which is written anew', async () => {
    const it = await changedRules([], all({ tags: { Kind: 'x' } }));
    it.bucket.remove('files/a.log');
    expect(await it.applied()).toEqual({ 'a.log': 'recreated (remote-deleted)' });
  });

  test('wait while the store is in trouble, and are put then', async () => {
    const it = await changedRules([], all({ tags: { Kind: 'x' } }));
    it.bucket.server.faults.add({
      kind: 'answer',
      operation: 'PutObjectTagging',
      status: 500,
      code: 'InternalError',
      times: 3,
    });
    await it.applied();
    expect(it.bucket.attributes('files/a.log')?.tags).toEqual([['Kind', 'x']]);
  });
});

test('an ACL is put', async () => {
  const bucket = await testBucket();
  bucket.server.store.bucket('acme-backup')!.configuration['ownershipControls'] =
    '<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>';
  const it = await changedRules(
    [],
    all({ access: { kind: 'canned', acl: 'public-read' } }),
    {},
    Promise.resolve(bucket),
  );
  expect(await it.applied()).toEqual({ 'a.log': 'meta-updated (acl)' });
  expect(bucket.server.requests.map(({ operation, headers }) => [operation, headers['x-amz-acl']])).toEqual([
    ['PutObjectAcl', 'public-read'],
  ]);
});

describe('a lock', () => {
  const locked = (durationMs: number) =>
    all({ objectLock: { retention: { mode: 'GOVERNANCE', until: { kind: 'after', durationMs } } } });
  const dayMs = 86_400_000;

  test('is lengthened, from when the object was written', async () => {
    const it = await changedRules(locked(dayMs), locked(3 * dayMs), {}, lockable());
    const writtenMs = it.baseline('a.log')!.recorded!.atMs;
    expect(await it.applied()).toEqual({ 'a.log': 'meta-updated (object-lock)' });
    expect(it.bucket.attributes('files/a.log')?.retention?.untilMs).toBe(
      Math.ceil((writtenMs + 3 * dayMs) / 1000) * 1000,
    );
    expect(it.bucket.server.counts()).toEqual({ PutObjectRetention: 1 });
  });

  test('is not shortened', async () => {
    const it = await changedRules(locked(3 * dayMs), locked(dayMs), {}, lockable());
    expect(await it.applied()).toEqual({ 'a.log': 'unchanged (identical)' });
    expect(it.bucket.server.counts()).toEqual({});
  });

  test('is taken away where a rule says so', async () => {
    const it = await changedRules(
      all({ objectLock: { legalHold: true } }),
      all({ objectLock: { legalHold: false } }),
      {},
      lockable(),
    );
    await it.applied();
    expect(it.bucket.attributes('files/a.log')?.legalHold).toBe('OFF');
  });
});

describe('everything else', () => {
  const cached = all({ cacheControl: 'no-store', tags: { Kind: '{ext}' }, metadata: { a: 'b' } });

  test('takes a copy of the object onto itself, without its bytes', async () => {
    const it = await changedRules([], cached);
    expect(await it.applied()).toEqual({ 'a.log': 'meta-updated (tags, metadata, cache-control)' });
    // The HEAD is the first copy's: does the store keep the tags of copies?
    expect(it.bucket.server.counts()).toEqual({ CopyObject: 1, HeadObject: 1 });
    expect(it.bucket.content('files/a.log')).toBe('content');
    const attributes = it.bucket.attributes('files/a.log')!;
    expect(attributes.headers).toMatchObject({ 'cache-control': 'no-store', 'x-amz-meta-a': 'b' });
    expect(attributes.headers, 'the time is kept').toHaveProperty('x-amz-meta-mtime');
    expect(attributes.tags).toEqual([['Kind', 'log']]);
  });

  test('leaves a baseline against which later changes are judged', async () => {
    const it = await changedRules([], cached, { policy: 'if-unchanged' });
    await it.applied();
    it.write('a.log', 'changed');
    expect(await it.drained()).toEqual({ 'a.log': expect.stringMatching(/^uploaded/) as string });
    it.write('a.log', 'changed', new Date(0));
    expect(await it.drained()).toEqual({ 'a.log': 'touched (times-only)' });
  });

  test.each(['overwrite', 'if-unchanged'] as const)(
    '%s: replaces nothing of somebody else',
    async (policy) => {
      const it = await changedRules([], cached, { policy });
      it.bucket.put('files/a.log', 'theirs');
      expect(await it.applied()).toEqual({ 'a.log': 'conflict (remote-changed)' });
      expect(it.bucket.content('files/a.log')).toBe('theirs');
      expect(it.bucket.attributes('files/a.log')?.headers).not.toHaveProperty('cache-control');
    },
  );

  test('also for objects under SSE-C, to another key', async () => {
    const [first, second] = [7, 8].map((byte) => Buffer.alloc(32, byte).toString('base64'));
    const rule = (key: string): Rule => ({ match: '**', encryption: { sse: 'customer', key } });
    const it = await changedRules([rule(first!)], [rule(first!), rule(second!)]);
    expect(await it.applied()).toEqual({ 'a.log': 'meta-updated (sse)' });
    it.restart({ rules: [rule(second!)] });
    expect(await it.route.destination.head('files/a.log')).toMatchObject({ kind: 'object' });
  });
});

describe('an object is left alone', () => {
  const tagged = all({ tags: { Kind: 'x' } });

  test('that somebody else wrote before: what it is besides its bytes is not known', async () => {
    const bucket = await testBucket();
    bucket.put('files/a', 'same');
    const it = await drainedFolder({ rules: tagged }, bucket);
    it.write('a', 'same');
    expect(await it.drained()).toEqual({ a: 'adopted (same)' });
    expect(await it.applied()).toEqual({});
    expect(it.unknown).toBe(1);
  });

  test('that skip-existing left to somebody else', async () => {
    const bucket = await testBucket();
    bucket.put('files/a', 'theirs');
    const it = await drainedFolder({ policy: 'skip-existing', rules: tagged }, bucket);
    it.write('a', 'mine');
    await it.drained();
    expect(await it.applied()).toEqual({});
    expect(it.unknown).toBe(0);
  });

  test('whose file only grew older', async () => {
    const rules: readonly Rule[] = [{ match: '**', newerThanMs: 3_600_000, tags: { Kind: 'new' } }];
    const it = await changedRules(rules, rules);
    const [page] = it.drift(Date.now() + 7_200_000);
    expect(page?.drifted).toEqual([]);
  });

  test('whose file is gone', async () => {
    const it = await changedRules([], tagged);
    it.remove('a.log');
    await it.drained();
    expect(await it.applied()).toEqual({});
  });

  test('whose key is another now, until its file is sent again', async () => {
    const it = await changedRules([], all({ key: 'new/{name}' }));
    const [page] = it.drift();
    expect(page?.drifted).toMatchObject([{ drift: { fields: ['key'], remedy: { kind: 'upload' } } }]);
  });
});

test('a file that changed meanwhile is uploaded as the rules have it, and nothing more', async () => {
  const it = await changedRules([], all({ tags: { Kind: 'x' } }));
  it.writeUnseen('a.log', 'another');
  expect(await it.applied()).toEqual({ 'a.log': 'uploaded (changed)' });
  expect(it.bucket.attributes('files/a.log')?.tags).toEqual([['Kind', 'x']]);
  expect(it.bucket.server.counts()).toEqual({ PutObject: 1 });
});

test('what was to be brought in line is so after a restart', async () => {
  const it = await changedRules([], all({ tags: { Kind: 'x' } }));
  it.markDrift();
  it.restart();
  expect(await it.drained()).toEqual({ 'a.log': 'meta-updated (tags)' });
});

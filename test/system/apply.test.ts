// `apply`: rules are changed after the objects were written. What that costs is judged by the server's log.
import { describe, expect, test } from 'vitest';
import { noLocalServer, startStore, until, workspace, type Workspace } from './harness.ts';

const tagged = (tags: Record<string, string>, more: object = {}) => ({
  folder: { rules: [{ match: '**', tags, ...more }] },
});

function writeMany(it: Workspace, count: number): void {
  for (let n = 0; n < count; n++) it.write(`d${n % 50}/f${n}.txt`, `content ${n}`);
}

test.skipIf(noLocalServer)(
  'changing a tag rule over 10,000 objects and `apply`: 10,000 tag requests, 0 bytes uploaded',
  async () => {
    const store = await startStore();
    const it = workspace(store, tagged({ Kind: 'draft' }));
    writeMany(it, 10_000);
    await it.once();
    it.configure(tagged({ Kind: 'final', Name: '{name}' }));

    store.forget();
    const plan = await it.s3syncd('plan');
    expect(plan.stdout).toMatch(/^apply +10,000 objects +docs → s3 +tags$/m);
    expect(store.requests, 'a plan touches nothing').toEqual([]);

    const applied = await it.s3syncd('apply', '--json');
    expect(applied.code, applied.stderr).toBe(0);
    expect(applied.json).toMatchObject({
      marked: 10_000,
      left: [],
      unknown: 0,
      bytes: 0,
      outcomes: { 'meta-updated': 10_000 },
      requests: { PutObjectTagging: 10_000 },
    });
    expect(store.counts).toEqual({ PutObjectTagging: 10_000 });
    expect(await store.tags('d7/f7.txt')).toEqual({ Kind: 'final', Name: 'f7.txt' });

    store.forget();
    expect((await it.s3syncd('plan')).stdout).toBe('nothing to do\n');
    expect((await it.once()).folders.docs.outcomes).toMatchObject({ uploaded: 0, unchanged: 0 });
    expect((await it.s3syncd('apply')).stdout).toBe('nothing to bring in line\n');
    expect(store.requests, 'what is in line costs nothing').toEqual([]);
  },
  900_000, // 10,000 requests twice: a minute where nothing else runs
);

describe('apply', () => {
  test('copies objects onto themselves where S3 has no other way', async () => {
    const store = await startStore();
    const it = workspace(store, tagged({ Kind: 'x' }));
    writeMany(it, 20);
    await it.once();
    const before = await store.objects();
    it.configure(tagged({ Kind: 'y' }, { 'cache-control': 'no-store', metadata: { a: 'b' } }));
    expect((await it.s3syncd('plan', '--json')).json.actions[0]).toMatchObject({
      action: 'apply',
      reason: 'tags, metadata, cache-control',
      bytes: 0,
    });
    const applied = await it.s3syncd('apply', '--json');
    expect(applied.json).toMatchObject({ marked: 20, bytes: 0, requests: { CopyObject: 20 } });
    const head = await store.head('d7/f7.txt');
    expect(head).toMatchObject({ CacheControl: 'no-store', Metadata: { a: 'b' } });
    expect(head.Metadata, 'the time is kept').toHaveProperty('mtime');
    expect(await store.tags('d7/f7.txt')).toEqual({ Kind: 'y' });
    expect([...(await store.objects()).keys()]).toEqual([...before.keys()]);
    // The ETags that copies have are the ones to go by.
    it.write('d7/f7.txt', 'changed');
    expect((await it.once()).folders.docs.outcomes).toMatchObject({ uploaded: 1, conflict: 0 });
  });

  test('is done by the running daemon, once that has the new rules', async () => {
    const store = await startStore();
    const it = workspace(store, tagged({ Kind: 'x' }));
    writeMany(it, 20);
    await it.once();
    const before = await it.start();
    it.configure(tagged({ Kind: 'y' }));
    const stale = await it.s3syncd('apply');
    expect(stale.code).not.toBe(0);
    expect(stale.stderr).toContain('restart it first');
    await before.stop();
    await it.start();
    const applied = await it.s3syncd('apply');
    expect(applied).toMatchObject({ code: 0 });
    expect(applied.stdout).toMatch(/^20 objects are brought in line by the running daemon/);
    await until(async () => (await store.tags('d7/f7.txt'))['Kind'] === 'y', 20_000);
  });

  test('says what it cannot do where the object is, and leaves it', async () => {
    const store = await startStore();
    const it = workspace(store, tagged({ Kind: 'x' }));
    it.write('a', 'a');
    await it.once();
    it.configure({ folder: { rules: [{ match: '**', tags: { Kind: 'x' }, key: 'new/{name}' }] } });
    expect((await it.s3syncd('plan', '--json')).json.actions).toMatchObject([
      { path: 'a', key: 'a', action: 'leave', reason: 'key: upload' },
    ]);
    const applied = await it.s3syncd('apply');
    expect(applied.code).toBe(1);
    expect(applied.stdout).toContain('only by sending the file again');
    expect(await store.keys()).toEqual(['a']);
  });

  test('takes the folders that it is told, and no others', async () => {
    const store = await startStore();
    const it = workspace(store, tagged({ Kind: 'x' }));
    it.write('a', 'a');
    await it.once();
    it.configure(tagged({ Kind: 'y' }));
    const other = await it.s3syncd('apply', '--folder', 'pictures');
    expect(other.code).toBe(2);
    expect(other.stderr).toContain('has no folder "pictures"');
    expect((await it.s3syncd('apply', '--folder', 'docs', '--json')).json).toMatchObject({ marked: 1 });
    expect(await store.tags('a')).toEqual({ Kind: 'y' });
  });

  test('says of how many objects it does not know what they are', async () => {
    const store = await startStore();
    const it = workspace(store, tagged({ Kind: 'x' }));
    await store.put('a', 'same');
    it.write('a', 'same');
    await it.once();
    expect((await it.s3syncd('plan', '--json')).json).toMatchObject({ actions: [], unknown: 1 });
    expect((await it.s3syncd('apply')).stderr).toMatch(/^of 1 object that somebody else had written before/);
    expect(await store.tags('a')).toEqual({});
  });
});

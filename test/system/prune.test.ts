// `prune`: what belongs to no file is listed, and removed when that is asked for; nothing else ever is.
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryDirectory } from '../helpers/temporary.ts';
import { leastPrivilege, noLocalServer, startStore, workspace } from './harness.ts';
import type { ConfigParts, Store, Workspace } from './harness.ts';

/** A folder whose files are in the bucket below `docs/`. */
async function synced(
  names: readonly string[],
  { folder, ...parts }: ConfigParts = {},
): Promise<{ store: Store; home: Workspace }> {
  const store = await startStore();
  const home = workspace(store, {
    destination: { prefix: 'docs/' },
    folder: { delete: 'keep', ...folder },
    ...parts,
  });
  for (const name of names) home.write(name, `content of ${name}`);
  await home.once();
  return { store, home };
}

// `delete: keep` asks for no right to delete; `iam-policy --help` says that `prune --remove` needs it besides.
describe.skipIf(leastPrivilege)('prune', () => {
  test('lists what belongs to no file, and removes exactly that when asked to', async () => {
    const { store, home } = await synced(['a', 'kept', 'x.tmp']);
    fs.rmSync(home.path('kept'));
    await store.put('docs/stranger', 'nobody knows');
    await store.put('elsewhere', 'not below the prefix');
    home.configure({ destination: { prefix: 'docs/' }, folder: { exclude: ['*.tmp'] } });
    await home.once();

    const listed = await home.s3syncd('prune', '--json');
    expect(listed.code).toBe(0);
    expect(listed.json.objects).toMatchObject([
      { key: 'docs/stranger', reason: 'untracked', outcome: 'listed' },
      { key: 'docs/x.tmp', reason: 'excluded', outcome: 'listed' },
    ]);
    expect(await store.keys()).toHaveLength(5);
    const removed = await home.s3syncd('prune', '--remove');
    expect([removed.code, removed.stdout]).toEqual([
      0,
      expect.stringMatching(/removed +docs\/stranger.*2 objects/s),
    ]);
    expect(await store.keys()).toEqual(['docs/a', 'docs/kept', 'elsewhere']);
    // Included again, the file is new.
    home.configure({ destination: { prefix: 'docs/' } });
    await home.once();
    expect(await store.keys()).toContain('docs/x.tmp');
  });

  test('knows files by their paths, whatever a rule calls their objects', async () => {
    const rules = [{ match: '**', key: '{path}.tmp' }];
    const { store, home } = await synced(['a', 'kept', 'left-out'], { folder: { rules } });
    fs.rmSync(home.path('kept'));
    await store.put('docs/stranger.tmp', 'nobody knows');
    home.configure({ destination: { prefix: 'docs/' }, folder: { rules, exclude: ['*.tmp', 'left-out'] } });
    await home.once();
    const { json } = await home.s3syncd('prune', '--remove', '--json');
    expect(json.objects).toMatchObject([
      { key: 'docs/left-out.tmp', reason: 'excluded', outcome: 'removed' },
      { key: 'docs/stranger.tmp', outcome: 'removed' },
    ]);
    expect(await store.keys()).toEqual(['docs/a.tmp', 'docs/kept.tmp']);
  });

  test('finds what a rule called otherwise before', async () => {
    const { store, home } = await synced(['a'], { folder: { rules: [{ match: '**', key: 'old/{path}' }] } });
    home.configure({
      destination: { prefix: 'docs/' },
      folder: { rules: [{ match: '**', key: 'new/{path}' }] },
    });
    home.write('a', 'as it is now');
    await home.once();
    expect(await store.keys()).toEqual(['docs/new/a', 'docs/old/a']);
    const { json } = await home.s3syncd('prune', '--json');
    expect(json.objects).toMatchObject([{ key: 'docs/old/a', reason: 'untracked' }]);
  });

  test('leaves what is below the prefix of another folder to that one', async () => {
    const store = await startStore();
    const { bucket, endpoint, region } = store;
    const theirs = temporaryDirectory();
    fs.writeFileSync(path.join(theirs, 'file'), 'theirs');
    const home = workspace(store, {
      destination: { prefix: 'docs/' },
      destinations: { inner: { bucket, endpoint, region, prefix: 'docs/inner/' } },
      folders: { inner: { path: theirs, to: 'inner' } },
    });
    home.write('ours', 'ours');
    await home.once();
    await store.put('docs/inner/stranger', 'nobody knows');
    const { json } = await home.s3syncd('prune', '--json');
    expect(json.objects).toMatchObject([{ key: 'docs/inner/stranger', folder: 'inner' }]);
    expect(json.objects).toHaveLength(1);
  });

  test.skipIf(noLocalServer)('goes on where one cannot be removed, and says which', async () => {
    const { store, home } = await synced(['a']);
    for (const name of ['first', 'locked', 'third']) await store.put(`docs/${name}`, 'nobody knows');
    const denied = { kind: 'answer', status: 403, code: 'AccessDenied', operation: 'DeleteObject' } as const;
    store.server.faults.add({ ...denied, keyPattern: 'locked$' });
    const { code, json, stderr } = await home.s3syncd('prune', '--remove', '--json');
    expect(json.objects).toMatchObject([
      { key: 'docs/first', outcome: 'removed' },
      { key: 'docs/locked', outcome: 'failed' },
      { key: 'docs/third', outcome: 'removed' },
    ]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/docs\/locked.*AccessDenied/)]);
    expect(await store.keys()).toEqual(['docs/a', 'docs/locked']);
  });

  test('says nothing of a folder that is in doubt', async () => {
    const { store, home } = await synced(['a', 'b']);
    await store.put('docs/stranger', 'nobody knows');
    fs.renameSync(home.folder, `${home.folder}.old`);
    fs.mkdirSync(home.folder);
    home.write('other', 'other');
    const { code, stderr } = await home.s3syncd('prune', '--remove');
    expect([code, stderr]).toEqual([1, expect.stringMatching(/its root is in doubt \(root-replaced\)/)]);
    expect(await store.keys()).toHaveLength(3);
  });
});

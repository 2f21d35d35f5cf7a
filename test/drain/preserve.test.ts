// Touches and changes of mode or owner with a real journal, real files and a real server.
import fs from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Preservable } from '../../src/core/policy.ts';
import { testBucket } from '../helpers/bucket.ts';
import { drainedFolder, type DrainedFolder, type FolderOptions } from '../helpers/drained.ts';
import type { LegacySwitch } from '../s3-server/legacy.ts';

const policies = ['overwrite', 'skip-existing', 'if-unchanged', 'newer-wins'] as const;
const longAgo = new Date('2020-01-01T00:00:00Z');

async function synced(options: FolderOptions, legacy: LegacySwitch[] = []): Promise<DrainedFolder> {
  const folder = await drainedFolder(options, await testBucket({ legacy }));
  folder.write('a', 'content');
  await folder.drained();
  folder.bucket.server.clearRequests();
  return folder;
}

function touch(folder: DrainedFolder): void {
  fs.utimesSync(folder.absolute('a'), longAgo, longAgo);
  folder.observe('a');
}

function chmod(folder: DrainedFolder): void {
  fs.chmodSync(folder.absolute('a'), 0o600);
  folder.observe('a');
}

describe('preserve-changes: lazy', () => {
  test.each(policies)('%s: a new mode waits for the next upload', async (policy) => {
    const folder = await synced({ policy, preserve: ['mode'] });
    chmod(folder);
    const outcome = policy === 'skip-existing' ? 'touched' : 'meta-deferred';
    expect(await folder.drained()).toEqual({ a: `${outcome} (times-only)` });
    expect(folder.bucket.server.counts()).toEqual({});
    folder.observe('a');
    expect(await folder.drained()).toEqual({ a: 'unchanged (identical)' });

    folder.write('a', 'longer content');
    await folder.drained();
    const mode = folder.bucket.attributes('files/a')?.headers['x-amz-meta-mode'];
    expect(mode).toBe(policy === 'skip-existing' ? '100644' : '100600');
  });
});

describe('preserve-changes: eager', () => {
  const preserveChanges = 'eager';
  const cases: readonly [what: string, (folder: DrainedFolder) => void, Preservable, object][] = [
    ['a touch', touch, 'mtime', { 'x-amz-meta-mtime': '1577836800' }],
    ['a new mode', chmod, 'mode', { 'x-amz-meta-mode': '100600' }],
  ];

  test.each(cases)('skip-existing: %s touches no object', async (_what, act, preserved) => {
    const folder = await synced({ policy: 'skip-existing', preserve: [preserved], preserveChanges });
    act(folder);
    expect(await folder.drained()).toEqual({ a: 'touched (times-only)' });
    expect(folder.bucket.server.counts()).toEqual({});
  });

  test.each(
    cases
      .flatMap((each) => policies.map((policy) => [policy, ...each] as const))
      .filter(([policy]) => policy !== 'skip-existing'),
  )(
    '%s: %s is said of the object at once, by a copy of it onto itself',
    async (policy, _what, act, preserved, metadata) => {
      const rules = [{ match: '*', tags: { Kind: 'log' }, storageClass: 'STANDARD_IA' }] as const;
      const folder = await synced({ policy, preserve: [preserved], preserveChanges, rules });
      act(folder);
      expect(await folder.drained()).toEqual({ a: 'meta-updated (times-only)' });
      // The first copy with tags is looked at: some stores drop them.
      expect(folder.bucket.server.counts()).toEqual({ CopyObject: 1, HeadObject: 1 });
      const object = folder.bucket.attributes('files/a')!;
      expect(object.headers).toMatchObject({ 'content-type': 'application/octet-stream', ...metadata });
      expect([object.storageClass, object.tags]).toEqual(['STANDARD_IA', [['Kind', 'log']]]);
      expect(folder.bucket.content('files/a')).toBe('content');

      folder.observe('a');
      expect(await folder.drained()).toEqual({ a: 'unchanged (identical)' });
      // What is known of the object holds for the next condition.
      folder.write('a', 'longer content');
      expect(await folder.drained()).toEqual({ a: 'uploaded (size-differs)' });
    },
  );

  test('what is not preserved costs no request', async () => {
    const folder = await synced({ preserve: ['owner'], preserveChanges });
    touch(folder);
    expect(await folder.drained()).toEqual({ a: 'touched (times-only)' });
    expect(folder.bucket.server.counts()).toEqual({});
  });

  test.each([
    ['overwrite', 'uploaded (size-differs)', 'content'],
    ['if-unchanged', 'conflict (remote-changed)', 'theirs'],
    ['newer-wins', 'conflict (ambiguous)', 'theirs'],
  ] as const)(
    '%s: an object that somebody changed is not described as ours: %s',
    async (policy, outcome, content) => {
      const folder = await synced({ policy, preserve: ['mode'], preserveChanges });
      folder.bucket.put('files/a', 'theirs', { mtimeNs: folder.mtimeNs('a') });
      chmod(folder);
      expect(await folder.drained()).toEqual({ a: outcome });
      expect(folder.bucket.content('files/a')).toBe(content);
    },
  );

  test('an object that somebody deleted is made again', async () => {
    const folder = await synced({ policy: 'if-unchanged', preserve: ['mode'], preserveChanges });
    folder.bucket.remove('files/a');
    chmod(folder);
    expect(await folder.drained()).toEqual({ a: 'recreated (remote-deleted)' });
  });

  test('an archived object waits for the next upload', async () => {
    const rules = [{ match: '*', storageClass: 'GLACIER' }] as const;
    const folder = await synced({ preserve: ['mode'], preserveChanges, rules });
    chmod(folder);
    expect(await folder.drained()).toEqual({ a: 'meta-deferred (times-only)' });
    expect(folder.bucket.count('PutObject')).toBe(0);
    expect(folder.bucket.ourChanges('files/a')).toEqual(['write']);
  });

  test.each([
    ['overwrite', 'meta-updated (times-only)'],
    ['if-unchanged', 'meta-deferred (times-only)'],
  ] as const)('%s, on a store that holds copies to no condition: %s', async (policy, outcome) => {
    const folder = await synced({ policy, preserve: ['mode'], preserveChanges }, [
      'ignore-conditions-on-copy',
    ]);
    chmod(folder);
    expect(await folder.drained()).toEqual({ a: outcome });
  });

  test('its answer is lost: it is done all the same', async () => {
    const folder = await synced({ policy: 'if-unchanged', preserve: ['mode'], preserveChanges });
    folder.bucket.server.faults.add({ kind: 'commit-then-drop', operation: 'CopyObject', times: 1 });
    chmod(folder);
    expect(await folder.drained()).toEqual({ a: 'meta-updated (times-only)' });
    expect(folder.bucket.attributes('files/a')?.headers).toMatchObject({ 'x-amz-meta-mode': '100600' });
  });
});

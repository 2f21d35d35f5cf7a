// What rules mean for a change: when the object they ask for cannot be, and when it is there before we know.
import { expect, test } from 'vitest';
import type { Rule } from '../../src/core/rules.ts';
import { testBucket } from '../helpers/bucket.ts';
import { drainedFolder } from '../helpers/drained.ts';

const large = Buffer.alloc(8 * 1024 ** 2 + 1);

function tags(names: string): Record<string, string> {
  return Object.fromEntries(names.split('').map((name) => [name, 'x']));
}

test('a file that would get eleven tags fails, in words and without a request; the others go on', async () => {
  const rules: Rule[] = [
    { match: '**', tags: tags('abcdef') },
    { match: '*.log', tags: tags('ghijk') },
  ];
  const it = await drainedFolder({ rules });
  it.write('a.log', 'a');
  it.write('b.txt', 'b');
  expect(await it.drained()).toEqual({ 'a.log': 'failed (too-many-tags)', 'b.txt': 'uploaded (new)' });
  expect(it.bucket.keys).toEqual(['files/b.txt']);
  expect(it.bucket.count('PutObject')).toBe(1);
});

test('a landed upload whose answer was lost gets the tags that its store dropped', async () => {
  const bucket = await testBucket({ legacy: ['drop-multipart-tags'] });
  const it = await drainedFolder(
    { policy: 'skip-existing', rules: [{ match: '**', tags: { Kind: '{ext}' } }] },
    bucket,
  );
  bucket.server.faults.add({
    kind: 'commit-then-drop',
    operation: 'CompleteMultipartUpload',
    keyPrefix: 'files/a',
    times: 1,
  });
  it.write('a.log', large);
  expect(await it.drained()).toEqual({ 'a.log': 'uploaded (own-lost-answer)' });
  expect(bucket.attributes('files/a.log')?.tags).toEqual([['Kind', 'log']]);
});

test('an upload whose tags could not be put is tagged by the next try, and not sent again', async () => {
  const bucket = await testBucket({ legacy: ['drop-multipart-tags'] });
  const it = await drainedFolder({ rules: [{ match: '**', tags: { Kind: '{ext}' } }] }, bucket);
  const fault = {
    kind: 'answer',
    operation: 'PutObjectTagging',
    status: 500,
    code: 'InternalError',
  } as const;
  bucket.server.faults.add({ ...fault, times: 3 });
  it.write('a.log', large);
  await it.drained();
  expect(bucket.attributes('files/a.log')?.tags).toEqual([['Kind', 'log']]);
  expect(bucket.count('UploadPart')).toBe(1);
  expect(it.baseline('a.log')).toMatchObject({ outcome: 'uploaded', owned: true });
});

test('under SSE-C a touched file is not sent again, and a changed one is', async () => {
  const key = Buffer.alloc(32, 7).toString('base64');
  const it = await drainedFolder({
    policy: 'if-unchanged',
    rules: [{ match: '**', encryption: { sse: 'customer', key } }],
  });
  it.write('a', 'one');
  expect(await it.drained()).toEqual({ a: 'uploaded (new)' });
  it.write('a', 'one', new Date(0));
  expect(await it.drained()).toEqual({ a: 'touched (times-only)' });
  it.write('a', 'two', new Date(1000));
  expect(await it.drained()).toEqual({ a: 'uploaded (changed)' });
});

// What a route does not select is no business of it: under `delete: propagate` too.
import fs from 'node:fs';
import { expect, test } from 'vitest';
import { drainedFolder } from '../helpers/drained.ts';

const propagate = { delete: 'propagate', when: { match: ['**'], smallerThanBytes: 10 } } as const;

test('a file that grew beyond the selector keeps its object, and also when it is deleted then', async () => {
  const folder = await drainedFolder(propagate);
  folder.write('a', 'small');
  folder.write('b', 'stays');
  await folder.drained();

  folder.write('a', 'larger than ten bytes');
  expect(await folder.drained()).toEqual({ a: 'kept-remote (not-selected)' });
  folder.remove('a');
  expect(await folder.drained()).toEqual({ a: 'unchanged (identical)' });
  expect(folder.bucket.content(folder.key('a'))).toBe('small');
  expect(folder.bucket.count('DeleteObject')).toBe(0);
});

test('a file that is deleted while it is selected is deleted there', async () => {
  const folder = await drainedFolder(propagate);
  folder.write('a', 'small');
  folder.write('b', 'stays');
  await folder.drained();
  folder.remove('a');
  await folder.drained();
  expect(folder.bucket.keys).toEqual([folder.key('b')]);
});

test('a selector that takes less of what is gone meanwhile deletes nothing', async () => {
  const folder = await drainedFolder({ ...propagate, when: { match: ['a', 'b'] } });
  folder.write('a', 'a');
  folder.write('b', 'b');
  await folder.drained();
  folder.restart({ when: { match: ['b'] } });
  folder.remove('a');
  expect(await folder.drained()).toEqual({ a: 'kept-remote (not-selected)' });
  expect(folder.bucket.keys).toEqual([folder.key('a'), folder.key('b')]);
});

test('a renamed file that is not selected under its new name is sent nowhere', async () => {
  const folder = await drainedFolder({ when: { match: ['in/**'] } });
  folder.write('in/a', 'content');
  await folder.drained();
  fs.renameSync(folder.absolute('in/a'), folder.absolute('out'));
  folder.observe('in/a', 'out');
  expect(await folder.drained()).toMatchObject({ out: 'unchanged (not-selected)' });
  expect(folder.bucket.keys).toEqual([folder.key('in/a')]);
  fs.renameSync(folder.absolute('out'), folder.absolute('in/b'));
  folder.observe('out', 'in/b');
  await folder.drained();
  expect(folder.bucket.content(folder.key('in/b'))).toBe('content');
});

import { expect, test } from 'vitest';
import { covers, pathIn } from '../src/naming.ts';

const folder = { path: '/srv/docs' };

test.each([
  ['a', 'a'],
  ['./a', 'a'],
  ['d/', 'd'],
  ['/srv/docs/d/a', 'd/a'],
  ['/srv/docs', ''],
  ['.', ''],
  ['./', ''],
  ['/srv/docs2/a', '../docs2/a'],
])('%j means the path %j', (typed, path) => {
  expect(pathIn(folder, typed)).toBe(path);
});

test.each([
  ['d', 'd', true],
  ['d', 'd/a', true],
  ['d/', 'd/e/a', true],
  ['d', 'd2', false],
  ['d/a', 'd', false],
  ['/srv/docs', 'd/a', true],
  ['.', 'd/a', true],
  ['/srv/docs2', 'd/a', false],
  ['/srv', 'd/a', false],
])('%j covers %j: %j', (typed, path, does) => {
  expect(covers(folder, typed, path)).toBe(does);
});

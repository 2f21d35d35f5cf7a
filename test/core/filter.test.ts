import { array, assert, property, string } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { makeFilter } from '../../src/core/filter.ts';

const none = { include: [], exclude: [] };

describe('exclude', () => {
  test.each([
    // pattern, path, is excluded
    ['*.tmp', 'a.tmp', true],
    ['*.tmp', 'deep/down/a.tmp', true],
    ['*.tmp', 'a.tmp.txt', false],
    ['*.tmp', 'A.TMP', false],
    ['/build', 'build', true],
    ['/build', 'src/build', false],
    ['build/', 'build', false],
    ['build/', 'build/a.txt', true],
    ['a/b', 'a/b', true],
    ['a/b', 'x/a/b', false],
    ['**/b', 'x/a/b', true],
    ['a/**/b', 'a/x/y/b', true],
    ['*', '.hidden', true],
    ['file[0-9]', 'file7', true],
    // Hostile names
    [String.raw`a\\b`, String.raw`a\b`, true],
    ['b', String.raw`a\b`, false],
    [String.raw`\!important`, '!important', true],
    [String.raw`\#note`, '#note', true],
    ['#note', '#note', false],
    ['* *', ' leading space', true],
    ['leading', ' leading', false],
    ['*.log', 'two\nlines.log', true],
    ['two', 'two\nlines', false],
    ['*.log', '...log', true],
    ['..a', '..a', true],
    ['__proto__', '__proto__', true],
    ['*.x', '__proto__', false],
    ['*.x', 'constructor', false],
    [String.raw`\*`, '*', true],
    [String.raw`\*`, 'a', false],
    ['größe', 'größe', true],
    ['*.tmp', '\ud800.tmp', true],
  ])('%j and the file %j: %s', (pattern, path, excluded) => {
    expect(makeFilter({ ...none, exclude: [pattern] }).excludesFile(path)).toBe(excluded);
  });

  test('a directory is excluded with or without a slash in the pattern', () => {
    expect(makeFilter({ ...none, exclude: ['.git/'] }).excludesDirectory('.git')).toBe(true);
    expect(makeFilter({ ...none, exclude: ['.git'] }).excludesDirectory('a/.git')).toBe(true);
    expect(makeFilter({ ...none, exclude: ['/.git'] }).excludesDirectory('a/.git')).toBe(false);
  });

  test('the folder itself is never excluded', () => {
    expect(makeFilter({ ...none, exclude: ['*', '/'] }).excludesDirectory('')).toBe(false);
  });

  test('a later pattern includes again, but not below an excluded directory', () => {
    const filter = makeFilter({ ...none, exclude: ['*.log', '!keep.log', 'cache/', '!cache/keep.log'] });
    expect(filter.excludesFile('a/keep.log')).toBe(false);
    expect(filter.excludesFile('cache/keep.log')).toBe(true);
  });

  test.each(['../x', '..', '.', './x', '/x', ''])(
    'what lies outside the folder, %j, is excluded and does not throw',
    (path) => {
      expect(makeFilter(none).excludesFile(path)).toBe(true);
    },
  );

  test('without patterns every name that a file can have is synced', () => {
    const segment = string({ unit: 'binary', minLength: 1, maxLength: 12 })
      .map((text) => text.replaceAll(/[/\0]/g, '_'))
      .filter((name) => name !== '.' && name !== '..');
    const path = array(segment, { minLength: 1, maxLength: 4 }).map((segments) => segments.join('/'));
    assert(property(path, (path) => !makeFilter(none).excludesFile(path)));
  });
});

describe('include', () => {
  const filter = makeFilter({ include: ['*.jpg', '/docs/', '!private.jpg'], exclude: ['tmp/'] });

  test.each([
    ['a.jpg', false],
    ['deep/a.jpg', false],
    ['a.png', true],
    ['docs/a.txt', false],
    ['docs/deep/a.txt', false],
    ['other/docs/a.txt', true],
    ['private.jpg', true],
    ['tmp/a.jpg', true],
  ])('the file %s is excluded: %s', (path, excluded) => {
    expect(filter.excludesFile(path)).toBe(excluded);
  });

  test('directories are entered whatever they are called, unless they are excluded', () => {
    expect(filter.excludesDirectory('other')).toBe(false);
    expect(filter.excludesDirectory('tmp')).toBe(true);
  });
});

describe('ignore files', () => {
  test.each([
    // directory of the file, its text, path, is excluded
    ['', '*.o', 'a/b.o', true],
    ['a', '*.o', 'a/b.o', true],
    ['a', '*.o', 'a/deep/b.o', true],
    ['a', '*.o', 'b.o', false],
    ['a', '*.o', 'ab/b.o', false],
    ['a', '/b.o', 'a/b.o', true],
    ['a', '/b.o', 'a/deep/b.o', false],
    ['a', 'deep/b.o', 'a/deep/b.o', true],
    ['a', 'deep/b.o', 'a/x/deep/b.o', false],
    ['a', 'out/', 'a/out/b.o', true],
    ['a', 'out/', 'a/out', false],
    ['a', '# comment\n\n   \n*.o\r\n*.p', 'a/b.o', true],
    ['a', '# comment', 'a/# comment', false],
    ['a', String.raw`\#note`, 'a/#note', true],
    ['a', String.raw`\!note`, 'a/deep/!note', true],
    ['a', '*.o   ', 'a/b.o', true],
    ['a', 'out/  ', 'a/deep/out/x', true],
    ['a', '\ufeff*.o', 'a/b.o', true],
    // Directories whose names are patterns
    ['a*', 'x', 'a*/x', true],
    ['a*', 'x', 'ab/x', false],
    ['[ab]', 'x', '[ab]/x', true],
    ['[ab]', 'x', 'a/x', false],
    [String.raw`a\b`, 'x', String.raw`a\b/x`, true],
    ['!a', 'x', '!a/x', true],
    ['#a', 'x', '#a/x', true],
    [' a ', 'x', ' a /x', true],
    ['a\nb', 'x', 'a\nb/x', true],
    ['a\nb', 'x', 'b/x', false],
  ])('in %j, %j excludes %j: %s', (directory, text, path, excluded) => {
    expect(makeFilter(none).withIgnoreFile(directory, text).excludesFile(path)).toBe(excluded);
  });

  test('the deeper file wins, and can include what the upper one excludes', () => {
    const filter = makeFilter(none).withIgnoreFile('', '*.log\nbuild').withIgnoreFile('a', '!*.log\n!build');
    expect(filter.excludesFile('x.log')).toBe(true);
    expect(filter.excludesFile('a/x.log')).toBe(false);
    expect(filter.excludesDirectory('a/build')).toBe(false);
    expect(filter.excludesFile('a/build/x.txt')).toBe(false);
    expect(filter.excludesDirectory('b/build')).toBe(true);
  });

  test('no ignore file includes what the config excludes', () => {
    const filter = makeFilter({ include: ['*.txt'], exclude: ['secret/'] }).withIgnoreFile(
      '',
      '!secret/\n!*.key',
    );
    expect(filter.excludesFile('secret/a.txt')).toBe(true);
    expect(filter.excludesFile('a.key')).toBe(true);
  });

  test('a filter does not change when an ignore file is added to it', () => {
    const before = makeFilter(none);
    before.withIgnoreFile('', '*');
    expect(before.excludesFile('a')).toBe(false);
  });

  test('the ignore file itself is synced', () => {
    expect(makeFilter(none).withIgnoreFile('', '*.o').excludesFile('.s3ignore')).toBe(false);
  });

  test('a line that could take for ever is refused and named', () => {
    const filter = makeFilter(none).withIgnoreFile('a', '**/a/**/a/**/b\n*.o');
    expect(filter.refusedLines).toEqual(['**/a/**/a/**/b']);
    expect(filter.excludesFile(`${'a/'.repeat(1000)}c`)).toBe(false);
    expect(filter.excludesFile('a/x.o')).toBe(true);
  });
});

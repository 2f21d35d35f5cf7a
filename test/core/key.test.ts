import { array, string, tuple } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesName, directoryOf, joinPath, keyFor, nameOf } from '../../src/core/key.ts';
import { law } from '../helpers/law.ts';

const segments = string({ unit: 'binary', minLength: 1 }).map((text) => text.replaceAll('/', '_'));
const paths = array(segments, { minLength: 1, maxLength: 5 }).map((names) => names.join('/'));
const blocked = (reason: string) => ({ kind: 'blocked', reason });

describe('a key', () => {
  test.each([
    ['', 'a', 'a'],
    ['web-1/', 'a/b c.txt', 'web-1/a/b c.txt'],
    ['p', 'a', 'pa'],
    // Both forms of é are names of their own, on Linux as in S3.
    ['', 'e\u0301', 'e\u0301'],
    ['', '\u00E9', '\u00E9'],
    ['', 'a\nb', 'a\nb'],
    ['', '\u{1F600}', '\u{1F600}'],
  ])('of %j and %j is %j, byte for byte', (prefix, path, key) => {
    expect(keyFor(prefix, path)).toEqual({ kind: 'key', key });
  });

  test.each([
    ['a', 1024],
    ['é', 512],
    ['€', 341],
    ['\u{1F600}', 256],
  ])('has at most 1,024 bytes of UTF-8: %s', (character, times) => {
    expect(keyFor('', character.repeat(times))).toMatchObject({ kind: 'key' });
    expect(keyFor('', character.repeat(times + 1))).toEqual(blocked('key-too-long'));
    expect(keyFor('x'.repeat(1024), character)).toEqual(blocked('key-too-long'));
  });

  test.each(['\uD800', 'a\uDC00b', '\uDC00\uD800'])('cannot hold a lone surrogate: %j', (path) => {
    expect(keyFor('', path)).toEqual(blocked('name-not-utf8'));
  });

  test.each(['', '.', '..', 'a/', '/a', 'a//b', 'a/./b', 'a/../b', '../a', 'a/..'])(
    'has no name between slashes that clients take for a way out of the prefix: %j',
    (tail) => {
      expect(keyFor('p/', tail)).toEqual(blocked('key-not-portable'));
    },
  );

  test.each(['...', 'a..', '..a', '.a/b.', 'a/.b'])('may have dots in names: %j', (tail) => {
    expect(keyFor('p/', tail)).toMatchObject({ kind: 'key' });
  });

  law(
    'is blocked exactly when it is longer in UTF-8, cannot be UTF-8, or has a name that is none',
    tuple(segments, paths),
    ([prefix, path]) => {
      const text = prefix + path;
      const odd = path.split('/').some((name) => ['', '.', '..'].includes(name));
      const fits = Buffer.byteLength(text) <= 1024 && text.isWellFormed() && !odd;
      return (keyFor(prefix, path).kind === 'key') === fits;
    },
  );
});

describe('a path', () => {
  test.each([
    ['a', '', 'a'],
    ['a/b', 'a', 'b'],
    ['a/b/c', 'a/b', 'c'],
    ['a b/ ', 'a b', ' '],
  ])('%j is in %j and called %j', (path, directory, name) => {
    expect([directoryOf(path), nameOf(path)]).toEqual([directory, name]);
    expect(joinPath(directory, name)).toBe(path);
  });

  law('is put together from what it is taken apart into', paths, (path) => {
    return joinPath(directoryOf(path), nameOf(path)) === path && !nameOf(path).includes('/');
  });
});

test.each([
  ['caf\xE9.txt', String.raw`caf\xE9.txt`],
  ['\n\x7F', String.raw`\x0A\x7F`],
  ['plain', 'plain'],
])('the bytes %j are shown as %s', (latin1, shown) => {
  expect(bytesName(Buffer.from(latin1, 'latin1'))).toBe(shown);
});

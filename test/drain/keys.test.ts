// Keys that rules make: where a file's object goes, what becomes of it when the key changes, and who keeps a key that two
// files want.
import { describe, expect, test } from 'vitest';
import { testBucket } from '../helpers/bucket.ts';
import { drainedFolder } from '../helpers/drained.ts';

const in2024 = new Date('2024-05-06T07:08:09Z');
const in2025 = new Date('2025-05-06T07:08:09Z');
const byYear = [{ match: '**', key: '{dir}/{mtime:yyyy}/{name}' }];

describe('a key of a template', () => {
  test('is where the object is written, and is remembered', async () => {
    const it = await drainedFolder({ rules: byYear });
    it.write('docs/a.txt', 'a', in2024);
    it.write('b.txt', 'b', in2025);
    expect(await it.drained()).toEqual({ 'docs/a.txt': 'uploaded (new)', 'b.txt': 'uploaded (new)' });
    expect(it.bucket.keys).toEqual(['files/2025/b.txt', 'files/docs/2024/a.txt']);
    expect(it.baseline('docs/a.txt')).toMatchObject({ tail: 'docs/2024/a.txt' });
  });

  test('that is the path is not written down', async () => {
    const it = await drainedFolder({ rules: [{ match: '**', key: '{dir}/{name}' }] });
    it.write('docs/a.txt', 'a');
    await it.drained();
    expect(it.bucket.keys).toEqual(['files/docs/a.txt']);
    expect(it.baseline('docs/a.txt')).not.toHaveProperty('tail');
  });

  test('keeps a large file, too', async () => {
    const it = await drainedFolder({ rules: byYear });
    it.write('a.bin', Buffer.alloc(9 * 1024 ** 2), in2024);
    expect(await it.drained()).toEqual({ 'a.bin': 'uploaded (new)' });
    expect(it.bucket.keys).toEqual(['files/2024/a.bin']);
  });

  test('is asked for again when the file changes, under a condition', async () => {
    const it = await drainedFolder({ rules: byYear, policy: 'if-unchanged' });
    it.write('a', 'one', in2024);
    await it.drained();
    it.write('a', 'two', in2024);
    expect(await it.drained()).toEqual({ a: 'uploaded (changed)' });
    expect(it.bucket.content('files/2024/a')).toBe('two');
    expect(it.bucket.keys).toEqual(['files/2024/a']);
  });

  test.each([
    ['a name between slashes that is none', '{stem}/x', '...', 'key-not-portable'],
    ['no name at the end', '{dir}/{ext}', 'Makefile', 'key-not-portable'],
    ['more than 1,024 bytes', `${'x'.repeat(500)}/{path}{path}{path}`, 'y'.repeat(200), 'key-too-long'],
  ])('is refused where a file gives it %s', async (_, key, path, reason) => {
    const it = await drainedFolder({ rules: [{ match: '**', key }] });
    it.write(path, 'content');
    expect(await it.drained()).toEqual({ [path]: `blocked (${reason})` });
    expect(it.bucket.keys).toEqual([]);
  });

  test('never leaves the prefix, whatever files are called', async () => {
    const it = await drainedFolder({ rules: [{ match: '**', key: '{stem}/{ext}/{name}' }] });
    for (const path of ['...', '..a', '.', '..', 'a..', '....'].filter((name) => !/^\.{1,2}$/.test(name)))
      it.write(path, path);
    await it.drained();
    expect(it.bucket.keys.filter((key) => /(^|\/)\.{0,2}(\/|$)/.test(key.slice('files/'.length)))).toEqual(
      [],
    );
  });
});

describe('a file whose key changes', () => {
  test('because it is of another year: goes to the new key; the object at the old one stays', async () => {
    const it = await drainedFolder({ rules: byYear });
    it.write('a', 'same', in2024);
    await it.drained();
    it.write('a', 'same', in2025);
    expect(await it.drained()).toEqual({ a: 'uploaded (new)' });
    expect(it.bucket.keys).toEqual(['files/2024/a', 'files/2025/a']);
    expect(it.baseline('a')).toMatchObject({ tail: '2025/a' });
  });

  test('because the rule changed: likewise, when it is looked at', async () => {
    const it = await drainedFolder({ rules: byYear });
    it.write('a', 'same', in2024);
    await it.drained();
    it.restart({ rules: [{ match: '**', key: 'by-month/{mtime:MM}/{name}' }] });
    it.observe('a');
    expect(await it.drained()).toEqual({ a: 'uploaded (new)' });
    expect(it.bucket.keys).toEqual(['files/2024/a', 'files/by-month/05/a']);
  });

  test('because there is no rule any more: goes to its path', async () => {
    const it = await drainedFolder({ rules: byYear });
    it.write('a', 'same', in2024);
    await it.drained();
    it.restart({ rules: [] });
    it.observe('a');
    await it.drained();
    expect(it.bucket.keys).toEqual(['files/2024/a', 'files/a']);
    expect(it.baseline('a')).not.toHaveProperty('tail');
  });

  test('under skip-existing replaces nothing that stands at the new one', async () => {
    const it = await drainedFolder({ rules: byYear, policy: 'skip-existing' });
    it.write('a', 'mine', in2024);
    await it.drained();
    it.bucket.put('files/2025/a', 'theirs');
    it.write('a', 'mine', in2025);
    expect(await it.drained()).toEqual({ a: 'skipped-existing (exists)' });
    expect(it.bucket.content('files/2025/a')).toBe('theirs');
  });

  test('and that is deleted then, leaves the object of its last key', async () => {
    const it = await drainedFolder({ rules: byYear });
    it.write('a', 'a', in2024);
    await it.drained();
    it.remove('a');
    expect(await it.drained()).toEqual({ a: 'kept-remote (deleted-locally)' });
    expect(it.baseline('a')).toMatchObject({ gone: true, tail: '2024/a' });
  });
});

describe('two files that want one key:', () => {
  const flat = [{ match: '**', key: '{name}' }];

  test('who came first keeps it, nothing is written for the other', async () => {
    const it = await drainedFolder({ rules: flat });
    it.write('x/a', 'first');
    await it.drained();
    it.write('y/a', 'second');
    expect(await it.drained()).toEqual({ 'y/a': 'blocked (key-collision)' });
    expect(it.bucket.content('files/a')).toBe('first');
    expect(it.bucket.ourChanges('files/a')).toEqual(['write']);
    expect(it.journal.failures.list(it.route.routeId)[0]?.message).toContain('"x/a"');
  });

  test('also when they come at once', async () => {
    const it = await drainedFolder({ rules: flat });
    for (const directory of ['u', 'v', 'w', 'x']) it.write(`${directory}/a`, directory);
    const results = Object.values(await it.drained()).toSorted();
    expect(results).toEqual([
      ...Array.from({ length: 3 }, () => 'blocked (key-collision)'),
      'uploaded (new)',
    ]);
    expect(it.bucket.ourChanges('files/a')).toEqual(['write']);
  });

  test('also when one of them has it by its path', async () => {
    const it = await drainedFolder({ rules: [{ match: 'x/*', key: '{name}' }] });
    it.write('a', 'first');
    await it.drained();
    it.write('x/a', 'second');
    expect(await it.drained()).toEqual({ 'x/a': 'blocked (key-collision)' });
    expect(it.bucket.content('files/a')).toBe('first');
  });

  test('when the first one is deleted the other is uploaded, and the object is its own', async () => {
    const it = await drainedFolder({ rules: flat });
    it.write('x/a', 'first');
    await it.drained();
    it.write('y/a', 'second');
    await it.drained();
    it.remove('x/a');
    expect(await it.drained()).toEqual({
      'x/a': 'kept-remote (deleted-locally)',
      'y/a': expect.stringMatching(/^uploaded/) as string,
    });
    expect(it.bucket.content('files/a')).toBe('second');
    expect(it.baseline('x/a'), 'nothing but y/a knows of the object').toBeUndefined();
  });

  test('a file that is moved keeps its key', async () => {
    const it = await drainedFolder({ rules: flat, policy: 'if-unchanged' });
    it.write('x/a', 'same', in2024);
    await it.drained();
    it.remove('x/a');
    it.write('y/a', 'same', in2024);
    expect(await it.drained()).toMatchObject({
      'x/a': 'kept-remote (deleted-locally)',
      'y/a': 'adopted (same)',
    });
    expect(it.bucket.ourChanges('files/a')).toEqual(['write']);
    expect(it.baseline('y/a')).toMatchObject({ tail: 'a' });
  });

  test('a rule that is gone has not made anybody forget who has a key', async () => {
    const it = await drainedFolder({ rules: [{ match: 'x/*', key: '{name}' }] });
    it.write('x/a', 'first');
    await it.drained();
    it.restart({ rules: [] });
    it.write('a', 'second');
    expect(await it.drained()).toEqual({ a: 'blocked (key-collision)' });
    expect(it.bucket.content('files/a')).toBe('first');
  });
});

describe('the first contact', () => {
  test('finds objects by the keys that templates make, and sends nothing again', async () => {
    const bucket = await testBucket();
    bucket.put('files/docs/2024/a', 'same');
    bucket.put('files/docs/2024/b', 'theirs');
    bucket.put('files/docs/a', 'not its object');
    const it = await drainedFolder({ rules: byYear }, bucket);
    it.write('docs/a', 'same', in2024);
    it.write('docs/b', 'mine', in2024);
    expect(await it.drained()).toEqual({ 'docs/a': 'adopted (same)', 'docs/b': 'uploaded (size-differs)' });
    expect(bucket.server.counts()).toEqual({ ListObjectsV2: 1, PutObject: 1 });
    expect(it.baseline('docs/a')).toMatchObject({ outcome: 'adopted', tail: 'docs/2024/a' });
    expect(it.journal.listed(it.route.routeId, 'docs/2024/a'), 'used up').toBeUndefined();
  });
});

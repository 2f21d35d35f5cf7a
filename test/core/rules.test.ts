import { assert, constantFrom, property, string } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { unfitness } from '../../src/core/description.ts';
import type { ObjectDescription } from '../../src/core/description.ts';
import { compileRules, compileTails, customerKeys, globProblem, matchesAll } from '../../src/core/rules.ts';
import type { Rule } from '../../src/core/rules.ts';
import { fillTemplate, fileTemplates, templateProblem } from '../../src/core/template.ts';

const context = { host: 'web-1', folder: 'documents' };
const nowMs = Date.UTC(2026, 2, 19, 7, 59);
const file = { size: 100, mtimeNs: BigInt(Date.UTC(2026, 2, 9, 7, 59)) * 1_000_000n };

function describeObject(path: string, rules: readonly Rule[] = [], more: Partial<typeof file> = {}) {
  return compileRules(rules, context)(path, { ...file, ...more }, nowMs);
}

/** The value that a template gets for a path. */
function tag(template: string, path: string, mtimeNs?: bigint): string | undefined {
  return describeObject(
    path,
    [{ match: '**', tags: { T: template } }],
    mtimeNs === undefined ? {} : { mtimeNs },
  ).tags['T'];
}

describe('the content type comes from the name', () => {
  test.each([
    ['a.txt', 'text/plain'],
    ['a/b.JPG', 'image/jpeg'],
    ['a.tar.gz', 'application/gzip'],
    ['a.unknown', 'application/octet-stream'],
    ['Makefile', 'application/octet-stream'],
    ['html', 'application/octet-stream'],
    ['.html', 'application/octet-stream'],
    ['a.html/b', 'application/octet-stream'],
    ['two\nlines.html', 'text/html'],
    ['a.', 'application/octet-stream'],
    ['a.__proto__', 'application/octet-stream'],
  ])('%j: %s', (path, type) => {
    expect(describeObject(path)).toEqual({ tags: {}, metadata: {}, contentType: type });
  });
});

describe('a rule matches', () => {
  test.each([
    ['*.log', 'a.log', true],
    ['*.log', 'a/b.log', false],
    ['**/*.log', 'a.log', true],
    ['**/*.log', 'a/b/c.log', true],
    ['**/*.log', '.a/.log', true],
    ['**', 'a', true],
    ['**', '.a/b', true],
    ['docs/**', 'docs/a/b', true],
    ['docs/**', 'docs2/a', false],
    ['*.{a,b}', 'x.b', true],
    ['!*.log', 'a.txt', true],
    ['!*.log', 'a.log', false],
    ['*.LOG', 'a.log', false],
    // Hostile names
    ['**/*.log', 'two\nlines/a.log', true],
    ['**/*.log', 'a\n.log', true],
    ['*', '...', true],
    ['* *', ' a', true],
    [String.raw`a\\b`, String.raw`a\b`, true],
    ['a/b', String.raw`a\b`, false],
    [String.raw`\[a\]`, '[a]', true],
    [String.raw`\!a`, '!a', true],
    ['#a', '#a', true],
    ['größe', 'größe', true],
  ])('%j and %j: %s', (match, path, matches) => {
    expect(describeObject(path, [{ match, cacheControl: 'yes' }]).cacheControl).toBe(
      matches ? 'yes' : undefined,
    );
  });
});

describe('what is to be compressed or encrypted', () => {
  const encrypted = { contentType: 'application/octet-stream', recipients: ['age1'] };
  test.each<[path: string, rules: Omit<Rule, 'match'>[], description: Partial<ObjectDescription>]>([
    [
      'a.txt',
      [{ compress: 'gzip' }],
      { compress: 'gzip', contentEncoding: 'gzip', contentType: 'text/plain' },
    ],
    [
      'a.txt',
      [{ compress: 'gzip' }, { compress: 'zstd' }],
      { compress: 'zstd', contentEncoding: 'zstd', contentType: 'text/plain' },
    ],
    ['a.txt', [{ compress: 'gzip' }, { compress: 'none' }], { contentType: 'text/plain' }],
    ['a.JPG', [{ compress: 'gzip' }], { contentType: 'image/jpeg' }],
    ['a.tar.zst', [{ compress: 'zstd' }], { contentType: 'application/octet-stream' }],
    [
      'jpg',
      [{ compress: 'gzip' }],
      { compress: 'gzip', contentEncoding: 'gzip', contentType: 'application/octet-stream' },
    ],
    [
      'a.txt',
      [{ compress: 'gzip', contentEncoding: 'br' }],
      { compress: 'gzip', contentEncoding: 'br,gzip', contentType: 'text/plain' },
    ],
    [
      'a.txt',
      [{ compress: 'gzip', contentEncoding: 'identity' }],
      { compress: 'gzip', contentEncoding: 'gzip', contentType: 'text/plain' },
    ],
    // A browser could make nothing of either.
    ['a.txt', [{ recipients: ['age1'] }], encrypted],
    ['a.txt', [{ recipients: ['age1'], compress: 'gzip' }], { ...encrypted, compress: 'gzip' }],
    ['a.jpg', [{ recipients: ['age1'], compress: 'gzip' }], encrypted],
    ['a.txt', [{ recipients: ['age1'], contentType: 'text/x' }], { ...encrypted, contentType: 'text/x' }],
  ])('%s %j: %j', (path, rules, description) => {
    const all = rules.map((rule) => ({ match: '**', ...rule }));
    expect(describeObject(path, all)).toEqual({ tags: {}, metadata: {}, ...description });
  });
});

describe('a rule matches by size and age', () => {
  const dayMs = 86_400_000;
  // The file has 100 bytes and is ten days old.
  test.each<[rule: Partial<Rule>, matches: boolean]>([
    [{ largerThanBytes: 99 }, true],
    [{ largerThanBytes: 100 }, false],
    [{ smallerThanBytes: 101 }, true],
    [{ smallerThanBytes: 100 }, false],
    [{ largerThanBytes: 50, smallerThanBytes: 200 }, true],
    [{ olderThanMs: 9 * dayMs }, true],
    [{ olderThanMs: 10 * dayMs }, false],
    [{ newerThanMs: 11 * dayMs }, true],
    [{ newerThanMs: 10 * dayMs }, false],
    [{ olderThanMs: 9 * dayMs, newerThanMs: 11 * dayMs }, true],
    [{ largerThanBytes: 99, olderThanMs: 11 * dayMs }, false],
    [{ match: '*.log', largerThanBytes: 99 }, false],
  ])('%j: %s', (rule, matches) => {
    const rules: Rule[] = [{ match: '**', ...rule, cacheControl: 'yes' }];
    expect(describeObject('a.txt', rules).cacheControl).toBe(matches ? 'yes' : undefined);
  });

  test('an empty file is larger than nothing', () => {
    const empty = { size: 0 };
    expect(describeObject('a', [{ match: '**', cacheControl: 'yes' }], empty).cacheControl).toBe('yes');
    expect(
      describeObject('a', [{ match: '**', largerThanBytes: 0, cacheControl: 'yes' }], empty).cacheControl,
    ).toBeUndefined();
  });

  test('a file from the future is new', () => {
    const future = { mtimeNs: BigInt(nowMs + dayMs) * 1_000_000n };
    const rules: Rule[] = [
      { match: '**', newerThanMs: 1, cacheControl: 'new' },
      { match: '**', olderThanMs: 0, contentLanguage: 'old' },
    ];
    const description = describeObject('a', rules, future);
    expect(description).toMatchObject({ cacheControl: 'new' });
    expect(description).not.toHaveProperty('contentLanguage');
  });

  test('as old as it is at the time of the upload', () => {
    const describeFile = compileRules([{ match: '**', olderThanMs: dayMs, cacheControl: 'old' }], context);
    const mtimeMs = Number(file.mtimeNs / 1_000_000n);
    expect(describeFile('a', file, mtimeMs + dayMs).cacheControl).toBeUndefined();
    expect(describeFile('a', file, mtimeMs + dayMs + 1).cacheControl).toBe('old');
  });

  test('and is for all files only without any of that', () => {
    expect(matchesAll({ match: '**' })).toBe(true);
    expect(matchesAll({ match: '**/*' })).toBe(true);
    expect(matchesAll({ match: '*' })).toBe(false);
    expect(matchesAll({ match: '**', olderThanMs: 1 })).toBe(false);
  });
});

describe('rules that match', () => {
  test('override each other field by field, the later one last', () => {
    const rules: Rule[] = [
      { match: '**', storageClass: 'STANDARD_IA', cacheControl: 'no-store', contentType: 'text/x-log' },
      { match: '*.log', cacheControl: 'max-age=60', contentLanguage: 'de' },
      { match: '*.txt', storageClass: 'GLACIER' },
    ];
    expect(describeObject('a.log', rules)).toEqual({
      storageClass: 'STANDARD_IA',
      cacheControl: 'max-age=60',
      contentLanguage: 'de',
      contentType: 'text/x-log',
      tags: {},
      metadata: {},
    });
  });

  test('merge tags and metadata key by key', () => {
    const rules: Rule[] = [
      { match: '**', tags: { A: '1', B: '1' }, metadata: { a: '1' } },
      { match: '**', tags: { B: '2', C: '2' }, metadata: { b: '2' } },
    ];
    expect(describeObject('x', rules)).toMatchObject({
      tags: { A: '1', B: '2', C: '2' },
      metadata: { a: '1', b: '2' },
    });
  });

  test('replace encryption and access as a whole', () => {
    const rules: Rule[] = [
      {
        match: '**',
        encryption: { sse: 'aws:kms', keyId: 'alias/a', bucketKey: true },
        access: { kind: 'grants', grants: { read: ['id=a'] } },
      },
      { match: '*.log', encryption: { sse: 'AES256' }, access: { kind: 'canned', acl: 'private' } },
    ];
    expect(describeObject('a.log', rules)).toMatchObject({
      encryption: { sse: 'AES256' },
      access: { kind: 'canned', acl: 'private' },
    });
    expect(describeObject('a.log', rules).encryption).not.toHaveProperty('keyId');
  });

  test('merge retention and legal hold', () => {
    const retention = { mode: 'GOVERNANCE', until: { kind: 'after', durationMs: 1 } } as const;
    const rules: Rule[] = [
      { match: '**', objectLock: { retention, legalHold: true } },
      { match: '*.log', objectLock: { legalHold: false } },
    ];
    expect(describeObject('a.txt', rules).objectLock).toEqual({ retention, legalHold: true });
    expect(describeObject('a.log', rules).objectLock).toEqual({ retention, legalHold: false });
  });

  test('say the same of a retention whenever they are asked, so that an upload can be gone on with', () => {
    const until = { kind: 'after', durationMs: 1 } as const;
    const rules: Rule[] = [{ match: '**', objectLock: { retention: { mode: 'GOVERNANCE', until } } }];
    const describeFile = compileRules(rules, context);
    expect(describeFile('a', file, nowMs)).toEqual(describeFile('a', file, nowMs + 86_400_000));
  });

  test('name every key of SSE-C once', () => {
    const encryption = (key: string) => ({ encryption: { sse: 'customer', key } as const });
    expect(
      customerKeys([
        { match: 'a', ...encryption('x') },
        { match: 'b', encryption: { sse: 'AES256' } },
        { match: 'c', ...encryption('y') },
        { match: 'd', ...encryption('x') },
      ]),
    ).toEqual(['x', 'y']);
  });

  test('leave no trace of one file in the next', () => {
    const describeFile = compileRules([{ match: 'a', tags: { A: '1' } }], context);
    describeFile('a', file, nowMs);
    expect(describeFile('b', file, nowMs).tags).toEqual({});
  });
});

describe('templates of tags', () => {
  test.each([
    ['{ext}', 'a/b.tar.gz', 'gz'],
    ['{ext}', 'a/b.JPG', 'JPG'],
    ['{ext}', 'Makefile', ''],
    ['{ext}', '.profile', ''],
    ['{ext}', 'a.b/c', ''],
    ['{name}', 'a/b.txt', 'b.txt'],
    ['{path}', 'a/b.txt', 'a/b.txt'],
    ['{dir}', 'a/b/c.txt', 'a/b'],
    ['{dir}', 'c.txt', ''],
    ['{dir:1}/{dir:2}/{dir:3}', 'a/b/c/d/e.txt', 'a/b/c'],
    ['{dir:1}/{dir:2}', 'a/e.txt', 'a/'],
    ['{dir:1}', 'e.txt', ''],
    ['{host}:{folder}', 'a', 'web-1:documents'],
    ['{mtime:yyyy}-{mtime:MM}-{mtime:dd}T{mtime:HH}', 'a', '2026-03-09T07'],
    ['plain', 'a', 'plain'],
    // Names that are templates, and names that S3 would refuse in a tag
    ['{name}', '{host}', '_host_'],
    ['{name}', 'a&b*c', 'a_b_c'],
    ['{name}', 'a\nb', 'a_b'],
    ['{name}', '$&', '__'],
    ['{name}', 'größe 1', 'größe 1'],
    ['{name}', '😀', '_'],
    ['{name}', '\ud800', '_'],
  ])('%s of %j is %j', (template, path, value) => {
    expect(tag(template, path)).toBe(value);
  });

  test('are cut at what S3 takes, between characters', () => {
    expect(tag('{name}', 'x'.repeat(255) + 'yz')).toBe(`${'x'.repeat(255)}y`);
    expect(tag('{name}', `${'x'.repeat(255)}\u{20000}`)).toBe('x'.repeat(255));
  });

  test.each([
    [-1_000_000_000n, '1969'],
    [0n, '1970'],
    [2n ** 62n, '2116'],
    [-(2n ** 80n), '0001'],
    [2n ** 80n, '9999'],
  ])('give a year of four digits for %s ns', (mtimeNs, year) => {
    expect(tag('{mtime:yyyy}', 'a', mtimeNs)).toBe(year);
  });

  test('make a value that S3 takes of any name', () => {
    const template = constantFrom(...fileTemplates.map((name) => `{${name}}`));
    assert(
      property(template, string({ unit: 'binary', minLength: 1, maxLength: 300 }), (template, name) => {
        expect(tag(template, name.replaceAll('/', '_'))).toMatch(/^[\p{L}\p{Z}\p{N}+\-=._:/@]{0,256}$/u);
      }),
    );
  });
});

describe('a description is unfit', () => {
  const tags = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, '']));
  test.each<
    [what: string, description: Partial<ObjectDescription>, checksum: 'crc32' | 'none', reason?: string]
  >([
    ['ten tags', { tags: tags(10) }, 'crc32'],
    ['eleven tags', { tags: tags(11) }, 'crc32', 'too-many-tags'],
    ['2 KiB of metadata', { metadata: { ab: 'x'.repeat(2046) } }, 'none'],
    ['a byte more', { metadata: { abc: 'x'.repeat(2046) } }, 'none', 'metadata-too-large'],
    ['a lock', { objectLock: { legalHold: true } }, 'crc32'],
    ['a lock without a checksum', { objectLock: { legalHold: true } }, 'none', 'lock-without-checksum'],
  ])('%s', (_, description, checksum, reason) => {
    expect(unfitness({ tags: {}, metadata: {}, ...description }, checksum)?.reason).toBe(reason);
  });

  test('in words that say which tags there are', () => {
    expect(unfitness({ tags: tags(11), metadata: {} }, 'crc32')?.message).toMatch(
      /11 tags \(k0, k1, .*, k10\)/,
    );
  });
});

describe('a template', () => {
  test('is filled in one pass', () => {
    expect(fillTemplate('{a}{b}{c}', ['a', 'b'], (name) => (name === 'a' ? '{b}' : '$1'))).toBe('{b}$1{c}');
  });

  test.each([
    ['{a}/x{b}', undefined],
    ['', undefined],
    ['{c}', 'has {c} in it, which is not known; known are {a}, {b}'],
    ['{A}', 'has {A} in it, which is not known; known are {a}, {b}'],
    ['{}', 'has {} in it, which is not known; known are {a}, {b}'],
    ['{a', 'has a brace without its pair; known templates are {a}, {b}'],
    ['{{a}}', 'has a brace without its pair; known templates are {a}, {b}'],
  ])('%j: %s', (text, problem) => {
    expect(templateProblem(text, ['a', 'b'])).toBe(problem);
  });
});

describe('a glob', () => {
  test.each(['**/*.log', '*.{a,b}', '!(x)', '[a-z]*', 'a b', String.raw`a\(b`])('%j is fine', (glob) => {
    expect(globProblem(glob)).toBeUndefined();
  });

  test.each(['/a', './a', '../a', 'a/', 'a(b', 'a[b', '{a,b', 'a)', '[z-a]', '\\'])(
    '%j is refused',
    (glob) => {
      expect(globProblem(glob)).toMatch(/^(begins with|matches no file|is not a glob)/);
    },
  );
});

describe('what follows the prefix in a key', () => {
  const tail = (rules: readonly Rule[], path: string, more: Partial<typeof file> = {}) =>
    compileTails(rules, context)(path, { ...file, ...more });

  test.each([
    ['{path}', 'a/b.txt', 'a/b.txt'],
    ['{dir}/{mtime:yyyy}/{name}', 'a/b/c.txt', 'a/b/2026/c.txt'],
    ['{dir}/{mtime:yyyy}/{name}', 'c.txt', '2026/c.txt'],
    ['{dir:1}/{dir:2}/{name}', 'a/c.txt', 'a/c.txt'],
    ['{folder}/{host}/{path}', 'a', 'documents/web-1/a'],
    ['{stem}-{mtime:MM}.{ext}', 'a/report.v2.pdf', 'report.v2-03.pdf'],
    ['{stem}', '.profile', '.profile'],
    // What a file is called is not looked at again, and never made fit for a tag.
    ['x/{name}', '{host}', 'x/{host}'],
    ['{name}', 'a&b*c', 'a&b*c'],
  ])('%s of %j is %j', (template, path, expected) => {
    expect(tail([{ match: '**', key: template }], path)).toBe(expected);
  });

  test('is the path where no rule says otherwise', () => {
    expect(tail([{ match: '*.log', key: 'logs/{name}' }], 'a/b.txt')).toBe('a/b.txt');
    expect(tail([{ match: '**', tags: { a: 'b' } }], 'a/b.txt')).toBe('a/b.txt');
  });

  test('is what the last rule says that matches and speaks of it', () => {
    const rules: Rule[] = [
      { match: '**', key: 'all/{path}' },
      { match: '**', largerThanBytes: 50, key: 'large/{path}' },
      { match: '**', tags: { a: 'b' } },
    ];
    expect(tail(rules, 'a', { size: 50 })).toBe('all/a');
    expect(tail(rules, 'a', { size: 51 })).toBe('large/a');
  });
});

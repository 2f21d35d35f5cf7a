// Rules as the config has them: what they become, and what is refused or warned of at its place in the file. The rule of
// a test begins in line 11, column 7, with `match: "**"`; its other lines follow from line 12, column 9.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { ruleSchema } from '../../src/config/rule-schema.ts';
import { configOf, configWith, problemsOf, temporaryDirectory, warningsOf } from './helpers.ts';

/** Of the private key that is all zeros. */
const recipient = 'age19ljhmg68e43yx9fgm2k9lwefquc0la5y4lzvlshdjzv47kxt8d6qr9vf4p';
const customerKey = Buffer.alloc(32, 7).toString('base64');

function withRule(lines: string, more: Parameters<typeof configWith>[0] = {}): string {
  const rule = ['rules:', '  - match: "**"', ...lines.split('\n').map((line) => `    ${line}`)].join('\n');
  return configWith({ ...more, folder: rule });
}

/** The environment of a unit with the credential `key`. */
function withKey(content: string): { CREDENTIALS_DIRECTORY: string; KEY: string } {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, 'key'), content, { mode: 0o400 });
  return { CREDENTIALS_DIRECTORY: directory, KEY: content };
}

/** What a rule becomes besides its match. */
function ruleOf(lines: string) {
  const { match: _, ...rule } = configOf(withRule(lines), withKey(customerKey)).folders[0]!.rules[0]!;
  return rule;
}

/** Problems of a rule, without what all of them begin with. */
function refused(lines: string, more?: Parameters<typeof configWith>[0]): string[] {
  return problemsOf(withRule(lines, more), withKey(customerKey)).map((problem) =>
    problem.replace('folders.documents.rules[0].', ''),
  );
}

describe('a rule becomes', () => {
  const kinds: [lines: string, rule: object][] = [
    ['key: "{dir}/{mtime:yyyy}/{name}"', { key: '{dir}/{mtime:yyyy}/{name}' }],
    [
      'larger-than: 128KiB\nsmaller-than: 5GiB',
      { largerThanBytes: 131_072, smallerThanBytes: 5 * 1024 ** 3 },
    ],
    ['older-than: 30d\nnewer-than: 365d', { olderThanMs: 2_592_000_000, newerThanMs: 31_536_000_000 }],
    ['storage-class: INTELLIGENT_TIERING', { storageClass: 'INTELLIGENT_TIERING' }],
    ['tags: {A: "{dir:1}"}', { tags: { A: '{dir:1}' } }],
    ['metadata: {Author: me}', { metadata: { author: 'me' } }],
    ['content-type: text/x', { contentType: 'text/x' }],
    ['content-encoding: gzip', { contentEncoding: 'gzip' }],
    ['content-disposition: inline', { contentDisposition: 'inline' }],
    ['content-language: de', { contentLanguage: 'de' }],
    ['cache-control: no-store', { cacheControl: 'no-store' }],
    ['expires: 2027-01-31', { expiresMs: Date.UTC(2027, 0, 31) }],
    ['expires: 2027-01-31T12:00+02:00', { expiresMs: Date.UTC(2027, 0, 31, 10) }],
    ['website-redirect: /new.html', { websiteRedirect: '/new.html' }],
    ['acl: public-read', { access: { kind: 'canned', acl: 'public-read' } }],
    [
      'grant-read: [id=a, uri=http://b]\ngrant-full-control: id=c',
      { access: { kind: 'grants', grants: { read: ['id=a', 'uri=http://b'], 'full-control': ['id=c'] } } },
    ],
    [
      'grant-read-acp: id=a\ngrant-write-acp: id=b',
      { access: { kind: 'grants', grants: { 'read-acp': ['id=a'], 'write-acp': ['id=b'] } } },
    ],
    ['sse: AES256', { encryption: { sse: 'AES256' } }],
    ['sse: aws:kms:dsse', { encryption: { sse: 'aws:kms:dsse' } }],
    [
      'sse: aws:kms\nsse-kms-key-id: alias/a\nsse-kms-encryption-context: {a: b}\nbucket-key-enabled: true',
      { encryption: { sse: 'aws:kms', keyId: 'alias/a', context: { a: 'b' }, bucketKey: true } },
    ],
    ['sse-customer-key: ${cred:key}', { encryption: { sse: 'customer', key: customerKey } }],
    [
      'object-lock: {mode: GOVERNANCE, retain: 30d}',
      {
        objectLock: {
          retention: { mode: 'GOVERNANCE', until: { kind: 'after', durationMs: 2_592_000_000 } },
        },
      },
    ],
    [
      'object-lock: {mode: COMPLIANCE, retain: 2999-12-31, legal-hold: true}',
      {
        objectLock: {
          retention: { mode: 'COMPLIANCE', until: { kind: 'at', atMs: Date.UTC(2999, 11, 31) } },
          legalHold: true,
        },
      },
    ],
    ['checksum: sha256', { checksum: 'sha256' }],
    ['compress: gzip', { compress: 'gzip' }],
    ['compress: none', { compress: 'none' }],
    [`encrypt: {age-recipients: ${recipient}}`, { recipients: [recipient] }],
    [`encrypt: {age-recipients: [${recipient}, ${recipient}]}`, { recipients: [recipient, recipient] }],
  ];
  test.each(kinds)('%s', (lines, rule) => {
    expect(ruleOf(lines)).toEqual(rule);
  });

  test('something for every key', () => {
    const used = kinds.flatMap(([lines]) => lines.split('\n').map((line) => line.split(':')[0]));
    expect(new Set(['match', ...used])).toEqual(new Set(Object.keys(ruleSchema.shape)));
  });
});

describe('refused, at its place:', () => {
  test.each<[lines: string, problem: string]>([
    ['key: "/{name}"', '12:14: key: "/{name}" begins with /, but it is added to the prefix; remove it'],
    ['key: "{dir}/"', '12:14: key: "{dir}/" ends with /, which is no name for a file; add {name}'],
    ['key: "a//{name}"', '12:14: key: "a//{name}" has // in it, an empty name between slashes; keep one /'],
    [
      'key: "../{name}"',
      '12:14: key: "../{name}" has "." or ".." between slashes, which S3 clients take for directories; remove it',
    ],
    [
      'key: "{year}/{name}"',
      '12:14: key: "{year}/{name}" has {year} in it, which is not known; known are {ext}, {stem}, {name}, {path}, {dir}, {dir:1}, {dir:2}, {dir:3}, {host}, {folder}, {mtime:yyyy}, {mtime:MM}, {mtime:dd}, {mtime:HH}',
    ],
    [
      `key: "${'x'.repeat(513)}"`,
      `12:14: key: "${'x'.repeat(78)}… is longer than 512 bytes, which leaves too little of the 1,024 of a key`,
    ],
    [
      'key: "{name}"\nolder-than: 30d',
      '13:21: older-than: "30d" does not go with key: an object does not move because its file grows older; use {mtime:yyyy}',
    ],
    [
      'larger-than: 128',
      '12:22: larger-than: 128 is not a size; write a whole number with a unit, such as 128KiB, 64MiB or 5GiB',
    ],
    [
      'larger-than: 128KB',
      '12:22: larger-than: "128KB" is not a size; write a whole number with a unit, such as 128KiB, 64MiB or 5GiB',
    ],
    ['larger-than: 99999999999TiB', '12:22: larger-than: "99999999999TiB" is too large'],
    [
      'older-than: 30',
      '12:21: older-than: 30 is not a duration; write a number with a unit, such as 500ms, 2s, 1h or 1h30m',
    ],
    [
      'larger-than: 1MiB\nsmaller-than: 1MiB',
      '12:22: larger-than: no file is larger than 1MiB and smaller than 1MiB; make smaller-than the larger one',
    ],
    [
      'older-than: 2d\nnewer-than: 1d',
      '12:21: older-than: no file is older than 2d and newer than 1d; make newer-than the longer one',
    ],
    [
      'storage-class: COLD',
      '12:24: storage-class: "COLD" must be one of STANDARD, REDUCED_REDUNDANCY, STANDARD_IA, ONEZONE_IA, INTELLIGENT_TIERING, GLACIER, DEEP_ARCHIVE, GLACIER_IR, EXPRESS_ONEZONE',
    ],
    [
      'storage-class: EXPRESS_ONEZONE',
      '12:24: storage-class: EXPRESS_ONEZONE is for directory buckets, whose names end in --x-s3, and acme-backup is none; choose another class',
    ],
    [
      `tags: {${'k'.repeat(129)}: v}`,
      `12:16: tags.${'k'.repeat(129)}: the key is longer than 128 characters, the limit of S3`,
    ],
    [
      'tags: {a: x, b: x, c: x, d: x, e: x, f: x, g: x, h: x, i: x, j: x, k: x}',
      '12:9: tags: has 11 tags; S3 allows 10 for an object, remove 1',
    ],
    [
      'expires: tomorrow',
      '12:18: expires: "tomorrow" is not a time; write a date such as 2027-01-31, or 2027-01-31T12:00:00Z',
    ],
    ['expires: 2027-02-30', '12:18: expires: "2027-02-30" is on no calendar'],
    ['expires: 2027-01-31T25:00Z', '12:18: expires: "2027-01-31T25:00Z" is on no calendar'],
    [
      'website-redirect: new.html',
      '12:27: website-redirect: "new.html" is neither a key of the bucket, as in /new.html, nor a URL, as in https://example.com/',
    ],
    [
      'acl: public',
      '12:14: acl: "public" must be one of private, public-read, public-read-write, authenticated-read, aws-exec-read, bucket-owner-read, bucket-owner-full-control',
    ],
    [
      'acl: private\ngrant-read: id=a',
      '12:14: acl: "private" does not go with grants: S3 takes the one or the others',
    ],
    [
      'grant-read: somebody',
      '12:21: grant-read: "somebody" is not a grantee; write id= and the canonical id of an account, or uri= and the address of a group',
    ],
    [
      'grant-read: [id=a, emailAddress=a@b.c]',
      '12:28: grant-read[1]: "emailAddress=a@b.c" names a grantee by e-mail address, which S3 takes no more; write id= and the canonical id',
    ],
    ['grant-read: []', '12:21: grant-read: a list names no grantee; name at least one'],
    ['sse: kms', '12:14: sse: "kms" must be one of AES256, aws:kms, aws:kms:dsse'],
    [
      'sse-kms-key-id: alias/a',
      '12:25: sse-kms-key-id: "alias/a" needs "sse: aws:kms" or "sse: aws:kms:dsse" in the same rule',
    ],
    [
      'sse: AES256\nsse-kms-encryption-context: {a: b}',
      '13:37: sse-kms-encryption-context: a mapping needs "sse: aws:kms" or "sse: aws:kms:dsse" in the same rule',
    ],
    [
      'sse: aws:kms\nsse-kms-encryption-context: {"aws:s3:arn": b}',
      '13:38: sse-kms-encryption-context."aws:s3:arn": the key begins with aws:, which S3 sets by itself; choose another name',
    ],
    [
      'sse: aws:kms:dsse\nbucket-key-enabled: true',
      '13:29: bucket-key-enabled: true does not go with aws:kms:dsse, which has no bucket keys',
    ],
    [
      'sse: AES256\nsse-customer-key: ${cred:key}',
      '12:14: sse: "AES256" does not go with sse-customer-key; remove one of them',
    ],
    [
      `sse-customer-key: ${customerKey}`,
      '12:27: sse-customer-key: an encryption key comes from a systemd credential only; write ${cred:NAME}',
    ],
    [
      'sse-customer-key: ${env:KEY}',
      '12:27: sse-customer-key: an encryption key comes from a systemd credential only; write ${cred:NAME}',
    ],
    ['object-lock: {}', '12:22: object-lock: a mapping says nothing; write mode and retain, or legal-hold'],
    ['object-lock: {mode: GOVERNANCE}', '12:29: object-lock.mode: "GOVERNANCE" needs retain beside it'],
    ['object-lock: {retain: 30d}', '12:31: object-lock.retain: "30d" needs mode beside it'],
    [
      'object-lock: {mode: governance, retain: 30d}',
      '12:29: object-lock.mode: "governance" must be one of GOVERNANCE, COMPLIANCE; did you mean "GOVERNANCE"?',
    ],
    [
      'object-lock: {mode: GOVERNANCE, retain: 30 days}',
      '12:49: object-lock.retain: "30 days" is neither a duration such as 30d nor a date such as 2027-01-31',
    ],
    [
      'object-lock: {mode: GOVERNANCE, retain: 2020-01-01}',
      '12:49: object-lock.retain: ends in the past; name a duration or a date to come',
    ],
    [
      'object-lock: {mode: GOVERNANCE, retain: 0s}',
      '12:49: object-lock.retain: ends in the past; name a duration or a date to come',
    ],
    [
      'object-lock: {legal-hold: true}\nchecksum: none',
      '12:9: object-lock: needs a checksum: S3 locks nothing that comes without; remove "checksum: none"',
    ],
    ['compress: brotli', '12:19: compress: "brotli" must be one of gzip, zstd, none'],
    [
      'encrypt: {}',
      '12:9: encrypt.age-recipients: missing. Public keys of age (age1…, as age-keygen prints them), one or a list. Whoever has the private key of one can restore.',
    ],
    [
      'encrypt: {age-recipients: []}',
      '12:35: encrypt.age-recipients: a list names nobody, and nobody could restore; name at least one',
    ],
    [
      `encrypt: {age-recipients: [${recipient}, ${recipient.slice(0, -1)}w]}`,
      `12:100: encrypt.age-recipients[1]: "${recipient.slice(0, -1)}w" is mistyped or cut off: its checksum is wrong; copy it again`,
    ],
    [
      'encrypt: {age-recipients: AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0SCR4E7H}',
      '12:35: encrypt.age-recipients: "AGE-SECRET-KEY-…" is a private key, which belongs to who restores and never here; write its public key, as age-keygen -y prints it',
    ],
    ['checksum: md5', '12:19: checksum: "md5" must be one of none, crc32, sha256, crc64nvme'],
  ])('%s', (lines, problem) => {
    expect(refused(lines)).toEqual([problem]);
  });

  test('a lock on its way to a destination without checksums', () => {
    expect(
      refused('object-lock: {legal-hold: true}', { destination: 'checksum: none' }).map((problem) =>
        problem.replace(/^13:9/, '12:9'),
      ),
    ).toEqual([
      '12:9: object-lock: needs a checksum: S3 locks nothing that comes without, and "backup" has "checksum: none"; add "checksum: crc32" here',
    ]);
  });

  test('an encryption key on its way through the open', () => {
    const lines = 'sse-customer-key: ${cred:key}';
    expect(refused(lines, { destination: 'endpoint: http://nas:9000' })).toEqual([
      '13:9: sse-customer-key: the key would be sent to "backup" for everybody on the way to read; use https:// for its endpoint',
    ]);
    expect(refused(lines, { destination: 'endpoint: http://127.0.0.1:9000' })).toEqual([]);
  });

  test('an encryption key that is none, without showing it', () => {
    expect(problemsOf(withRule('sse-customer-key: ${cred:key}'), withKey('hunter2'))).toEqual([
      '12:27: folders.documents.rules[0].sse-customer-key: the value is not a key; a key is 32 bytes in base64, as openssl rand -base64 32 prints',
    ]);
  });

  test('nothing of a key that only the daemon needs, and cannot be read here', () => {
    const file = join(temporaryDirectory(), 'config.yaml');
    writeFileSync(file, withRule('sse-customer-key: ${cred:key}'));
    expect(loadConfig(file, {})).toMatchObject({ kind: 'problems' });
    expect(loadConfig(file, {}, 'left-out')).toMatchObject({ kind: 'config' });
  });

  test('eleven tags of two rules, when one of them is for every file', () => {
    const tags = (names: string) => names.replaceAll(/./g, '$&: x, ');
    const rules = `rules:\n  - {match: "**", tags: {${tags('abcdef')}}}\n  - {match: "*.b", tags: {${tags('ghijk')}}}`;
    expect(problemsOf(configWith({ folder: rules }))).toEqual([
      '12:24: folders.documents.rules[1].tags: has 11 tags with those of the rules above that are for every file; S3 allows 10 for an object, remove 1',
    ]);
  });
});

describe('warned of:', () => {
  test.each<[lines: string, warning: string | undefined]>([
    [
      'storage-class: STANDARD_IA',
      'STANDARD_IA bills a smaller object as 128KiB; add "larger-than: 128KiB" to leave small files out',
    ],
    ['storage-class: STANDARD_IA\nlarger-than: 128KiB', undefined],
    ['storage-class: ONEZONE_IA\nlarger-than: 1MiB', undefined],
    [
      'storage-class: GLACIER\nlarger-than: 1MiB',
      'GLACIER bills every object for 90 days, also one that is replaced before; add older-than to leave out files that still change, or let a lifecycle rule of the bucket move them',
    ],
    [
      'storage-class: DEEP_ARCHIVE\nolder-than: 30d',
      'DEEP_ARCHIVE bills every object for 40KiB more, and for a request that costs many times the usual; add "larger-than: 128KiB" to leave small files out',
    ],
    ['storage-class: GLACIER_IR\nlarger-than: 128KiB\nolder-than: 30d', undefined],
    [
      'storage-class: REDUCED_REDUNDANCY',
      'REDUCED_REDUNDANCY costs more than STANDARD and keeps less safely',
    ],
    ['storage-class: INTELLIGENT_TIERING', undefined],
  ])('%s', (lines, warning) => {
    expect(problemsOf(withRule(lines))).toEqual([]);
    expect(warningsOf(withRule(lines))).toEqual(
      warning === undefined ? [] : [`12:24: folders.documents.rules[0].storage-class: ${warning}`],
    );
  });

  test.each<[lines: string, warning: boolean]>([
    ['key: "{mtime:yyyy}/{ext}"', true],
    ['key: "{mtime:yyyy}/{stem}"', false],
    ['key: "{path}"', false],
  ])('all files getting one key: %s', (lines, warned) => {
    const warning =
      '12:14: folders.documents.rules[0].key: has neither {path}, {name} nor {stem} in it: of all files that get the same key only the first is uploaded; add one of them';
    expect(warningsOf(withRule(lines))).toEqual(warned ? [warning] : []);
    expect(warningsOf(withRule(lines).replace('"**"', 'notes/a.txt'))).toEqual([]);
  });

  test('no minimum duration where nothing is ever replaced', () => {
    const text = withRule('storage-class: GLACIER\nlarger-than: 1MiB').replace(
      'rules:',
      'policy: skip-existing\n    rules:',
    );
    expect(warningsOf(text)).toEqual([]);
  });
});

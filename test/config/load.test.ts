import { chmodSync, chownSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { DestinationConfig } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import { formatProblem } from '../../src/config/problem.ts';
import { configOf, configWith, problemsOf, temporaryDirectory, warningsOf } from './helpers.ts';

const env = { ID: 'AKIA', SECRET: 's3cret' };

/** Problems of loading a file, as they are printed. */
function refused(file: string): string[] {
  const loaded = loadConfig(file, {});
  return loaded.kind === 'problems' ? loaded.problems.map(formatProblem) : [];
}

/** The destination of a config with these lines in it. */
function destinationOf(lines: string, env?: Record<string, string>): DestinationConfig | undefined {
  return configOf(configWith({ destination: lines }), env).destinations.get('backup');
}

/** The environment of a unit with the credential `secret`. */
function withCredential(mode: number): { ID: string; CREDENTIALS_DIRECTORY: string } {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, 'secret'), 'topsecret\n');
  chmodSync(join(directory, 'secret'), mode);
  return { ID: 'AKIA', CREDENTIALS_DIRECTORY: directory };
}

/** A config with two folders, in lines 6 and 7. */
function twoFolders(first: string, second: string, more = ''): string {
  return [
    'version: 1',
    'state-dir: state',
    'destinations:',
    '  backup: {bucket: acme, prefix: "{folder}/"}',
    'folders:',
    `  one: {path: ${first}, to: backup${more}}`,
    `  two: {path: ${second}, to: backup}`,
  ].join('\n');
}

describe('a bad config is refused at its place, with what to do', () => {
  test('the comparison of aws s3 sync under a policy of one destination', () => {
    const to = '[backup, { destination: backup, policy: newer-wins }]';
    const text = configWith({ folder: 'compare: aws' }).replace('to: backup', `to: ${to}`);
    expect(problemsOf(text)).toContain(
      '9:49: folders.documents.to[1].policy: compare: aws knows only when an object was uploaded, by which policy: newer-wins cannot tell who changed what; compare by content or size-and-time, or use policy: overwrite',
    );
  });

  test.each<[what: string, extra: Parameters<typeof configWith>[0], problems: string[]]>([
    [
      'a misspelt key',
      { folder: 'polcy: overwrite' },
      ['10:5: folders.documents.polcy: unknown key; did you mean "policy"?'],
    ],
    [
      'a key that resembles nothing',
      { destination: 'colour: red' },
      [
        '6:5: destinations.backup.colour: unknown key; known are bucket, prefix, region, endpoint, path-style, credentials, profile, shared-credentials-file, role-arn, external-id, web-identity-token-file, expected-bucket-owner, request-payer, accelerate, dualstack, fips, ca-file, checksum, requests-per-day, unsafe-emulation, allow-public',
      ],
    ],
    [
      'a misspelt key at the top',
      { top: 'fodlers: {}' },
      ['10:1: fodlers: unknown key; did you mean "folders"?'],
    ],
    [
      'a budget that is no whole number',
      { destination: 'requests-per-day: 1e3.5' },
      ['6:23: destinations.backup.requests-per-day: "1e3.5" must be a number'],
    ],
    [
      'a budget that nothing can be done with',
      { destination: 'requests-per-day: 99' },
      [
        '6:23: destinations.backup.requests-per-day: 99 is less than 100, and a first look at a store takes a dozen',
      ],
    ],
    [
      'a limit of deletes that does not say of what',
      { folder: 'max-delete: 5' },
      ['10:17: folders.documents.max-delete: 5 must be a mapping of keys and values'],
    ],
    [
      'a limit of deletes that is none',
      { folder: 'max-delete: {count: -1, percent: 101}' },
      [
        '10:25: folders.documents.max-delete.count: -1 is less than 0',
        '10:38: folders.documents.max-delete.percent: 101 is more than 100',
      ],
    ],
    [
      'an archive in the middle of what is synced',
      { folder: 'delete: archive' },
      [
        '10:13: folders.documents.delete: what is archived, to "archive/HOST/documents/" in bucket acme-backup, would lie where folder "documents" is synced to, the whole bucket; give destination "backup" a prefix'.replace(
          'HOST',
          hostname(),
        ),
      ],
    ],
    [
      'an archive around what is synced',
      { destination: 'prefix: files/here/', folder: 'delete: archive\narchive-prefix: files/' },
      [
        '12:21: folders.documents.archive-prefix: what is archived, to "files/" in bucket acme-backup, would lie where folder "documents" is synced to, "files/here/"; name another archive-prefix',
      ],
    ],
    [
      'a misspelt value',
      { folder: 'policy: skip-exisiting' },
      [
        '10:13: folders.documents.policy: "skip-exisiting" must be one of overwrite, skip-existing, if-unchanged, newer-wins; did you mean "skip-existing"?',
      ],
    ],
    [
      'the comparison of aws s3 sync under if-unchanged',
      { folder: 'policy: if-unchanged\ncompare: aws' },
      [
        '11:14: folders.documents.compare: compare: aws knows only when an object was uploaded, by which policy: if-unchanged cannot tell who changed what; compare by content or size-and-time, or use policy: overwrite',
      ],
    ],
    [
      'a value of another list',
      { folder: 'compare: checksum' },
      ['10:14: folders.documents.compare: "checksum" must be one of content, size-and-time, size, aws'],
    ],
    [
      'a storage class in lower case',
      { folder: 'rules:\n  - match: "**"\n    storage-class: standard_ia' },
      [
        '12:24: folders.documents.rules[0].storage-class: "standard_ia" must be one of STANDARD, REDUCED_REDUNDANCY, STANDARD_IA, ONEZONE_IA, INTELLIGENT_TIERING, GLACIER, DEEP_ARCHIVE, GLACIER_IR, EXPRESS_ONEZONE; did you mean "STANDARD_IA"?',
      ],
    ],
    [
      'a bare number for a duration',
      { folder: 'settle: 2' },
      [
        '10:13: folders.documents.settle: 2 is not a duration; write a number with a unit, such as 500ms, 2s, 1h or 1h30m',
      ],
    ],
    [
      'a duration with a space',
      { folder: 'rescan: 1 hour' },
      [
        '10:13: folders.documents.rescan: "1 hour" is not a duration; write a number with a unit, such as 500ms, 2s, 1h or 1h30m',
      ],
    ],
    [
      'a duration with a fraction',
      { folder: 'settle: 1.5s' },
      [
        '10:13: folders.documents.settle: "1.5s" is not a duration; write a number with a unit, such as 500ms, 2s, 1h or 1h30m',
      ],
    ],
    [
      'a duration in the wrong order',
      { folder: 'rescan: 30m1h' },
      [
        '10:13: folders.documents.rescan: "30m1h" is not a duration; write a number with a unit, such as 500ms, 2s, 1h or 1h30m',
      ],
    ],
    [
      'an endless duration',
      { folder: 'rescan: 99999999999999999d' },
      ['10:13: folders.documents.rescan: "99999999999999999d" is too long'],
    ],
    [
      'no value',
      { folder: 'exclude:' },
      ['10:13: folders.documents.exclude: no value; give it one or remove the key'],
    ],
    [
      'a mapping for a text',
      { destination: 'prefix: {host}' },
      ['6:13: destinations.backup.prefix: a mapping must be a text; quote a value that begins with { or ['],
    ],
    [
      'a number for a text',
      { destination: 'profile: 7' },
      ['6:14: destinations.backup.profile: 7 must be a text; put it in quotes'],
    ],
    [
      'a text for a boolean',
      { destination: 'path-style: yes' },
      ['6:17: destinations.backup.path-style: "yes" must be true or false'],
    ],
    [
      'a text for a list',
      { folder: 'preserve: mode' },
      ['10:15: folders.documents.preserve: "mode" must be a list'],
    ],
    [
      'a list for a mapping',
      { folder: 'rules:\n  - "*.log"' },
      ['11:9: folders.documents.rules[0]: "*.log" must be a mapping of keys and values'],
    ],
    [
      'an account without quotes',
      { destination: 'expected-bucket-owner: 012345678901' },
      [
        '6:28: destinations.backup.expected-bucket-owner: 012345678901 is a number; put it in quotes, for leading zeros count',
      ],
    ],
    [
      'a short account',
      { destination: 'expected-bucket-owner: "1234"' },
      ['6:28: destinations.backup.expected-bucket-owner: "1234" is not an account; an account has 12 digits'],
    ],
    [
      'a prefix with a slash first',
      { destination: 'prefix: /x/' },
      ['6:13: destinations.backup.prefix: "/x/" begins with /, which would be part of every key; remove it'],
    ],
    [
      'a prefix with ..',
      { destination: 'prefix: a/../b/' },
      [
        '6:13: destinations.backup.prefix: "a/../b/" has "." or ".." between slashes, which S3 clients disagree about; remove it',
      ],
    ],
    [
      'a prefix with //',
      { destination: 'prefix: a//b/' },
      ['6:13: destinations.backup.prefix: "a//b/" has // in it, an empty name between slashes; keep one /'],
    ],
    [
      'a prefix with an unknown template',
      { destination: 'prefix: "{hostname}/"' },
      [
        '6:13: destinations.backup.prefix: "{hostname}/" has {hostname} in it, which is not known; known are {host}, {folder}',
      ],
    ],
    [
      'a prefix with a lone brace',
      { destination: 'prefix: "{host/"' },
      [
        '6:13: destinations.backup.prefix: "{host/" has a brace without its pair; known templates are {host}, {folder}',
      ],
    ],
    [
      'an endpoint without scheme',
      { destination: 'endpoint: nas:9000' },
      [
        '6:15: destinations.backup.endpoint: "nas:9000" is not a URL; write it as in https://s3.example.com:9000',
      ],
    ],
    [
      'an endpoint with a password',
      { destination: 'endpoint: https://me:secret@nas' },
      [
        '6:15: destinations.backup.endpoint: "https://…@nas" has a user or password in it; use credentials instead',
      ],
    ],
    [
      'an endpoint with a query',
      { destination: 'endpoint: https://nas/?x=1' },
      ['6:15: destinations.backup.endpoint: "https://nas/?x=1" has a ? or # in it; write the address alone'],
    ],
    [
      'a literal secret',
      {
        destination:
          'credentials:\n  access-key-id: AKIAIOSFODNN7EXAMPLE\n  secret-access-key: "${env:SECRET}"',
      },
      [
        '7:22: destinations.backup.credentials.access-key-id: a secret must not stand in the config file; write ${env:NAME} for an environment variable or ${cred:NAME} for a systemd credential',
      ],
    ],
    [
      'a secret as default',
      {
        destination: 'credentials:\n  access-key-id: "${env:ID}"\n  secret-access-key: ${env:NOPE:-hunter2}',
      },
      [
        '8:26: destinations.backup.credentials.secret-access-key: a secret must not stand in the config file, not even as a default; write ${env:NOPE}',
      ],
    ],
    [
      'half of the credentials',
      { destination: 'credentials:\n  access-key-id: ${env:ID}' },
      [
        '6:5: destinations.backup.credentials.secret-access-key: missing. Secret access key. From ${env:NAME} or ${cred:NAME} only.',
      ],
    ],
    [
      'an unset variable',
      { destination: 'region: ${env:NOPE}' },
      [
        '6:13: destinations.backup.region: environment variable NOPE is not set; set it, or write ${env:NOPE:-default}',
      ],
    ],
    [
      'an expansion within a text',
      { destination: 'prefix: backup/${env:ID}/' },
      [
        '6:13: destinations.backup.prefix: "backup/${env:ID}/" has ${…} inside a longer text; it expands only where it is the whole value, so put the whole value into the variable',
      ],
    ],
    [
      'an expansion of something else',
      { destination: 'region: ${file:x}' },
      [
        '6:13: destinations.backup.region: "${file:x}" is not known here; write ${env:NAME}, ${env:NAME:-default} or ${cred:NAME}',
      ],
    ],
    [
      'an expansion without quotes in braces',
      { folder: 'rules: [{match: "**", cache-control: ${env:ID}}]' },
      ['10:43: not valid YAML: Unexpected flow-map-start at node end (quote "${…}" inside { } or [ ])'],
    ],
    [
      'a credential without systemd',
      { destination: 'profile: ${cred:aws}' },
      [
        '6:14: destinations.backup.profile: credential aws cannot be read because $CREDENTIALS_DIRECTORY is not set; systemd sets it for a unit with LoadCredential=aws:/path/of/the/file',
      ],
    ],
    [
      'a role that is none',
      { destination: 'role-arn: backup' },
      [
        '6:15: destinations.backup.role-arn: "backup" is not the ARN of a role; write it as in arn:aws:iam::111122223333:role/backup',
      ],
    ],
    [
      'a tag with a reserved name',
      { folder: 'rules:\n  - match: "**"\n    tags: {"aws:x": y}' },
      [
        '12:16: folders.documents.rules[0].tags."aws:x": the key begins with aws:, which is reserved; choose another name',
      ],
    ],
    [
      'a tag with a number',
      { folder: 'rules:\n  - match: "**"\n    tags: {Year: 2026}' },
      ['12:22: folders.documents.rules[0].tags.Year: 2026 is a number; put it in quotes'],
    ],
    [
      'a tag with a forbidden character',
      { folder: 'rules:\n  - match: "**"\n    tags: {Team: "R&D"}' },
      [
        '12:22: folders.documents.rules[0].tags.Team: "R&D" has "&" in it; S3 allows letters, digits, spaces and + - = . _ : / @ in tags',
      ],
    ],
    [
      'a tag with an unknown template',
      { folder: 'rules:\n  - match: "**"\n    tags: {Year: "{mtime:yy}"}' },
      [
        '12:22: folders.documents.rules[0].tags.Year: "{mtime:yy}" has {mtime:yy} in it, which is not known; known are {ext}, {stem}, {name}, {path}, {dir}, {dir:1}, {dir:2}, {dir:3}, {host}, {folder}, {mtime:yyyy}, {mtime:MM}, {mtime:dd}, {mtime:HH}',
      ],
    ],
    [
      'a tag that is too long',
      {
        folder:
          'rules:\n  - match: "**"\n    tags: {kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk: v}',
      },
      [
        '12:16: folders.documents.rules[0].tags.kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk: the key is longer than 128 characters, the limit of S3',
      ],
    ],
    [
      'metadata of our own',
      { folder: 'rules:\n  - match: "**"\n    metadata: {mtime: "1"}' },
      [
        '12:20: folders.documents.rules[0].metadata.mtime: the key is written by s3syncd itself; choose another name',
      ],
    ],
    [
      'metadata with umlauts',
      { folder: 'rules:\n  - match: "**"\n    metadata: {author: Jürgen}' },
      [
        '12:28: folders.documents.rules[0].metadata.author: "Jürgen" has a character that no header can hold; use ASCII',
      ],
    ],
    [
      'a rule without match',
      { folder: 'rules:\n  - cache-control: no-store' },
      [
        '11:9: folders.documents.rules[0].match: missing. Glob over the path within the folder: "*" stays within a directory, "**" crosses them, "{a,b}" is either.',
      ],
    ],
    [
      'an unclosed glob',
      { folder: 'rules:\n  - match: "a(b"' },
      [
        '11:16: folders.documents.rules[0].match: "a(b" is not a glob (Missing closing: ")" - use "\\\\)" to match literal characters)',
      ],
    ],
    [
      'an absolute glob',
      { folder: 'rules:\n  - match: /srv/**' },
      [
        '11:16: folders.documents.rules[0].match: "/srv/**" begins with /, but paths are relative to the folder; remove it',
      ],
    ],
    [
      'a duplicate key',
      { folder: 'settle: 1s\nsettle: 2s' },
      ['11:5: key "settle" stands twice in this mapping; keep one'],
    ],
    [
      'a tag of YAML',
      { folder: 'policy: !important overwrite' },
      ['10:13: Unresolved tag: !important; tags are not supported, remove it'],
    ],
    [
      'an alias to nothing',
      { folder: 'policy: *default' },
      ['10:13: folders.documents.policy: alias *default has no anchor &default before it'],
    ],
    [
      'an alias to itself',
      { folder: 'exclude: &me [*me]' },
      ['10:19: folders.documents.exclude[0]: alias *me contains itself'],
    ],
    [
      'a merge key',
      { folder: '<<: {policy: overwrite}' },
      ['10:5: folders.documents."<<": merge keys are not supported; write the keys out'],
    ],
    [
      'two documents',
      { top: '---\nversion: 1' },
      ['10:1: a second document begins here; a config file has one'],
    ],
    ['an unclosed quote', { folder: 'policy: "overwrite' }, ['11:1: not valid YAML: Missing closing "quote']],
    [
      'an unknown log level',
      { top: 'log: {level: verbose}' },
      ['10:14: log.level: "verbose" must be one of trace, debug, info, warn, error, silent'],
    ],
    [
      'a list of texts and others',
      { folder: 'exclude: ["*.tmp", 7]' },
      ['10:24: folders.documents.exclude[1]: 7 must be a text; put it in quotes'],
    ],
    [
      'a pattern that is a comment',
      { folder: 'exclude: "#*#"' },
      ['10:14: folders.documents.exclude: "#*#" is a comment; write \\# for a name that begins with #'],
    ],
    [
      'a pattern from the root',
      { folder: 'exclude: ["*.o", ./tmp]' },
      [
        '10:22: folders.documents.exclude[1]: "./tmp" is never matched, for paths do not begin with "." or ".."; begin with / for the folder itself',
      ],
    ],
    [
      'settle longer than settle-max',
      { folder: 'settle: 2m' },
      [
        '10:13: folders.documents.settle: settle, 2m, is longer than settle-max, 1m; make settle-max the longer one',
      ],
    ],
    [
      'settle-max shorter than settle',
      { folder: 'settle-max: 100ms' },
      [
        '10:17: folders.documents.settle-max: settle, 1s, is longer than settle-max, 100ms; make settle-max the longer one',
      ],
    ],
    [
      'a rescan all the time',
      { folder: 'rescan: 10ms' },
      [
        '10:13: folders.documents.rescan: is less than 1s, and the folder would be scanned all the time; 1h is usual',
      ],
    ],
    [
      'two ways to sign',
      {
        destination:
          'profile: x\ncredentials: {access-key-id: "${env:ID}", secret-access-key: "${env:SECRET}"}',
      },
      [
        '6:5: destinations.backup.profile: there are credentials too, and only one can be used; remove one of them',
      ],
    ],
    [
      'an external id without a role',
      { destination: 'external-id: x' },
      [
        '6:5: destinations.backup.external-id: is for assuming a role, and there is no role-arn; add it or remove external-id',
      ],
    ],
    [
      'acceleration of another store',
      { destination: 'endpoint: https://nas\naccelerate: true' },
      [
        '7:5: destinations.backup.accelerate: chooses an endpoint of Amazon S3, but there is an endpoint already; remove one of them',
      ],
    ],
    [
      'a certificate that does not exist',
      { destination: 'ca-file: /nowhere/ca.pem' },
      ['6:14: destinations.backup.ca-file: cannot read /nowhere/ca.pem (ENOENT)'],
    ],
    [
      'eleven tags',
      {
        folder:
          'rules:\n  - match: "**"\n    tags: {a: x, b: x, c: x, d: x, e: x, f: x, g: x, h: x, i: x, j: x, k: x}',
      },
      ['12:9: folders.documents.rules[0].tags: has 11 tags; S3 allows 10 for an object, remove 1'],
    ],
    [
      'a rule for a directory',
      { folder: 'rules:\n  - match: logs/' },
      [
        '11:16: folders.documents.rules[0].match: "logs/" matches no file, because it ends with /; write "logs/**"',
      ],
    ],
  ])('%s', (_, extra, problems) => {
    expect(problemsOf(configWith(extra), env)).toEqual(problems);
  });

  const whole: [what: string, text: string, problems: string[]][] = [
    ['no text', ' \n', ['1:1: is empty; `s3syncd config schema` says what belongs here']],
    ['only comments', '# nothing\n', ['1:1: is empty; `s3syncd config schema` says what belongs here']],
    [
      'a list',
      '- a\n',
      ['1:1: is no mapping of keys and values; `s3syncd config schema` says what belongs here'],
    ],
    [
      'nothing in it',
      'state-dir: state\n',
      [
        '1:1: version: missing. Version of this format: 1.',
        '1:1: destinations: missing. Buckets to keep folders in, by a name of your choice.',
        '1:1: folders: missing. Local directories to keep in S3, by a name of your choice.',
      ],
    ],
    [
      'another version',
      configWith({}).replace('version: 1', 'version: 2'),
      ['1:10: version: 2 is no version of the format that this program reads; write 1'],
    ],
    [
      'no folder',
      'version: 1\nstate-dir: s\ndestinations: {b: {bucket: acme}}\nfolders: {}\n',
      ['4:10: folders: a mapping names no folder; add one'],
    ],
    [
      'no state directory',
      configWith({}).replace('state-dir: state\n', ''),
      [
        '1:1: state-dir: missing, and $STATE_DIRECTORY is not set. Add "state-dir: /var/lib/s3syncd", a directory for the journal outside every folder',
      ],
    ],
    [
      'a home directory',
      configWith({}).replace('path: documents', 'path: ~/documents'),
      [
        '8:11: folders.documents.path: "~/documents" begins with ~, which only a shell expands; write the whole path',
      ],
    ],
    [
      'the root of everything',
      configWith({}).replace('path: documents', 'path: /'),
      [
        '8:11: folders.documents.path: is the whole file system, devices and secrets included; name a directory in it',
      ],
    ],
    [
      'a name with a slash',
      configWith({}).replace('documents:', 'my/documents:'),
      [
        '7:3: folders."my/documents": the key is not a name; use letters, digits, ".", "_" and "-", at most 63, beginning with a letter or digit',
      ],
    ],
    [
      'a misspelt destination',
      configWith({}).replace('to: backup', 'to: bakcup'),
      ['9:9: folders.documents.to: "bakcup" is not under destinations; did you mean "backup"?'],
    ],
    [
      'an unknown destination',
      configWith({}).replace('to: backup', 'to: [backup, glacier]'),
      ['9:18: folders.documents.to[1]: "glacier" is not under destinations; known are backup'],
    ],
    [
      'a destination twice',
      configWith({}).replace('to: backup', 'to: [backup, backup]'),
      ['9:18: folders.documents.to[1]: "backup" stands in this list already; remove one'],
    ],
    [
      'an unknown destination with a condition',
      configWith({}).replace('to: backup', 'to: {destination: bakcup, when: {match: "a/**"}}'),
      ['9:23: folders.documents.to.destination: "bakcup" is not under destinations; did you mean "backup"?'],
    ],
    [
      'a destination that is none',
      configWith({}).replace('to: backup', 'to: 5'),
      [
        '9:9: folders.documents.to: 5 is neither the name of a destination nor { destination: NAME, … }, nor a list of them',
      ],
    ],
    [
      'a misspelt key of an entry',
      configWith({}).replace('to: backup', 'to: [{destination: backup, polcy: overwrite}]'),
      ['9:32: folders.documents.to[0].polcy: unknown key; did you mean "policy"?'],
    ],
    [
      'an entry without a destination',
      configWith({}).replace('to: backup', 'to: [{policy: overwrite}]'),
      ['9:10: folders.documents.to[0].destination: missing. Name of the destination.'],
    ],
    [
      'a condition that says nothing',
      configWith({}).replace('to: backup', 'to: {destination: backup, when: {}}'),
      ['9:37: folders.documents.to.when: a mapping says nothing; add a condition or remove the key'],
    ],
    [
      'conditions that are none',
      configWith({}).replace(
        'to: backup',
        'to: {destination: backup, when: {match: [], larger-than: 5, tags: {Project: 7}, mtach: a}}',
      ),
      [
        '9:45: folders.documents.to.when.match: a list names nothing; name at least one',
        '9:62: folders.documents.to.when.larger-than: 5 is not a size; write a whole number with a unit, such as 128KiB, 64MiB or 5GiB',
        '9:81: folders.documents.to.when.tags.Project: 7 must be a text or a list of texts',
        '9:85: folders.documents.to.when.mtach: unknown key; did you mean "match"?',
      ],
    ],
    [
      'conditions that no file meets',
      configWith({ folder: 'rules: [{match: "**", tags: {Project: ProjectY}}]' }).replace(
        'to: backup',
        'to: {destination: backup, when: {match: /a, larger-than: 1KiB, smaller-than: 1KiB, tags: {Project: ProjectX, Projekt: x}}}',
      ),
      [
        '9:45: folders.documents.to.when.match: "/a" begins with /, but paths are relative to the folder; remove it',
        '9:62: folders.documents.to.when.larger-than: no file is larger than 1KiB and smaller than 1KiB; make smaller-than the larger one',
        '9:104: folders.documents.to.when.tags.Project: the rules of this folder give this tag other values ("ProjectY"), so no file would go there; correct one of them',
        '9:114: folders.documents.to.when.tags.Projekt: no rule of this folder gives a file this tag, so none would go there; add a rule, or correct the name',
      ],
    ],
    [
      'YAML of another version',
      `%YAML 1.1\n---\n${configWith({})}`,
      ['1:1: YAML 1.1 is not supported; remove the %YAML line, the file is read as YAML 1.2'],
    ],
    [
      'Windows line ends',
      configWith({ folder: 'settle: 1' }).replaceAll('\n', '\r\n'),
      [
        '10:13: folders.documents.settle: 1 is not a duration; write a number with a unit, such as 500ms, 2s, 1h or 1h30m',
      ],
    ],
    [
      'a key that is an object of every object',
      configWith({ top: '__proto__: {a: 1}' }),
      ['10:1: __proto__: unknown key; known are version, state-dir, log, destinations, folders'],
    ],
  ];
  test.each(whole)('%s', (_, text, problems) => {
    expect(problemsOf(text)).toEqual(problems);
  });

  test.each([
    ['Acme', 'a bucket has lower-case letters, digits, "-" and "." only'],
    ['ab', 'a bucket has 3 to 63 characters'],
    ['a'.repeat(64), 'a bucket has 3 to 63 characters'],
    ['-acme', 'a bucket begins and ends with a letter or digit'],
    ['ac..me', 'a bucket has no two dots in a row'],
    ['10.0.0.1', 'a bucket does not look like an IP address'],
    ['xn--acme', 'names that begin with xn-- or sthree- are reserved'],
  ])('the bucket %s', (bucket, why) => {
    expect(problemsOf(configWith({}).replace('acme-backup', bucket))).toEqual([
      `5:13: destinations.backup.bucket: ${JSON.stringify(bucket)} is not a bucket; ${why}`,
    ]);
  });

  test('a bucket that is a URL', () => {
    expect(problemsOf(configWith({}).replace('acme-backup', 's3://acme/backup'))).toEqual([
      '5:13: destinations.backup.bucket: "s3://acme/backup" is not a bucket; write its name alone without s3:// and what follows / as prefix',
    ]);
  });
});

describe('all problems', () => {
  test('are told at once, in the order of the file, also those across sections', () => {
    const text = configWith({ destination: 'prefix: /x', folder: 'setle: 1s', top: 'log: {levle: info}' });
    expect(problemsOf(text.replace('state-dir: state\n', '').replace('to: backup', 'to: bakup'))).toEqual([
      '1:1: state-dir: missing, and $STATE_DIRECTORY is not set. Add "state-dir: /var/lib/s3syncd", a directory for the journal outside every folder',
      '5:13: destinations.backup.prefix: "/x" begins with /, which would be part of every key; remove it',
      '9:9: folders.documents.to: "bakup" is not under destinations; did you mean "backup"?',
      '10:5: folders.documents.setle: unknown key; did you mean "settle"?',
      '11:7: log.levle: unknown key; did you mean "level"?',
    ]);
  });

  test('are printed in the form that editors link', () => {
    const problem = { file: 'etc/config.yaml', line: 3, column: 7, message: 'no value' };
    expect(formatProblem(problem)).toBe('etc/config.yaml:3:7: no value');
  });

  test('never quote a secret', () => {
    const credentials = 'credentials:\n  access-key-id: "AK IA"\n  secret-access-key: "x${env:SECRET}"';
    const keyed = 'credentials:\n  access-key-id: "${env:SECRET}"\n  secret-access-key: 7';
    const printed = [
      ...problemsOf(configWith({ destination: credentials }), env),
      ...problemsOf(configWith({ destination: keyed }), { SECRET: 's3 cret' }),
    ].join('\n');
    expect(printed).not.toMatch(/AK IA|s3 ?cret|x\$/);
    expect(printed).toContain('has a character that no key has');
  });
});

describe('a file that cannot be read', () => {
  test('because it does not exist', () => {
    expect(refused('/nowhere/config.yaml')).toEqual([
      '/nowhere/config.yaml:1:1: does not exist; name the config file with --config',
    ]);
  });

  test('because it is a directory', () => {
    const directory = temporaryDirectory();
    expect(refused(directory)).toEqual([`${directory}:1:1: is a directory; name the config file in it`]);
  });

  test('because it is not a file', () => {
    expect(refused('/dev/null')).toEqual(['/dev/null:1:1: is not a regular file']);
  });

  test('because it is not UTF-8', () => {
    const file = join(temporaryDirectory(), 'config.yaml');
    writeFileSync(file, Buffer.from('version: 1 # \xe4', 'latin1'));
    expect(refused(file)).toEqual([`${file}:1:1: is not UTF-8 text; save it as UTF-8`]);
  });

  test('because it is far too large', () => {
    const file = join(temporaryDirectory(), 'config.yaml');
    writeFileSync(file, '#'.repeat(1024 * 1024 + 1));
    expect(refused(file)).toEqual([`${file}:1:1: is larger than 1MiB; is this the config file?`]);
  });

  test('because every user may change it, and so where everything is sent to', () => {
    const file = join(temporaryDirectory(), 'config.yaml');
    writeFileSync(file, configWith({}));
    chmodSync(file, 0o666);
    expect(refused(file)).toEqual([
      `${file}:1:1: may be changed by every user of this machine; run: chmod o-w on it`,
    ]);
  });

  test.skipIf(process.getuid?.() !== 0)('but one that another group may change is told', () => {
    const file = join(temporaryDirectory(), 'config.yaml');
    writeFileSync(file, configWith({}));
    chmodSync(file, 0o664);
    const told = () => loadConfig(file, {}).warnings.map(({ message }) => message);
    expect(told(), 'our own group').toEqual([]);
    chownSync(file, 0, 12_345);
    expect(told()).toEqual([
      'may be changed by its group (gid 12345); run: chmod g-w on it unless all of them may',
    ]);
  });

  test('because its aliases grow without end', () => {
    const bomb = ['a: &a [x,x,x,x,x,x,x,x,x,x]'];
    for (const [outer, inner] of ['ba', 'cb', 'dc', 'ed', 'fe', 'gf', 'hg', 'ih']) {
      bomb.push(`${outer}: &${outer} [${`*${inner},`.repeat(10)}]`);
    }
    expect(problemsOf(bomb.join('\n')).join('\n')).toContain(
      'the aliases or the nesting of this file are too large',
    );
  });

  test('because it is nested without end', () => {
    expect(problemsOf(`a: ${'['.repeat(100)}${']'.repeat(100)}`).join('\n')).toContain(
      'the nesting of this file',
    );
    expect(problemsOf('['.repeat(20_000))).toHaveLength(1);
  });
});

describe('a good config', () => {
  test('is completed with defaults', () => {
    const directory = temporaryDirectory();
    expect(configOf(configWith({}), {}, directory)).toEqual({
      file: join(directory, 'config.yaml'),
      stateDir: join(directory, 'state'),
      logLevel: 'info',
      host: hostname(),
      destinations: new Map([
        [
          'backup',
          {
            name: 'backup',
            bucket: 'acme-backup',
            prefix: '',
            pathStyle: false,
            requestPayer: false,
            accelerate: false,
            dualstack: false,
            fips: false,
            checksum: 'crc32',
            unsafeEmulation: false,
            allowPublic: false,
          },
        ],
      ]),
      folders: [
        {
          name: 'documents',
          path: join(directory, 'documents'),
          to: [{ destination: 'backup', policy: 'overwrite', compare: 'content', delete: 'keep' }],
          deleteGraceMs: 5_000,
          maxDelete: { count: 50, percent: 25 },
          archivePrefix: `archive/${hostname()}/documents/`,
          settleMs: 1_000,
          settleMaxMs: 60_000,
          rescanMs: 3_600_000,
          exclude: [],
          include: [],
          symlinks: 'skip',
          preserve: [],
          preserveChanges: 'lazy',
          rules: [],
        },
      ],
    });
  });

  test('says when deletes go, how many of them, and where to', () => {
    const config = configOf(
      configWith({
        destination: 'prefix: files/',
        folder:
          'delete: archive\ndelete-grace: 10s\nmax-delete: {count: 1000}\narchive-prefix: "old/{folder}/"',
      }),
    );
    expect(config.folders[0]).toMatchObject({
      deleteGraceMs: 10_000,
      maxDelete: { count: 1_000, percent: 25 },
      archivePrefix: 'old/documents/',
    });
  });

  test('fills in at every destination what the folder says for all', () => {
    const text = configWith({
      destination: ['prefix: a/', '  archive: {bucket: other}'].join('\n').replace('\n    ', '\n'),
      folder: 'policy: if-unchanged\nrules: [{match: "x/**", tags: {Project: ProjectX}}]',
    })
      .replace('      archive', '  archive')
      .replace(
        'to: backup',
        'to: [backup, {destination: archive, policy: skip-existing, when: {match: "**/*.pdf", smaller-than: 1MiB, tags: {Project: [ProjectX, ProjectY]}}}]',
      );
    expect(configOf(text).folders[0]?.to).toEqual([
      { destination: 'backup', policy: 'if-unchanged', compare: 'content', delete: 'keep' },
      {
        destination: 'archive',
        policy: 'skip-existing',
        compare: 'content',
        delete: 'keep',
        when: {
          match: ['**/*.pdf'],
          smallerThanBytes: 1024 ** 2,
          tags: { Project: ['ProjectX', 'ProjectY'] },
        },
      },
    ]);
  });

  test('may be JSON, with a byte order mark', () => {
    const json = {
      version: 1,
      'state-dir': '/s',
      destinations: { b: { bucket: 'acme' } },
      folders: { d: { path: '/d', to: ['b'] } },
    };
    expect(configOf(`\ufeff${JSON.stringify(json)}`).stateDir).toBe('/s');
  });

  test('has its folders in the order of the file, whatever they are called', () => {
    const text = configWith({
      top: ['zebra', '10', '9'].map((name) => `  "${name}": {path: in-${name}, to: backup}`).join('\n'),
    });
    expect(configOf(text).folders.map(({ name }) => name)).toEqual(['documents', 'zebra', '10', '9']);
  });

  test('shares parts by anchors', () => {
    const text = configWith({
      folder: 'exclude: &common ["*.tmp"]',
      top: '  more: {path: more, to: backup, exclude: *common}',
    });
    expect(configOf(text).folders.map(({ exclude }) => exclude)).toEqual([['*.tmp'], ['*.tmp']]);
  });

  test('takes patterns one by one, as a list, or by line as in a .gitignore', () => {
    expect(configOf(configWith({ folder: 'exclude: "*.tmp"' })).folders[0]?.exclude).toEqual(['*.tmp']);
    expect(configOf(configWith({ folder: 'exclude: ["*.tmp", .git/]' })).folders[0]?.exclude).toEqual([
      '*.tmp',
      '.git/',
    ]);
    expect(
      configOf(configWith({ folder: 'exclude: |\n  # editors\n  *.swp\n\n  .git/' })).folders[0]?.exclude,
    ).toEqual(['*.swp', '.git/']);
  });

  test('uses the path style with an endpoint unless told otherwise', () => {
    expect(destinationOf('endpoint: https://nas')?.pathStyle).toBe(true);
    expect(destinationOf('endpoint: https://nas\npath-style: false')?.pathStyle).toBe(false);
    expect(destinationOf('region: eu-central-1')?.pathStyle).toBe(false);
  });

  test('fills the host into the prefix and leaves the folder to the route', () => {
    expect(destinationOf('prefix: "{host}/{folder}/"')?.prefix).toBe(`${hostname()}/{folder}/`);
  });

  test('takes the state directory of its unit', () => {
    const text = configWith({}).replace('state-dir: state\n', '');
    expect(configOf(text, { STATE_DIRECTORY: '/var/lib/s3syncd:/var/lib/other' }).stateDir).toBe(
      '/var/lib/s3syncd',
    );
  });
});

describe('expansion', () => {
  test('takes a variable, or the default when it is unset or empty', () => {
    expect(destinationOf('region: ${env:R}', { R: 'eu-west-1' })?.region).toBe('eu-west-1');
    expect(destinationOf('region: ${env:R:-us-east-1}', { R: 'eu-west-1' })?.region).toBe('eu-west-1');
    expect(destinationOf('region: ${env:R:-us-east-1}', { R: '' })?.region).toBe('us-east-1');
    expect(destinationOf('region: "${env:R:-us-east-1}"', {})?.region).toBe('us-east-1');
  });

  test('does not look at what a variable holds', () => {
    expect(destinationOf('profile: ${env:P}', { P: '${env:Q}: [' })?.profile).toBe('${env:Q}: [');
  });

  test('refuses a value that is wrong without showing it', () => {
    expect(problemsOf(configWith({ destination: 'region: ${env:R}' }), { R: 'a b' })).toEqual([
      '6:13: destinations.backup.region: "${env:R}" is not a region; write it as in eu-central-1',
    ]);
  });

  test('gives booleans where they stand without quotes', () => {
    expect(destinationOf('fips: ${env:FIPS}', { FIPS: 'true' })?.fips).toBe(true);
  });

  describe('of credentials', () => {
    const text = configWith({
      destination: 'credentials: {access-key-id: "${env:ID}", secret-access-key: "${cred:secret}"}',
    });
    test('reads a file of the unit without its last line break', () => {
      expect(configOf(text, withCredential(0o600)).destinations.get('backup')?.credentials).toEqual({
        accessKeyId: 'AKIA',
        secretAccessKey: 'topsecret',
      });
    });

    test.each([0o640, 0o604])('refuses a file that others may read', (mode) => {
      const env = withCredential(mode);
      expect(problemsOf(text, env)).toEqual([
        `6:66: destinations.backup.credentials.secret-access-key: credential secret can be read by other users; run: chmod 600 ${env.CREDENTIALS_DIRECTORY}/secret`,
      ]);
    });

    test('says how to add a file that is missing', () => {
      const directory = temporaryDirectory();
      expect(problemsOf(text, { ID: 'AKIA', CREDENTIALS_DIRECTORY: directory })).toEqual([
        `6:66: destinations.backup.credentials.secret-access-key: credential secret does not exist (${directory}/secret); add LoadCredential=secret:/path/of/the/file to the unit`,
      ]);
    });
  });
});

describe('directories', () => {
  test('within one another are refused for one destination', () => {
    expect(problemsOf(twoFolders('data', 'data/photos'))).toEqual([
      '7:15: folders.two.path: folder "two" lies within folder "one" and both go to "backup", so its files would be uploaded twice; add "/photos/" to exclude of "one"',
    ]);
    expect(problemsOf(twoFolders('data/photos', 'data'))).toEqual([
      '7:15: folders.two.path: folder "one" lies within folder "two" and both go to "backup", so its files would be uploaded twice; add "/photos/" to exclude of "two"',
    ]);
  });

  test('within one another are fine when the outer one excludes the inner', () => {
    expect(problemsOf(twoFolders('data', 'data/photos', ', exclude: ["/photos/"]'))).toEqual([]);
  });

  test('whose names only begin alike are not within one another', () => {
    expect(problemsOf(twoFolders('data', 'data-2'))).toEqual([]);
    expect(problemsOf(twoFolders('data', 'data/../..data'))).toEqual([]);
  });

  test('that are the same are refused, also through a symbolic link', () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, 'data'));
    symlinkSync('data', join(directory, 'link'));
    expect(problemsOf(twoFolders('data', './link/'), {}, directory)).toEqual([
      '7:15: folders.two.path: is the path of folder "one" too, and both go to "backup"; keep one of them',
    ]);
  });

  test('never hold the state directory, nor lie within it', () => {
    const directory = temporaryDirectory();
    expect(problemsOf(twoFolders('.', 'state/x'), {}, directory)).toEqual([
      `6:15: folders.one.path: ${directory} holds the state directory ${directory}/state, whose journal would be synced for ever; put state-dir elsewhere`,
      `7:15: folders.two.path: ${directory}/state/x is within the state directory ${directory}/state, which is the daemon's own; put the folder elsewhere`,
      '7:15: folders.two.path: folder "two" lies within folder "one" and both go to "backup", so its files would be uploaded twice; add "/state/x/" to exclude of "one"',
    ]);
  });

  test('may be missing, but not be files', () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, 'file'), '');
    expect(problemsOf(twoFolders('missing', 'file'), {}, directory)).toEqual([
      `7:15: folders.two.path: ${directory}/file is not a directory; name the directory that holds the files`,
    ]);
  });
});

describe('warnings', () => {
  test.each([
    [
      'a prefix without a slash at its end',
      configWith({ destination: 'prefix: files' }),
      '6:13: destinations.backup.prefix: does not end with /, so the key of a.txt is "filesa.txt"; end it with / if that is not meant',
    ],
    [
      'a store in the open',
      configWith({ destination: 'endpoint: http://nas:9000' }),
      '6:15: destinations.backup.endpoint: is not encrypted: everybody on the way can read the files; use https:// if the store has it',
    ],
    [
      'a destination without folders',
      configWith({}).replace('folders:', '  archive: {bucket: acme-archive}\nfolders:'),
      '6:3: destinations.archive: is used by no folder; name it in "to" of one or remove it',
    ],
    [
      'folders with the same keys',
      configWith({ top: '  photos: {path: photos, to: backup}' }),
      '10:30: folders.photos.to: folders "documents" and "photos" have the same keys in bucket acme-backup, and files of the same path would conflict; put {folder}/ into the prefix of "backup"',
    ],
    [
      'destinations that are the same',
      configWith({})
        .replace('folders:', '  archive: {bucket: acme-backup}\nfolders:')
        .replace('to: backup', 'to: [backup, archive]'),
      '10:18: folders.documents.to[1]: "archive" and "backup" are the same bucket and prefix; keep one of them',
    ],
    [
      'many scans',
      configWith({ folder: 'rescan: 5s' }),
      '10:13: folders.documents.rescan: is less than a minute, which keeps a large folder scanning all the time; 1h is usual',
    ],
    [
      'a grace that is none',
      configWith({ folder: 'delete: propagate\ndelete-grace: 100ms' }),
      '11:19: folders.documents.delete-grace: is less than 1s: a program that saves a file by deleting it first may take longer to write it anew; 5s is usual',
    ],
    [
      'many tags in all',
      configWith({
        folder: `rules: [{match: "*.a", tags: {${'abcdef'.replaceAll(/./g, '$&: x, ')}}}, {match: "*.b", tags: {${'ghijkl'.replaceAll(/./g, '$&: x, ')}}}]`,
      }),
      '10:5: folders.documents.rules: have 12 tags in all; S3 refuses an object with more than 10, and a file that gets that many fails',
    ],
  ])('%s', (_, text, warning) => {
    expect(problemsOf(text)).toEqual([]);
    expect(warningsOf(text)).toEqual([warning]);
  });

  test.each(['http://127.0.0.1:9000', 'http://localhost:9000', 'http://[::1]:9000', 'https://nas'])(
    'none for %s',
    (endpoint) => {
      expect(warningsOf(configWith({ destination: `endpoint: ${endpoint}` }))).toEqual([]);
    },
  );
});

test('secrets that this process cannot read are no problem for who does not need them', () => {
  const file = join(temporaryDirectory(), 'config.yaml');
  const credentials = 'credentials: { access-key-id: "${cred:id}", secret-access-key: "${env:NONE}" }';
  writeFileSync(
    file,
    `version: 1\nstate-dir: /s\ndestinations: { d: { bucket: bbb, ${credentials} } }\nfolders: { f: { path: /f, to: d } }\n`,
  );
  expect(loadConfig(file, {}).kind).toBe('problems');
  expect(loadConfig(file, {}, 'left-out').kind).toBe('config');
});

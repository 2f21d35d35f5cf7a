import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { configOf, configWith, problemsOf, temporaryDirectory, warningsOf } from './helpers.ts';

const role = 'role-arn: arn:aws:iam::111122223333:role/backup';
const env = { ID: 'AKIA', SECRET: 's3cret' };
const credentials = 'credentials: {access-key-id: "${env:ID}", secret-access-key: "${env:SECRET}"}';

/** A file of secrets. */
function secret(content: string, mode = 0o600): string {
  const file = join(temporaryDirectory(), 'secret');
  writeFileSync(file, content);
  chmodSync(file, mode);
  return file;
}

const profiles = '[default]\naws_access_key_id = A\n[nas]\naws_access_key_id = B\n[profile "cloud"]\n';

test('files with credentials and tokens are named relative to the config file', () => {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, 'aws'), profiles, { mode: 0o600 });
  writeFileSync(join(directory, 'token'), 'a.web.token', { mode: 0o600 });
  const destination = (lines: string) =>
    configOf(configWith({ destination: lines }), {}, directory).destinations.get('backup');
  expect(destination('shared-credentials-file: aws\nprofile: cloud')).toMatchObject({
    sharedCredentialsFile: join(directory, 'aws'),
    profile: 'cloud',
  });
  expect(destination(`${role}\nweb-identity-token-file: token`)).toMatchObject({
    webIdentityTokenFile: join(directory, 'token'),
  });
});

test.each<[what: string, lines: (file: string) => string, problems: (file: string) => string[]]>([
  [
    'a file that is not there',
    () => 'shared-credentials-file: /none',
    () => ['6:30: destinations.backup.shared-credentials-file: cannot read /none (ENOENT)'],
  ],
  [
    'a profile that the file does not have',
    (file) => `shared-credentials-file: ${file}\nprofile: cloudy`,
    (file) => [
      `6:30: destinations.backup.shared-credentials-file: ${file} has no profile "cloudy"; correct profile, or name another file`,
    ],
  ],
  [
    'a token without a role',
    (file) => `web-identity-token-file: ${file}`,
    () => [
      '6:5: destinations.backup.web-identity-token-file: is for assuming a role, and there is no role-arn; add it or remove web-identity-token-file',
    ],
  ],
  [
    'a token beside other identities',
    (file) => `${role}\nweb-identity-token-file: ${file}\nexternal-id: e\nprofile: nas`,
    () => [
      '8:5: destinations.backup.external-id: does not go with web-identity-token-file, whose token says all that the role asks for; remove one of them',
      '9:5: destinations.backup.profile: does not go with web-identity-token-file, whose token says all that the role asks for; remove one of them',
    ],
  ],
  [
    'credentials beside a file of them',
    (file) => `shared-credentials-file: ${file}\n${credentials}`,
    () => [
      '6:5: destinations.backup.shared-credentials-file: there are credentials too, and only one can be used; remove one of them',
    ],
  ],
])('%s is refused', (_, lines, problems) => {
  const file = secret(profiles);
  expect(problemsOf(configWith({ destination: lines(file) }), env)).toEqual(problems(file));
});

test('a file with secrets that its group may read is told', () => {
  const mode = 0o640;
  const file = secret(profiles, mode);
  expect(warningsOf(configWith({ destination: `shared-credentials-file: ${file}` }))).toEqual([
    `6:30: destinations.backup.shared-credentials-file: ${file} can be read by other users; run: chmod 600 ${file}`,
  ]);
});

test('a file with secrets that everybody may read is refused', () => {
  const file = secret(profiles, 0o604);
  const text = configWith({ destination: `shared-credentials-file: ${file}` });
  expect(problemsOf(text)).toEqual([
    `6:30: destinations.backup.shared-credentials-file: ${file} can be read by every user of this machine; run: chmod 600 ${file}`,
  ]);
});

test('who only looks at the status need not have the files', () => {
  const file = join(temporaryDirectory(), 'config.yaml');
  writeFileSync(file, configWith({ destination: 'shared-credentials-file: /none' }));
  expect(loadConfig(file, {}, 'left-out').kind).toBe('config');
});

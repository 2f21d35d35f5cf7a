// The README and docs stay true: every config in them loads, every command in them exists, every file they name is there.
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  existsSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { loadConfig } from '../src/config/load.ts';
import { ruleSchema } from '../src/config/rule-schema.ts';
import { exitCodes } from '../src/cli/exit.ts';
import { verbNames } from '../src/cli/program.ts';
import { compares, policies } from '../src/core/policy.ts';

const root = path.join(import.meta.dirname, '..');
const read = (file: string) => readFileSync(path.join(root, file), 'utf8');
const readme = read('README.md');
const pages = ['README.md', ...readdirSync(path.join(root, 'docs')).map((name) => `docs/${name}`)];

/** Fenced code blocks of a language. */
function blocks(markdown: string, language: string): string[] {
  return [...markdown.matchAll(new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 'gs'))].map(
    (match) => match[1] ?? '',
  );
}

describe('the README', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 's3syncd-docs-'));
  afterAll(() => rmSync(directory, { recursive: true }));

  test.each(blocks(readme, 'yaml').map((text, index) => ({ index, text })))(
    'shows a config that loads ($index)',
    ({ index, text }) => {
      const file = path.join(directory, `${index}.yaml`);
      const credentials = path.join(directory, 'credentials');
      mkdirSync(credentials, { recursive: true });
      for (const [, name] of text.matchAll(/\$\{cred:([\w-]+)\}/g)) {
        writeFileSync(path.join(credentials, name!), 'secret', { mode: 0o400 });
      }
      writeFileSync(file, text);
      const loaded = loadConfig(file, { CREDENTIALS_DIRECTORY: credentials });
      expect(loaded).toMatchObject({ kind: 'config' });
    },
  );

  test('names every verb, and no other', () => {
    const verbs = readme.slice(readme.indexOf('| verb |'), readme.indexOf('Every verb that reports'));
    const named = [...verbs.matchAll(/^\| `([a-z-]+)/gm)].map((match) => match[1]);
    expect(new Set(named)).toEqual(new Set(verbNames));
  });

  test('uses no verb that does not exist', () => {
    const used = [...readme.matchAll(/s3syncd ([a-z]+) --config/g)].map((match) => match[1]);
    expect(used.length).toBeGreaterThan(3);
    for (const verb of used) expect(verbNames).toContain(verb);
  });

  test('explains every policy and every compare', () => {
    for (const word of [...policies, ...compares]) expect(readme).toContain(`| \`${word}\``);
  });

  test('says what the AWS CLI calls every key of a rule', () => {
    const table = readme.slice(readme.indexOf('| AWS CLI |'), readme.indexOf('Of a destination:'));
    const ours = [
      'key',
      'compress',
      'encrypt',
      'match',
      'larger-than',
      'smaller-than',
      'older-than',
      'newer-than',
    ];
    const named = [...table.matchAll(/^\| `--[^|]*\| `([a-z-]+)/gm)].map((match) => match[1]);
    expect(new Set([...named, ...ours])).toEqual(new Set(Object.keys(ruleSchema.shape)));
  });

  test('lists every exit code', () => {
    for (const code of Object.values(exitCodes)) expect(readme).toMatch(new RegExp(`\\b${code} `));
  });

  test('has the two commands as they are', () => {
    expect(readme).toContain('npm ci && npm start');
    expect(readme).toContain('npm ci && npm test');
  });
});

describe.each(pages)('%s', (page) => {
  test('links only to files that exist', () => {
    const links = [...read(page).matchAll(/\]\(([^)#]+)\)/g)].map((match) => match[1]!);
    for (const link of links.filter((target) => !target.startsWith('http'))) {
      expect(existsSync(path.join(root, path.dirname(page), link)), link).toBe(true);
    }
  });

  test('names only source files and tests that exist', () => {
    const named = [...read(page).matchAll(/`((?:src|test|config|systemd)\/[\w./-]+)`/g)].map(
      (match) => match[1]!,
    );
    for (const file of named) expect(existsSync(path.join(root, file)), file).toBe(true);
  });
});

test.each(['docs/architecture.md', 'docs/faults.md'])('%s names only tests that there are', (page) => {
  const named = [...read(page).matchAll(/`(test\/[\w./-]+)` "([^"]+)"/g)];
  expect(named.length).toBeGreaterThan(20);
  const missing = named.filter(([, file, title]) => !read(file!).includes(title!));
  expect(missing.map(([whole]) => whole)).toEqual([]);
});

test('docs/architecture.md stays a page that can be read at once', () => {
  expect(read('docs/architecture.md').split('\n').length).toBeLessThanOrEqual(200);
});

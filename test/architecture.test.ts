// Who may import whom. The directions of docs/architecture.md, held by reading the import lines.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';

const source = path.join(import.meta.dirname, '../src');

/** What each part may import besides itself; `plan`, `check` and `daemon` are the files of that name. */
const layers: Readonly<Record<string, readonly string[]>> = {
  main: ['cli'],
  cli: ['daemon', 'plan', 'check', 'control', 'config', 'drain', 'journal', 'observe', 'core', 'version'],
  daemon: ['config', 'core', 'drain', 'journal', 'observe', 'transfer', 'watch', 'version'],
  plan: ['config', 'core', 'daemon', 'drain', 'journal', 'transfer', 'watch'],
  check: ['config', 'core', 'transfer', 'watch', 'drain'],
  drain: ['config', 'core', 'journal', 'observe', 'transfer', 'watch'],
  watch: ['core', 'journal'],
  journal: ['config', 'core'],
  transfer: ['config', 'core'],
  observe: ['config', 'core', 'journal'],
  config: ['core'],
  control: [],
  core: [],
  version: [],
};

/** Packages that stay behind one door. */
const doors: readonly (readonly [pattern: RegExp, files: RegExp])[] = [
  [/^chokidar$/, /^watch\/watcher\.ts$/],
  [/^pino$/, /^observe\/log\.ts$/],
  [/^better-sqlite3$/, /^journal\//],
  [/^(@aws-sdk|@smithy)\//, /^transfer\//],
  [/^commander$/, /^cli\/program\.ts$/],
  [/^(yaml|zod)$/, /^config\//],
];

/** What core may use: pure functions, and no clock, chance or file system. */
const coreImports = /^(picomatch|ignore|mime|\.\/|\.\.\/core\/)/;
const impure = /\b(Date\.now|new Date\(\)|Math\.random|performance\.|process\.|randomUUID)/;

interface Import {
  /** As `drain/act.ts`. */
  readonly from: string;
  readonly to: string;
}

function importsOf(file: string, text: string): Import[] {
  const specifiers = [...text.matchAll(/(?:^import|^export|\bfrom|\bimport\()\s*['"]([^'"]+)['"]/gm)];
  return specifiers.map((match) => ({ from: file, to: match[1]! }));
}

function violations({ from, to }: Import): string[] {
  const found: string[] = [];
  const part = partOf(from);
  if (to.startsWith('.')) {
    const target = partOf(path.posix.join(path.posix.dirname(from), to));
    if (target !== part && !layers[part]?.includes(target))
      found.push(`${from}: ${part} must not import ${target}`);
  }
  for (const [pattern, files] of doors) {
    if (pattern.test(to) && !files.test(from)) found.push(`${from}: ${to} is imported elsewhere only`);
  }
  if (part === 'core' && !coreImports.test(to)) found.push(`${from}: core must not import ${to}`);
  return found;
}

function partOf(file: string): string {
  return file.includes('/') ? file.slice(0, file.indexOf('/')) : file.replace(/\.ts$/, '');
}

const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((file) =>
  file.endsWith('.ts'),
);

test('every file keeps to the directions', () => {
  expect(files.length).toBeGreaterThan(50);
  const found = files.flatMap((file) =>
    importsOf(file, readFileSync(path.join(source, file), 'utf8')).flatMap(violations),
  );
  expect(found).toEqual([]);
});

test('only the worker of the watch thread looks into the journal', () => {
  const readers = files.filter((file) => {
    const imports = importsOf(file, readFileSync(path.join(source, file), 'utf8'));
    return (
      file.startsWith('watch/') &&
      imports.some(({ to }) => to.includes('/journal/') && !to.endsWith('/known.ts'))
    );
  });
  expect(readers).toEqual([]);
});

test.each(files.filter((file) => file.startsWith('core/')))(
  '%s has no clock, no chance and no process',
  (file) => {
    expect(readFileSync(path.join(source, file), 'utf8')).not.toMatch(impure);
  },
);

describe('the check itself finds', () => {
  test.each([
    ['core/decide.ts', "import { Journal } from '../journal/journal.ts';"],
    ['core/decide.ts', "import fs from 'node:fs';"],
    ['journal/journal.ts', "import { connect } from '../transfer/s3.ts';"],
    ['drain/act.ts', "import { watch } from 'chokidar';"],
    ['daemon.ts', "const { S3Client } = await import('@aws-sdk/client-s3');"],
    ['transfer/s3.ts', "import { Drain } from '../drain/drain.ts';"],
    ['watch/scan.ts', "import { loadConfig } from '../config/load.ts';"],
  ])('a wrong import in %s', (file, line) => {
    expect(importsOf(file, line).flatMap(violations)).not.toEqual([]);
  });
});

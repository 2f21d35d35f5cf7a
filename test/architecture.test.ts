// Who may import whom, which library has one door, and what core must do without.
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';

interface Layer {
  /** What its code uses. */
  readonly uses: readonly string[];
  /** What it knows by its types only. */
  readonly knows?: readonly string[];
}

// From the bottom up. A folder of src is a layer, and so is a file in it.
const layers: Readonly<Record<string, Layer>> = {
  core: { uses: [] },
  version: { uses: [] },
  edge: { uses: [] },
  control: { uses: [] },
  config: { uses: ['core'] },
  journal: { uses: ['core', 'edge'], knows: ['config'] },
  transfer: { uses: ['core'], knows: ['config', 'edge'] },
  watch: { uses: ['core', 'edge', 'journal'] },
  observe: { uses: ['core'], knows: ['config', 'journal'] },
  drain: { uses: ['core', 'journal', 'transfer'], knows: ['config', 'edge', 'watch', 'observe'] },
  check: { uses: ['core', 'config', 'edge', 'journal', 'transfer', 'watch'] },
  estimate: { uses: ['core', 'transfer'], knows: ['config'] },
  naming: { uses: ['config'], knows: ['journal'] },
  deletes: { uses: ['core', 'config', 'journal', 'watch', 'naming'], knows: ['edge'] },
  conflicts: { uses: ['core', 'config', 'journal', 'naming'] },
  halts: { uses: ['core', 'config', 'journal', 'observe', 'naming'] },
  failures: { uses: ['core', 'config', 'journal', 'observe', 'naming', 'halts'] },
  history: { uses: ['core', 'config', 'journal', 'naming'] },
  routes: { uses: ['core', 'config', 'transfer', 'watch', 'drain'], knows: ['edge', 'journal', 'observe'] },
  daemon: {
    uses: [
      'core',
      'config',
      'conflicts',
      'deletes',
      'failures',
      'halts',
      'edge',
      'journal',
      'transfer',
      'watch',
      'observe',
      'drain',
      'routes',
      'version',
    ],
  },
  plan: { uses: ['core', 'config', 'edge', 'journal', 'transfer', 'watch', 'drain', 'routes', 'estimate'] },
  prune: { uses: ['core', 'config', 'edge', 'journal', 'transfer', 'watch', 'drain', 'routes', 'plan'] },
  cli: {
    uses: [
      'core',
      'config',
      'conflicts',
      'control',
      'deletes',
      'edge',
      'failures',
      'halts',
      'history',
      'journal',
      'naming',
      'observe',
      'check',
      'daemon',
      'plan',
      'prune',
      'version',
    ],
    knows: ['drain', 'estimate'],
  },
  main: { uses: ['cli'] },
};

/** Libraries, and the only places that import them. */
const doors: Readonly<Record<string, RegExp>> = {
  chokidar: /^watch\/watcher\.ts$/,
  pino: /^observe\/log\.ts$/,
  'better-sqlite3': /^journal\//,
  '@aws-sdk': /^transfer\//,
  '@smithy': /^transfer\//,
  'age-encryption': /^transfer\/transform\.ts$/,
  yaml: /^config\/document\.ts$/,
  zod: /^config\//,
  commander: /^cli\/program\.ts$/,
  picomatch: /^core\/rules\.ts$/,
  mime: /^core\/rules\.ts$/,
  ignore: /^core\/filter\.ts$/,
};

const imports = /^(?:import|export)( type)?\b[^;]*?from '([^']+)'|\bimport\('([^']+)'\)|^import '([^']+)'/gm;
/** Clocks, randomness, and the process: core gets them as arguments. */
const impure =
  /\b(?:(?:Date\.now|Math\.random|performance|process|setTimeout|setInterval|crypto)\b|new Date\(\))/;

/** What is simulated runs on the clock and the files that it is handed, or a seed would not come out the same twice. */
const simulated =
  /^(?:core|drain|journal|watch)\/|^transfer\/(?:begun|open|reading|upload)\.ts$|^(?:conflicts|daemon|deletes|failures|halts)\.ts$/;
const ofTheWorld =
  /\b(?:Date\.now|Math\.random|performance\.now|setTimeout|setInterval|setImmediate|randomUUID|randomBytes)\b|new Date\(\)|'node:(?:fs|timers)[^']*'/g;
/** Watches of the kernel, and threads: the simulation has others. */
const watches = /^watch\/(?:gauge|limits|listing|thread|watched|watcher|worker)\.ts$/;
/** Files that are not simulated: the journal's own, and those that only `check` looks at. */
const otherFiles: Readonly<Record<string, readonly string[]>> = {
  'journal/journal.ts': ["'node:fs'"],
  'journal/lineage.ts': ["'node:fs'", 'randomUUID'],
  'journal/soundness.ts': ["'node:fs'"],
  'journal/state-dir.ts': ["'node:fs'"],
  'watch/directories.ts': ["'node:fs'"],
};

/** Uses of the world that a file should have been handed. */
function worldly(file: string, code: string): string[] {
  if (!simulated.test(file) || watches.test(file)) return [];
  const found = new Set([...code.matchAll(ofTheWorld)].map(([use]) => use));
  return [...found].filter((use) => !otherFiles[file]?.includes(use));
}

/** What is wrong with a file, which is named by its path in src. */
function violations(file: string, text: string): string[] {
  const layer = layerOf(file);
  const found = [...text.matchAll(imports)].map(([, type, from, dynamic, bare]) => {
    const target = from ?? dynamic ?? bare ?? '';
    return target.startsWith('.')
      ? layerViolation(layer, layerOf(path.posix.join(path.dirname(file), target)), type !== undefined)
      : packageViolation(layer, file, target);
  });
  const code = text.replaceAll(/\/\/.*|\/\*[^]*?\*\//g, '');
  if (layer === 'core') found.push(impure.exec(code)?.[0]);
  else found.push(...worldly(file, code));
  return found.filter((violation) => violation !== undefined).map((violation) => `${file}: ${violation}`);
}

function layerOf(file: string): string {
  return file.replace(/\.ts$/, '').split('/')[0]!;
}

function layerViolation(layer: string, target: string, isType: boolean): string | undefined {
  const { uses = [], knows = [] } = layers[layer] ?? {};
  if (layer === target || uses.includes(target) || (isType && knows.includes(target))) return undefined;
  return `${layer} may not import ${target}`;
}

function packageViolation(layer: string, file: string, target: string): string | undefined {
  if (target.startsWith('node:')) return layer === 'core' ? `core may not import ${target}` : undefined;
  const name = target.startsWith('@') ? target.split('/')[0]! : target;
  const door = doors[name];
  return door?.test(file) ? undefined : `${target} may not be imported here`;
}

const source = path.join(import.meta.dirname, '../src');
const files = fs
  .readdirSync(source, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'));

test('every file of src keeps to its layer', () => {
  expect(files.length).toBeGreaterThan(50);
  expect(files.flatMap((file) => violations(file, fs.readFileSync(path.join(source, file), 'utf8')))).toEqual(
    [],
  );
});

test('every layer is there, and stands on those below it', () => {
  const names = Object.keys(layers);
  expect(new Set(files.map(layerOf))).toEqual(new Set(names));
  const upwards = names.flatMap((name, index) => {
    const { uses, knows = [] } = layers[name]!;
    return [...uses, ...knows].filter((below) => names.indexOf(below) >= index);
  });
  expect(upwards).toEqual([]);
});

describe('what is not allowed is found', () => {
  test.each([
    ['core/decide.ts', `import fs from 'node:fs';`, 'core may not import node:fs'],
    ['core/decide.ts', `import { Journal } from '../journal/journal.ts';`, 'core may not import journal'],
    ['core/decide.ts', `import type { Config } from '../config/config.ts';`, 'core may not import config'],
    ['core/decide.ts', `import {\n  a,\n  b,\n} from '../cli/text.ts';`, 'core may not import cli'],
    ['core/decide.ts', `export { a } from '../cli/text.ts';`, 'core may not import cli'],
    ['core/decide.ts', `import '../cli/text.ts';`, 'core may not import cli'],
    ['core/decide.ts', `const text = await import('../cli/text.ts');`, 'core may not import cli'],
    ['core/decide.ts', 'const now = Date.now();', 'Date.now'],
    ['core/decide.ts', 'const now = new Date();', 'new Date()'],
    ['core/decide.ts', 'const luck = Math.random();', 'Math.random'],
    ['core/decide.ts', 'const home = process.env.HOME;', 'process'],
    [
      'journal/journal.ts',
      `import { routeIdentity } from '../config/config.ts';`,
      'journal may not import config',
    ],
    ['drain/act.ts', `import { openLog } from '../observe/log.ts';`, 'drain may not import observe'],
    ['transfer/s3.ts', `import { Drain } from '../drain/drain.ts';`, 'transfer may not import drain'],
    ['watch/folder.ts', `import chokidar from 'chokidar';`, 'chokidar may not be imported here'],
    ['drain/drain.ts', `import { pino } from 'pino';`, 'pino may not be imported here'],
    ['drain/drain.ts', `import Database from 'better-sqlite3';`, 'better-sqlite3 may not be imported here'],
    [
      'drain/drain.ts',
      `import { S3Client } from '@aws-sdk/client-s3';`,
      '@aws-sdk/client-s3 may not be imported here',
    ],
    ['drain/drain.ts', 'const now = Date.now();', 'Date.now'],
    ['drain/drain.ts', 'setTimeout(resolve, 1);', 'setTimeout'],
    ['drain/handled.ts', 'const jitter = Math.random();', 'Math.random'],
    ['drain/act.ts', `import timers from 'node:timers/promises';`, "'node:timers/promises'"],
    ['transfer/open.ts', `import fs from 'node:fs';`, "'node:fs'"],
    ['watch/scan.ts', 'const at = performance.now();', 'performance.now'],
    ['journal/journal.ts', 'const id = randomUUID();', 'randomUUID'],
    ['daemon.ts', 'const now = new Date();', 'new Date()'],
    ['cli/text.ts', `import leftPad from 'left-pad';`, 'left-pad may not be imported here'],
  ])('%s: %s', (file, text, violation) => {
    expect(violations(file, text)).toEqual([`${file}: ${violation}`]);
  });

  test.each([
    ['core/decide.ts', `import { agreed } from './baseline.ts';\n// Date.now() is an argument\nnew Date(ms)`],
    ['journal/journal.ts', `import type { RouteIdentity } from '../config/config.ts';`],
    ['journal/journal.ts', `import Database from 'better-sqlite3';`],
    ['journal/journal.ts', `import fs from 'node:fs';`],
    ['watch/thread.ts', `const at = performance.now();`],
    ['cli/progress.ts', `const now = Date.now();`],
  ])('and what is allowed is not: %s: %j', (file, text) => {
    expect(violations(file, text)).toEqual([]);
  });
});

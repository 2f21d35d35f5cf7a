// What `aws s3 sync` would upload, `compare: aws` uploads, and `aws s3 sync --size-only`, `compare: size`: asked of the AWS
// CLI itself over random trees and buckets. It takes a second to start, so all cases lie side by side in one folder.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { noCommand, randomSeed, startStore, workspace, type Store, type Workspace } from './harness.ts';

const cases = 500;
const missing = noCommand('aws');

/** A path of a case: a file, an object, or both. */
interface Entry {
  readonly path: string;
  readonly file: { readonly size: number; readonly laterByNs: bigint } | undefined;
  readonly object: { readonly size: number; readonly letter: string } | undefined;
}

const secondNs = 1_000_000_000n;
const names = [
  'a',
  'b',
  'c d',
  'é',
  'e\u0301',
  '日本',
  '😀',
  '\uff5e',
  'x+y',
  '%41',
  "it's",
  '-',
  'A',
  '.d',
  'a.b',
  '&<>',
];
const sizes = fc.constantFrom(0, 1, 2, 3, 100, 70_000);
/** How much later the file is than its object: around what a second, a microsecond and a double can tell apart. */
const laterByNs = fc.oneof(
  fc.constantFrom(0n, 1n, 250n, 499n, 501n, 750n, 1_000n, 1_001n, 999_999n, 1_000_000n, 999_999_999n),
  fc.constantFrom(-1n, -499n, -501n, -1_000n, -1_000_000n, -secondNs, secondNs, 3_600n * secondNs),
  fc.bigInt(-2n * secondNs, 2n * secondNs),
  fc.bigInt(-1_700_000_000n * secondNs, 300_000_000n * secondNs),
);

const entry: fc.Arbitrary<Entry> = fc
  .record({
    path: fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/')),
    file: fc.option(fc.record({ size: sizes, laterByNs }), { nil: undefined, freq: 5 }),
    object: fc.option(fc.record({ size: sizes, letter: fc.constantFrom('f', 'o') }), {
      nil: undefined,
      freq: 4,
    }),
    isOtherSize: fc.constantFrom(true, false, false, false),
  })
  .map(({ path, file, object, isOtherSize }) => ({
    path,
    file,
    object: !isOtherSize && file && object ? { ...object, size: file.size } : object,
  }));

/** Paths are keys, of which one may begin with another; but no file can be a directory too. */
const tree = fc
  .uniqueArray(entry, { selector: ({ path }) => path, minLength: 1, maxLength: 10 })
  .map((entries) =>
    entries.map((entry) =>
      entries.some((other) => other.file && other.path.startsWith(`${entry.path}/`))
        ? { ...entry, file: undefined }
        : entry,
    ),
  );

test.skipIf(missing)(
  `of ${cases} random trees and buckets the same files are uploaded as by aws s3 sync, and by aws s3 sync --size-only`,
  { timeout: 300_000 },
  async () => {
    const store = await startStore();
    const home = workspace(store);
    const seed = randomSeed();
    const entries = fc
      .sample(tree, { numRuns: cases, seed })
      .flatMap((tree, index) => tree.map((entry) => ({ ...entry, path: `${index}/${entry.path}` })));
    await putObjects(store, entries);
    await writeFiles(home, entries, await lastModified(store));

    for (const [compare, option] of [
      ['aws', []],
      ['size', ['--size-only']],
    ] as const) {
      home.configure({ folder: { compare } });
      const expected = await uploadsOfAws(home, option);
      expect(await plannedUploads(home)).toEqual(expected);
      const files = entries.filter(({ file }) => file).length;
      console.log(`compare: ${compare}: ${expected.length} of ${files} files in ${cases} trees are uploaded`);
      // Neither all nor none: each answer was given hundreds of times.
      expect(expected.length).toBeGreaterThan(files / 5);
      expect(expected.length).toBeLessThan((files * 4) / 5);
    }
  },
);

async function putObjects(store: Store, entries: readonly Entry[]): Promise<void> {
  const left = entries.filter(({ object }) => object);
  const worker = async () => {
    for (let next = left.pop(); next; next = left.pop()) {
      const { size, letter } = next.object!;
      await store.put(next.path, Buffer.alloc(size, letter));
    }
  };
  await Promise.all(Array.from({ length: 16 }, worker));
}

/** In nanoseconds, by key. */
async function lastModified(store: Store): Promise<Map<string, bigint>> {
  const times = new Map<string, bigint>();
  let token: string | undefined;
  do {
    const page = await store.client.send(
      new ListObjectsV2Command({ Bucket: store.bucket, ContinuationToken: token }),
    );
    for (const { Key, LastModified } of page.Contents ?? []) {
      times.set(Key!, BigInt(LastModified!.getTime()) * 1_000_000n);
    }
    token = page.NextContinuationToken;
  } while (token !== undefined);
  return times;
}

async function writeFiles(
  home: Workspace,
  entries: readonly Entry[],
  times: Map<string, bigint>,
): Promise<void> {
  const nowNs = BigInt(Date.now()) * 1_000_000n;
  // Node sets times as doubles, which cannot tell nanoseconds apart.
  const touch = spawn('xargs', ['-0', '-n', '3', 'touch'], { stdio: ['pipe', 'inherit', 'inherit'] });
  const touched = once(touch, 'close');
  for (const { path: name, file } of entries) {
    if (!file) continue;
    home.write(name, Buffer.alloc(file.size, 'f'));
    const ns = (times.get(name) ?? nowNs) + file.laterByNs;
    const fraction = String(ns % secondNs).padStart(9, '0');
    touch.stdin.write(`-d\0@${ns / secondNs}.${fraction}\0${home.path(name)}\0`);
  }
  touch.stdin.end();
  expect(await touched).toEqual([0, null]);
}

async function uploadsOfAws(home: Workspace, options: readonly string[]): Promise<string[]> {
  const { endpoint, bucket, region } = home.store;
  const { stdout } = await promisify(execFile)(
    'aws',
    ['--endpoint-url', endpoint, 's3', 'sync', home.folder, `s3://${bucket}`, '--dryrun', ...options],
    {
      env: { ...home.env, AWS_REGION: region, AWS_DEFAULT_REGION: region, LC_ALL: 'C.UTF-8' },
      maxBuffer: 64 * 1024 ** 2,
    },
  );
  const lines = stdout.split('\n').filter((line) => line !== '');
  return lines.map((line) => /^\(dryrun\) upload: .* to s3:\/\/[^/]+\/(.*)$/.exec(line)![1]!).toSorted();
}

async function plannedUploads(home: Workspace): Promise<string[]> {
  const { code, json, stderr } = await home.s3syncd('plan', '--json');
  expect(code, stderr).toBe(0);
  const actions = json.actions as { action: string; key: string }[];
  return actions
    .filter(({ action }) => action === 'upload')
    .map(({ key }) => key)
    .toSorted();
}

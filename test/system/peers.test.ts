// What independent programs say of our bucket, on a store that nobody here wrote: rclone and the AWS CLI must find nothing
// left to do, modification times included. Needs S3SYNCD_TEST_ENDPOINT, rclone and aws.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { noCommand, seededRandom, startStore, workspace, type Store } from './harness.ts';
import { external } from './store.ts';

const run = promisify(execFile);
const missing = !external || noCommand('rclone') || noCommand('aws');
if (!external) console.log('skipping the tests that need a server named by S3SYNCD_TEST_ENDPOINT');

const files = Number(process.env['S3SYNCD_TEST_FILES'] ?? 20_000);
const MiB = 1024 ** 2;

/** Names that other tools lose, translate or take for something else. */
const hostileNames = [
  'sp ace',
  'quote\'"',
  '#?%25+&=;',
  'new\nline',
  'tab\tname',
  'emoji 😀',
  'nfd e\u0301',
  'nfc \u00e9',
  'back\\slash',
  '-dash',
  'trail.',
  "tilde~(x)!*'",
  '<xml>&amp;',
  'two  spaces ',
  '\uff5e above the BMP 𝒳',
  'x'.repeat(255),
];

/** Around the borders of one buffer, one part and several. */
const largeSizes = [8 * MiB, 8 * MiB + 1, 16 * MiB, 16 * MiB + 1, 33 * MiB, 200 * MiB];

function makeTree(root: string): void {
  const random = seededRandom();
  const block = randomBytes(MiB);
  const write = (name: string, size: number) => {
    const file = path.join(root, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    const fd = fs.openSync(file, 'w');
    for (let left = size; left > 0; left -= MiB) fs.writeSync(fd, block, 0, Math.min(left, MiB));
    fs.closeSync(fd);
    // Times from 1970 to 2023, whole nanoseconds aside: utimes takes doubles.
    const seconds = Math.floor(random() * 1.7e9) + 0.125;
    fs.utimesSync(file, seconds, seconds);
  };
  hostileNames.forEach((name) => write(`hostile ${Math.floor(random() * 3)}/${name}`, 100));
  largeSizes.forEach((size) => write(`large/${size}.bin`, size));
  for (let index = hostileNames.length + largeSizes.length; index < files; index++) {
    const size = index % 50 === 0 ? 0 : Math.floor(random() ** 4 * 30_000);
    write(`d${index % 20}/s${index % 211}/f ${index} é.txt`, size);
  }
}

/** As remotes of rclone are named without a config file. */
function rcloneEnvironment(store: Store): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'],
    RCLONE_CONFIG: '/dev/null',
    RCLONE_CONFIG_STORE_TYPE: 's3',
    RCLONE_CONFIG_STORE_PROVIDER: 'Other',
    RCLONE_CONFIG_STORE_ENDPOINT: store.endpoint,
    RCLONE_CONFIG_STORE_REGION: store.region,
    RCLONE_CONFIG_STORE_ACCESS_KEY_ID: store.accessKey,
    RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY: store.secretKey,
    RCLONE_CONFIG_STORE_FORCE_PATH_STYLE: 'true',
    // Names as they are: rclone's own translations would be differences.
    RCLONE_LOCAL_ENCODING: 'None',
    RCLONE_CONFIG_STORE_ENCODING: 'None',
  };
}

test.skipIf(missing)(
  `after once over ${files} files rclone and the AWS CLI find nothing to do, times included`,
  { timeout: 900_000 },
  async () => {
    const store = await startStore();
    const at = workspace(store, { destination: { prefix: 'host/' } });
    makeTree(at.folder);

    const first = await at.once();
    expect(first.folders.docs.outcomes).toMatchObject({ uploaded: files, failed: 0, blocked: 0 });
    console.log(`once: ${first.durationMs} ms, requests ${JSON.stringify(first.requests)}`);

    const environment = { env: rcloneEnvironment(store), maxBuffer: 64 * MiB };
    const remote = `store:${store.bucket}/host`;
    const check = await run('rclone', ['check', at.folder, remote, '--checkers', '16'], environment);
    expect(check.stderr).toContain('0 differences found');
    expect(check.stderr).toContain(`${files} matching files`);
    // sync compares modification times too.
    const sync = await run(
      'rclone',
      ['sync', '--dry-run', at.folder, remote, '--checkers', '16'],
      environment,
    );
    expect(sync.stderr).not.toMatch(/Skipped (copy|delete|update|set)/i);
    expect(sync.stderr).toMatch(new RegExp(`Checks:\\s+${files} / ${files}`));

    const aws = [
      '--endpoint-url',
      store.endpoint,
      's3',
      'sync',
      at.folder,
      `s3://${store.bucket}/host`,
      '--dryrun',
    ];
    const dryRun = await run('aws', aws, {
      env: { ...at.env, AWS_REGION: store.region },
      maxBuffer: 64 * MiB,
    });
    expect(dryRun.stdout).toBe('');

    const second = await at.once();
    expect(second.requests).toEqual({});
    expect((await at.s3syncd('plan')).stdout).toBe('nothing to do\n');
  },
);

// `npm run bench`: what a sync costs, side by side with the peers that are installed. Each run is a process of its own,
// measured from outside by time(1); the store keeps no bodies, so that the client is what is measured.
//
//   npm run bench -- [--files 10000] [--large 1GiB] [--runs 3] [--endpoint URL]   (another sink, path-style, any key)
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { parseSize } from '../../src/config/units.ts';

const { values: options } = parseArgs({
  options: {
    files: { type: 'string', default: '10000' },
    large: { type: 'string', default: '1GiB' },
    runs: { type: 'string', default: '3' },
    endpoint: { type: 'string' },
  },
});

const checkout = path.resolve(import.meta.dirname, '../..');
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 's3syncd-bench-'));
const keys = { AWS_ACCESS_KEY_ID: 'bench', AWS_SECRET_ACCESS_KEY: 'bench-secret', AWS_REGION: 'us-east-1' };
const bucket = 'bench';

interface Figures {
  readonly cpuSeconds: number;
  readonly wallSeconds: number;
  readonly memoryMiB: number;
}

/** A program that can bring a folder to the bucket, as its users would call it. */
interface Contestant {
  readonly name: string;
  readonly command: (folder: string, endpoint: string, run: string) => readonly string[];
  readonly environment: (endpoint: string) => NodeJS.ProcessEnv;
}

const ours: Contestant = {
  name: 's3syncd once',
  command: (folder, endpoint, run) => {
    const config = path.join(directory, `${run}.json`);
    const store = { bucket, endpoint, 'path-style': true, prefix: `${run}/` };
    const content = {
      version: 1,
      'state-dir': path.join(directory, `state-${run}`),
      destinations: { sink: store },
      folders: { bench: { path: folder, to: 'sink' } },
    };
    fs.writeFileSync(config, JSON.stringify(content));
    return [process.execPath, path.join(checkout, 'dist/main.js'), 'once', '--config', config];
  },
  environment: () => keys,
};

const peers: readonly Contestant[] = [
  {
    name: 'aws s3 sync',
    command: (folder, endpoint, run) => [
      ...['aws', '--endpoint-url', endpoint, 's3', 'sync', '--only-show-errors'],
      ...[folder, `s3://${bucket}/${run}`],
    ],
    environment: () => keys,
  },
  {
    name: 'rclone copy',
    command: (folder, _endpoint, run) => ['rclone', 'copy', folder, `sink:${bucket}/${run}`],
    environment: rcloneEnvironment,
  },
  {
    name: 'rclone copy, tuned',
    command: (folder, _endpoint, run) => [
      ...['rclone', 'copy', '--transfers', '32', '--no-check-dest', '--ignore-checksum', '--s3-no-head'],
      ...['--s3-no-check-bucket', '--s3-disable-checksum', '--s3-chunk-size', '16M'],
      ...[folder, `sink:${bucket}/${run}`],
    ],
    environment: rcloneEnvironment,
  },
];

function rcloneEnvironment(endpoint: string): NodeJS.ProcessEnv {
  return {
    RCLONE_CONFIG: '/dev/null',
    RCLONE_CONFIG_SINK_TYPE: 's3',
    RCLONE_CONFIG_SINK_PROVIDER: 'Other',
    RCLONE_CONFIG_SINK_ENDPOINT: endpoint,
    RCLONE_CONFIG_SINK_ACCESS_KEY_ID: keys.AWS_ACCESS_KEY_ID,
    RCLONE_CONFIG_SINK_SECRET_ACCESS_KEY: keys.AWS_SECRET_ACCESS_KEY,
    RCLONE_CONFIG_SINK_FORCE_PATH_STYLE: 'true',
  };
}

try {
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: checkout, stdio: 'inherit' });
  const sink = options.endpoint === undefined ? await startSink() : undefined;
  const endpoint = options.endpoint ?? sink!.endpoint;
  const installed = peers.filter(({ command }) => isInstalled(command('', '', '')[0]!));
  const small = makeSmallFiles(Number(options.files));
  const large = makeLargeFile(parseSize(options.large) ?? 1024 ** 3);
  report(`${options.files} files of 4 KiB`, [ours, ...installed], small, endpoint);
  report(`one file of ${options.large}`, [ours, ...installed], large, endpoint);
  sink?.child.kill('SIGTERM');
} finally {
  fs.rmSync(directory, { recursive: true, force: true });
}

/** Medians of the runs, the contestants in turn, so that a drift of the machine hits all alike. */
function report(title: string, contestants: readonly Contestant[], folder: string, endpoint: string): void {
  const figures = new Map<string, Figures[]>(contestants.map(({ name }) => [name, []]));
  for (let run = 0; run < Number(options.runs); run++) {
    for (const contestant of contestants) {
      figures
        .get(contestant.name)!
        .push(measure(contestant, folder, endpoint, `${run}-${process.hrtime.bigint()}`));
    }
  }
  console.log(`\n${title}, median of ${options.runs}`);
  console.log(['', 'CPU s', 'wall s', 'MiB'].map(column).join(''));
  for (const [name, runs] of figures) {
    const middle = (of: (figure: Figures) => number) =>
      runs.map(of).toSorted((a, b) => a - b)[Math.floor(runs.length / 2)]!;
    const cells = [
      name,
      middle(({ cpuSeconds }) => cpuSeconds).toFixed(2),
      middle(({ wallSeconds }) => wallSeconds).toFixed(2),
      middle(({ memoryMiB }) => memoryMiB).toFixed(0),
    ];
    console.log(cells.map(column).join(''));
  }
}

function column(text: string, index: number): string {
  return index === 0 ? text.padEnd(22) : text.padStart(10);
}

function measure(
  { command, environment }: Contestant,
  folder: string,
  endpoint: string,
  run: string,
): Figures {
  const figures = path.join(directory, 'figures');
  const measured = spawnSync(
    'time',
    ['-f', '%U %S %e %M', '-o', figures, ...command(folder, endpoint, run)],
    {
      env: { PATH: process.env['PATH'], HOME: directory, ...environment(endpoint) },
      encoding: 'utf8',
    },
  );
  if (measured.status !== 0)
    throw new Error(`${command(folder, endpoint, run).join(' ')}: ${measured.stderr}`);
  const [user = 0, system = 0, wallSeconds = 0, kilobytes = 0] = fs
    .readFileSync(figures, 'utf8')
    .trim()
    .split(' ')
    .map(Number);
  return { cpuSeconds: user + system, wallSeconds, memoryMiB: kilobytes / 1024 };
}

function isInstalled(command: string): boolean {
  const found = spawnSync('sh', ['-c', `command -v ${command}`]).status === 0;
  if (!found) console.log(`${command} is not installed: left out`);
  return found;
}

function makeSmallFiles(count: number): string {
  const folder = path.join(directory, 'small');
  for (let index = 0; index < count; index++) {
    const parent = path.join(folder, `d${Math.floor(index / 100)}`);
    if (index % 100 === 0) fs.mkdirSync(parent, { recursive: true });
    fs.writeFileSync(path.join(parent, `f${index}`), Buffer.alloc(4096, index));
  }
  return folder;
}

function makeLargeFile(size: number): string {
  const folder = path.join(directory, 'large');
  fs.mkdirSync(folder);
  fs.closeSync(fs.openSync(path.join(folder, 'file.bin'), 'w'));
  fs.truncateSync(path.join(folder, 'file.bin'), size);
  return folder;
}

async function startSink() {
  const credentials = ['--access-key', keys.AWS_ACCESS_KEY_ID, '--secret-key', keys.AWS_SECRET_ACCESS_KEY];
  const child = spawn(
    process.execPath,
    [
      'test/s3-server/main.ts',
      '--port',
      '0',
      '--data',
      'memory',
      '--discard-bodies',
      '--bucket',
      bucket,
      ...credentials,
    ],
    { cwd: checkout, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const endpoint = /http:\S+/.exec(line.toString())?.[0];
  if (endpoint === undefined) throw new Error(`the S3 server did not start: ${line.toString()}`);
  return { child, endpoint };
}

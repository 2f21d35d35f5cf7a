// The S3 server as a program: `npm run s3-server -- --help`.
import { Command, InvalidArgumentError, Option } from 'commander';
import { isLegacySwitch, legacySwitches, type LegacySwitch } from './legacy.ts';
import { startS3Server, type S3ServerOptions } from './server.ts';

interface Flags {
  port: number;
  data: string;
  discardBodies: boolean;
  bucket: string[];
  accessKey: string;
  secretKey: string;
  region: string;
  requestLog?: string;
  legacy: LegacySwitch[];
  admin: boolean;
}

const collect = (value: string, previous: string[]): string[] => [...previous, value];

function collectLegacy(value: string, previous: LegacySwitch[]): LegacySwitch[] {
  if (!isLegacySwitch(value)) throw new InvalidArgumentError(`It is one of ${legacySwitches.join(', ')}.`);
  return [...previous, value];
}

function portNumber(value: string): number {
  const port = Number(value);
  if (!(Number.isInteger(port) && port >= 0 && port <= 65_535))
    throw new InvalidArgumentError('It is 0 to 65535.');
  return port;
}

const flags = new Command('s3-server')
  .description('A strict local S3 server for demo and tests. It listens on 127.0.0.1 only.')
  .option('--port <n>', '0 takes a free one', portNumber, 0)
  .option('--data <directory>', 'where objects are kept, or "memory"', 'memory')
  .option('--discard-bodies', 'with memory: keep sizes and checksums, not the bytes', false)
  .option('--bucket <name>', 'create it; repeatable', collect, [])
  .option('--access-key <key>', '', 's3syncd')
  .option('--secret-key <key>', '', 's3syncd-secret')
  .option('--region <name>', '', 'us-east-1')
  .option('--request-log <file>', 'append one JSON line per request')
  .addOption(
    new Option('--legacy <switch>', 'imitate what a real store gets wrong; repeatable')
      .argParser(collectLegacy)
      .default([], 'none'),
  )
  .option(
    '--admin',
    'keep the request log and the history, and serve them and the faults on /_s3-server/',
    false,
  )
  .parse()
  .opts<Flags>();

const { bucket, ...rest } = flags;
const options: S3ServerOptions = {
  ...rest,
  buckets: bucket,
  keepRequests: flags.admin,
  keepHistory: flags.admin,
};
const server = await startS3Server(options);
console.log(`s3-server listening on ${server.endpoint}`);

for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void server.close());

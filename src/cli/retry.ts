// `retry`: what failed or is blocked is tried again now.
import { askDaemon } from '../control/client.ts';
import type { Retried, Retry } from '../failures.ts';
import { readConfig } from './config.ts';
import { exitCodes, type ExitCode } from './exit.ts';
import type { VerbOptions } from './verb.ts';
import { plural } from './text.ts';

interface RetryOptions extends VerbOptions {
  readonly folder?: string;
}

export async function run(options: RetryOptions, paths: readonly string[]): Promise<ExitCode> {
  const config = readConfig(options.config, { secrets: 'left-out' });
  if (!config) return exitCodes.config;
  const wanted: Retry = { folder: options.folder, paths };
  const answer = (await askDaemon(config.stateDir, 'POST', '/retry', wanted)) as Retried | undefined;
  if (!answer) {
    process.stderr.write(
      'no daemon runs: `s3syncd run` and `s3syncd once` try everything again when they start\n',
    );
    return exitCodes.noDaemon;
  }
  for (const problem of answer.problems) process.stderr.write(`${problem}\n`);
  if (options.json) process.stdout.write(`${JSON.stringify(answer)}\n`);
  else if (answer.problems.length === 0)
    process.stdout.write(`${plural(answer.retried, 'file')} will be tried again\n`);
  return answer.problems.length === 0 ? exitCodes.ok : exitCodes.failed;
}

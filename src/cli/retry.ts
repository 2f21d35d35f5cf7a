// `retry`: what failed or is blocked is tried again now.
import { askDaemon } from '../control/client.ts';
import { readConfig } from './config.ts';
import { exitCodes, type ExitCode } from './exit.ts';
import type { VerbOptions } from './verb.ts';
import { plural } from './text.ts';

export async function run(options: VerbOptions): Promise<ExitCode> {
  const config = readConfig(options.config, { secrets: 'left-out' });
  if (!config) return exitCodes.config;
  const answer = (await askDaemon(config.stateDir, 'POST', '/retry')) as { retried: number } | undefined;
  if (!answer) {
    process.stderr.write('no daemon runs: start it with `s3syncd run`, or sync with `s3syncd once`\n');
    return exitCodes.noDaemon;
  }
  process.stdout.write(
    options.json ? `${JSON.stringify(answer)}\n` : `${plural(answer.retried, 'file')} will be tried again\n`,
  );
  return exitCodes.ok;
}

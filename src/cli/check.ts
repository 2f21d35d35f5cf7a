// `check`: before the first run, is everything in order? Each finding says what to do.
import { checkConfig, type Finding } from '../check.ts';
import { readConfig } from './config.ts';
import { exitCodes, type ExitCode } from './exit.ts';
import type { VerbOptions } from './verb.ts';

const marks = { ok: '✓', warning: '!', error: '✗' } as const;

export async function run(options: VerbOptions): Promise<ExitCode> {
  const config = readConfig(options.config);
  if (!config) return exitCodes.config;
  const findings = await checkConfig(config);
  process.stdout.write(
    options.json ? `${JSON.stringify({ findings })}\n` : findings.map(findingText).join(''),
  );
  const errors = findings.filter((finding) => finding.level === 'error');
  if (errors.length === 0) return exitCodes.ok;
  return errors.every((finding) => finding.temporary) ? exitCodes.temporary : exitCodes.failed;
}

function findingText({ level, subject, message }: Finding): string {
  return `${marks[level]} ${subject}: ${message}\n`;
}

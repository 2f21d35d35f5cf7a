// `check`: before the first run, is everything in order? Each finding says what to do.
import { checkConfig } from '../check/check.ts';
import type { Finding } from '../check/finding.ts';
import { readConfig } from './config.ts';
import { exitCodes, type ExitCode } from './exit.ts';
import type { VerbOptions } from './verb.ts';

const marks = { ok: '✓', note: '·', warning: '!', error: '✗' } as const;

export async function run(options: VerbOptions): Promise<ExitCode> {
  const config = readConfig(options.config);
  if (!config) return exitCodes.config;
  const findings = await checkConfig(config);
  process.stdout.write(options.json ? `${JSON.stringify({ findings })}\n` : findingsText(findings));
  const errors = findings.filter((finding) => finding.level === 'error');
  if (errors.length === 0) return exitCodes.ok;
  return errors.every((finding) => finding.temporary) ? exitCodes.temporary : exitCodes.failed;
}

/** What is in order takes one line per subject; what is not has a line of its own, and what to do below it. */
function findingsText(findings: readonly Finding[]): string {
  const bySubject = Map.groupBy(findings, ({ subject }) => subject);
  return [...bySubject.values()]
    .flatMap((about) => [
      inOrderText(about.filter(({ level }) => level === 'ok')),
      ...about.filter(({ level }) => level !== 'ok').map(findingText),
    ])
    .join('');
}

function inOrderText(findings: readonly Finding[]): string {
  const [first] = findings;
  if (!first) return '';
  const messages = new Set(findings.map(({ message }) => message));
  return `${marks.ok} ${first.subject}: ${[...messages].join(', ')}\n`;
}

function findingText({ level, subject, message, advice }: Finding): string {
  return `${marks[level]} ${subject}: ${message}\n${advice === undefined ? '' : `    → ${advice}\n`}`;
}

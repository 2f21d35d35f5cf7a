// `deletes approve` and `deletes discard`: a person's answer, which the daemon carries out at once, or the next one that
// starts.
import { systemClock } from '../edge/clock.ts';
import { systemFiles } from '../edge/files.ts';
import type { Config } from '../config/config.ts';
import { askDaemon } from '../control/client.ts';
import { answerDeletes, type Answer, type Answered } from '../deletes.ts';
import { Journal, JournalInUse } from '../journal/journal.ts';
import { readConfig } from './config.ts';
import type { DeletesOptions } from './deletes.ts';
import { exitCodes, type ExitCode } from './exit.ts';
import { nameText, plural, table } from './text.ts';

export async function run(
  answer: Answer['answer'],
  options: DeletesOptions,
  paths: readonly string[],
): Promise<ExitCode> {
  const config = readConfig(options.config, { secrets: 'left-out' });
  if (!config) return exitCodes.config;
  const wanted: Answer = { answer, folder: options.folder, paths };
  const byDaemon = (await askDaemon(config.stateDir, 'POST', '/deletes', wanted)) as Answered | undefined;
  try {
    const answered = byDaemon ?? answerInJournal(config, wanted);
    for (const problem of answered.problems) process.stderr.write(`${problem}\n`);
    const text = options.json
      ? `${JSON.stringify(answered)}\n`
      : answeredText(answered, answer, byDaemon !== undefined);
    process.stdout.write(text);
    if (answered.problems.length > 0) return exitCodes.failed;
    return answered.left === 0 ? exitCodes.ok : exitCodes.undecided;
  } catch (error) {
    // `once` is at work, and cannot be asked.
    if (!(error instanceof JournalInUse)) throw error;
    process.stderr.write(`${error.message}\n`);
    return exitCodes.temporary;
  }
}

function answerInJournal(config: Config, wanted: Answer): Answered {
  // Opened to read first: what is not there is not made by looking for it.
  const known = Journal.openReadOnly(config.stateDir);
  if (!known) return { answered: [], left: 0, problems: [`there is no journal in ${config.stateDir} yet`] };
  known.close();
  const journal = Journal.open(config.stateDir);
  try {
    return answerDeletes(config, journal, wanted, { clock: systemClock, files: systemFiles });
  } finally {
    journal.close();
  }
}

function answeredText(
  { answered, left, problems }: Answered,
  answer: Answer['answer'],
  isRunning: boolean,
): string {
  if (answered.length === 0) return problems.length === 0 ? 'no delete is held\n' : '';
  const rows = answered.map(({ path, folder, destination }) => [
    answer,
    nameText(path),
    `${folder} → ${destination}`,
  ]);
  const when = isRunning ? 'the daemon is at it' : 'the next `s3syncd run` or `s3syncd once` does it';
  const what =
    answer === 'approve'
      ? `${when}; each file is looked at once more, and one that is back stays`
      : 'their objects stay as they are';
  const rest = left === 0 ? '' : `${plural(left, 'delete')} still held\n`;
  return `${table(rows)}${what}\n${rest}`;
}

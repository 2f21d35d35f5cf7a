// `resume`: what was halted until a person looks at it goes on, by the running daemon or the next one.
import type { Config } from '../config/config.ts';
import { askDaemon } from '../control/client.ts';
import { resume, type HaltReport, type Resume, type Resumed } from '../halts.ts';
import { Journal, JournalInUse } from '../journal/journal.ts';
import { readConfig } from './config.ts';
import { exitCodes, type ExitCode } from './exit.ts';
import type { VerbOptions } from './verb.ts';
import { nameText, table } from './text.ts';

interface ResumeOptions extends VerbOptions {
  readonly folder?: string;
  readonly destination?: string;
}

export async function run(options: ResumeOptions): Promise<ExitCode> {
  const config = readConfig(options.config, { secrets: 'left-out' });
  if (!config) return exitCodes.config;
  const wanted: Resume = { folder: options.folder, destination: options.destination };
  const byDaemon = (await askDaemon(config.stateDir, 'POST', '/resume', wanted)) as Resumed | undefined;
  try {
    const resumed = byDaemon ?? (await resumeInJournal(config, wanted));
    for (const problem of resumed.problems) process.stderr.write(`${problem}\n`);
    process.stdout.write(
      options.json ? `${JSON.stringify(resumed)}\n` : resumedText(resumed, byDaemon !== undefined),
    );
    return resumed.problems.length + resumed.left.length > 0 ? exitCodes.failed : exitCodes.ok;
  } catch (error) {
    // `once` is at work, and cannot be asked.
    if (!(error instanceof JournalInUse)) throw error;
    process.stderr.write(`${error.message}\n`);
    return exitCodes.temporary;
  }
}

async function resumeInJournal(config: Config, wanted: Resume): Promise<Resumed> {
  // Opened to read first: what is not there is not made by looking for it.
  const known = Journal.openReadOnly(config.stateDir);
  if (!known) return { resumed: [], left: [], problems: [`there is no journal in ${config.stateDir} yet`] };
  known.close();
  const journal = Journal.open(config.stateDir);
  try {
    return await resume(config, journal, wanted, (routeId) => journal.beginAnew(routeId));
  } finally {
    journal.close();
  }
}

function resumedText({ resumed, left, problems }: Resumed, isRunning: boolean): string {
  if (problems.length > 0) return '';
  if (resumed.length + left.length === 0) return 'nothing is halted\n';
  const row = (word: string) => (halt: HaltReport) => [
    word,
    halt.destination === null ? halt.folder : `${halt.folder} → ${halt.destination}`,
    nameText(word === 'resumed' ? halt.reason : halt.message),
  ];
  const when = isRunning ? 'the daemon is at it' : 'the next `s3syncd run` or `s3syncd once` does it';
  const what =
    resumed.length > 0 ? `everything is compared anew, and uploaded where it is missing: ${when}\n` : '';
  return table([...resumed.map(row('resumed')), ...left.map(row('halted'))]) + what;
}

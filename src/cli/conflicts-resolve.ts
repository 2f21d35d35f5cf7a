// `conflicts resolve`: a person's decision, which the daemon carries out at once, or the next one that starts.
import { decideConflicts, type Decided, type Decision } from '../conflicts.ts';
import type { Config } from '../config/config.ts';
import { askDaemon } from '../control/client.ts';
import { resolutions, type Resolution } from '../core/conflict.ts';
import { Journal, JournalInUse } from '../journal/journal.ts';
import { readConfig } from './config.ts';
import type { ConflictsOptions } from './conflicts.ts';
import { exitCodes, type ExitCode } from './exit.ts';
import { nameText, table } from './text.ts';

interface ResolveOptions extends ConflictsOptions {
  readonly overwrite?: boolean;
  readonly skip?: boolean;
  readonly keepBoth?: boolean;
  readonly all?: boolean;
}

export async function run(options: ResolveOptions, paths: readonly string[]): Promise<ExitCode> {
  const resolution = resolutionOf(options);
  const misuse =
    resolution === undefined
      ? `say what to do: ${resolutions.map((name) => `--${name}`).join(', or ')}`
      : options.all === paths.length > 0
        ? 'say which conflicts: their paths, or --all'
        : undefined;
  if (misuse !== undefined || resolution === undefined) {
    process.stderr.write(`${misuse}\n`);
    return exitCodes.usage;
  }
  const config = readConfig(options.config, { secrets: 'left-out' });
  if (!config) return exitCodes.config;
  const decision = { resolution, folder: options.folder, paths: options.all ? undefined : paths };
  const answer = (await askDaemon(config.stateDir, 'POST', '/conflicts', decision)) as Decided | undefined;
  try {
    const decided = answer ?? decideInJournal(config, decision);
    for (const problem of decided.problems) process.stderr.write(`${problem}\n`);
    process.stdout.write(
      options.json ? `${JSON.stringify(decided)}\n` : decidedText(decided, resolution, answer !== undefined),
    );
    return decided.problems.length === 0 ? exitCodes.ok : exitCodes.failed;
  } catch (error) {
    // `once` is at work, and cannot be asked.
    if (!(error instanceof JournalInUse)) throw error;
    process.stderr.write(`${error.message}\n`);
    return exitCodes.temporary;
  }
}

function resolutionOf({ overwrite, skip, keepBoth }: ResolveOptions): Resolution | undefined {
  if (overwrite) return 'overwrite';
  if (skip) return 'skip';
  return keepBoth ? 'keep-both' : undefined;
}

function decideInJournal(config: Config, decision: Decision): Decided {
  // Opened to read first: what is not there is not made by looking for it.
  const known = Journal.openReadOnly(config.stateDir);
  if (!known) return { decided: [], problems: [`there is no journal in ${config.stateDir} yet`] };
  known.close();
  const journal = Journal.open(config.stateDir);
  try {
    return decideConflicts(config, journal, decision, Date.now());
  } finally {
    journal.close();
  }
}

function decidedText({ decided, problems }: Decided, resolution: Resolution, isRunning: boolean): string {
  if (decided.length === 0) return problems.length === 0 ? 'no conflict is open\n' : '';
  const rows = decided.map(({ path, folder, destination }) => [
    resolution,
    nameText(path),
    `${folder} → ${destination}`,
  ]);
  const when = isRunning ? 'the daemon is at it' : 'the next `s3syncd run` or `s3syncd once` does it';
  return `${table(rows)}${when}; a conflict whose object changed since it was listed opens again\n`;
}

// `failures`: every path that is not in S3 for a reason of its own, with the reason and what to do. From the journal, which a
// daemon lets others read.
import type { FailureState } from '../core/failure.ts';
import { failures, troubles, type FailureReport, type TroubleReport } from '../failures.ts';
import { Journal } from '../journal/journal.ts';
import { unknownFolder } from '../naming.ts';
import { readConfig } from './config.ts';
import { exitCodes, type ExitCode } from './exit.ts';
import type { VerbOptions } from './verb.ts';
import { durationText, nameText, plural, table } from './text.ts';

interface FailuresOptions extends VerbOptions {
  readonly folder?: string;
}

/** What is listed, and what keeps whole folders and destinations, as `failures --json` prints it. */
interface Failures {
  readonly failures: readonly FailureReport[];
  readonly troubles: readonly TroubleReport[];
}

export async function run(options: FailuresOptions, paths: readonly string[]): Promise<ExitCode> {
  const config = readConfig(options.config, { secrets: 'left-out' });
  if (!config) return exitCodes.config;
  const unknown = unknownFolder(config, options.folder);
  if (unknown !== undefined) {
    process.stderr.write(`${unknown}\n`);
    return exitCodes.usage;
  }
  const journal = Journal.openReadOnly(config.stateDir);
  if (!journal) {
    process.stderr.write(`there is no journal in ${config.stateDir} yet: nothing was tried\n`);
    return exitCodes.noDaemon;
  }
  const listed: Failures = {
    failures: failures(config, journal, options.folder, paths),
    troubles: troubles(config, journal, options.folder),
  };
  journal.close();
  process.stdout.write(options.json ? `${JSON.stringify(listed)}\n` : failuresText(listed));
  return exitCodeOf(listed);
}

/** As for `status`: what needs a person first, then what time may mend. */
function exitCodeOf(listed: Failures): ExitCode {
  const has = (...states: FailureState[]) => listed.failures.some(({ state }) => states.includes(state));
  if (has('failed', 'blocked') || listed.troubles.some(({ temporary }) => !temporary))
    return exitCodes.failed;
  if (has('conflict', 'held')) return exitCodes.undecided;
  return has('retrying') || listed.troubles.length > 0 ? exitCodes.temporary : exitCodes.ok;
}

/** What to do where the reason itself does not say it. */
const advice: Readonly<Record<FailureState, string>> = {
  failed: 'tried again with the next rescan; mend it and run `s3syncd retry` for now',
  blocked: 'seen again when that is mended; `s3syncd retry` has it looked at now',
  retrying: 'tried again by itself, ever less often; `s3syncd retry` tries now',
  conflict: '`s3syncd conflicts` shows both sides, `s3syncd conflicts resolve` decides',
  held: '`s3syncd deletes approve` lets it go, `s3syncd deletes discard` keeps the object',
};

function failuresText({ failures: listed, troubles: ofAll }: Failures): string {
  const notes = ofAll.map(({ folder, destination, message }) => {
    const subject = destination === null ? folder : `${folder} → ${destination}`;
    return `! ${subject}: ${nameText(message)}; what waits for it is not listed here\n`;
  });
  if (listed.length === 0) return `${notes.join('')}no file failed, is blocked, held or in conflict\n`;
  // The same thing often happens to many: it is said once.
  const groups = Map.groupBy(listed, (failure) => {
    const { folder, destination, state, code } = failure;
    return [folder, destination, state, code, messageOfMany(failure)].join('\0');
  });
  return `${[...notes, ...[...groups.values()].map(groupText)].join('\n')}\n${plural(listed.length, 'file')}\n`;
}

/** What S3 answers names the key. */
function messageOfMany({ message, path }: FailureReport): string {
  return message.replace(`/${path} failed: `, '/… failed: ');
}

function groupText(group: readonly FailureReport[]): string {
  const first = group[0]!;
  const { folder, destination, state, code } = first;
  const message = group.length === 1 ? first.message : messageOfMany(first);
  const head = `${folder} → ${destination}: ${state}, ${code}: ${nameText(message)}\n  → ${advice[state]}\n`;
  return head + table(group.map(rowOf));
}

function rowOf({ path, since, attempts, nextTry }: FailureReport): string[] {
  const next =
    nextTry === null ? '' : `next try in ${durationText(Math.max(0, Date.parse(nextTry) - Date.now()))}`;
  return [
    `  ${nameText(path)}`,
    `for ${durationText(Math.max(0, Date.now() - Date.parse(since)))}`,
    attempts === 0 ? '' : `tried ${attempts === 1 ? 'once' : `${attempts} times`}`,
    next,
  ];
}

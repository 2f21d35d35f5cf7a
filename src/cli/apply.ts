// `apply`: objects are brought in line with rules that were changed, by the running daemon or here.
import { askDaemon } from '../control/client.ts';
import { Daemon, type ApplyReport } from '../daemon.ts';
import type { LeftObject } from '../drain/apply.ts';
import { JournalInUse } from '../journal/journal.ts';
import { openLog } from '../observe/log.ts';
import { exitCodeOf } from '../observe/status.ts';
import type { Config } from '../config/config.ts';
import { readConfig } from './config.ts';
import { exitCodes, type ExitCode } from './exit.ts';
import { hurry } from './hurry.ts';
import { startProgress } from './progress.ts';
import type { VerbOptions } from './verb.ts';
import { countText, durationText, nameText, plural, table, unknownText } from './text.ts';

/** Lines of a table that a person still reads; `--json` has them all. */
const rowsMax = 50;

/** What was done, where no daemon runs. */
interface Done {
  readonly outcomes: Readonly<Record<string, number>>;
  readonly requests: Readonly<Record<string, number>>;
  readonly bytes: number;
  readonly durationMs: number;
}

export interface ApplyOptions extends VerbOptions {
  readonly folder?: string;
}

export async function run(options: ApplyOptions): Promise<ExitCode> {
  const config = readConfig(options.config);
  if (!config) return exitCodes.config;
  const folders = options.folder === undefined ? [] : [options.folder];
  const unknown = folders.find((name) => !config.folders.some((folder) => folder.name === name));
  if (unknown !== undefined) {
    process.stderr.write(`${options.config} has no folder ${JSON.stringify(unknown)}\n`);
    return exitCodes.usage;
  }
  const asked = (await askDaemon(config.stateDir, 'POST', '/apply', folders)) as ApplyReport | undefined;
  if (!asked) return applyHere(config, folders, options);
  print(options, asked, 'are brought in line by the running daemon; `s3syncd status` tells how far it is');
  return exitCodeFor(asked);
}

async function applyHere(
  config: Config,
  folders: readonly string[],
  options: VerbOptions,
): Promise<ExitCode> {
  const startedMs = performance.now();
  const log = openLog(config.logLevel === 'info' ? 'warn' : config.logLevel, process.env);
  let daemon: Daemon;
  try {
    daemon = new Daemon(config, { log, mode: 'apply' });
  } catch (error) {
    if (!(error instanceof JournalInUse)) throw error;
    process.stderr.write(`${error.message}\n`);
    return exitCodes.temporary;
  }
  let interrupted = false;
  const interrupt = () => {
    interrupted = true;
    daemon.interrupt();
  };
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  const report = await daemon.apply(folders);
  const progress = startProgress(daemon);
  await daemon.ended;
  progress.end();
  const status = exitCodeOf(daemon.status());
  const done = doneBy(daemon, performance.now() - startedMs);
  using _hurry = hurry(exitCodes.temporary);
  await daemon.stop();
  print(options, report, 'differed from the rules', done);
  if (interrupted) return exitCodes.temporary;
  return status === exitCodes.ok ? exitCodeFor(report) : status;
}

function doneBy(daemon: Daemon, durationMs: number): Done {
  const outcomes: Record<string, number> = {};
  const requests: Record<string, number> = {};
  let bytes = 0;
  for (const drain of daemon.drains) {
    for (const [outcome, count] of drain.outcomes) outcomes[outcome] = (outcomes[outcome] ?? 0) + count;
    for (const [operation, count] of drain.route.destination.requests)
      requests[operation] = (requests[operation] ?? 0) + count;
    bytes += drain.bytes;
  }
  return { outcomes, requests, bytes, durationMs: Math.round(durationMs) };
}

function exitCodeFor({ left, problems }: ApplyReport): ExitCode {
  return left.length > 0 || problems.length > 0 ? exitCodes.failed : exitCodes.ok;
}

function print(options: VerbOptions, report: ApplyReport, what: string, done?: Done): void {
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ ...report, ...done })}\n`);
    return;
  }
  const { marked, unknown, left, problems } = report;
  process.stdout.write(marked === 0 ? 'nothing to bring in line\n' : `${plural(marked, 'object')} ${what}\n`);
  if (done && marked > 0) {
    const requests = Object.entries(done.requests).map(
      ([operation, count]) => `${countText(count)} ${operation}`,
    );
    const outcomes = Object.entries(done.outcomes).map(
      ([outcome, count]) => `${countText(count)} ${outcome}`,
    );
    process.stdout.write(
      `${outcomes.join(', ')}; ${requests.join(', ')}, ${durationText(done.durationMs)}\n`,
    );
  }
  if (left.length > 0) process.stdout.write(`\n${leftText(left)}`);
  if (unknown > 0) process.stderr.write(unknownText(unknown));
  for (const problem of problems) process.stderr.write(`${problem}\n`);
}

/** Why objects are left as they are, and what to do. */
const reasonText: Readonly<Record<LeftObject['reason'], string>> = {
  upload: 'only by sending the file again, which happens when it changes',
  archived: 'its storage class must be restored before it can be copied',
  'too-large-to-copy': 'S3 copies no more than 5 GiB at once',
  'lock-shortened': 'what was locked is not unlocked by a rule: take the lock away by hand, if you may',
  'encryption-key-unknown': 'its encryption key is in no rule any more: put it back',
  'too-many-tags': 'the rules give it more than 10 tags: take some out',
  'metadata-too-large': 'the rules give it more than 2 KiB of metadata: shorten it',
  'lock-without-checksum': 'S3 locks only what comes with a checksum: remove "checksum: none"',
};

function leftText(left: readonly LeftObject[]): string {
  const rows = left
    .slice(0, rowsMax)
    .map(({ folder, destination, path, fields, reason }) => [
      nameText(path),
      `${folder} → ${destination}`,
      fields.join(', '),
      reasonText[reason],
    ]);
  const more =
    left.length > rowsMax ? `… and ${countText(left.length - rowsMax)} more (--json lists all)\n` : '';
  return `${plural(left.length, 'object')} left as they are:\n${table(rows)}${more}`;
}

// `history`: what happened to a path, newest first. From the journal, which a daemon lets others read.
import { failures, type FailureReport } from '../failures.ts';
import { history, type HistoryReport } from '../history.ts';
import { Journal } from '../journal/journal.ts';
import { unknownFolder } from '../naming.ts';
import { readConfig } from './config.ts';
import { exitCodes, type ExitCode } from './exit.ts';
import type { VerbOptions } from './verb.ts';
import { bytesText, nameText, table } from './text.ts';

interface HistoryOptions extends VerbOptions {
  readonly folder?: string;
  readonly limit?: string;
}

export async function run(options: HistoryOptions, paths: readonly string[]): Promise<ExitCode> {
  const config = readConfig(options.config, { secrets: 'left-out' });
  if (!config) return exitCodes.config;
  const limit = Number(options.limit ?? 50);
  const misuse =
    unknownFolder(config, options.folder) ??
    (Number.isInteger(limit) && limit > 0
      ? undefined
      : `--limit is a number of entries, not "${options.limit}"`);
  if (misuse !== undefined) {
    process.stderr.write(`${misuse}\n`);
    return exitCodes.usage;
  }
  const journal = Journal.openReadOnly(config.stateDir);
  if (!journal) {
    process.stderr.write(`there is no journal in ${config.stateDir} yet: nothing has happened\n`);
    return exitCodes.noDaemon;
  }
  const told = history(config, journal, { folder: options.folder, paths, limit }, Date.now());
  // What fails for the thousandth time is remembered once, and is still going on.
  const open = paths.length === 0 ? [] : failures(config, journal, options.folder, paths);
  journal.close();
  process.stdout.write(
    options.json ? `${JSON.stringify({ history: told, failures: open })}\n` : historyText(told, open),
  );
  return exitCodes.ok;
}

function historyText(told: readonly HistoryReport[], open: readonly FailureReport[]): string {
  const now = open.map(
    ({ path, state, code, message }) => `now: ${nameText(path)}: ${state}, ${code}: ${nameText(message)}\n`,
  );
  const past = told.length === 0 ? 'nothing is remembered, of the last 30 days or 100,000 changes\n' : '';
  return now.join('') + past + table(told.map(rowOf));
}

function rowOf(entry: HistoryReport): string[] {
  const { at, outcome, reason, path, folder, destination, bytes, attempts, lastCode } = entry;
  const tries = attempts === 1 ? '' : `after ${attempts} tries${lastCode === null ? '' : ` (${lastCode})`}`;
  const details = [
    bytes > 0 ? bytesText(bytes) : '',
    tries,
    entry.key.endsWith(path) ? '' : `key ${nameText(entry.key)}`,
    entry.versionId === null ? '' : `version ${entry.versionId}`,
    entry.requestId === null ? '' : `request ${entry.requestId}`,
  ];
  return [
    at.slice(0, 19).replace('T', ' '),
    outcome,
    reason,
    nameText(path),
    `${folder} → ${destination}`,
    details.filter((detail) => detail !== '').join(', '),
  ];
}

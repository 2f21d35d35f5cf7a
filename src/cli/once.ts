// `once`: scan, work off what was found, report, exit.
import { Daemon } from '../daemon.ts';
import { outcomes, type Outcome } from '../core/action.ts';
import { JournalInUse } from '../journal/journal.ts';
import { openLog } from '../observe/log.ts';
import { exitCodeOf, type Status } from '../observe/status.ts';
import { readConfig } from './config.ts';
import { exitCodes, type ExitCode } from './exit.ts';
import { hurry } from './hurry.ts';
import { startProgress } from './progress.ts';
import type { VerbOptions } from './verb.ts';
import { bytesText, countText, durationText, table } from './text.ts';
import { statusText } from './status.ts';

interface FolderReport {
  readonly outcomes: Record<Outcome, number>;
  readonly bytes: number;
  readonly requests: Record<string, number>;
}

/** What `once --json` prints. */
interface OnceReport {
  readonly folders: Record<string, FolderReport>;
  readonly requests: Record<string, number>;
  readonly durationMs: number;
}

export async function run(options: VerbOptions): Promise<ExitCode> {
  const config = readConfig(options.config);
  if (!config) return exitCodes.config;
  const startedMs = performance.now();
  const log = openLog(config.logLevel === 'info' ? 'warn' : config.logLevel, process.env);
  let daemon: Daemon;
  try {
    daemon = new Daemon(config, { log, mode: 'once' });
  } catch (error) {
    if (!(error instanceof JournalInUse)) throw error;
    process.stderr.write(`${error.message}\n`);
    return exitCodes.temporary;
  }
  const progress = startProgress(daemon);
  let hurrying: Disposable | undefined;
  const interrupt = () => {
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
    hurrying = hurry(exitCodes.temporary);
    daemon.interrupt();
  };
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  await daemon.ended;
  progress.end();
  const status = daemon.status();
  const report = reportOf(daemon, performance.now() - startedMs);
  await daemon.stop();
  process.off('SIGINT', interrupt);
  process.off('SIGTERM', interrupt);
  hurrying?.[Symbol.dispose]();

  process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : reportText(report, status));
  const exitCode = exitCodeOf(status);
  if (exitCode !== 0 && !options.json) process.stderr.write(`\n${problemsText(status)}`);
  // Interrupted: what is left is left for the next time.
  return exitCode === exitCodes.ok && hurrying ? exitCodes.temporary : exitCode;
}

function reportOf(daemon: Daemon, durationMs: number): OnceReport {
  const folders: Record<string, FolderReport> = {};
  const all: Record<string, number> = {};
  for (const { route, outcomes: counts, bytes } of daemon.drains) {
    const folder = (folders[route.folder.name] ??= { outcomes: noOutcomes(), bytes: 0, requests: {} });
    for (const [outcome, count] of counts) folder.outcomes[outcome] += count;
    addRequests(folder.requests, route.destination.requests);
    addRequests(all, route.destination.requests);
    folders[route.folder.name] = { ...folder, bytes: folder.bytes + bytes };
  }
  return { folders, requests: all, durationMs: Math.round(durationMs) };
}

function noOutcomes(): Record<Outcome, number> {
  return Object.fromEntries(outcomes.map((outcome) => [outcome, 0])) as Record<Outcome, number>;
}

function addRequests(total: Record<string, number>, requests: ReadonlyMap<string, number>): void {
  for (const [operation, count] of requests) total[operation] = (total[operation] ?? 0) + count;
}

function reportText(report: OnceReport, status: Status): string {
  const rows = Object.entries(report.folders).map(([name, { outcomes: counts, bytes }]) => {
    const parts = Object.entries(counts)
      .filter(([outcome, count]) => count > 0 && outcome !== 'unchanged' && outcome !== 'vanished')
      .map(([outcome, count]) => `${countText(count)} ${outcome}`);
    const waiting = waitingIn(status, name);
    if (waiting > 0) parts.push(`${countText(waiting)} still to go`);
    return [name, parts.length > 0 ? parts.join(', ') : 'nothing to do', bytes > 0 ? bytesText(bytes) : ''];
  });
  const requests = Object.values(report.requests).reduce((sum, count) => sum + count, 0);
  return `${table(rows)}${countText(requests)} requests, ${durationText(report.durationMs)}\n`;
}

function waitingIn(status: Status, name: string): number {
  const routes = status.folders.find((folder) => folder.name === name)?.routes ?? [];
  return routes.reduce((sum, route) => sum + route.pending, 0);
}

/** Only the folders that are not well: the rest is in the table already. */
function problemsText(status: Status): string {
  const folders = status.folders
    .filter(
      (folder) =>
        folder.reasons.length > 0 ||
        folder.routes.some(
          (route) =>
            route.halt !== undefined ||
            route.trouble !== undefined ||
            route.budget?.slowed ||
            route.problems.length > 0,
        ),
    )
    .map((folder) => (folder.state === 'starting' ? { ...folder, state: 'stopped' as const } : folder));
  return statusText({ ...status, folders }).replace(/^.*\n\n/, '');
}

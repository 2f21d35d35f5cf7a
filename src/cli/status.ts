// `status`: the running daemon's word, or the journal's.
import type { Config } from '../config/config.ts';
import { routeIdentity } from '../config/config.ts';
import { askDaemon } from '../control/client.ts';
import { Journal } from '../journal/journal.ts';
import {
  exitCodeOf,
  readStatus,
  type FolderStatus,
  type RouteStatus,
  type Status,
  type UsageStatus,
} from '../observe/status.ts';
import { version } from '../version.ts';
import { readConfig } from './config.ts';
import { exitCodes, type ExitCode } from './exit.ts';
import type { VerbOptions } from './verb.ts';
import { bytesText, countText, durationText, moneyText, nameText, plural, table } from './text.ts';

export async function run(options: VerbOptions): Promise<ExitCode> {
  const config = readConfig(options.config, { secrets: 'left-out' });
  if (!config) return exitCodes.config;
  const status =
    ((await askDaemon(config.stateDir, 'GET', '/status')) as Status | undefined) ?? fromJournal(config);
  if (!status) {
    process.stderr.write(
      `no daemon runs and there is no journal in ${config.stateDir} yet: start one with \`s3syncd run\`, or sync with \`s3syncd once\`\n`,
    );
    return exitCodes.noDaemon;
  }
  process.stdout.write(options.json ? `${JSON.stringify(status)}\n` : statusText(status));
  return exitCodeOf(status);
}

function fromJournal(config: Config): Status | undefined {
  const journal = Journal.openReadOnly(config.stateDir);
  if (!journal) return undefined;
  try {
    return readStatus(
      config,
      journal,
      (folder, route) => routeIdentity(folder, route, config.destinations.get(route.destination)!),
      version,
      undefined,
    );
  } finally {
    journal.close();
  }
}

/** For people: a line per folder and destination, and below it what is wrong, in plain words. */
export function statusText(status: Status): string {
  const head = status.running
    ? `s3syncd ${status.version} is running (pid ${status.pid}, for ${ageText(status.since)})\n\n`
    : 's3syncd is not running; this is what its journal says\n\n';
  const { journal, journalTrouble } = status;
  const trouble = journalTrouble && `${journalTrouble.message} (for ${ageText(journalTrouble.since)})`;
  const notes = [...(trouble === undefined ? [] : [trouble]), ...journal.map((note) => `journal: ${note}`)]
    .map((note) => `! ${nameText(note)}\n\n`)
    .join('');
  return head + notes + status.folders.map(folderText).join('\n');
}

function folderText(folder: FolderStatus): string {
  const lines = [`${folder.name}  ${nameText(folder.path)}  ${stateText(folder)}\n`];
  const since = folder.halt ? ` (for ${ageText(folder.halt.since)})` : '';
  for (const reason of folder.reasons) lines.push(`  ! ${reason}${since}\n`);
  lines.push(
    table(
      folder.routes.map((route) => [
        `  → ${route.destination}`,
        `${countText(route.settled)} synced`,
        `${countText(route.pending + route.inFlight)} pending`,
        troubleCounts(route),
        route.lastSuccess ? `last upload ${ageText(route.lastSuccess)} ago` : '',
      ]),
    ),
  );
  for (const route of folder.routes) lines.push(...usageLines(route), ...problemLines(route));
  return lines.join('');
}

function stateText(folder: FolderStatus): string {
  if (folder.state === 'stopped')
    return folder.lastScan ? `last scanned ${ageText(folder.lastScan)} ago` : 'never scanned';
  const state = folder.state === 'ok' ? 'watching' : folder.state;
  return folder.nextScan === undefined
    ? state
    : `${state}, next rescan in ${durationText(msUntil(folder.nextScan))}`;
}

function usageLines({ usage, budget }: RouteStatus): string[] {
  if (usage.month.bytes + requestCount(usage.month) === 0) return [];
  const of = budget ? ` (${countText(budget.used)} of ${countText(budget.requestsPerDay)} a day)` : '';
  const prices = usage.prices === undefined ? '' : ` (requests only, list prices of ${usage.prices})`;
  return [`    today ${usageText(usage.today)}${of}, this month ${usageText(usage.month)}${prices}\n`];
}

function usageText(usage: UsageStatus): string {
  const cost = usage.cost === undefined ? '' : ` for ${moneyText(usage.cost)}`;
  return `${plural(requestCount(usage), 'request')}, ${bytesText(usage.bytes)}${cost}`;
}

function requestCount({ requests }: UsageStatus): number {
  return Object.values(requests).reduce((sum, count) => sum + count, 0);
}

function troubleCounts(route: RouteStatus): string {
  const counts = [
    [route.retrying, 'retrying'],
    [route.failed, 'failed'],
    [route.blocked, 'blocked'],
    [route.conflicts, 'in conflict'],
    [route.held, 'held'],
  ] as const;
  const parts = counts.filter(([count]) => count > 0).map(([count, word]) => `${countText(count)} ${word}`);
  if (route.lagSeconds > 60) parts.push(`waiting for ${durationText(route.lagSeconds * 1000)}`);
  return parts.join(', ');
}

function problemLines(route: RouteStatus): string[] {
  const lines: string[] = [];
  if (route.halt) lines.push(`  ! HALTED: ${route.halt.message} (for ${ageText(route.halt.since)})\n`);
  if (route.trouble) {
    const next = route.nextTry === undefined ? '' : `, next try in ${durationText(msUntil(route.nextTry))}`;
    lines.push(`  ! ${route.trouble.message} (for ${ageText(route.trouble.since)}${next})\n`);
  }
  if (route.budget?.slowed) {
    const { used, requestsPerDay } = route.budget;
    lines.push(
      `  ! ${countText(used)} of the ${countText(requestsPerDay)} requests of today are used: what is left is spread until 00:00 UTC\n`,
    );
  }
  for (const { path, state, code, message } of route.problems) {
    lines.push(`  ! ${nameText(path)}: ${state}, ${code}: ${nameText(message)}\n`);
  }
  if (route.held > 0) lines.push('  s3syncd deletes shows what is held, lets it go or keeps the objects\n');
  if (route.conflicts > 0)
    lines.push('  s3syncd conflicts shows both sides of a conflict, and resolves it\n');
  const all = route.failed + route.blocked + route.conflicts + route.held + route.retrying;
  const unnamed = all - route.problems.length;
  if (unnamed > 0) lines.push(`  … and ${plural(unnamed, 'more file')}; s3syncd failures lists them all\n`);
  return lines;
}

function msUntil(time: string): number {
  return Math.max(0, Date.parse(time) - Date.now());
}

function ageText(time: string | undefined): string {
  return time === undefined ? 'ever' : durationText(Date.now() - Date.parse(time));
}

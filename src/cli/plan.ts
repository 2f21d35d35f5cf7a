// `plan`: the same scan, the same look, the same decision, and no act.
import type { Estimate } from '../estimate.ts';
import { planConfig, type PlannedAction } from '../plan.ts';
import { Failure } from '../core/failure.ts';
import { readConfig } from './config.ts';
import { exitCodes, type ExitCode } from './exit.ts';
import type { VerbOptions } from './verb.ts';
import { bytesText, countText, moneyText, nameText, plural, table, unknownText } from './text.ts';

/** Lines of a table that a person still reads; `--json` has them all. */
const rowsMax = 200;

export async function run(options: VerbOptions): Promise<ExitCode> {
  const config = readConfig(options.config);
  if (!config) return exitCodes.config;
  try {
    const { actions, estimates, unknown, problems } = await planConfig(config);
    const summary = summaryOf(actions);
    process.stdout.write(
      options.json
        ? `${JSON.stringify({ actions, summary, estimates, unknown, problems })}\n`
        : planText(actions, summary) + estimates.map(estimateText).join(''),
    );
    if (unknown > 0 && !options.json) process.stderr.write(unknownText(unknown));
    for (const problem of problems) process.stderr.write(`${problem}\n`);
    if (problems.length > 0) return exitCodes.failed;
    return options.exitCode && actions.length > 0 ? exitCodes.differences : exitCodes.ok;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    process.stderr.write(`${error.message}\n`);
    return error.class === 'unreachable' || error.class === 'transient'
      ? exitCodes.temporary
      : exitCodes.failed;
  }
}

function summaryOf(actions: readonly PlannedAction[]) {
  const counts: Record<string, number> = {};
  for (const { action } of actions) counts[action] = (counts[action] ?? 0) + 1;
  const bytes = actions.reduce((sum, { action, bytes }) => sum + (action === 'upload' ? bytes : 0), 0);
  return { total: actions.length, counts, bytes };
}

/** `documents → backup: 1,234 requests, 5 GiB`, and what Amazon would charge for it. */
function estimateText({ folder, destination, requests, bytes, cost }: Estimate): string {
  const count = Object.values(requests).reduce((sum, of) => sum + of, 0);
  if (count === 0) return '';
  const charged = cost
    ? `: ${moneyText(cost.requests)}, and ${moneyText(cost.storage)} a month for storage (list prices of ${cost.prices})`
    : '';
  return `${folder} → ${destination}: ${plural(count, 'request')}, ${bytesText(bytes)}${charged}\n`;
}

function planText(actions: readonly PlannedAction[], summary: ReturnType<typeof summaryOf>): string {
  if (actions.length === 0) return 'nothing to do\n';
  const listed = actions.filter(({ action }) => action !== 'apply');
  const rows = listed
    .slice(0, rowsMax)
    .map(({ action, folder, destination, path, from, reason, bytes }) => [
      action,
      from === undefined ? nameText(path) : `${nameText(path)} ← ${nameText(from)}`,
      `${folder} → ${destination}`,
      reason,
      action === 'upload' ? bytesText(bytes) : '',
    ]);
  rows.push(...applyRows(actions));
  const more =
    listed.length > rowsMax ? `… and ${countText(listed.length - rowsMax)} more (--json lists all)\n` : '';
  const counts = Object.entries(summary.counts).map(([action, count]) => `${countText(count)} ${action}`);
  const upload = summary.bytes > 0 ? `, ${bytesText(summary.bytes)} to upload` : '';
  return `${table(rows)}${more}\n${plural(summary.total, 'change')}: ${counts.join(', ')}${upload}\n`;
}

/** Changed rules concern many objects in the same way: one row for all that differ in the same fields. */
function applyRows(actions: readonly PlannedAction[]): string[][] {
  const counts = new Map<string, number>();
  for (const { action, folder, destination, reason } of actions) {
    if (action !== 'apply') continue;
    const row = JSON.stringify([`${folder} → ${destination}`, reason]);
    counts.set(row, (counts.get(row) ?? 0) + 1);
  }
  return [...counts].map(([row, count]) => [
    'apply',
    plural(count, 'object'),
    ...(JSON.parse(row) as string[]),
  ]);
}

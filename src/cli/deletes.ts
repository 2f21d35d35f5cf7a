// `deletes list`: deletes that wait for a person, and why. From the journal, which a daemon lets others read.
import { heldDeletes, type HeldReport } from '../deletes.ts';
import { Journal } from '../journal/journal.ts';
import { readConfig } from './config.ts';
import { exitCodes, type ExitCode } from './exit.ts';
import type { VerbOptions } from './verb.ts';
import { durationText, nameText, plural, table } from './text.ts';

export interface DeletesOptions extends VerbOptions {
  readonly folder?: string;
}

export async function run(options: DeletesOptions, paths: readonly string[]): Promise<ExitCode> {
  const config = readConfig(options.config, { secrets: 'left-out' });
  if (!config) return exitCodes.config;
  const journal = Journal.openReadOnly(config.stateDir);
  const deletes = journal ? heldDeletes(config, journal, options.folder, paths) : [];
  journal?.close();
  process.stdout.write(options.json ? `${JSON.stringify({ deletes })}\n` : deletesText(deletes));
  return deletes.length === 0 ? exitCodes.ok : exitCodes.undecided;
}

function deletesText(deletes: readonly HeldReport[]): string {
  if (deletes.length === 0) return 'no delete is held\n';
  const rows = deletes.map(({ path, folder, destination, key, reason, since }) => [
    nameText(path),
    `${folder} → ${destination}`,
    nameText(key),
    reason,
    `gone for ${durationText(Math.max(0, Date.now() - Date.parse(since)))}`,
  ]);
  const why = [...new Set(deletes.map(({ reason, message }) => `${reason}: ${message}`))];
  return (
    `${table(rows)}\n${why.join('\n')}\n` +
    `${plural(deletes.length, 'delete')} held: s3syncd deletes approve lets them go, s3syncd deletes discard keeps the objects\n`
  );
}

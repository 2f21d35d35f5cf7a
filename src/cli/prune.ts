// `prune`: objects that belong to no file, listed, and with --remove removed.
import { prune, type PrunedObject } from '../prune.ts';
import { Failure } from '../core/failure.ts';
import { JournalInUse } from '../journal/journal.ts';
import { readConfig } from './config.ts';
import { exitCodes, type ExitCode } from './exit.ts';
import type { VerbOptions } from './verb.ts';
import { bytesText, nameText, plural, table } from './text.ts';

interface PruneOptions extends VerbOptions {
  readonly folder?: string;
  readonly remove?: boolean;
}

export async function run(options: PruneOptions): Promise<ExitCode> {
  const config = readConfig(options.config);
  if (!config) return exitCodes.config;
  try {
    const { objects, problems } = await prune(config, options.folder, options.remove === true);
    process.stdout.write(
      options.json ? `${JSON.stringify({ objects, problems })}\n` : pruneText(objects, options),
    );
    for (const problem of problems) process.stderr.write(`${problem}\n`);
    return problems.length === 0 ? exitCodes.ok : exitCodes.failed;
  } catch (error) {
    if (!(error instanceof Failure || error instanceof JournalInUse)) throw error;
    process.stderr.write(`${error.message}\n`);
    const mayPass =
      error instanceof JournalInUse || error.class === 'unreachable' || error.class === 'transient';
    return mayPass ? exitCodes.temporary : exitCodes.failed;
  }
}

function pruneText(objects: readonly PrunedObject[], { remove }: PruneOptions): string {
  if (objects.length === 0) return 'every object belongs to a file, or did\n';
  const rows = objects.map(({ key, folder, destination, reason, bytes, outcome }) => [
    outcome === 'listed' ? reason : outcome,
    nameText(key),
    `${folder} → ${destination}`,
    bytesText(bytes),
  ]);
  const hint = remove ? '' : '; nothing was removed: --remove does, and exactly those that it then lists';
  return `${table(rows)}\n${plural(objects.length, 'object')}${hint}\n`;
}

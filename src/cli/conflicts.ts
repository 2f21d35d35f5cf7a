// `conflicts`: what waits for a decision, with both sides. From the journal, which a daemon lets others read.
import { openConflicts, type ConflictReport } from '../conflicts.ts';
import { conflictMessages } from '../core/conflict.ts';
import { Journal } from '../journal/journal.ts';
import { readConfig } from './config.ts';
import { exitCodes, type ExitCode } from './exit.ts';
import type { VerbOptions } from './verb.ts';
import { bytesText, durationText, nameText, plural, table } from './text.ts';

export interface ConflictsOptions extends VerbOptions {
  readonly folder?: string;
}

export async function run(options: ConflictsOptions): Promise<ExitCode> {
  const config = readConfig(options.config, { secrets: 'left-out' });
  if (!config) return exitCodes.config;
  const journal = Journal.openReadOnly(config.stateDir);
  const conflicts = journal ? openConflicts(config, journal, options.folder) : [];
  journal?.close();
  process.stdout.write(options.json ? `${JSON.stringify({ conflicts })}\n` : conflictsText(conflicts));
  return conflicts.length === 0 ? exitCodes.ok : exitCodes.undecided;
}

function conflictsText(conflicts: readonly ConflictReport[]): string {
  if (conflicts.length === 0) return 'no conflict is open\n';
  return `${conflicts.map(conflictText).join('\n')}\n${plural(conflicts.length, 'conflict')}; s3syncd conflicts resolve --help says what can be done\n`;
}

function conflictText({ folder, destination, path, reason, since, file, object }: ConflictReport): string {
  const side = (size: number, time: string) => [bytesText(size), `${ageText(time)} old`];
  const rows = [
    ['  file', ...(file ? side(file.size, file.mtime) : ['deleted'])],
    ['  object', ...side(object.size, object.mtime ?? object.lastModified), `ETag ${object.etag}`],
  ];
  return `${nameText(path)}  (${folder} → ${destination})\n  ${conflictMessages[reason]}, ${ageText(since)} ago\n${table(rows)}`;
}

function ageText(time: string): string {
  return durationText(Math.max(0, Date.now() - Date.parse(time)));
}

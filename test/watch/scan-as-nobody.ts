// Scans a folder several times in a process of its own, started as a user who may not read everything.
// Arguments: the folder, and `{scans, closed, mode, closeAfter, openAfter}` as JSON. Prints what each scan found.
import { chmodSync } from 'node:fs';
import { systemClock } from '../../src/edge/clock.ts';
import { systemFiles } from '../../src/edge/files.ts';
import { joinPath } from '../../src/core/key.ts';
import { RootUnreadable, scan } from '../../src/watch/scan.ts';
import { Selection } from '../../src/watch/selection.ts';
import { MemoryKnown } from './memory-known.ts';

const [, , root = '', json = ''] = process.argv;
const options: { scans: number; closed?: string; mode?: number; closeAfter?: number; openAfter?: number } =
  JSON.parse(json);
const known = new MemoryKnown();
const subject = {
  folderId: 1,
  root,
  routeIds: [1],
  symlinks: 'skip' as const,
  selection: new Selection({ include: [], exclude: [] }, systemFiles),
  files: systemFiles,
  clock: systemClock,
  known,
  reported: new Set<string>(),
  tellAbsent: true,
};

try {
  const found = Array.from({ length: options.scans }, (_, index) => {
    if (index === options.closeAfter) chmodSync(`${root}/${options.closed}`, options.mode ?? 0);
    if (index === options.openAfter) chmodSync(`${root}/${options.closed}`, 0o700);
    const words: string[] = [];
    for (const findings of scan(subject)) {
      known.settle(findings);
      for (const { directory, name, seen } of findings.observations) {
        words.push((seen === 'absent' ? '-' : '') + joinPath(directory, name));
      }
      for (const { directory, name, reason } of findings.obstacles) {
        words.push(`!${joinPath(directory, String(name))} ${reason}`);
      }
    }
    return words.toSorted();
  });
  process.stdout.write(JSON.stringify(found));
} catch (error) {
  if (!(error instanceof RootUnreadable)) throw error;
  process.stdout.write(JSON.stringify(error.name));
}

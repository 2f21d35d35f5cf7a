// Works with a journal as a daemon does, without end, to be killed at any moment: `writer.ts STATE_DIR FIRST`. Observes one
// of 20 files as having n bytes, n growing from FIRST, and says so on stdout when the journal has it for good; claims,
// settles what it claimed with the size of that moment, and fails now and then.
import fs from 'node:fs';
import { Journal, type Completion } from '../../src/journal/journal.ts';
import { baseline, file } from '../helpers/given.ts';
import { atOnce, identity } from '../helpers/journal.ts';

const [stateDir = '', first = '1'] = process.argv.slice(2);
const journal = Journal.open(stateDir);
const { routeId, folderId } = journal.registerRoute(identity());
const sizes = new Map<string, number>();

for (let size = Number(first), completions: Completion[] = []; ; size++) {
  const path = `directory-${size % 3}/file-${Math.floor(Math.random() * 20)}`;
  const [directory = '', name = ''] = path.split('/');
  const observation = { directory, name, seen: file(size) };
  journal.observe(folderId, [routeId], [observation], atOnce, Date.now());
  sizes.set(path, size);
  fs.writeSync(1, `${path} ${size}\n`);

  const claims = journal.turn({ completions, routeId, want: 5, order: 'oldest', nowMs: Date.now() });
  completions = claims.map((claim) => ({ claim, end: endOf(claim.path) }));
}

function endOf(path: string): Completion['end'] {
  const size = sizes.get(path);
  const failed = { kind: 'retry', readyAtMs: Date.now(), code: 'SlowDown', message: '' } as const;
  return size === undefined || Math.random() < 0.2
    ? failed
    : { kind: 'settled', baseline: baseline('uploaded', file(size)) };
}

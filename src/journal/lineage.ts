// Lineage: is this journal the one that was used here last? One from a backup says what was true then: an object that it
// calls ours may be somebody else's by now. It is kept, and believed only as far as a fresh listing agrees.
import fs from 'node:fs';
import { randomUUID } from 'node:crypto';
import type { Database } from 'better-sqlite3';

/** Beside the journal: names the start at which it was used last. */
function witnessOf(file: string): string {
  return `${file}.start`;
}

/** `copy`: it is not the file that was used last; `new`: it is the first one here; `lost`: it is not, and is empty. */
export type Lineage = 'same' | 'copy' | 'new' | 'lost';

/** Begins another start of the journal, and tells what it is. */
export function continueLineage(database: Database, file: string): Lineage {
  const meta = database.prepare<[string], string>('SELECT value FROM meta WHERE key = ?').pluck();
  const put = database.prepare('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)');
  // Not its device: that has another number after many a restart. A number alone is soon given to another file.
  const { ino, birthtimeNs } = fs.statSync(file, { bigint: true });
  const inode = `${ino}, born ${birthtimeNs}`;
  const [start, startBefore, inodeBefore] = [meta.get('start'), meta.get('start_before'), meta.get('inode')];
  const witness = read(witnessOf(file));
  // Killed between the two writes below, the witness still names the start before.
  const isLast = witness === undefined || witness === start || witness === startBefore;
  const isOriginal = inodeBefore === undefined || inodeBefore === inode;

  const next = randomUUID();
  database
    .transaction(() => {
      if (start !== undefined) put.run('start_before', start);
      put.run('start', next);
      put.run('inode', inode);
    })
    .immediate();
  write(witnessOf(file), next);
  if (start === undefined) return witness === undefined ? 'new' : 'lost';
  return isLast && isOriginal ? 'same' : 'copy';
}

function read(file: string): string | undefined {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function write(file: string, content: string): void {
  // Flushed, or a power cut would leave an empty one, and the journal would be taken for a copy.
  const fresh = `${file}.new`;
  fs.writeFileSync(fresh, content, { mode: 0o600, flush: true });
  fs.renameSync(fresh, file);
}

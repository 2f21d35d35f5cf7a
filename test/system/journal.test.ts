// A journal that is damaged, gone or from a backup: the daemon mends that by itself, sends nothing again that is in S3, and
// deletes nothing on its word.
import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { noLocalServer, startStore, until, workspace, type Workspace } from './harness.ts';

/** Deletes are propagated at once: what keeps them back is only what the journal is worth. */
const folder = {
  policy: 'overwrite',
  delete: 'propagate',
  'delete-grace': '100ms',
  'max-delete': { count: 100, percent: 100 },
};

async function synced(): Promise<Workspace> {
  const home = workspace(await startStore(), { folder });
  for (let number = 0; number < 20; number++) home.write(`dir/${number}`, `content ${number}`);
  await home.once();
  return home;
}

const journal = (home: Workspace) => path.join(home.stateDir, 'journal.db');

const damages: [string, (file: string) => void, RegExp][] = [
  [
    'damaged',
    (file) => fs.writeFileSync(file, 'x'.repeat(50_000)),
    /! journal: it was damaged \(.*\) and is kept as/,
  ],
  ['cut', (file) => fs.truncateSync(file, 20_000), /! journal: it was damaged/],
  ['deleted', (file) => fs.rmSync(file), /! journal: it was gone at/],
];

test.each(damages)(
  'a journal that is %s is built anew, at the price of a listing',
  async (_, damage, line) => {
    const home = await synced();
    damage(journal(home));
    // What is gone meanwhile was ours, and nobody knows it any more.
    fs.rmSync(home.path('dir/7'));
    fs.rmSync(home.path('dir/8'));
    home.write('dir/new', 'new');

    const report = await home.once();

    await home.expectEqual({ kept: ['dir/7', 'dir/8'] });
    expect(report.folders.docs.outcomes).toMatchObject({ adopted: 18, uploaded: 1, deleted: 0 });
    const status = await home.s3syncd('status');
    expect(status.stdout).toMatch(line);
    expect(status.code).toBe(0);
    // From here on it owns again what it found equal.
    fs.rmSync(home.path('dir/1'));
    await home.once();
    await home.expectEqual({ kept: ['dir/7', 'dir/8'] });
  },
);

test.skipIf(noLocalServer)(
  'a journal from a backup does not delete what became of an object since',
  async () => {
    const home = await synced();
    const backup = path.join(home.directory, 'backup.db');
    fs.cpSync(journal(home), backup);
    // Since then it was deleted here, and so there, and somebody else has put another one in its place.
    fs.rmSync(home.path('dir/3'));
    await home.once();
    expect(await home.store.keys()).not.toContain('dir/3');
    await home.store.put('dir/3', 'theirs');
    fs.rmSync(home.path('dir/4'));
    fs.rmSync(journal(home));
    fs.cpSync(backup, journal(home));

    const daemon = await home.start();
    await until(async () => !(await home.store.keys()).includes('dir/4'), 10_000);
    await until(async () => (await home.status()).folders[0]!.routes[0]!.pending === 0, 10_000);
    await daemon.stop();

    expect((await home.store.get('dir/3')).toString()).toBe('theirs');
    await home.expectEqual({ kept: ['dir/3'] });
    expect(daemon.stderr).toMatch(/journal: since .* it is one from a backup/);
  },
);

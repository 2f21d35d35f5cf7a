// More files at once than anything between the kernel's queue and S3 has room for: all of them arrive, and what the daemon
// needs for it does not grow with them.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { askDaemon } from '../../src/control/client.ts';
import { journalFile } from '../../src/journal/journal.ts';
import type { Status } from '../../src/observe/status.ts';
import { fileMiB, memoryOf } from '../helpers/process.ts';
import { atScale } from '../helpers/scale.ts';
import { noLocalServer, startStore, until, workspace } from './harness.ts';

const files = atScale(3_000, 20_000, 200_000);
const rssMiBMax = 300;
/** `journal_size_limit`. */
const walMiBMax = 64;
/** A baseline and a change of one path, with their indexes. */
const journalBytesPerFile = 1_000;

test.skipIf(noLocalServer)(
  `${files.toLocaleString('en')} files created as fast as possible are all in S3, within ${rssMiBMax} MiB`,
  async () => {
    const store = await startStore({ discardBodies: true });
    const home = workspace(store);
    const daemon = await home.start();
    const pid = daemon.child.pid!;
    const journal = journalFile(home.stateDir);

    const startedAt = performance.now();
    const flood = spawn(process.execPath, [
      path.join(import.meta.dirname, 'flood.ts'),
      home.folder,
      String(files),
    ]);
    await once(flood, 'exit');
    const createdMs = performance.now() - startedAt;
    let walMiB = 0;
    let settled = 0;
    await until(
      async () => {
        walMiB = Math.max(walMiB, fileMiB(`${journal}-wal`));
        // The log of requests would need more memory than anything here.
        store.forget();
        const { folders } = (await askDaemon(home.stateDir, 'GET', '/status')) as Status;
        ({ settled } = folders[0]!.routes[0]!);
        await delay(500);
        return settled >= files;
      },
      60_000 + files * 10,
      () => `${settled} of ${files} files are settled`,
    );
    const tookMs = performance.now() - startedAt;
    await home.awaitEqual(30_000, { times: false });
    await until(async () => (await home.s3syncd('status')).code === 0, 10_000);

    const { peakMiB } = memoryOf(pid);
    const journalMiB = fileMiB(journal);
    console.log(
      `${files} files created in ${(createdMs / 1000).toFixed(1)} s, in S3 after ${(tookMs / 1000).toFixed(1)} s; ` +
        `RSS at most ${peakMiB} MiB, WAL ${walMiB.toFixed(1)} MiB, journal ${journalMiB.toFixed(1)} MiB`,
    );
    expect(peakMiB).toBeLessThan(rssMiBMax);
    expect(walMiB).toBeLessThan(walMiBMax);
    expect(journalMiB).toBeLessThan(1 + (files * journalBytesPerFile) / 1024 ** 2);
  },
  240_000 + files * 12,
);

// The thread itself: a real Worker with a real journal.
import { mkdirSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../../src/edge/clock.ts';
import { systemFiles } from '../../src/edge/files.ts';
import { openKnown } from '../../src/journal/known.ts';
import type { FromWatch, Message, WatchedFolder } from '../../src/watch/messages.ts';
import { scan } from '../../src/watch/scan.ts';
import { Selection } from '../../src/watch/selection.ts';
import { startWatchThread, type WatchHandlers, type WatchThread } from '../../src/watch/thread.ts';
import { folderAt } from './attentive.ts';
import { temporaryDirectory, write } from './given.ts';
import { createJournal, settle } from './journal-file.ts';

/** A thread, and all that it says. */
function start(options: {
  folders: readonly WatchedFolder[];
  journalFile?: string;
  watch?: boolean;
  onObserved?: (message: Message<'observed'>) => void | Promise<void>;
}) {
  const heard: FromWatch[] = [];
  const crashes: Error[] = [];
  const waiting = new Set<() => void>();
  const tell = (message: FromWatch) => {
    heard.push(message);
    for (const ask of waiting) ask();
  };
  const handlers: WatchHandlers = {
    onObserved: (message) => {
      tell(message);
      return options.onObserved?.(message);
    },
    onScanning: tell,
    onScanned: tell,
    onWatching: tell,
    onDegraded: tell,
    onRoot: tell,
    onCrash: (error) => {
      crashes.push(error);
      for (const ask of waiting) ask();
    },
  };
  const journalFile = options.journalFile ?? `${temporaryDirectory()}/journal.db`;
  if (options.journalFile === undefined) createJournal(journalFile).close();
  const thread: WatchThread = startWatchThread(
    { journalFile, folders: options.folders, watch: options.watch ?? true },
    handlers,
  );
  let stopped = false;
  const stop = async () => {
    stopped = true;
    await thread.stop();
  };
  onTestFinished(async () => {
    if (!stopped && crashes.length === 0) await thread.stop();
  });
  const until = async (holds: () => boolean) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const ask = () => holds() && resolve();
    waiting.add(ask);
    ask();
    await promise;
    waiting.delete(ask);
  };
  const all = <Kind extends FromWatch['kind']>(kind: Kind) =>
    heard.filter((message): message is Message<Kind> => message.kind === kind);
  return { thread, heard, crashes, until, all, stop };
}

describe('the watch thread', () => {
  test('watches first, then scans, then tells of events', async () => {
    const root = temporaryDirectory();
    write(root, 'a', 'd/b');
    const { all, heard, until } = start({ folders: [folderAt(root)] });
    await until(() => all('scanned').length === 1);
    expect(heard.map(({ kind }) => kind)).toEqual(['watching', 'scanning', 'observed', 'scanned']);
    expect(all('observed')[0]).toMatchObject({ cause: 'scan', observations: [{ name: 'a' }, { name: 'b' }] });
    expect(all('scanned')[0]).toMatchObject({ folderId: 1, files: 2, directories: 2, skippedSymlinks: 0 });
    write(root, 'd/c');
    await until(() => all('observed').length === 2);
    expect(all('observed')[1]).toMatchObject({
      cause: 'event',
      observations: [{ directory: 'd', name: 'c' }],
    });
  });

  test('says nothing of what the journal knows, and finds what it does not', async () => {
    const root = temporaryDirectory();
    const journalFile = `${temporaryDirectory()}/journal.db`;
    write(root, 'same', 'd/same', 'd/changed', 'gone/1', 'gone/deep/2');
    writeFileSync(Buffer.from(`${root}/bad\xff`, 'latin1'), '');
    const database = createJournal(journalFile);
    const known = openKnown(journalFile, [1]);
    onTestFinished(() => {
      known.close();
      database.close();
    });
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
    for (const findings of scan(subject)) settle(database, findings);
    const { all, thread, until } = start({ folders: [folderAt(root)], journalFile, watch: false });
    await until(() => all('scanned').length === 1);
    expect(all('observed')).toEqual([]);
    expect(all('watching')).toEqual([]);

    writeFileSync(`${root}/d/changed`, 'otherwise');
    write(root, 'new');
    rmSync(`${root}/gone`, { recursive: true });
    unlinkSync(Buffer.from(`${root}/bad\xff`, 'latin1'));
    thread.scan(1);
    await until(() => all('scanned').length === 2);
    const { observations, cleared } = all('observed')[0]!;
    const words = observations.map(
      ({ directory, name, seen }) => `${seen === 'absent' ? '-' : ''}${directory}/${name}`,
    );
    expect(words.toSorted()).toEqual(['-gone/1', '-gone/deep/2', '/new', 'd/changed']);
    expect(cleared.map(({ name }) => Buffer.from(name).toString('latin1'))).toEqual(['bad\xff']);
  });

  test('posts a batch when the last one is committed, not before', async () => {
    const root = temporaryDirectory();
    write(root, 'a');
    const { promise, resolve } = Promise.withResolvers<void>();
    const { all, until } = start({ folders: [folderAt(root)], onObserved: () => promise });
    await until(() => all('observed').length === 1);
    write(root, 'b');
    // The thread answers this one, and so has had its chance.
    const other = start({ folders: [folderAt(root)] });
    await other.until(() => other.all('scanned').length === 1);
    expect(all('observed')).toHaveLength(1);
    expect(all('scanned')).toEqual([]);
    resolve();
    await until(() => all('scanned').length === 1 && all('observed').length === 2);
  });

  test('goes on with the other folders when one is missing', async () => {
    const parent = temporaryDirectory();
    write(parent, 'here/a');
    const { all, until } = start({
      folders: [folderAt(`${parent}/there`), folderAt(`${parent}/here`, { folderId: 2 })],
    });
    await until(() => all('scanned').length === 1 && all('root').length === 1);
    expect(all('scanned')[0]).toMatchObject({ folderId: 2, files: 1 });
    expect(all('root')[0]).toMatchObject({ folderId: 1, state: 'missing' });
  });

  test('tells of a root that vanished, and of its return', { timeout: 20_000 }, async () => {
    const parent = temporaryDirectory();
    write(parent, 'root/a');
    const { all, until } = start({ folders: [folderAt(`${parent}/root`)] });
    await until(() => all('scanned').length === 1);
    renameSync(`${parent}/root`, `${parent}/away`);
    await until(() => all('root').length === 1);
    renameSync(`${parent}/away`, `${parent}/root`);
    await until(() => all('root').at(-1)?.state === 'ok');
    expect(
      all('observed')
        .flatMap(({ observations }) => observations)
        .every(({ seen }) => seen !== 'absent'),
    ).toBe(true);
  });

  test.each(['at once', 'while it waits for an acknowledgement', 'when all is quiet'])(
    'stops %s, and leaves nothing behind',
    async (when) => {
      const root = temporaryDirectory();
      write(root, 'a', 'd/b');
      const before = resources();
      const never = new Promise<void>(() => undefined);
      const { all, crashes, stop, until } = start({
        folders: [folderAt(root)],
        ...(when === 'while it waits for an acknowledgement' && { onObserved: () => never }),
      });
      if (when === 'when all is quiet') await until(() => all('scanned').length === 1);
      if (when === 'while it waits for an acknowledgement') await until(() => all('observed').length === 1);
      const startedAt = performance.now();
      await stop();
      // By itself, not by force.
      expect(performance.now() - startedAt).toBeLessThan(4_000);
      expect(resources()).toEqual(before);
      expect(crashes).toEqual([]);
    },
  );

  test('that fails is a crash', async () => {
    const root = temporaryDirectory();
    const { crashes, until } = start({
      folders: [folderAt(root)],
      journalFile: `${root}/no-such-journal.db`,
    });
    await until(() => crashes.length > 0);
    expect(crashes).toHaveLength(1);
    expect(crashes[0]?.message).toMatch(/unable to open database/);
  });

  test('whose batch cannot be taken is a crash', async () => {
    const root = temporaryDirectory();
    mkdirSync(`${root}/d`);
    write(root, 'a');
    const { crashes, stop, until } = start({
      folders: [folderAt(root)],
      onObserved: () => Promise.reject(new Error('disk is full')),
    });
    await until(() => crashes.length > 0);
    expect(crashes[0]?.message).toBe('disk is full');
    await stop();
  });
});

function resources(): string[] {
  return process
    .getActiveResourcesInfo()
    .filter((name) => name === 'Worker' || name === 'MessagePort')
    .toSorted();
}

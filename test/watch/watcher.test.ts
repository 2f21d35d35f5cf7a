// What the watcher does where chokidar does not end what it began; everything else is in events.test.ts.
import { FSWatcher } from 'chokidar';
import { expect, onTestFinished, test, vi } from 'vitest';
import { Selection } from '../../src/watch/selection.ts';
import { openWatcher, type WatchEvents } from '../../src/watch/watcher.ts';
import { systemFiles } from '../../src/edge/files.ts';
import { temporaryDirectory, write } from './given.ts';

function watched() {
  const root = temporaryDirectory();
  write(root, 'd/1');
  const failed = vi.fn<WatchEvents['failed']>();
  const nothing = () => undefined;
  const events = {
    ...{ mark: nothing, scan: nothing, directoryChanged: nothing, count: nothing, rootChanged: nothing },
    failed,
  };
  const watcher = openWatcher(root, new Selection({ include: [], exclude: [] }, systemFiles), events);
  return { watcher, failed };
}

test('a watcher is closed although chokidar waits for tasks that never end', async () => {
  const { watcher, failed } = watched();
  await watcher.ready;
  const close = vi.spyOn(FSWatcher.prototype, 'close').mockReturnValue(new Promise(() => undefined));
  onTestFinished(() => close.mockRestore());
  await watcher.close();
  expect(close).toHaveBeenCalledTimes(1);
  expect(failed).not.toHaveBeenCalled();
});

test('a watcher that lists nothing any more, and is not ready, says so', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  const add = vi.spyOn(FSWatcher.prototype, 'add').mockReturnThis();
  onTestFinished(() => {
    vi.useRealTimers();
    add.mockRestore();
  });
  const { watcher, failed } = watched();
  vi.advanceTimersByTime(60_000);
  await watcher.ready;
  expect(failed.mock.calls).toEqual([[new Error('it did not get ready')]]);
  await watcher.close();
});

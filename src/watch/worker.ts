// The watch thread: scans and watchers of all folders. It says "look there" and does nothing else: no writes, no S3.
// Its own event loop has its own inotify queue, so a blocked main thread costs no events.
//
// An error that nobody expects ends the thread and reaches the main thread as the worker's `error`.
import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../edge/clock.ts';
import { systemFiles } from '../edge/files.ts';
import { openKnown } from '../journal/known.ts';
import { FolderWatch, type Watching } from './folder.ts';
import { OverflowGauge } from './gauge.ts';
import { queuedEventsMax } from './limits.ts';
import type { ToWatch, WatchThreadData } from './messages.ts';
import { watchedInodes } from './watched.ts';

const port = parentPort;
if (!port) throw new Error('worker.ts runs as a worker thread only');
const { journalFile, folders, watch }: WatchThreadData = workerData;

// Half of the queue: the turn that follows an overflow brings a full one, and a false suspicion costs only a scan.
const gauge = new OverflowGauge(queuedEventsMax() / 2, () => {
  for (const folder of watches.values()) folder.suspectOverflow();
});

const watching: Watching = {
  load: async () => (await import('./watcher.ts')).openWatcher,
  watchedInodes,
};

const watches = new Map(
  folders.map((folder) => [
    folder.folderId,
    new FolderWatch(folder, {
      known: openKnown(journalFile, folder.routeIds),
      post: (message) => port.postMessage(message),
      watching,
      files: systemFiles,
      clock: systemClock,
      countEvent: () => gauge.count(),
    }),
  ]),
);

port.on('message', (message: ToWatch) => {
  switch (message.kind) {
    case 'acknowledged':
      watches.get(message.folderId)?.acknowledge(message.batch);
      break;
    case 'scan':
      watches.get(message.folderId)?.scan();
      break;
    case 'ask':
      port.postMessage({ kind: 'alive' });
      break;
    case 'stop':
      void stop();
  }
});

for (const folder of watches.values()) folder.start(watch);

/** Lets go of everything that keeps the thread alive, so that it ends by itself. */
async function stop(): Promise<void> {
  port?.removeAllListeners('message');
  await Promise.all([...watches.values()].map((folder) => folder.stop()));
  port?.close();
}

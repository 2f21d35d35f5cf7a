// The watch thread as the main thread sees it.
import { Worker } from 'node:worker_threads';
import type { FromWatch, Message, ToWatch, WatchThreadData } from './messages.ts';

export interface WatchHandlers {
  /** The batch is acknowledged when this returns: commit it first. */
  onObserved(message: Message<'observed'>): void | Promise<void>;
  onScanning(message: Message<'scanning'>): void;
  onScanned(message: Message<'scanned'>): void;
  onWatching(message: Message<'watching'>): void;
  onDegraded(message: Message<'degraded'>): void;
  onRoot(message: Message<'root'>): void;
  /** The thread ended although nobody stopped it, or a handler failed: nothing is watched any more. */
  onCrash(error: Error): void;
}

export interface WatchThread {
  /** Scans a folder now. */
  scan(folderId: number): void;
  /**
   * Asks whether the thread still turns; the answer counts at the next call.
   * @throws when an answer is overdue: nothing is seen any more
   */
  proveAlive(): void;
  /** Ends the thread; fulfilled when it is gone. */
  stop(): Promise<void>;
}

/** A thread that hangs in a system call (a dead NFS server) is abandoned after this. */
const stopMaxMs = 5_000;

/** Between two answers the thread reads one directory at most; that of a million files takes seconds. */
const answerMaxMs = 60_000;

export function startWatchThread(data: WatchThreadData, handlers: WatchHandlers): WatchThread {
  // tsc rewrites import specifiers but not this one.
  const file = import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js';
  const worker = new Worker(new URL(file, import.meta.url), {
    workerData: data,
    name: 'watch',
    // Scans make garbage by the megabyte and keep nothing: a small young generation costs no time and saves 20 MB.
    resourceLimits: { maxYoungGenerationSizeMb: 8 },
  });
  let stopping = false;
  let crashed = false;
  let askedAtMs: number | undefined;
  const crash = (error: Error): void => {
    if (stopping || crashed) return;
    crashed = true;
    handlers.onCrash(error);
  };
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  worker.on('error', (error) => crash(error instanceof Error ? error : new Error(String(error))));
  worker.on('exit', (code) => crash(new Error(`the watch thread ended with code ${code}`)));
  worker.on('message', (message: FromWatch) => {
    handle(message).catch((error: unknown) =>
      crash(error instanceof Error ? error : new Error(String(error))),
    );
  });

  async function handle(message: FromWatch): Promise<void> {
    if (stopping) return;
    switch (message.kind) {
      case 'observed':
        await handlers.onObserved(message);
        return post({ kind: 'acknowledged', folderId: message.folderId, batch: message.batch });
      case 'scanning':
        return handlers.onScanning(message);
      case 'scanned':
        return handlers.onScanned(message);
      case 'watching':
        return handlers.onWatching(message);
      case 'alive':
        askedAtMs = undefined;
        return;
      case 'degraded':
        return handlers.onDegraded(message);
      case 'root':
        return handlers.onRoot(message);
    }
  }

  function post(message: ToWatch): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a Worker, not a Window
    worker.postMessage(message);
  }

  return {
    scan: (folderId) => post({ kind: 'scan', folderId }),
    proveAlive() {
      const waitedMs = performance.now() - (askedAtMs ?? Infinity);
      if (waitedMs > answerMaxMs)
        throw new Error(`the watch thread has not answered for ${Math.round(waitedMs / 1000)} s`);
      if (askedAtMs !== undefined) return;
      askedAtMs = performance.now();
      post({ kind: 'ask' });
    },
    async stop() {
      stopping = true;
      post({ kind: 'stop' });
      const deadline = setTimeout(() => void worker.terminate(), stopMaxMs);
      await exited;
      clearTimeout(deadline);
    },
  };
}

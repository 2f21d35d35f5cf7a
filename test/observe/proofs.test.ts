// What a sign of life proves of the parts that could stand still without a word.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, onTestFinished, test, vi } from 'vitest';
import { systemClock } from '../../src/edge/clock.ts';
import { Failure } from '../../src/core/failure.ts';
import { Drain, type DrainOptions } from '../../src/drain/drain.ts';
import { Endpoint } from '../../src/drain/endpoint.ts';
import type { Route } from '../../src/drain/route.ts';
import { Journal, journalFile } from '../../src/journal/journal.ts';
import { startWatchThread } from '../../src/watch/thread.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

/** A watch thread without folders, and time that passes on demand. */
function watchThread() {
  const directory = mkdtempSync(join(tmpdir(), 's3syncd-proofs-'));
  mkdirSync(join(directory, 'state'));
  Journal.open(join(directory, 'state')).close();
  const ignore = () => undefined;
  const thread = startWatchThread(
    { journalFile: journalFile(join(directory, 'state')), folders: [], watch: true },
    {
      onObserved: ignore,
      onScanning: ignore,
      onScanned: ignore,
      onWatching: ignore,
      onDegraded: ignore,
      onRoot: ignore,
      onCrash: (error) => expect.fail(String(error)),
    },
  );
  onTestFinished(async () => {
    await thread.stop();
    rmSync(directory, { recursive: true });
  });
  let aheadMs = 0;
  const now = performance.now.bind(performance);
  vi.spyOn(performance, 'now').mockImplementation(() => now() + aheadMs);
  return { thread, pass: (ms: number) => (aheadMs += ms) };
}

test('a watch thread that owes an answer for a minute is not alive, and is again when it came', async () => {
  const { thread, pass } = watchThread();
  thread.proveAlive();
  pass(59_000);
  thread.proveAlive();
  pass(2_000);
  // No message can have come in between: nothing here has waited.
  expect(() => thread.proveAlive()).toThrow('the watch thread has not answered for 61 s');
  await vi.waitFor(() => thread.proveAlive(), { timeout: 10_000 });
});

/** A drain that was never started, whose oldest change is ready since `readyAtMs`. */
function drainWith(readyAtMs: number) {
  const endpoint = new Endpoint('http://127.0.0.1:9');
  const route = {
    routeId: 1,
    clock: systemClock,
    endpoint,
    folder: { name: 'documents' },
    destination: { name: 'backup' },
  } as unknown as Route;
  const journal = {
    nextReadyAtMs: () => readyAtMs,
    trouble: () => undefined,
    disk: { trouble: undefined },
    halts: { ofRoute: () => undefined, provedAtMs: () => undefined },
  };
  const drain = new Drain(route, { journal } as unknown as DrainOptions);
  return { drain, endpoint };
}

const nowMs = Date.now();

test('a drain that forgot what is ready is not well', () => {
  const { drain } = drainWith(nowMs - 301_000);
  expect(() => drain.proveProgress(nowMs)).toThrow(
    'folder "documents": nothing goes to "backup", although changes wait for 301 s',
  );
});

test.each([
  { drain: 'has nothing to do', readyAtMs: Infinity, given: () => undefined },
  { drain: 'has had work for some minutes only', readyAtMs: nowMs - 299_000, given: () => undefined },
  {
    drain: 'waits for an answer',
    readyAtMs: 0,
    given: ({ endpoint }: ReturnType<typeof drainWith>) => endpoint.take(1),
  },
  {
    drain: 'has a folder that is not there',
    readyAtMs: 0,
    given: ({ drain }: ReturnType<typeof drainWith>) => drain.halt(true),
  },
  {
    drain: 'waits for an endpoint in trouble',
    readyAtMs: 0,
    given: ({ endpoint }: ReturnType<typeof drainWith>) =>
      endpoint.trouble.begin(
        new Failure('nobody answers', { class: 'unreachable', code: 'ECONNREFUSED' }),
        Date.now() + 60_000,
        0.5,
      ),
  },
  {
    drain: 'is being stopped',
    readyAtMs: 0,
    given: ({ drain }: ReturnType<typeof drainWith>) => drain.stop(),
  },
])('a drain that $drain is well', ({ readyAtMs, given }) => {
  const made = drainWith(readyAtMs);
  given(made);
  expect(() => made.drain.proveProgress(nowMs)).not.toThrow();
});

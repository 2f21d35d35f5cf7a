// A long time of mixed load with occasional faults: afterwards memory, descriptors, timers and files of the daemon are what
// they were before, and the bucket holds what the folder holds, at the end of every round.
import fs from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { askDaemon } from '../../src/control/client.ts';
import { journalFile } from '../../src/journal/journal.ts';
import type { Status } from '../../src/observe/status.ts';
import { startFaultProxy } from '../fault-proxy/proxy.ts';
import { descriptorsOf, fileMiB, forgetPeak, memoryOf } from '../helpers/process.ts';
import { atScale } from '../helpers/scale.ts';
import type { Fault } from '../s3-server/faults.ts';
import {
  noLocalServer,
  seededRandom,
  startStore,
  until,
  workspace,
  type Workspace,
} from '../system/harness.ts';
import { Workload } from './workload.ts';

const minutes = Number(process.env['S3SYNCD_TEST_MINUTES'] ?? atScale(1, 1, 30));
/** Of load, before each comparison. */
const loadMs = 20_000;
const operationsPerSecond = 80;

/** One round each, by turns; `undefined`: a round without. */
const trouble: readonly (Fault | undefined)[] = [
  undefined,
  { kind: 'answer', status: 503, code: 'SlowDown', probability: 0.1 },
  { kind: 'latency', ms: 700, probability: 0.2 },
  undefined,
  { kind: 'reset-request', afterBytes: 100, probability: 0.05 },
  { kind: 'commit-then-drop', probability: 0.05 },
  { kind: 'answer', status: 500, code: 'InternalError', probability: 0.1 },
  { kind: 'truncate-answer', afterBytes: 0, probability: 0.05 },
  // Nobody there, for a whole round.
  { kind: 'reset-request', afterBytes: 0 },
];

interface Sample {
  readonly minute: number;
  readonly operations: number;
  /** At rest, and the most since the last sample. */
  readonly rssMiB: number;
  readonly peakMiB: number;
  /** Of both threads: what JavaScript holds, and what it holds outside of its heap, bodies for the most part. */
  readonly heapMiB: number;
  readonly externalMiB: number;
  /** RSS without the latter: how much of it is garbage that waits to be collected is chance. */
  readonly restMiB: number;
  readonly sockets: number;
  readonly descriptors: number;
  readonly timers: number;
  readonly handles: number;
  readonly walMiB: number;
  readonly journalMiB: number;
}

/**
 * How much more a figure may be at the end than after the first third, by the straight line through all samples since: noise
 * of the garbage collector and of what happened to be in flight is less, and what leaks with every round is more.
 */
const flatness: Readonly<Partial<Record<keyof Sample, number>>> = {
  restMiB: 20,
  peakMiB: 30,
  heapMiB: 8,
  descriptors: 2,
  timers: 2,
  handles: 3,
};

/**
 * What holds for every sample. Bodies are within their budgets, but those that are done with stay until the garbage collector
 * comes: 306 MiB were seen. The journal grows until its history has its 100,000 rows.
 */
const bounds: Readonly<Partial<Record<keyof Sample, number>>> = {
  peakMiB: 330,
  sockets: 300,
  walMiB: 64,
  journalMiB: 40,
};

test.skipIf(noLocalServer)(
  `${minutes} min of mixed load leave nothing behind`,
  async () => {
    const random = seededRandom();
    const store = await startStore({ discardBodies: true });
    const proxy = await startFaultProxy(store.endpoint);
    onTestFinished(() => proxy[Symbol.asyncDispose]());
    const home = workspace(store, {
      destination: { endpoint: proxy.endpoint },
      folder: {
        delete: 'propagate',
        'delete-grace': '1s',
        'max-delete': { count: 1_000_000, percent: 100 },
        exclude: ['*.tmp'],
      },
    });
    const probe = path.join(home.directory, 'probe');
    fs.writeFileSync(probe, '');
    // As JavaScript: Node's compiler of types would be 18 MiB of what is measured.
    const source = fs.readFileSync(new URL('probe.ts', import.meta.url), 'utf8');
    fs.writeFileSync(`${probe}.mjs`, stripTypeScriptTypes(source));
    home.env['NODE_OPTIONS'] = `--import ${probe}.mjs`;
    home.env['S3SYNCD_TEST_PROBE'] = probe;
    // By default glibc keeps what it was given back of such bodies, up to 100 MiB, so that their next ones are there sooner;
    // a leak of a MiB a minute would be lost in that.
    home.env['MALLOC_MMAP_THRESHOLD_'] = home.env['MALLOC_TRIM_THRESHOLD_'] = String(1024 ** 2);
    const daemon = await home.start();
    const pid = daemon.child.pid!;
    const load = new Workload(home.folder, random);
    const startedAt = performance.now();
    const samples: Sample[] = [];

    for (let round = 0; performance.now() - startedAt < minutes * 60_000; round++) {
      forgetPeak(pid);
      const fault = trouble[round % trouble.length];
      if (fault) proxy.faults.add({ ...fault, seed: round });
      const until = performance.now() + loadMs;
      while (performance.now() < until) {
        for (let act = 0; act < operationsPerSecond / 20; act++) load.act();
        await delay(50);
      }
      proxy.faults.clear();
      await quiet(home);
      await home.awaitEqual(60_000, { times: false });
      const sample = await takeSample(home, pid, probe);
      samples.push({
        minute: Math.round((performance.now() - startedAt) / 6_000) / 10,
        operations: load.done,
        ...sample,
      });
      print(samples.at(-1)!, round === 0);
      store.forget();
    }

    expect(await store.uploads()).toStrictEqual([]);
    for (const [figure, bound] of Object.entries(bounds) as [keyof Sample, number][]) {
      expect(Math.max(...samples.map((sample) => sample[figure])), `most ${figure}`).toBeLessThan(bound);
    }
    const steady = samples.slice(Math.ceil(samples.length / 3));
    const rises = Object.fromEntries(
      Object.keys(samples[0]!).map((figure) => [figure, rise(steady, figure as keyof Sample)]),
    );
    console.log(`rise over ${steady.length} samples: ${JSON.stringify(rises)}`);
    // A quarter of an hour is too short to tell a slope from a heap that finds its size.
    if (minutes < 15) return;
    for (const [figure, allowed] of Object.entries(flatness)) {
      expect(rises[figure], `rise of ${figure}`).toBeLessThanOrEqual(allowed);
    }
  },
  minutes * 60_000 + 600_000,
);

/** Nothing waits, and nothing is under way. */
async function quiet(home: Workspace): Promise<void> {
  let open = 0;
  await until(
    async () => {
      const { folders } = (await askDaemon(home.stateDir, 'GET', '/status')) as Status;
      const [route] = folders[0]!.routes;
      open =
        route!.pending + route!.inFlight + route!.retrying + route!.failed + route!.blocked + route!.held;
      return open === 0;
    },
    240_000,
    () => `${open} changes are still open`,
  );
}

async function takeSample(home: Workspace, pid: number, probe: string) {
  const question = String(performance.now());
  fs.writeFileSync(probe, question);
  const answers: { asked: string; counts: Record<string, number>; heapUsed: number; external: number }[] = [];
  await until(() => {
    answers.length = 0;
    for (const thread of ['main', 'watch']) {
      const file = `${probe}.${thread}`;
      if (fs.existsSync(file)) answers.push(JSON.parse(fs.readFileSync(file, 'utf8')));
    }
    return answers.length === 2 && answers.every(({ asked }) => asked === question);
  }, 60_000);
  const count = (isMeant: (kind: string) => boolean) =>
    answers
      .flatMap(({ counts }) => Object.entries(counts))
      .reduce((sum, [kind, count]) => (isMeant(kind) ? sum + count : sum), 0);
  const mebibytes = (bytesOf: (answer: (typeof answers)[number]) => number) =>
    Math.round(answers.reduce((sum, answer) => sum + bytesOf(answer), 0) / 1024 ** 2);
  const { nowMiB, peakMiB } = memoryOf(pid);
  const externalMiB = mebibytes(({ external }) => external);
  const { sockets, others } = descriptorsOf(pid);
  const journal = journalFile(home.stateDir);
  return {
    rssMiB: nowMiB,
    peakMiB,
    heapMiB: mebibytes(({ heapUsed }) => heapUsed),
    externalMiB,
    restMiB: nowMiB - externalMiB,
    sockets,
    descriptors: others,
    timers: count((kind) => kind === 'Timeout'),
    // Connections are counted by the kernel, and every watched directory has a handle of its own.
    handles: count((kind) => !['Timeout', 'TCPSocketWrap', 'FSEventWrap'].includes(kind)),
    walMiB: Math.round(fileMiB(`${journal}-wal`) * 10) / 10,
    journalMiB: Math.round(fileMiB(journal) * 10) / 10,
  };
}

function print(sample: Sample, isFirst: boolean): void {
  const cells = (values: readonly unknown[]) => values.map((value) => String(value).padStart(12)).join('');
  if (isFirst) console.log(cells(Object.keys(sample)));
  console.log(cells(Object.values(sample)));
}

/** By how much the straight line through the samples (least squares) rises from the first to the last. */
function rise(samples: readonly Sample[], figure: keyof Sample): number {
  if (samples.length < 2) return 0;
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [minutes, values] = [samples.map(({ minute }) => minute), samples.map((sample) => sample[figure])];
  const [middle, level] = [mean(minutes), mean(values)];
  const slope =
    mean(values.map((value, index) => (minutes[index]! - middle) * (value - level))) /
    mean(minutes.map((minute) => (minute - middle) ** 2));
  return Math.round(slope * (minutes.at(-1)! - minutes[0]!) * 10) / 10;
}

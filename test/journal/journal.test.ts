import Database from 'better-sqlite3';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Journal, type Completion } from '../../src/journal/journal.ts';
import { migrate } from '../../src/journal/schema.ts';
import { registerSum } from '../../src/journal/soundness.ts';
import { prepareStatements } from '../../src/journal/statements.ts';
import { baseline, file, inConflict, noonMs } from '../helpers/given.ts';
import { identity, testJournal } from '../helpers/journal.ts';

const failedAt = (readyAtMs: number): Completion['end'] => ({
  kind: 'retry',
  readyAtMs,
  code: 'SlowDown',
  message: 'please slow down',
});
const released = (readyAtMs: number, tried = false): Completion['end'] => ({
  kind: 'released',
  readyAtMs,
  tried,
});
const stuckIn = (state: 'failed' | 'blocked' | 'held'): Completion['end'] => ({
  kind: 'stuck',
  state,
  code: 'InvalidTag',
  message: 'no such tag',
  seen: file(10),
});

describe('an observed path', () => {
  test('is claimed, and done when it is settled', () => {
    const it = testJournal();
    it.observe('a/b/c.txt');
    expect(it.counts).toMatchObject({ pending: 1, claimed: 0, oldestReadyMs: it.nowMs });
    const claim = it.claimOne('a/b/c.txt');
    expect(claim).toMatchObject({ routeId: it.routeId, attempts: 0, baseline: undefined, listed: undefined });
    expect(it.counts).toMatchObject({ pending: 0, claimed: 1 });
    it.settled(claim, baseline('uploaded', file(10)));
    expect(it.counts).toMatchObject({ pending: 0, claimed: 0, baselines: 1 });
  });

  test('is one change, however often it is observed', () => {
    const it = testJournal();
    it.observe('a', 'a');
    it.observe('a');
    expect(it.claim()).toHaveLength(1);
    expect(it.claim()).toEqual([]);
  });

  test('is one change for each of its routes', () => {
    const it = testJournal();
    const archive = it.journal.registerRoute(identity({ destination: 'archive' }));
    const both = [it.routeId, archive.routeId];
    it.journal.observe(it.folderId, both, [{ directory: '', name: 'a' }], it.settle, it.nowMs);
    const only = [{ directory: '', name: 'b', routeIds: [archive.routeId] }];
    it.journal.observe(it.folderId, both, only, it.settle, it.nowMs);
    expect(it.journal.openCount(it.routeId)).toBe(1);
    expect(it.journal.openCount(archive.routeId)).toBe(2);
    it.settled(it.claimOne('a'));
    expect(it.journal.openCount(it.routeId)).toBe(0);
    expect(it.journal.openCount(archive.routeId)).toBe(2);
  });

  test('is claimed with what is known of it', () => {
    const it = testJournal();
    const known = baseline('uploaded', file(10, { ino: 2n ** 63n + 1n, dev: 2n ** 63n + 2n, mtime: -1e9 }), {
      versionId: 'v1',
      checksum: { algorithm: 'crc32', value: 'AAAA-3', partSize: 16 * 1024 ** 2 },
    });
    it.observe('a');
    it.settled(it.claimOne('a'), known);
    it.observe('a');
    expect(it.claimOne('a').baseline).toEqual(known);
    expect(it.journal.baseline(it.routeId, 'a')).toEqual(known);
  });

  test('keeps its baseline when it is settled without one, and loses it for null', () => {
    const it = testJournal();
    it.observe('a');
    it.settled(it.claimOne('a'), baseline('uploaded', file(10)));
    it.observe('a');
    it.settled(it.claimOne('a'));
    expect(it.journal.baseline(it.routeId, 'a')).toMatchObject({ outcome: 'uploaded' });
    it.observe('a');
    it.settled(it.claimOne('a'), null);
    expect(it.journal.baseline(it.routeId, 'a')).toBeUndefined();
  });
});

describe('an observation during a claim', () => {
  test('leads to another look', () => {
    const it = testJournal();
    it.observe('a');
    const first = it.claimOne('a');
    it.observe('a');
    expect(it.claim(), 'one operation per path at a time').toEqual([]);
    it.settled(first, baseline('uploaded', file(10)));
    const second = it.claimOne('a');
    expect(second.baseline, 'what was done is known').toMatchObject({ outcome: 'uploaded' });
    it.settled(second);
    expect(it.counts).toMatchObject({ pending: 0, claimed: 0 });
  });

  test.each(['failed', 'blocked', 'held'] as const)('leads to another look, not to %s', (state) => {
    const it = testJournal();
    it.observe('a');
    const claim = it.claimOne('a');
    it.observe('a');
    it.end(claim, stuckIn(state));
    expect(it.counts).toMatchObject({ pending: 1, [state]: 0 });
  });

  test('leaves the attempts of the claim as they are', () => {
    const it = testJournal();
    it.observe('a');
    it.end(it.claimOne('a'), failedAt(it.nowMs));
    const second = it.claimOne('a');
    it.observe('a');
    it.end(second, failedAt(it.nowMs));
    expect(it.claimOne('a').attempts).toBe(2);
  });

  test('keeps its own settling when the claim is released', () => {
    const it = testJournal({ settleMs: 1_000, settleMaxMs: 60_000 });
    it.observe('a');
    it.nowMs += 1_000;
    const claim = it.claimOne('a');
    it.observe('a');
    it.end(claim, released(it.nowMs));
    expect(it.readyInMs).toBe(1_000);
  });

  test('keeps the later of settling and backoff when the claim is to be retried', () => {
    const it = testJournal({ settleMs: 1_000, settleMaxMs: 60_000 });
    it.observe('a', 'b');
    it.nowMs += 1_000;
    const [a, b] = it.claim();
    it.observe('a', 'b');
    it.end(a!, failedAt(it.nowMs + 5_000));
    it.end(b!, failedAt(it.nowMs + 10));
    expect(it.readyInMs).toBe(1_000);
    it.nowMs += 1_000;
    expect(it.claim().map(({ path }) => path)).toEqual([b!.path]);
  });
});

describe('settling', () => {
  test('waits until a path was quiet', () => {
    const it = testJournal({ settleMs: 1_000, settleMaxMs: 60_000 });
    it.observe('a');
    expect(it.readyInMs).toBe(1_000);
    it.nowMs += 900;
    it.observe('a');
    expect(it.readyInMs).toBe(1_000);
    expect(it.claim()).toEqual([]);
    it.nowMs += 1_000;
    expect(it.claim()).toHaveLength(1);
  });

  test('ends at settle-max, so that a file that is written for ever is not starved', () => {
    const it = testJournal({ settleMs: 1_000, settleMaxMs: 3_000 });
    for (let written = 0; written < 5; written++) {
      it.observe('a');
      it.nowMs += 600;
    }
    expect(it.readyInMs).toBe(0);
    expect(it.claim()).toHaveLength(1);
  });

  test('begins anew with the first event after a claim', () => {
    const it = testJournal({ settleMs: 1_000, settleMaxMs: 1_500 });
    it.observe('a');
    it.nowMs += 1_500;
    const claim = it.claimOne('a');
    it.nowMs += 60_000;
    it.observe('a');
    it.settled(claim);
    expect(it.readyInMs).toBe(1_000);
  });

  test.each([
    ['a file at rest for longer is ready at once', -10_000, 0],
    ['a file that was written just now waits as long as after an event', 0, 1_000],
    ['a file that was written a moment ago waits for the rest', -400, 600],
    ['a file from the future waits as if it was written now', 10_000, 1_000],
  ])('of what a scan saw: %s', (_name, ageMs, readyInMs) => {
    const it = testJournal({ settleMs: 1_000, settleMaxMs: 60_000 });
    it.nowMs = noonMs;
    it.observeAs(file(10, { mtime: ageMs / 1000 }), 'a');
    expect(it.readyInMs).toBe(readyInMs);
  });

  test('of what a scan did not find any more: as after an event', () => {
    const it = testJournal({ settleMs: 1_000, settleMaxMs: 60_000 });
    it.observeAs('absent', 'a');
    expect(it.readyInMs).toBe(1_000);
  });
});

describe('claims', () => {
  test('are the changes that are ready for longest', () => {
    const it = testJournal();
    for (const path of ['third', 'first', 'second']) it.observe(path);
    const claims = it.claim();
    for (const claim of claims) {
      const order = ['first', 'second', 'third'].indexOf(claim.path);
      it.end(claim, released(it.nowMs + order));
    }
    it.nowMs += 3;
    expect(it.claim(1).map(({ path }) => path)).toEqual(['first']);
    expect(it.claim(1).map(({ path }) => path)).toEqual(['second']);
    expect(it.claim(1).map(({ path }) => path)).toEqual(['third']);
  });

  test('are those that are ready for the shortest time when that is wanted', () => {
    const it = testJournal();
    for (const path of ['first', 'second', 'third']) {
      it.observe(path);
      it.nowMs += 1;
    }
    const claimed = [1, 2, 3].map(() => it.turn([], 1, 'newest')[0]?.path);
    expect(claimed).toEqual(['third', 'second', 'first']);
  });

  test('that are given back without a time keep their place', () => {
    const it = testJournal();
    it.observe('first');
    it.nowMs += 10;
    it.observe('second');
    it.end(it.claimOne('first'), released(0));
    expect(it.claim(1).map(({ path }) => path)).toEqual(['first']);
    expect(it.readyInMs, 'and are not older than they were').toBe(Infinity);
  });

  test('come in the same transaction as what ended', () => {
    const it = testJournal();
    it.observe('a', 'b');
    const [a] = it.claim(1);
    const next = it.turn([{ claim: a!, end: { kind: 'settled' } }], 10);
    expect(next.map(({ path }) => path)).toEqual(['b']);
  });

  test('are not taken when none is wanted, and not of another route', () => {
    const it = testJournal();
    const archive = it.journal.registerRoute(identity({ destination: 'archive' }));
    it.observe('a');
    expect(it.claim(0)).toEqual([]);
    const work = { completions: [], routeId: archive.routeId, want: 10, nowMs: it.nowMs };
    expect(it.journal.turn({ ...work, order: 'oldest' })).toEqual([]);
    expect(it.claim()).toHaveLength(1);
  });
});

describe('the lag', () => {
  const settle = { settleMs: 5_000, settleMaxMs: 60_000 };

  test('begins when the change could have been in S3, and counts from when it was seen', () => {
    const it = testJournal(settle);
    const seenMs = it.nowMs;
    it.observe('a');
    it.nowMs += 4_999;
    expect(it.counts).toMatchObject({ pending: 1, oldestReadyMs: undefined });
    it.nowMs += 1;
    expect(it.counts.oldestReadyMs).toBe(seenMs);
  });

  test('goes on while a failed change waits for its next try', () => {
    const it = testJournal();
    it.observe('a');
    it.end(it.claimOne('a'), failedAt(it.nowMs + 60_000));
    expect(it.counts.oldestReadyMs).toBe(it.nowMs);
  });

  test('is none for a delete in its grace', () => {
    const it = testJournal();
    it.observe('a');
    it.end(it.claimOne('a'), { kind: 'absent', readyAtMs: it.nowMs + 60_000 });
    expect(it.counts).toMatchObject({ pending: 1, oldestReadyMs: undefined });
  });
});

describe('a change that failed', () => {
  test('is ready after its backoff, with its attempts counted', () => {
    const it = testJournal();
    it.observe('a');
    it.end(it.claimOne('a'), failedAt(it.nowMs + 5_000));
    expect(it.readyInMs).toBe(5_000);
    expect(it.counts).toMatchObject({ pending: 1, retrying: 1 });
    expect(it.journal.failures.list(it.routeId)).toEqual([
      {
        changeId: expect.any(Number) as number,
        path: 'a',
        state: 'retrying',
        attempts: 1,
        code: 'SlowDown',
        message: 'please slow down',
        sinceMs: it.nowMs,
        nextTryMs: it.nowMs + 5_000,
      },
    ]);
    it.nowMs += 5_000;
    expect(it.claimOne('a').attempts).toBe(1);
  });

  test('is looked at sooner when something happens to it, and counts anew', () => {
    const it = testJournal();
    it.observe('a');
    it.end(it.claimOne('a'), failedAt(it.nowMs + 5_000));
    it.observe('a');
    expect(it.claimOne('a').attempts).toBe(0);
  });

  test('may have been carried out, also after a new event or a restart', () => {
    const it = testJournal();
    it.observe('a');
    expect(it.claimOne('a').tried).toBe(false);
    it.reopen();
    expect(it.claimOne('a')).toMatchObject({ tried: true, attempts: 0 });
    it.observe('b', 'c', 'd');
    const [b, c, d] = it.claim();
    it.end(b!, failedAt(it.nowMs));
    it.end(c!, released(it.nowMs, true));
    it.end(d!, released(it.nowMs));
    it.observe('b');
    expect(it.claim().map(({ path, tried, attempts }) => [path, tried, attempts])).toEqual([
      ['b', true, 0],
      ['c', true, 0],
      ['d', false, 0],
    ]);
  });

  test('has its writes known by the same id until it is settled, whatever happens', () => {
    const it = testJournal();
    it.observe('a', 'b');
    const [a, b] = it.claim();
    expect(a!.writeId).toMatch(/^[0-9a-f]{16}$/);
    expect(b!.writeId).not.toBe(a!.writeId);
    it.end(a!, failedAt(it.nowMs));
    it.observe('a');
    expect(it.claimOne('a').writeId).toBe(a!.writeId);
    it.reopen();
    const again = it.claim().find(({ path }) => path === 'a');
    expect(again!.writeId).toBe(a!.writeId);
    it.observe('a');
    it.settled(again!, baseline('uploaded', file(10)));
    expect(it.claimOne('a').writeId).not.toBe(a!.writeId);
  });

  test('may not have been carried out after it was settled', () => {
    const it = testJournal();
    it.observe('a');
    it.end(it.claimOne('a'), failedAt(it.nowMs));
    const claim = it.claimOne('a');
    it.observe('a');
    it.settled(claim, baseline('uploaded', file(10)));
    expect(it.claimOne('a').tried).toBe(false);
  });

  test('counts no attempt when it was only released', () => {
    const it = testJournal();
    it.observe('a');
    it.end(it.claimOne('a'), released(it.nowMs));
    expect(it.claimOne('a').attempts).toBe(0);
    expect(it.counts.retrying).toBe(0);
  });

  test('is ready at once after a restart: whoever starts may have mended something', () => {
    const it = testJournal();
    it.nowMs = Date.now();
    it.observe('a');
    it.end(it.claimOne('a'), failedAt(it.nowMs + 3_600_000));
    it.reopen();
    it.nowMs = Date.now();
    expect(it.claimOne('a').attempts).toBe(0);
  });

  test('is absent since a look of this start: the file may have come and gone while nobody looked', () => {
    const it = testJournal();
    it.observe('a');
    it.end(it.claimOne('a'), { kind: 'absent', readyAtMs: it.nowMs + 5_000 });
    it.nowMs += 5_000;
    const claim = it.claimOne('a');
    expect(claim.absentSinceMs).toBe(it.nowMs - 5_000);
    it.end(claim, { kind: 'absent', readyAtMs: it.nowMs + 5_000 });
    it.reopen();
    it.nowMs += 5_000;
    expect(it.claimOne('a').absentSinceMs).toBeUndefined();
  });

  test('is left out of what is ready once it was tried too often', () => {
    const it = testJournal();
    it.observe('a');
    it.end(it.claimOne('a'), failedAt(it.nowMs));
    expect(it.journal.nextReadyAtMs(it.routeId, 2)).toBe(it.nowMs);
    expect(it.journal.nextReadyAtMs(it.routeId, 1)).toBe(Infinity);
  });

  test('is listed while it is tried again, too', () => {
    const it = testJournal();
    it.observe('a');
    it.end(it.claimOne('a'), failedAt(it.nowMs));
    it.claimOne('a');
    expect(it.journal.failures.list(it.routeId)).toMatchObject([
      { path: 'a', state: 'retrying', attempts: 1 },
    ]);
  });
});

describe('a change that is stuck', () => {
  test.each([
    ['failed', 'pending'],
    ['blocked', 'pending'],
    ['held', 'pending'],
  ] as const)('%s: is %s when its file changes', (state, then) => {
    const it = testJournal();
    it.observe('a/b');
    it.end(it.claimOne('a/b'), stuckIn(state));
    expect(it.counts).toMatchObject({ pending: 0, [state]: 1 });
    expect(it.journal.failures.list(it.routeId)).toMatchObject([
      {
        path: 'a/b',
        state,
        code: 'InvalidTag',
        message: 'no such tag',
        sinceMs: it.nowMs,
        attempts: state === 'failed' ? 1 : 0,
        nextTryMs: undefined,
      },
    ]);
    it.observe('a/b');
    expect(it.counts).toMatchObject({ [then]: 1 });
  });

  test.each([
    ['failed', 'pending'],
    ['blocked', 'pending'],
    ['held', 'held'],
  ] as const)('%s: is %s after retry and after a restart', (state, then) => {
    const it = testJournal();
    it.observe('a', 'b');
    for (const claim of it.claim()) it.end(claim, stuckIn(state));
    it.journal.retry(it.routeId, it.nowMs);
    expect(it.counts).toMatchObject({ [then]: 2 });
    it.reopen();
    expect(it.counts).toMatchObject({ [then]: 2 });
  });

  test('is not ready by itself', () => {
    const it = testJournal();
    it.observe('a');
    it.end(it.claimOne('a'), stuckIn('failed'));
    expect(it.readyInMs).toBe(Infinity);
    expect(it.journal.openCount(it.routeId)).toBe(0);
  });
});

describe('an obstacle', () => {
  const bytes = Buffer.from('caf\xe9.txt', 'latin1');

  function observeObstacle(it: ReturnType<typeof testJournal>, name: string | Uint8Array): void {
    const obstacle = { directory: 'a', name, reason: 'name-not-utf8', message: 'rename it' } as const;
    it.journal.observeObstacles(it.folderId, [it.routeId], [obstacle], it.nowMs);
  }

  test('is listed with its name readable, and never claimed', () => {
    const it = testJournal();
    observeObstacle(it, bytes);
    expect(it.journal.failures.list(it.routeId)).toMatchObject([
      { path: String.raw`a/caf\xE9.txt`, state: 'blocked', code: 'name-not-utf8', message: 'rename it' },
    ]);
    it.journal.retry(it.routeId, it.nowMs);
    it.reopen();
    expect(it.claim()).toEqual([]);
    expect(it.counts.blocked).toBe(1);
  });

  test('is one, however often it is found, and its bytes are not a text of the same look', () => {
    const it = testJournal();
    observeObstacle(it, bytes);
    observeObstacle(it, bytes);
    observeObstacle(it, bytes.toString('utf8'));
    expect(it.counts.blocked).toBe(2);
  });

  test('is forgotten when it is there no more', () => {
    const it = testJournal();
    observeObstacle(it, bytes);
    it.journal.clearObstacles(it.folderId, [{ directory: 'a', name: bytes }]);
    expect(it.counts.blocked).toBe(0);
  });

  test('of a readable name is looked at again when something happens to it', () => {
    const it = testJournal();
    observeObstacle(it, 'pipe');
    it.observe('a/pipe');
    expect(it.claim()).toHaveLength(1);
  });

  test('that was found during a claim leads to another look', () => {
    const it = testJournal();
    it.observe('a/secret');
    const claim = it.claimOne('a/secret');
    observeObstacle(it, 'secret');
    it.settled(claim);
    expect(it.claim()).toHaveLength(1);
  });

  test('does not end a conflict', () => {
    const it = testJournal();
    it.observe('a/secret');
    it.end(it.claimOne('a/secret'), inConflict());
    observeObstacle(it, 'secret');
    expect(it.counts).toMatchObject({ conflict: 1, blocked: 0 });
  });
});

describe('a route', () => {
  function withBaselines(): ReturnType<typeof testJournal> {
    const it = testJournal();
    const outcomes = [
      'uploaded',
      'adopted',
      'skipped-existing',
      'remote-newer',
      'skipped-not-newer',
    ] as const;
    it.observe(...outcomes, 'conflict', 'pending');
    for (const claim of it.claim()) {
      const outcome = outcomes.find((name) => name === claim.path);
      if (outcome) it.settled(claim, baseline(outcome, file(10)));
      else if (claim.path === 'conflict') it.end(claim, inConflict());
      else it.end(claim, released(it.nowMs));
    }
    return it;
  }
  const known = (it: ReturnType<typeof testJournal>) =>
    ['uploaded', 'adopted', 'skipped-existing', 'remote-newer', 'skipped-not-newer'].filter((path) =>
      it.journal.baseline(it.routeId, path),
    );

  test('that is the same keeps everything', () => {
    const it = withBaselines();
    it.journal.finishListing(it.routeId, it.nowMs);
    const again = it.journal.registerRoute(identity({ folderPath: '/elsewhere' }));
    expect(again).toMatchObject({ routeId: it.routeId, listedAtMs: it.nowMs });
    expect(it.counts).toMatchObject({ baselines: 5, pending: 1, conflict: 1 });
  });

  test('that leads to another place forgets all that was true of the other one', () => {
    const it = withBaselines();
    it.journal.recordListing(it.routeId, [{ tail: 'a', size: 1, etag: '"e"', lastModifiedMs: 0 }]);
    it.journal.finishListing(it.routeId, it.nowMs);
    const moved = it.journal.registerRoute(identity({ identity: 'aws/acme-backup/web-2/' }));
    expect(moved).toMatchObject({ routeId: it.routeId, listedAtMs: undefined });
    expect(it.counts).toMatchObject({ baselines: 0, pending: 0, conflict: 0 });
    expect(it.journal.hasListing(it.routeId)).toBe(false);
  });

  test('with another judgement forgets the decisions not to act, and has conflicts looked at again', () => {
    const it = withBaselines();
    it.journal.registerRoute(identity({ judgement: 'overwrite, size' }));
    expect(known(it)).toEqual(['uploaded', 'adopted']);
    expect(it.counts).toMatchObject({ pending: 2, conflict: 1 });
  });

  test('is found by readers while it leads to the same place', () => {
    const it = testJournal();
    expect(it.journal.findRoute(identity())).toMatchObject({ routeId: it.routeId, folderId: it.folderId });
    expect(it.journal.findRoute(identity({ identity: 'elsewhere' }))).toBeUndefined();
    expect(it.journal.findRoute(identity({ folder: 'pictures' }))).toBeUndefined();
  });

  test('forgets what its store can do when the store is another one', () => {
    const it = testJournal();
    const { destinationId } = it.journal.registerRoute(identity());
    it.journal.recordCapabilities(destinationId, '{"putIfAbsent":true}', it.nowMs);
    it.journal.registerRoute(identity({ identity: 'another prefix' }));
    expect(it.journal.capabilities(destinationId)).toEqual({
      json: '{"putIfAbsent":true}',
      probedAtMs: it.nowMs,
    });
    it.journal.registerRoute(identity({ store: 'aws/another-bucket', identity: 'another bucket' }));
    expect(it.journal.capabilities(destinationId)).toBeUndefined();
  });

  test('remembers its trouble, its last success and its folder’s halt over a restart', () => {
    const it = testJournal();
    const trouble = { class: 'refused', code: 'NoSuchBucket', message: 'no bucket', sinceMs: 5 } as const;
    it.journal.recordTrouble(it.routeId, trouble);
    const halt = { reason: 'root-missing', message: 'the folder is gone', sinceMs: 1 } as const;
    it.journal.halts.recordFolder(it.folderId, halt);
    it.journal.recordScan(it.folderId, 7);
    it.observe('a');
    it.settled(it.claimOne('a'), baseline('uploaded', file(10)));
    it.reopen();
    expect(it.journal.trouble(it.routeId)).toEqual(trouble);
    expect(it.journal.halts.ofFolder(it.folderId)).toEqual(halt);
    expect(it.journal.scannedAtMs(it.folderId)).toBe(7);
    expect(it.journal.succeededAtMs(it.routeId)).toBe(it.nowMs);
    it.journal.recordTrouble(it.routeId, undefined);
    it.journal.halts.recordFolder(it.folderId, undefined);
    expect(it.journal.trouble(it.routeId)).toBeUndefined();
    expect(it.journal.halts.ofFolder(it.folderId)).toBeUndefined();
  });

  test('counts only writes as success', () => {
    const it = testJournal();
    it.observe('a');
    it.settled(it.claimOne('a'), baseline('adopted', file(10)));
    expect(it.journal.succeededAtMs(it.routeId)).toBeUndefined();
  });
});

describe('the first contact’s listing', () => {
  const object = { tail: 'a', size: 10, etag: '"e"', lastModifiedMs: 5 };

  test('tells about a path until the path is settled', () => {
    const it = testJournal();
    it.journal.recordListing(it.routeId, [object, { ...object, tail: 'b' }]);
    it.observe('a');
    const claim = it.claimOne('a');
    expect(claim.listed).toEqual(object);
    it.settled(claim, baseline('adopted', file(10)));
    expect(it.journal.listed(it.routeId, 'a')).toBeUndefined();
    expect(it.journal.listed(it.routeId, 'b')).toEqual({ ...object, tail: 'b' });
  });

  test('is taken when it was taken in full, and outlives a restart', () => {
    const it = testJournal();
    it.journal.recordListing(it.routeId, [object]);
    expect(it.journal.isListed(it.routeId)).toBe(false);
    it.journal.finishListing(it.routeId, it.nowMs);
    it.reopen();
    expect(it.journal.isListed(it.routeId)).toBe(true);
    expect(it.journal.hasListing(it.routeId)).toBe(true);
    it.journal.clearListing(it.routeId);
    expect(it.journal.isListed(it.routeId)).toBe(true);
    expect(it.journal.hasListing(it.routeId)).toBe(false);
    it.observe('a');
    expect(it.claimOne('a').listed).toBeUndefined();
  });
});

describe('an upload under way', () => {
  const upload = {
    key: 'web-1/a',
    uploadId: 'u1',
    file: file(40, { ino: 2n ** 64n - 1n }),
    partSize: 16,
    description: 'digest',
  };
  const parts = [
    { partNumber: 1, etag: '"1"', checksum: 'AAAA' },
    { partNumber: 3, etag: '"3"' },
  ];

  test('is found with its parts, in order, after a restart', () => {
    const it = testJournal();
    it.observe('d/a');
    const { uploadRow } = it.journal.uploads.begin(it.routeId, 'd/a', upload, it.nowMs);
    it.journal.uploads.recordParts(uploadRow, parts.toReversed());
    it.journal.uploads.recordParts(uploadRow, [parts[0]!]);
    it.reopen();
    const { size, mtimeNs, ctimeNs, ino } = upload.file;
    expect(it.journal.uploads.find(it.routeId, 'd/a')).toEqual({
      ...upload,
      file: { size, mtimeNs, ctimeNs, ino },
      uploadRow,
      beganMs: it.nowMs,
      parts,
    });
    expect(it.journal.uploads.find(it.routeId, 'a')).toBeUndefined();
  });

  test('is one per path, and can be ended and begun anew', () => {
    const it = testJournal();
    it.observe('a');
    const { uploadRow } = it.journal.uploads.begin(it.routeId, 'a', upload, it.nowMs);
    it.journal.uploads.recordParts(uploadRow, parts);
    expect(() => it.journal.uploads.begin(it.routeId, 'a', upload, it.nowMs)).toThrow(/UNIQUE/);
    it.journal.uploads.end(uploadRow);
    expect(it.journal.uploads.begin(it.routeId, 'a', { ...upload, uploadId: 'u2' }, it.nowMs)).toMatchObject({
      uploadId: 'u2',
      parts: [],
    });
    expect(it.journal.uploads.find(it.routeId, 'a')).toMatchObject({ uploadId: 'u2', parts: [] });
  });

  test('ends with the change that it was for', () => {
    const it = testJournal();
    it.observe('a');
    const claim = it.claimOne('a');
    it.journal.uploads.begin(it.routeId, 'a', upload, it.nowMs);
    it.end(claim, failedAt(it.nowMs));
    expect(it.journal.uploads.find(it.routeId, 'a')).toBeDefined();
    it.settled(it.claimOne('a'), baseline('uploaded', file(40)));
    expect(it.journal.uploads.find(it.routeId, 'a')).toBeUndefined();
  });
});

describe('names', () => {
  const hostile = [
    ' ',
    'a\nb',
    'a\tb\rc',
    '-rf',
    '*',
    "'; DROP TABLE change; --",
    '%2F',
    String.raw`\x00`,
    '\u0001\u007F',
    'é'.normalize('NFC'),
    'é'.normalize('NFD'),
    '\uFFFD',
    '\u{1F600}',
    '\uFB00\uE000',
    '__proto__',
    'A',
    'a',
    '1',
    '01',
    '.hidden',
    '...',
    'x'.repeat(255),
  ];

  test('come back as they are, each its own', () => {
    const it = testJournal();
    const paths = hostile.flatMap((name) => [name, `${name}/${name}`]);
    it.observe(...paths);
    const claims = it.claim(1000);
    expect(claims.map(({ path }) => path).toSorted()).toEqual(paths.toSorted());
    for (const claim of claims) it.settled(claim, baseline('uploaded', file(claim.path.length)));
    it.reopen();
    const sizes = paths.map((path) => it.journal.baseline(it.routeId, path)?.file.size);
    expect(sizes).toEqual(paths.map((path) => path.length));
  });
});

test('a transaction is all or nothing', () => {
  const it = testJournal();
  expect(() =>
    it.journal.transaction(() => {
      it.observe('a');
      throw new Error('in the middle');
    }),
  ).toThrow('in the middle');
  expect(it.counts.pending).toBe(0);
});

test('a reader beside the writer sees what was committed', () => {
  const it = testJournal();
  it.observe('a');
  const reader = Journal.openReadOnly(it.stateDir)!;
  onTestFinished(() => reader.close());
  expect(reader.counts(it.routeId).pending).toBe(1);
  it.settled(it.claimOne('a'), baseline('uploaded', file(10)));
  expect(reader.counts(it.routeId)).toMatchObject({ pending: 0, baselines: 1 });
  expect(() =>
    reader.observe(it.folderId, [it.routeId], [{ directory: '', name: 'b' }], it.settle, 0),
  ).toThrow(/readonly/);
  expect(() => it.journal.proveWritable(it.nowMs)).not.toThrow();
  expect(() => reader.proveWritable(it.nowMs)).toThrow(/readonly/);
});

test.each(['occupant', 'forgetFormer'] as const)(
  '%s, which is asked at every settle, does not read through the route',
  (name) => {
    const database = new Database(':memory:');
    onTestFinished(() => void database.close());
    migrate(database);
    registerSum(database);
    const { source } = prepareStatements(database)[name];
    const values = { routeId: 1, tail: '', directory: '', name: '' };
    const steps = database.prepare<[object], { detail: string }>(`EXPLAIN QUERY PLAN ${source}`).all(values);
    const reads = steps.map(({ detail }) => detail).filter((detail) => /\bbaseline\b/.test(detail));
    expect(reads).not.toEqual([]);
    for (const read of reads) expect(read).toMatch(/tail=\?|name=\?/);
  },
);

// Is it the store still that holds what the journal says? Emptied, or exchanged for another of the same name, it is found out
// by the objects that it was given; nothing is sent to it, and nothing deleted, before a person says that it is meant.
import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { Policy } from '../../src/core/policy.ts';
import { systemClock } from '../../src/edge/clock.ts';
import { DrainedFolder, drainedFolder, until } from '../helpers/drained.ts';

// The shortest backoff.
beforeEach(() => {
  const random = vi.spyOn(Math, 'random').mockReturnValue(0);
  return () => random.mockRestore();
});

const hour = 3_600_000;
const names = ['a', 'b', 'c', 'd/e'];

/** A folder whose files are in the bucket. */
async function synced(options: Parameters<typeof drainedFolder>[0] = {}): Promise<DrainedFolder> {
  const folder = await drainedFolder(options);
  for (const name of names) folder.write(name, `content of ${name}`);
  await folder.drained();
  return folder;
}

/** So long after everything that was done before. */
function later(folder: DrainedFolder, aheadMs: number): void {
  folder.route = { ...folder.route, clock: { ...systemClock, now: () => Date.now() + aheadMs } };
}

function empty({ bucket }: DrainedFolder): void {
  for (const key of bucket.keys) bucket.remove(key);
}

function requests({ route }: DrainedFolder): Record<string, number> {
  return Object.fromEntries(route.destination.requests);
}

function halt({ journal, route }: DrainedFolder) {
  return journal.halts.ofRoute(route.routeId);
}

/** Requests of a drain so long after everything was synced. */
async function asked(folder: DrainedFolder, aheadMs: number): Promise<Record<string, number>> {
  const before = requests(folder);
  later(folder, aheadMs);
  await folder.drained();
  const after = Object.entries(requests(folder));
  return Object.fromEntries(
    after.map(([name, count]) => [name, count - (before[name] ?? 0)]).filter(([, count]) => count !== 0),
  ) as Record<string, number>;
}

describe('a store that is the same', () => {
  test('is asked for one object once a day, and for nothing before', async () => {
    const folder = await synced();
    expect(await asked(folder, 19 * hour)).toEqual({});
    expect(await asked(folder, 21 * hour)).toEqual({ HeadObject: 1 });
    expect(await asked(folder, 22 * hour)).toEqual({});
    folder.restart();
    expect(await asked(folder, 23 * hour), 'remembered over a restart').toEqual({});
    expect(await asked(folder, 42 * hour)).toEqual({ HeadObject: 1 });
    expect(halt(folder)).toBeUndefined();
  });

  test.each([
    ['one object was deleted', (folder: DrainedFolder) => folder.bucket.remove(folder.key('a'))],
    [
      'all but one were deleted',
      (folder: DrainedFolder) => {
        for (const name of names.slice(1)) folder.bucket.remove(folder.key(name));
      },
    ],
    [
      'all but one were deleted, and many others came',
      (folder: DrainedFolder) => {
        for (const name of names.slice(0, -1)) folder.bucket.remove(folder.key(name));
        for (let number = 0; number < 20; number++) folder.bucket.put(folder.key(`b${number}`), 'theirs');
      },
    ],
    [
      'all were copied onto themselves, which gave them other ETags',
      (folder: DrainedFolder) => {
        for (const name of names) folder.bucket.put(folder.key(name), `CONTENT OF ${name}`);
      },
    ],
  ])('although %s is taken for it', async (_, act) => {
    const folder = await synced();
    act(folder);
    await asked(folder, 21 * hour);
    expect(halt(folder)).toBeUndefined();
  });

  test('but may not be asked is left as it is', async () => {
    const folder = await synced({ policy: 'skip-existing' });
    empty(folder);
    for (const operation of ['HeadObject', 'ListObjectsV2'] as const)
      folder.bucket.server.faults.add({ kind: 'answer', status: 403, code: 'AccessDenied', operation });
    await asked(folder, 21 * hour);
    expect(halt(folder)).toBeUndefined();
    expect(await asked(folder, 22 * hour), 'not again before a day is over').toEqual({});
  });
});

describe.each<Policy>(['overwrite', 'skip-existing', 'if-unchanged', 'newer-wins'])('under %s', (policy) => {
  test('a store that was emptied is halted, and nothing is sent to it', async () => {
    const folder = await synced({ policy, delete: 'propagate' });
    empty(folder);
    folder.write('new', 'new');
    folder.remove('a');
    expect(await asked(folder, 21 * hour)).toEqual({ HeadObject: 1, ListObjectsV2: 1 });
    expect(halt(folder)).toMatchObject({ reason: 'store-emptied' });
    expect(folder.bucket.keys).toEqual([]);
    expect(folder.log.at(-1)).toMatchObject({
      level: 'error',
      message: expect.stringMatching(/it is empty\. .*s3syncd resume --folder/) as string,
    });
    // Over a restart, too, and although the objects come back.
    folder.restart();
    folder.bucket.put(folder.key('a'), 'content of a');
    expect(await asked(folder, 23 * hour)).toEqual({});
    expect(folder.counts).toMatchObject({ pending: 2, claimed: 0 });
  });

  test('so is another one of the same name', async () => {
    const folder = await synced({ policy });
    empty(folder);
    folder.bucket.put(folder.key('a'), 'of somebody else');
    folder.bucket.put(folder.key('z'), 'of somebody else');
    await asked(folder, 21 * hour);
    expect(halt(folder)).toMatchObject({ reason: 'store-replaced' });
  });

  test('what was written into it meanwhile does not hide what is gone', async () => {
    const folder = await synced({ policy });
    await asked(folder, 21 * hour);
    empty(folder);
    for (const name of ['0', 'new', 'zzz']) folder.write(name, name);
    await asked(folder, 22 * hour);
    expect(folder.bucket.keys).toHaveLength(3);
    await asked(folder, 42 * hour);
    expect(halt(folder)).toMatchObject({ reason: 'store-replaced' });
  });

  test('resumed, everything is compared anew and uploaded, and nothing deleted', async () => {
    const folder = await synced({ policy, delete: 'propagate' });
    empty(folder);
    folder.bucket.put(folder.key('z'), 'of somebody else');
    folder.bucket.put(folder.key('b'), 'content of b');
    folder.bucket.put(folder.key('c'), 'of somebody else, and longer');
    folder.journal.halts.recordRoute(folder.route.routeId, {
      reason: 'store-replaced',
      message: 'all is gone',
      sinceMs: 1,
    });
    folder.writeUnseen('d/f', 'new');
    const drain = folder.run();
    await drain.resume();
    folder.observe(...names, 'd/f');
    await until(() => folder.counts.pending + folder.counts.claimed === 0);

    expect(halt(folder)).toBeUndefined();
    expect(folder.bucket.content(folder.key('a'))).toBe('content of a');
    expect(folder.bucket.content(folder.key('d/e'))).toBe('content of d/e');
    expect(folder.bucket.content(folder.key('d/f'))).toBe('new');
    expect(folder.bucket.content(folder.key('z'))).toBe('of somebody else');
    expect(folder.baseline('b')).toMatchObject({ outcome: 'adopted' });
    const c = folder.bucket.content(folder.key('c'));
    expect(c).toBe(policy === 'overwrite' ? 'content of c' : 'of somebody else, and longer');
  });
});

test('an object that is missed under a condition has the others looked for at once', async () => {
  const folder = await synced({ policy: 'if-unchanged' });
  await asked(folder, 21 * hour);
  empty(folder);
  folder.write('a', 'changed');
  folder.write('b', 'changed');
  later(folder, 22 * hour);
  await folder.drained();
  await folder.drained();
  expect(halt(folder)).toMatchObject({ reason: 'store-replaced' });
});

test('what is under way when it is found out is ended, and recorded, before it is resumed', async () => {
  const folder = await synced();
  empty(folder);
  folder.bucket.server.faults.add({ kind: 'latency', ms: 700, operation: 'PutObject' });
  folder.write('slow', 'slow');
  const drain = folder.run();
  await folder.bucket.arrival('PutObject', names.length + 1);
  folder.route.endpoint.doubt(Date.now() + 1);
  drain.poke();
  await until(() => halt(folder) !== undefined);
  expect(drain.status.inFlight).toEqual(['slow']);
  await drain.resume();
  expect(drain.status.inFlight).toEqual([]);
  expect(folder.bucket.keys).toEqual([folder.key('slow')]);
  expect(folder.counts, 'its end is forgotten too').toMatchObject({ baselines: 0, claimed: 0, pending: 0 });
});

test('routes to one destination are all asked as soon as one is found out', async () => {
  const first = await synced({ prefix: 'one/' });
  const second = new DrainedFolder(first.bucket, first.it, { prefix: 'two/' }, first.route.endpoint);
  second.write('a', 'content of a');
  await asked(second, 20.5 * hour);
  empty(first);
  await asked(first, 21 * hour);
  expect(await asked(second, 21.1 * hour)).toEqual({ HeadObject: 1, ListObjectsV2: 1 });
  expect(halt(second)).toMatchObject({ reason: 'store-emptied' });
});

// `history`: what happened to a path, from the journal.
import fs from 'node:fs';
import { expect, test } from 'vitest';
import type { HistoryReport } from '../../src/history.ts';
import { noLocalServer, startStore, until, workspace, type Workspace } from './harness.ts';

async function historyOf(home: Workspace, ...args: string[]): Promise<HistoryReport[]> {
  return (await home.s3syncd('history', '--json', ...args)).json.history as HistoryReport[];
}

test.skipIf(noLocalServer)('tells a file from its first failure to its end', async () => {
  const store = await startStore({ versioning: true });
  const home = workspace(store, {
    destination: { prefix: 'p/' },
    folder: { delete: 'propagate', 'delete-grace': '300ms', 'max-delete': { percent: 100 } },
  });
  expect((await home.s3syncd('history')).code, 'nothing has happened yet').toBe(3);
  const answer = { kind: 'answer', status: 500, code: 'InternalError', operation: 'PutObject' } as const;
  const fault = store.server.faults.add({ ...answer, keyPattern: 'd/a$' });
  const daemon = await home.start();
  home.write('d/a', 'one');
  const failing = async () => (await home.s3syncd('history', '--json', 'd/a')).json;
  await until(async () => (await failing()).failures[0]?.attempts >= 2, 60_000);
  expect((await failing()).history, 'of two tries the first is remembered').toMatchObject([
    { outcome: 'retry', reason: 'InternalError', requestId: expect.any(String) },
  ]);
  expect((await home.s3syncd('history', 'd/a')).stdout).toMatch(/^now: d\/a: retrying, InternalError: /);
  fault.clear();
  await home.s3syncd('retry');
  await home.awaitEqual(20_000, { prefix: 'p/' });
  home.write('d/a', 'second');
  await home.awaitEqual(5_000, { prefix: 'p/' });
  home.write('b', 'b');
  await until(async () => (await store.keys()).includes('p/b'), 10_000);
  fs.rmSync(home.path('d/a'));
  await until(async () => !(await store.keys()).includes('p/d/a'), 20_000);
  await daemon.stop();

  const told = await historyOf(home, 'd');
  expect(told.map(({ outcome, reason }) => `${outcome} (${reason})`)).toEqual([
    'deleted (deleted-locally)',
    'uploaded (size-differs)',
    'uploaded (new)',
    'retry (InternalError)',
  ]);
  expect(told[1]).toEqual({
    at: expect.stringMatching(/^\d{4}-.*Z$/) as string,
    folder: 'docs',
    destination: 's3',
    path: 'd/a',
    key: 'p/d/a',
    outcome: 'uploaded',
    reason: 'size-differs',
    bytes: 6,
    attempts: 1,
    lastCode: null,
    versionId: expect.any(String) as string,
    requestId: null,
  });
  expect(
    (await historyOf(home)).map(({ path }) => path),
    'of everything',
  ).toContain('b');
  expect(await historyOf(home, '--limit', '2')).toHaveLength(2);
  const { stdout, code } = await home.s3syncd('history', home.path('d/a'));
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}deleted +deleted-locally +d\/a +docs → s3\n(.*\n){2}.*retry +InternalError .*request /,
  );
  expect((await home.s3syncd('history', 'nowhere')).stdout).toMatch(/^nothing is remembered/);
  expect((await home.s3syncd('history', '--limit', 'all')).code).toBe(2);
});

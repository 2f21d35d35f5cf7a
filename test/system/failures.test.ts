// `failures` and `retry PATH…`: every path that is not in S3, with the reason and what to do, and trying some of them again.
import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import type { FailureReport } from '../../src/failures.ts';
import { noLocalServer, startStore, until, workspace, type Store, type Workspace } from './harness.ts';

function denied(store: Store, keyPattern: string) {
  const operation = 'PutObject';
  return store.server.faults.add({
    kind: 'answer',
    status: 403,
    code: 'AccessDenied',
    operation,
    keyPattern,
  });
}

async function failuresOf(home: Workspace, ...args: string[]): Promise<FailureReport[]> {
  return (await home.s3syncd('failures', '--json', ...args)).json.failures as FailureReport[];
}

const pathsOf = (reports: readonly FailureReport[]) => reports.map(({ path }) => path).toSorted();

describe.skipIf(noLocalServer)('failures', () => {
  test('lists every file, not only the first of them, and says once what is wrong with all', async () => {
    const store = await startStore();
    const home = workspace(store);
    const forbidden = Array.from({ length: 45 }, (_, number) => `forbidden/${number}`);
    const daemon = await home.start();
    // Something goes: what does not is the files', not the route's.
    home.write('a', 'a');
    await until(async () => (await store.keys()).includes('a'), 20_000);
    denied(store, '^forbidden/');
    for (const path of forbidden) home.write(path, path);
    execFileSync('mkfifo', [home.path('pipe')]);
    await until(async () => (await failuresOf(home)).length === 46, 20_000);
    await daemon.stop();

    const { code, stdout } = await home.s3syncd('failures');
    expect(code).toBe(1);
    expect(stdout.match(/lack the right/g), 'the reason is said once').toHaveLength(1);
    for (const path of forbidden)
      expect(stdout).toMatch(new RegExp(`^  ${path} +for \\d.* tried once$`, 'm'));
    expect(stdout).toMatch(
      /: failed, AccessDenied: .*lack the right.*\n {2}→ tried again with the next rescan/,
    );
    expect(stdout).toMatch(/: blocked, fifo: it is a named pipe.*exclude it\n/);
    expect(stdout).toMatch(/\n46 files\n$/);
    expect((await home.s3syncd('status')).stdout).toMatch(
      /… and 26 more files; s3syncd failures lists them all/,
    );

    const reports = await failuresOf(home);
    expect(pathsOf(reports)).toEqual([...forbidden, 'pipe'].toSorted());
    expect(reports.find(({ path }) => path === 'forbidden/7')).toEqual({
      folder: 'docs',
      destination: 's3',
      path: 'forbidden/7',
      state: 'failed',
      code: 'AccessDenied',
      message: expect.stringContaining('lack the right') as string,
      since: expect.stringMatching(/^\d{4}-.*Z$/) as string,
      attempts: 1,
      nextTry: null,
    });
    expect(pathsOf(await failuresOf(home, 'forbidden/'))).toEqual(forbidden.toSorted());
    expect(pathsOf(await failuresOf(home, home.path('pipe')))).toEqual(['pipe']);
  });

  test('says when what is retried is tried next, beside a daemon', async () => {
    const store = await startStore();
    const home = workspace(store);
    const answer = { kind: 'answer', status: 500, code: 'InternalError', operation: 'PutObject' } as const;
    store.server.faults.add({ ...answer, keyPattern: '^slow$' });
    const daemon = await home.start();
    home.write('slow', 'x');
    let reports: FailureReport[] = [];
    await until(async () => (reports = await failuresOf(home)).some(({ attempts }) => attempts >= 2), 60_000);
    expect(reports).toMatchObject([{ path: 'slow', state: 'retrying', code: 'InternalError' }]);
    expect(Date.parse(reports[0]!.nextTry!)).toBeGreaterThan(Date.parse(reports[0]!.since));
    const { code, stdout } = await home.s3syncd('failures');
    expect(stdout).toMatch(
      /retrying, InternalError.*\n.*tried again by itself.*\n {2}slow .*tried \d+ times {2}next try in /,
    );
    expect(code).toBe(75);
    await daemon.stop();
  });

  test('names conflicts with the verb that ends them, and what keeps a whole destination', async () => {
    const store = await startStore();
    const home = workspace(store, { folder: { policy: 'if-unchanged' } });
    await store.put('a', 'theirs');
    home.write('a', 'ours');
    await home.once(5);
    const conflict = await home.s3syncd('failures');
    expect(conflict.stdout).toMatch(
      /conflict, foreign: somebody else.*\n.*s3syncd conflicts resolve.*\n {2}a /,
    );
    expect(conflict.code).toBe(5);

    denied(store, '');
    for (const name of ['b', 'c', 'd', 'e', 'f']) home.write(name, name);
    await home.s3syncd('once');
    const { code, stdout } = await home.s3syncd('failures');
    expect(stdout).toMatch(/^! docs → s3: .*AccessDenied/);
    expect(code).toBe(1);
  });

  test('has nothing to say when all is well, and refuses a folder that is not there', async () => {
    const home = workspace(await startStore());
    expect((await home.s3syncd('failures')).code, 'nothing was tried yet').toBe(3);
    home.write('a', 'a');
    await home.once();
    expect(await home.s3syncd('failures')).toMatchObject({
      code: 0,
      stdout: 'no file failed, is blocked, held or in conflict\n',
    });
    const { code, stderr } = await home.s3syncd('failures', '--folder', 'dosc');
    expect({ code, stderr }).toEqual({ code: 2, stderr: 'there is no folder "dosc"; known are docs\n' });
  });
});

describe.skipIf(noLocalServer)('retry', () => {
  test('of a path or a directory tries these again and no others', async () => {
    const store = await startStore();
    const home = workspace(store);
    const fault = denied(store, '^(d/|e$)');
    await home.start();
    home.write('a', 'a');
    await until(async () => (await store.keys()).includes('a'), 20_000);
    for (const path of ['d/1', 'd/x/2', 'e']) home.write(path, path);
    await until(async () => (await failuresOf(home)).length === 3, 20_000);
    fault.clear();

    const some = await home.s3syncd('retry', '--json', 'd');
    expect(some.json).toEqual({ retried: 2, problems: [] });
    await until(async () => (await store.keys()).length === 3, 20_000);
    expect(await store.keys()).toEqual(['a', 'd/1', 'd/x/2']);
    expect(pathsOf(await failuresOf(home))).toEqual(['e']);

    const none = await home.s3syncd('retry', 'e', 'nowhere');
    expect(none).toMatchObject({ code: 1, stdout: '' });
    expect(none.stderr).toBe(
      'nowhere: nothing that may be tried again is there; `s3syncd failures` lists what is\n',
    );
    expect(pathsOf(await failuresOf(home)), 'all or none').toEqual(['e']);

    expect(await home.s3syncd('retry')).toMatchObject({ code: 0, stdout: '1 file will be tried again\n' });
    await home.awaitEqual(5_000);
  });
});

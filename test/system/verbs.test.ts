// The verbs around the daemon: what they print, in both forms, and what they exit with.
import fs from 'node:fs';
import { describe, expect, test } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };
import { noLocalServer, noRoot, startStore, workspace } from './harness.ts';
import { external } from './store.ts';

describe('check', () => {
  test('finds everything in order, and leaves nothing in the bucket', async () => {
    const store = await startStore();
    const home = workspace(store, { destination: { prefix: 'p/' } });
    home.write('a', 'a');

    const { code, stdout } = await home.s3syncd('check');

    expect(code).toBe(0);
    expect(stdout).toMatch(/✓ .*config\.yaml: is valid/);
    expect(stdout).toMatch(/✓ state-dir .*: can be written/);
    expect(stdout).toMatch(/✓ folder "docs": .*docs can be read/);
    expect(stdout).toMatch(new RegExp(`✓ destination "s3": ${store.bucket}/p/ can be written`));
    expect(await store.keys()).toStrictEqual([]);
    expect(await store.uploads()).toStrictEqual([]);
    expect(fs.existsSync(home.stateDir)).toBe(false);
    const { json } = await home.s3syncd('check', '--json');
    // Another store may lack something, and check may say so.
    const bad = json.findings.filter(
      ({ level }: { level: string }) => level === 'warning' || level === 'error',
    );
    expect(external ? [] : bad).toStrictEqual([]);
    for (const finding of json.findings) {
      expect(finding).toMatchObject({
        level: expect.any(String),
        topic: expect.any(String),
        subject: expect.any(String),
        message: expect.any(String),
        temporary: expect.any(Boolean),
      });
    }
  });

  test.skipIf(noLocalServer)(
    'of a healthy setup is a line for each part, and of the rest says what to do',
    async () => {
      const store = await startStore();
      const home = workspace(store);
      const { stdout } = await home.s3syncd('check');
      expect(stdout.replaceAll(home.directory, '').replaceAll(store.bucket, 'BUCKET').split('\n')).toEqual([
        '✓ /config.yaml: is valid',
        '✓ state-dir /state: can be written',
        '✓ folder "docs": /docs can be read',
        expect.stringMatching(/^✓ fs.inotify.max_user_watches: is enough \(1 of \d+\)$/),
        '✓ destination "s3": BUCKET/ can be written, keeps checksums, has the same time, is not public, encrypts by default (AES256)',
        '· destination "s3": its bucket keeps the parts of uploads that nobody completes, and bills them for ever',
        expect.stringMatching(
          /^ {4}→ aws s3api put-bucket-lifecycle-configuration --bucket BUCKET --endpoint-url .*}'$/,
        ),
        '',
      ]);
    },
  );

  test.skipIf(noRoot)('says which directories this user cannot read', async () => {
    const home = workspace(await startStore());
    home.write('closed/a', 'a');
    fs.chmodSync(home.path('closed'), 0o700);
    home.giveToNobody();
    const { stdout } = await home.run(['check', '--config', home.configFile], { asNobody: true });
    expect(stdout).toContain('! folder "docs": cannot be read in 1 of its directories (closed)');
    expect(stdout).toContain('→ give the user that runs s3syncd read and search access');
  });

  test.skipIf(noLocalServer)('says what the store lacks', async () => {
    const store = await startStore({
      legacy: ['ignore-conditions-on-complete', 'ignore-checksums', 'drop-multipart-tags'],
    });
    const home = workspace(store, {
      folder: { policy: 'skip-existing', rules: [{ match: '**', tags: { A: 'b' } }] },
    });
    const { code, stdout } = await home.s3syncd('check');
    expect(code).toBe(0);
    expect(stdout).toMatch(/! destination "s3": ignores conditions on multipart uploads/);
    expect(stdout).toMatch(/! destination "s3": does not keep checksums/);
    expect(stdout).toMatch(/! destination "s3": drops tags of files over 8 MiB/);
  });

  test('names every folder and destination that is not in order', async () => {
    const store = await startStore();
    const home = workspace(store, {
      folders: { missing: { path: 'missing', to: 'other' } },
      destinations: { other: { bucket: 'no-such-bucket', endpoint: store.endpoint, region: store.region } },
    });
    const { code, stdout } = await home.s3syncd('check');
    expect(code).toBe(1);
    expect(stdout).toMatch(/✓ folder "docs"/);
    expect(stdout).toMatch(/✗ folder "missing": .*does not exist/);
    expect(stdout).toMatch(/✓ destination "s3"/);
    expect(stdout).toMatch(/✗ destination "other": .*NoSuchBucket.*create the bucket/);
  });
});

describe('iam-policy', () => {
  const role = 'arn:aws:iam::111122223333:role/backup';

  test('prints the policy of the config, or of one destination, as JSON alone', async () => {
    const store = await startStore();
    const archive = { bucket: 'archive', region: 'eu-central-1', 'role-arn': role };
    const home = workspace(store, { folder: { to: ['s3', 'archive'] }, destinations: { archive } });

    const whole = await home.s3syncd('iam-policy');
    expect(whole.code).toBe(0);
    const sids = whole.json.Statement.map(({ Sid }: { Sid: string }) => Sid);
    expect(sids).toEqual(['S3Objects', 'S3Scratch', 'S3List', 'S3Uploads', 'S3Check', 'AssumeRole']);
    expect(whole.stderr).toContain(`The policy of ${role}: s3syncd iam-policy --destination archive`);

    const one = await home.s3syncd('iam-policy', '--destination', 'archive');
    expect(one.json.Statement[0]).toMatchObject({
      Sid: 'ArchiveObjects',
      Resource: ['arn:aws:s3:::archive/*'],
    });
    expect(one.stderr).not.toContain(role);

    const bucket = await home.s3syncd(
      'iam-policy --destination archive --bucket-policy',
      '--principal',
      role,
    );
    expect(bucket.json.Statement[0]).toMatchObject({ Principal: { AWS: role } });
    expect(bucket.stderr).toContain(`The account of ${role} must allow the same`);
  });

  test.each([
    [['--destination', 'other'], 'there is no destination "other": known are s3, archive'],
    [['--bucket-policy'], '--bucket-policy needs --principal ARN'],
    [['--bucket-policy', '--principal', role], 'add --destination, one of s3, archive'],
    [['--principal', role], '--principal belongs to --bucket-policy'],
  ])('refuses %j', async (options, message) => {
    const archive = { bucket: 'archive' };
    const home = workspace(await startStore(), {
      folder: { to: ['s3', 'archive'] },
      destinations: { archive },
    });
    const { code, stdout, stderr } = await home.s3syncd('iam-policy', ...options);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(message);
  });
});

describe('status', () => {
  test('is one JSON document, from a daemon and from its journal', async () => {
    const home = workspace(await startStore());
    home.write('a', 'a');
    const daemon = await home.start();
    await home.awaitEqual(3_200);
    const live = await home.status();
    expect(live).toMatchObject({ running: true, pid: daemon.child.pid, version: manifest.version });
    expect(live.folders[0]).toMatchObject({
      name: 'docs',
      path: home.folder,
      state: 'ok',
      routes: [{ destination: 's3', policy: 'overwrite' }],
    });
    // An hour after the last one, give or take a tenth.
    const rescanMs = Date.parse(live.folders[0]!.nextScan!) - Date.parse(live.folders[0]!.lastScan!);
    expect(Math.abs(rescanMs - 3_600_000)).toBeLessThan(400_000);
    expect((await home.s3syncd('status')).stdout).toMatch(/watching, next rescan in \d+ min\n/);
    await daemon.stop();

    const rest = await home.status();

    expect(rest).toMatchObject({ running: false, version: manifest.version });
    expect(rest.folders[0]).toMatchObject({ name: 'docs', state: 'stopped' });
    expect(rest.folders[0]!.nextScan).toBeUndefined();
    expect(rest.folders[0]!.routes[0]).toMatchObject({
      destination: 's3',
      settled: 1,
      pending: 0,
      failed: 0,
    });
    expect(Object.keys(rest).filter((key) => !(key in live))).toStrictEqual([]);
  });
});

describe('the program', () => {
  test('prints its version in three ways', async () => {
    const home = workspace(await startStore());
    expect((await home.run(['version'])).stdout).toBe(
      `s3syncd ${manifest.version} (Node ${process.versions.node})\n`,
    );
    expect((await home.run(['version', '--json'])).json).toStrictEqual({
      s3syncd: manifest.version,
      node: process.versions.node,
    });
    expect(await home.run(['--version'])).toMatchObject({ code: 0, stdout: `${manifest.version}\n` });
  });

  test('prints the schema of its config', async () => {
    const home = workspace(await startStore());
    const { code, json } = await home.run(['config', 'schema']);
    expect(code).toBe(0);
    expect(json).toMatchObject({ title: 's3syncd configuration', type: 'object' });
    expect(Object.keys(json.properties)).toStrictEqual([
      'version',
      'state-dir',
      'log',
      'destinations',
      'folders',
    ]);
  });

  test.each([
    [],
    ['run'],
    ['once'],
    ['plan'],
    ['check'],
    ['iam-policy'],
    ['status'],
    ['failures'],
    ['retry'],
    ['history'],
    ['conflicts'],
    ['conflicts', 'list'],
    ['conflicts', 'resolve'],
    ['config'],
    ['config', 'schema'],
    ['version'],
  ])('explains itself: %s %s --help', async (...verb: string[]) => {
    const home = workspace(await startStore());
    const words = verb.filter(Boolean);
    const { code, stdout, stderr } = await home.run([...words, '--help']);
    expect(code).toBe(0);
    expect(stderr).toBe('');
    expect(stdout).toContain(`Usage: s3syncd ${words.join(' ')}`.trimEnd());
    // For a terminal of 80 columns, give or take a word.
    expect(stdout.split('\n').filter((line) => line.length > 110)).toStrictEqual([]);
  });
});

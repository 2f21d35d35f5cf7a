// Least is least: with what `iam-policy` prints everything works, and for each action of it there is something that goes
// wrong without it. Keys of KMS and roles included, as far as the local server plays them.
import fs from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import type { Config, DestinationConfig, FolderConfig } from '../../src/config/config.ts';
import { runnerPolicy, type PolicyDocument } from '../../src/config/iam-policy.ts';
import type { Rule } from '../../src/core/rules.ts';
import { probe } from '../../src/transfer/probe.ts';
import { connect } from '../../src/transfer/connect.ts';
import { S3Destination } from '../../src/transfer/s3.ts';
import { configOf, configWith } from '../config/helpers.ts';
import { Bucket } from '../helpers/bucket.ts';
import { drainedFolder, type DrainedFolder } from '../helpers/drained.ts';
import { startS3Server } from '../s3-server/server.ts';

const MiB = 1024 ** 2;
const large = Buffer.alloc(9 * MiB, 'x');

/** Fields of rules that need an action, one by one and together. */
const retained = 'object-lock: {mode: GOVERNANCE, retain: 1d}';
const held = 'object-lock: {legal-hold: true}';
const tagsAndAccess = 'tags: {A: b}, acl: bucket-owner-full-control';
const everyField = [
  'tags: {A: b}',
  'acl: bucket-owner-full-control',
  'object-lock: {mode: GOVERNANCE, retain: 1d, legal-hold: true}',
  'sse: aws:kms, sse-kms-key-id: alias/backup',
].join(', ');

type Scenario = (folder: DrainedFolder, rules: readonly Rule[]) => Promise<unknown>;

const uploads: Scenario = async (folder) => {
  folder.write('a', 'a');
  return folder.drained();
};

const uploadsLarge: Scenario = async (folder) => {
  folder.write('a', large);
  return [await folder.drained(), folder.bucket.server.counts()];
};

/** A listing tells equality, never difference: the object is looked at. */
const meets: Scenario = async (folder) => {
  folder.bucket.put('files/a', 'b');
  folder.write('a', 'a');
  return folder.drained();
};

/** Its only part is refused three times, as often as the SDK tries: the change is retried with the upload that is there. */
const goesOn: Scenario = async (folder) => {
  const { faults } = folder.bucket.server;
  faults.add({ kind: 'answer', operation: 'UploadPart', status: 500, code: 'InternalError', times: 3 });
  folder.write('a', large);
  return [await folder.drained(), folder.bucket.uploads, folder.bucket.count('CreateMultipartUpload')];
};

const goesOnWithout: Scenario = (folder, rules) => {
  folder.onHandled = ({ outcome }) => {
    if (outcome === 'retry') folder.write('a', 'small now');
  };
  return goesOn(folder, rules);
};

/** The answer to the first CreateMultipartUpload is lost: there is an upload that only a listing shows. */
const losesAnswer: Scenario = async (folder) => {
  folder.bucket.server.faults.add({ kind: 'commit-then-drop', operation: 'CreateMultipartUpload', at: 1 });
  folder.write('a', large);
  return [await folder.drained(), folder.bucket.uploads];
};

const probes: Scenario = async ({ bucket }) => {
  const config: DestinationConfig = bucket.destination();
  const client = connect(config);
  onTestFinished(() => client.destroy());
  return [await probe(new S3Destination(config, client), 'files/'), bucket.keys];
};

/** Two files, so that it is not the whole folder that goes. */
const loses: Scenario = async (folder) => {
  folder.write('a', 'a');
  folder.write('b', 'b');
  await folder.drained();
  folder.remove('a');
  return folder.drained();
};

const renames: Scenario = async (folder) => {
  folder.write('a', 'a');
  await folder.drained();
  fs.renameSync(folder.absolute('a'), folder.absolute('c'));
  folder.observe('a', 'c');
  return [await folder.drained(), folder.bucket.server.counts()];
};

/** Rules came after the objects, in a bucket with versions. */
const applies: Scenario = async (folder, rules) => {
  folder.restart({ rules: [] });
  folder.write('a', 'a');
  await folder.drained();
  folder.restart({ rules });
  return folder.applied();
};

const scenarios: [action: string, Scenario, fields?: string][] = [
  ['s3:PutObject', uploads],
  ['s3:PutObjectTagging', uploads],
  ['s3:PutObjectAcl', uploads],
  ['s3:PutObjectRetention', uploads],
  ['s3:PutObjectLegalHold', uploads],
  ['kms:GenerateDataKey', uploads],
  ['kms:Decrypt', uploadsLarge],
  ['s3:GetObjectTagging', uploadsLarge],
  ['s3:GetObjectRetention', uploadsLarge, retained],
  ['s3:GetObjectLegalHold', uploadsLarge, held],
  ['s3:PutObjectVersionTagging', applies, 'tags: {A: b}'],
  ['s3:PutObjectVersionAcl', applies, 'acl: bucket-owner-full-control'],
  ['s3:GetObject', meets],
  ['s3:ListBucket', meets],
  ['s3:ListMultipartUploadParts', goesOn],
  ['s3:AbortMultipartUpload', goesOnWithout],
  ['s3:ListBucketMultipartUploads', losesAnswer],
  ['s3:DeleteObject', probes],
];

const everything: PolicyDocument = {
  Version: '2012-10-17',
  Statement: [{ Sid: 'All', Effect: 'Allow', Action: ['*'], Resource: ['*'] }],
};

function configured(fields: string = everyField, lines = '') {
  const folder = `rules: [{match: "**", ${fields}}]\n${lines}`;
  return configOf(configWith({ destination: 'prefix: files/', folder }));
}

function without(action: string, policy: PolicyDocument): PolicyDocument {
  const Statement = policy.Statement.map((statement) => ({
    ...statement,
    Action: ['s3:none', ...statement.Action.filter((name) => name !== action)],
  }));
  return { ...policy, Statement };
}

test.each([
  ['deletes', 'delete: propagate', loses, { a: 'deleted (deleted-locally)' }],
  ['archives', 'delete: archive\narchive-prefix: archive/', loses, { a: 'archived (deleted-locally)' }],
  ['renames', '', renames, [expect.objectContaining({ c: 'copied (renamed)' }), expect.anything()]],
] as const)('with the whole policy it %s', async (_what, lines, scenario, outcome) => {
  const config = configured(tagsAndAccess, lines);
  expect(await outcomeOf(scenario, config, everything)).toEqual(outcome);
  expect(await outcomeOf(scenario, config, runnerPolicy(config))).toEqual(
    await outcomeOf(scenario, config, everything),
  );
});

test.each([
  ['s3:DeleteObject', 'delete: propagate', 'BackupObjects'],
  ['s3:PutObject', 'delete: archive\narchive-prefix: archive/', 'BackupObjects2'],
])('without %s for %j nothing is deleted', async (action, lines, sid) => {
  const config = configured(tagsAndAccess, lines);
  const policy = runnerPolicy(config);
  const Statement = policy.Statement.map((statement) =>
    statement.Sid === sid
      ? { ...statement, Action: statement.Action.filter((name) => name !== action) }
      : statement,
  );
  const outcomes = await outcomeOf(loses, config, { ...policy, Statement });
  expect(outcomes).toEqual({ a: 'failed (AccessDenied)' });
});

async function outcomeOf(
  scenario: Scenario,
  { folders }: Config,
  document: PolicyDocument,
): Promise<unknown> {
  const server = await startS3Server({ buckets: [{ name: 'acme-backup', objectLock: true }] });
  onTestFinished(() => server.close());
  const { accessKey, secretKey } = server;
  server.credentials.set(accessKey, { accessKey, secretKey, policy: document });
  const [{ rules, to }] = folders as [FolderConfig];
  const { configuration } = server.store.bucket('acme-backup')!;
  configuration['ownershipControls'] =
    '<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>';
  return scenario(await drainedFolder({ rules, delete: to[0]!.delete }, new Bucket(server)), rules);
}

test.each(scenarios)(
  'without %s something goes wrong',
  { timeout: 60_000 },
  async (action, scenario, fields) => {
    const config = configured(fields);
    const policy = runnerPolicy(config);
    const expected = await outcomeOf(scenario, config, everything);
    expect(await outcomeOf(scenario, config, policy), 'with the whole policy').toEqual(expected);
    expect(await outcomeOf(scenario, config, without(action, policy)), `without ${action}`).not.toEqual(
      expected,
    );
  },
);

test('no action is there that no scenario needs', () => {
  // What `check` alone asks is tried in test/check.
  const statements = runnerPolicy(configured()).Statement.filter(({ Sid }) => Sid !== 'BackupCheck');
  expect(new Set(statements.flatMap(({ Action }) => Action))).toEqual(
    new Set(scenarios.map(([action]) => action)),
  );
});

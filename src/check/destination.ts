// A destination: whether it takes what is sent, what its store enforces, and what its bucket is set up to.
import fs from 'node:fs';
import { routePrefix, type Config, type DestinationConfig, type FolderConfig } from '../config/config.ts';
import type { Capabilities } from '../core/capabilities.ts';
import { Failure, isTemporary } from '../core/failure.ts';
import { customerKeys } from '../core/rules.ts';
import { askBucket, belongsToAnother, compareClocks, openUploads } from '../transfer/bucket.ts';
import { probe, probeEncryption } from '../transfer/probe.ts';
import { connect } from '../transfer/connect.ts';
import { S3Destination } from '../transfer/s3.ts';
import { bucketFindings, type Way } from './bucket.ts';
import { finding, type Finding } from './finding.ts';

export async function checkDestination(config: Config, destination: DestinationConfig): Promise<Finding[]> {
  const subject = `destination "${destination.name}"`;
  const { caFile } = destination;
  if (caFile !== undefined && !isReadable(caFile)) {
    const advice = 'correct ca-file, or give this user the right to read it';
    return [finding('error', 'credentials', subject, `its ca-file ${caFile} cannot be read`, advice)];
  }
  const ways = config.folders.flatMap((folder) =>
    folder.to.filter((route) => route.destination === destination.name).map((route) => ({ folder, route })),
  );
  const findings: Finding[] = [];
  for await (const found of checkStore(destination, ways, subject)) findings.push(found);
  return findings;
}

function isReadable(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

/** Ends with the first request that fails for a reason that others would have too. */
async function* checkStore(
  destination: DestinationConfig,
  ways: readonly Way[],
  subject: string,
): AsyncGenerator<Finding> {
  const client = connect(destination);
  const storeIsAhead = compareClocks(client);
  const prefixes = [...new Set(ways.map(({ folder }) => routePrefix(destination, folder)))];
  try {
    for (const prefix of prefixes) {
      const capabilities = await probe(new S3Destination(destination, client), prefix);
      yield finding('ok', 'access', subject, `${destination.bucket}/${prefix} can be written`);
      yield* capabilityFindings(capabilities, destination, ways, subject);
    }
    const aheadMs = storeIsAhead();
    if (aheadMs !== undefined) yield clockFinding(aheadMs, subject);
    yield* bucketFindings(await askBucket(destination, client), destination, ways, prefixes);
    for (const prefix of prefixes) {
      const open = await openUploads(destination, client, prefix);
      if (open.kind === 'told') yield* uploadFindings(open.value, prefix, subject);
    }
    for (const { folder } of ways) {
      const s3 = new S3Destination(destination, client, customerKeys(folder.rules));
      yield* checkEncryption(s3, routePrefix(destination, folder), folder, subject);
    }
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (error.class === 'denied' && (await belongsToAnother(destination, client, prefixes[0] ?? ''))) {
      yield ownerFinding(destination, subject);
    } else {
      const message = error.message.replace(`${subject}: `, '');
      yield { ...finding('error', 'access', subject, message), temporary: isTemporary(error.class) };
    }
  } finally {
    client.destroy();
  }
}

function ownerFinding({ bucket, expectedBucketOwner }: DestinationConfig, subject: string): Finding {
  return finding(
    'error',
    'owner',
    subject,
    `its bucket ${bucket} does not belong to account ${expectedBucketOwner}, as expected-bucket-owner says: nothing is sent to it`,
    'find out whose it is before you correct expected-bucket-owner or bucket',
  );
}

function* capabilityFindings(
  capabilities: Capabilities,
  destination: DestinationConfig,
  ways: readonly Way[],
  subject: string,
): Iterable<Finding> {
  yield* conditionFindings(capabilities, destination, ways, subject);
  // Without the right to look nobody knows.
  if (capabilities.putIfMatch !== 'denied') {
    yield capabilities.checksums
      ? finding('ok', 'checksums', subject, 'keeps checksums')
      : finding(
          'warning',
          'checksums',
          subject,
          'does not keep checksums: equality is judged by ETag and time',
        );
  }
  if (!capabilities.multipartTags && ways.some(({ folder }) => folder.rules.some((rule) => rule.tags))) {
    const message = 'drops tags of files over 8 MiB (multipart uploads): they get them by one more request';
    yield finding('warning', 'tags', subject, message);
  }
}

/** What `run` refuses for want of a condition, or of the right to set it. */
function* conditionFindings(
  { putIfAbsent, putIfMatch, completeIfAbsent, deleteIfMatch }: Capabilities,
  { unsafeEmulation }: DestinationConfig,
  ways: readonly Way[],
  subject: string,
): Iterable<Finding> {
  const careful = ways.filter(({ route }) => route.policy !== 'overwrite');
  const replacing = careful.filter(({ route }) => route.policy !== 'skip-existing');
  const deleting = ways.filter(({ route }) => route.delete !== 'keep');
  const carefullyDeleting = deleting.filter((way) => careful.includes(way));
  const namesOf = (needy: readonly Way[]) =>
    needy.map(({ folder, route }) => `"${folder.name}" (${route.policy})`).join(', ');

  const ignored: [what: string, isIgnored: boolean, needy: Way[]][] = [
    ['If-None-Match', !putIfAbsent, careful],
    ['If-Match', putIfMatch === 'no', replacing],
    ['If-Match on deletes', deleteIfMatch === false, carefullyDeleting],
  ];
  const lacking = ignored.filter(([, isIgnored, needy]) => isIgnored && needy.length > 0);
  if (!unsafeEmulation) {
    for (const [what, , needy] of lacking) {
      const message = `ignores ${what}, so it cannot keep the policy of ${namesOf(needy)}`;
      const advice =
        'use another store or policy overwrite, or accept the race with `unsafe-emulation: true`';
      yield finding('error', 'conditions', subject, message, advice);
    }
  }
  if (putIfMatch === 'denied' && replacing.length > 0) {
    const message = `lacks the right s3:GetObject, which the policy of ${namesOf(replacing)} needs`;
    yield finding('error', 'conditions', subject, message, 'grant it');
  }
  if (deleteIfMatch === 'denied' && deleting.length > 0) {
    const message = `lacks the right s3:DeleteObject or s3:GetObject, and deletes of ${namesOf(deleting)} are carried out there`;
    yield finding('error', 'conditions', subject, message, 'grant both, or use delete: keep');
  }
  if (careful.length === 0 || lacking.length > 0) return;
  yield completeIfAbsent
    ? finding('ok', 'conditions', subject, 'enforces conditions')
    : finding(
        'warning',
        'conditions',
        subject,
        'ignores conditions on multipart uploads: files go up as one request each, and those over 5 GiB are blocked',
      );
}

/** What is gone on with is younger, as a rule; AWS's own examples for lifecycle rules say the same. */
const oldUploadMs = 7 * 86_400_000;

/** S3 does not tell whose they are, and what another program is about to complete must not be ended: a person decides. */
function* uploadFindings(
  open: readonly { readonly key: string; readonly initiatedMs: number }[],
  prefix: string,
  subject: string,
): Iterable<Finding> {
  const old = open.filter(({ initiatedMs }) => initiatedMs < Date.now() - oldUploadMs);
  const oldest = old.toSorted((a, b) => a.initiatedMs - b.initiatedMs)[0];
  if (!oldest) return;
  const since = new Date(oldest.initiatedMs).toISOString().slice(0, 10);
  const place = prefix === '' ? '' : ` below ${prefix}`;
  yield finding(
    'warning',
    'uploads',
    subject,
    `has ${old.length} uploads in parts${place} that were begun more than 7 days ago and never ended, the oldest of ` +
      `${JSON.stringify(oldest.key)} on ${since}: their parts are paid for`,
    'S3 does not tell who began them. s3syncd ends its own as far as its journal knows them; for the others the bucket ' +
      'needs a lifecycle rule with AbortIncompleteMultipartUpload',
  );
}

/** Half a second is what a header of whole seconds cannot tell; the rest is what a slow network does. */
const clocksDifferMs = 5_000;

/** S3 refuses requests that are 15 minutes old or early; the SDK mends that, times of files nobody does. */
function clockFinding(aheadMs: number, subject: string): Finding {
  const seconds = Math.round(Math.abs(aheadMs) / 1000);
  if (Math.abs(aheadMs) <= clocksDifferMs) return finding('ok', 'clock', subject, 'has the same time');
  return finding(
    'warning',
    'clock',
    subject,
    `is ${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'} this machine's clock: what is newer, a file or an object, is judged wrongly`,
    'synchronise the clock: timedatectl set-ntp true',
  );
}

/** Writes the scratch key with every encryption that the rules ask for. */
async function* checkEncryption(
  s3: S3Destination,
  prefix: string,
  folder: FolderConfig,
  subject: string,
): AsyncGenerator<Finding> {
  const wanted = new Map(folder.rules.map(({ encryption }) => [JSON.stringify(encryption), encryption]));
  for (const encryption of wanted.values()) {
    if (!encryption) continue;
    const what = encryption.sse === 'customer' ? 'sse-customer-key' : `"sse: ${encryption.sse}"`;
    try {
      if (await probeEncryption(s3, prefix, encryption)) continue;
      const message = `ignores ${what} of folder "${folder.name}": its objects would not be encrypted`;
      yield finding('error', 'rule-encryption', subject, message);
    } catch (error) {
      if (!(error instanceof Failure) || (error.class !== 'denied' && error.class !== 'permanent'))
        throw error;
      const message = `refuses ${what} of folder "${folder.name}": ${error.message.replace(`${subject}: `, '')}`;
      yield finding('error', 'rule-encryption', subject, message);
    }
  }
}

// A bucket's settings: what the rules need of it, what makes deletes safe, and who else may read. Pure: facts and config in,
// findings out.
import type { DestinationConfig, FolderConfig, RouteConfig } from '../config/config.ts';
import type { Access } from '../core/description.ts';
import type { Rule } from '../core/rules.ts';
import type { BucketFacts, Cleanup, Told } from '../transfer/bucket.ts';
import { finding, type Finding, type Level, type Topic } from './finding.ts';

/** A folder's way to the destination in question. */
export interface Way {
  readonly folder: FolderConfig;
  readonly route: RouteConfig;
}

/** @param prefixes of the keys of all ways, each once */
export function* bucketFindings(
  facts: BucketFacts,
  destination: DestinationConfig,
  ways: readonly Way[],
  prefixes: readonly string[],
): Iterable<Finding> {
  const subject = `destination "${destination.name}"`;
  const say = (level: Level, topic: Topic, message: string, advice?: string) =>
    finding(level, topic, subject, message, advice);
  yield* ruleFindings(facts, destination, ways, say);
  yield* versioningFindings(facts, destination, ways, say);
  yield* publicFindings(facts, destination, say);
  yield* encryptionFindings(facts, destination, say);
  yield* lifecycleFindings(facts, destination, prefixes, say);
  yield* notAsked(facts, say);
}

type Say = (level: Level, topic: Topic, message: string, advice?: string) => Finding;

/** What the rules ask for and the bucket does not have. */
function* ruleFindings(
  { acls, objectLock }: BucketFacts,
  { bucket, checksum }: DestinationConfig,
  ways: readonly Way[],
  say: Say,
): Iterable<Finding> {
  const need = (needs: (rule: Rule) => boolean) =>
    ways.filter(({ folder }) => folder.rules.some(needs)).map(({ folder }) => `"${folder.name}"`);
  const withAccess = need(({ access }) => access !== undefined && !changesNothing(access));
  if (withAccess.length > 0 && answer(acls) === false) {
    const message = `its bucket has ACLs disabled (object ownership: bucket owner enforced), and rules of ${withAccess.join(', ')} set some`;
    const advice = 'remove acl and grant-… from them, and use a bucket policy, or enable ACLs for the bucket';
    yield say('error', 'acls', message, advice);
  }
  const lock = answer(objectLock);
  const withLock = need((rule) => rule.objectLock !== undefined);
  if (withLock.length > 0 && lock?.enabled === false) {
    const message = `its bucket has no Object Lock, and rules of ${withLock.join(', ')} lock objects`;
    yield say('error', 'object-lock', message, 'enable it for the bucket, or remove object-lock from them');
  }
  if (lock?.retainsByDefault === true && checksum === 'none') {
    const message = `its bucket ${bucket} locks every object, for which S3 wants a checksum with every upload`;
    yield say('error', 'object-lock', message, 'remove "checksum: none" from the destination');
  }
}

/** A bucket without ACLs takes those that say what is so in any case. */
function changesNothing(access: Access): boolean {
  return access.kind === 'canned' && (access.acl === 'bucket-owner-full-control' || access.acl === 'private');
}

function* versioningFindings(
  { versioning }: BucketFacts,
  destination: DestinationConfig,
  ways: readonly Way[],
  say: Say,
): Iterable<Finding> {
  const isOn = answer(versioning);
  if (isOn === true) yield say('ok', 'versioning', 'keeps versions');
  const deleting = ways
    .filter(({ route }) => route.delete !== 'keep')
    .map(({ folder }) => `"${folder.name}"`);
  if (isOn === false && deleting.length > 0) {
    yield say(
      'warning',
      'versioning',
      `its bucket keeps no versions, and deletes of ${deleting.join(', ')} are carried out there: what is deleted is gone`,
      awsLine(destination, 'put-bucket-versioning', '--versioning-configuration Status=Enabled'),
    );
  }
}

function* publicFindings(
  { accessBlock, publicPolicy, publicAcl, acls }: BucketFacts,
  destination: DestinationConfig,
  say: Say,
): Iterable<Finding> {
  const block = answer(accessBlock);
  const byPolicy = answer(publicPolicy) === true && block?.restrictsPolicy !== true;
  const byAcl = answer(publicAcl) === true && block?.ignoresAcls !== true && answer(acls) !== false;
  const blockAll = awsLine(
    destination,
    'put-public-access-block',
    '--public-access-block-configuration BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true',
  );
  if (byPolicy || byAcl) {
    const how = [byPolicy && 'policy', byAcl && 'ACL'].filter(Boolean).join(' and ');
    yield destination.allowPublic
      ? say('ok', 'public', 'is public, as allow-public says')
      : say(
          'error',
          'public',
          `its bucket is public by its ${how}: what is uploaded may be read or listed by everybody`,
          `${blockAll}   or, if that is meant, "allow-public: true" at the destination`,
        );
    return;
  }
  if (block && !block.complete) {
    yield say('note', 'public', 'its bucket is not public, and could become it by a mistake', blockAll);
  } else if (block || answer(publicPolicy) === false) {
    yield say('ok', 'public', 'is not public');
  }
}

function* encryptionFindings(
  { encryption }: BucketFacts,
  destination: DestinationConfig,
  say: Say,
): Iterable<Finding> {
  if (encryption.kind !== 'told') return;
  const { algorithm, keyId } = encryption.value ?? {};
  if (algorithm === undefined) {
    const rule = { Rules: [{ ApplyServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } }] };
    const options = `--server-side-encryption-configuration '${JSON.stringify(rule)}'`;
    yield say(
      'note',
      'encryption',
      'its bucket encrypts only what is sent with sse',
      awsLine(destination, 'put-bucket-encryption', options),
    );
  } else {
    const key = keyId === undefined ? '' : ` with key ${keyId}`;
    yield say('ok', 'encryption', `encrypts by default (${algorithm}${key})`);
  }
}

/** A resumed upload may be days old; a week is what AWS's own examples give it. */
const endsUploadsAfterDays = 7;

function* lifecycleFindings(
  { lifecycle }: BucketFacts,
  destination: DestinationConfig,
  prefixes: readonly string[],
  say: Say,
): Iterable<Finding> {
  const all = answer(lifecycle);
  if (!all) return;
  const rules = all.filter(({ enabled }) => enabled);
  const covering = (has: (rule: Cleanup) => unknown) =>
    prefixes.every((prefix) =>
      rules.some((rule) => has(rule) && !rule.partial && prefix.startsWith(rule.prefix)),
    );
  if (covering((rule) => rule.endsUploadsAfterDays)) {
    yield say('ok', 'lifecycle', 'ends abandoned uploads');
  } else {
    yield say(
      'note',
      'lifecycle',
      'its bucket keeps the parts of uploads that nobody completes, and bills them for ever',
      endUploadsAdvice(destination, all.length),
    );
  }
  if (prefixes.some((prefix) => rules.some((rule) => rule.expires && overlap(rule.prefix, prefix)))) {
    const message =
      'its bucket has a lifecycle rule that deletes objects; s3syncd does not notice, and sends none again until its file changes';
    yield say('note', 'lifecycle', message);
  }
}

function overlap(one: string, other: string): boolean {
  return one.startsWith(other) || other.startsWith(one);
}

function endUploadsAdvice(destination: DestinationConfig, others: number): string {
  const rule = {
    ID: 'end-abandoned-uploads',
    Status: 'Enabled',
    Filter: { Prefix: '' },
    AbortIncompleteMultipartUpload: { DaysAfterInitiation: endsUploadsAfterDays },
  };
  // Setting replaces what is there.
  if (others > 0) return `add to the ${others} lifecycle rules of the bucket: ${JSON.stringify(rule)}`;
  const options = `--lifecycle-configuration '${JSON.stringify({ Rules: [rule] })}'`;
  return awsLine(destination, 'put-bucket-lifecycle-configuration', options);
}

/** The question by its fact, and the right that it takes. */
const questions: Readonly<Record<keyof BucketFacts, readonly [what: string, action: string]>> = {
  versioning: ['versioning', 's3:GetBucketVersioning'],
  objectLock: ['Object Lock', 's3:GetBucketObjectLockConfiguration'],
  acls: ['object ownership', 's3:GetBucketOwnershipControls'],
  accessBlock: ['the public access block', 's3:GetBucketPublicAccessBlock'],
  publicPolicy: ['whether its policy is public', 's3:GetBucketPolicyStatus'],
  publicAcl: ['its ACL', 's3:GetBucketAcl'],
  encryption: ['default encryption', 's3:GetEncryptionConfiguration'],
  lifecycle: ['lifecycle rules', 's3:GetLifecycleConfiguration'],
};

function* notAsked(facts: BucketFacts, say: Say): Iterable<Finding> {
  const of = (kind: Told<unknown>['kind']) =>
    Object.entries(questions).filter(([name]) => facts[name as keyof BucketFacts].kind === kind);
  const denied = of('denied');
  if (denied.length > 0) {
    const whats = denied.map(([, [what]]) => what).join(', ');
    const actions = denied.map(([, [, action]]) => action).join(', ');
    yield say(
      'note',
      'not-asked',
      `could not be asked about ${whats}`,
      `allow ${actions} to have it checked`,
    );
  }
  const notKnown = of('not-known');
  if (notKnown.length > 0) {
    const whats = notKnown.map(([, [what]]) => what).join(', ');
    yield say('note', 'not-asked', `could not be asked about ${whats}: the store does not know the question`);
  }
}

function answer<T>(told: Told<T>): T | undefined {
  return told.kind === 'told' ? told.value : undefined;
}

/** A command of the AWS CLI that sets it right. */
function awsLine({ bucket, endpoint, region }: DestinationConfig, command: string, options: string): string {
  const where =
    endpoint === undefined
      ? region === undefined
        ? ''
        : ` --region ${region}`
      : ` --endpoint-url ${endpoint}`;
  return `aws s3api ${command} --bucket ${bucket}${where} ${options}`;
}

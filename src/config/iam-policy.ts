// The least privilege: what IAM must allow for a config, and nothing beside. Pure. Each action stands beside what needs it;
// test/iam-policy.test.ts takes every one away and sees something fail.
import { scratchName } from '../core/capabilities.ts';
import type { Encryption } from '../core/description.ts';
import type { Rule } from '../core/rules.ts';
import {
  routePrefix,
  type Config,
  type DestinationConfig,
  type FolderConfig,
  type RouteConfig,
} from './config.ts';

export interface PolicyDocument {
  readonly Version: '2012-10-17';
  readonly Statement: readonly Statement[];
}

interface Statement {
  readonly Sid: string;
  readonly Effect: 'Allow';
  readonly Principal?: { readonly AWS: string };
  readonly Action: readonly string[];
  readonly Resource: readonly string[];
  readonly Condition?: Condition;
}

type Condition = Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;

/** For who runs the program: every destination that it reaches itself, and the roles that it assumes for the others. */
export function runnerPolicy(config: Config): PolicyDocument {
  const destinations = [...config.destinations.values()];
  const direct = destinations.filter(({ roleArn }) => roleArn === undefined);
  // Who comes with a token of another identity provider is let in by the role itself.
  const assumed = destinations.filter(({ webIdentityTokenFile }) => webIdentityTokenFile === undefined);
  const roles = new Set(assumed.flatMap(({ roleArn }) => roleArn ?? []));
  const assume = roles.size === 0 ? [] : [allow('AssumeRole', ['sts:AssumeRole'], [...roles])];
  return policyOf([...direct.flatMap((destination) => statementsOf(config, destination)), ...assume]);
}

/** For whom S3 sees at this destination: the role where there is one. */
export function destinationPolicy(config: Config, destination: DestinationConfig): PolicyDocument {
  return policyOf(statementsOf(config, destination));
}

/**
 * For the bucket of another account: what its owner must allow this principal, whose own policy must allow it too. Keys of
 * KMS have policies of their own.
 */
export function bucketPolicy(
  config: Config,
  destination: DestinationConfig,
  principal: string,
): PolicyDocument {
  const statements = bucketStatements(config, destination);
  return policyOf(statements.map(({ Sid, ...rest }) => ({ Sid, Principal: { AWS: principal }, ...rest })));
}

/** The keys of KMS that the rules of this destination's folders name. */
export function kmsKeys(config: Config, { name }: DestinationConfig): string[] {
  const rules = waysTo(config, name).flatMap(({ folder }) => folder.rules);
  return [...new Set(rules.flatMap(({ encryption }) => kmsKeyOf(encryption) ?? []))];
}

function statementsOf(config: Config, destination: DestinationConfig): Statement[] {
  return [...bucketStatements(config, destination), ...kmsStatements(config, destination)];
}

function bucketStatements(config: Config, destination: DestinationConfig): Statement[] {
  const { bucket, name } = destination;
  const ways = waysTo(config, name);
  if (ways.length === 0) return [];
  const arn = `arn:${partitionOf(destination.region)}:s3:::${bucket}`;
  const prefixes = [...new Set(ways.map(({ folder }) => routePrefix(destination, folder)))];
  const scratch = prefixes.map((prefix) => `${arn}/${quoted(prefix)}${scratchName}`);
  return [
    ...objectStatements(
      name,
      arn,
      ways.flatMap((way) => objectsOf(destination, way)),
    ),
    allow(`${name} Scratch`, ['s3:DeleteObject'], scratch),
    allow(`${name} List`, ['s3:ListBucket'], [arn], listCondition(prefixes)),
    // No condition on a prefix exists for it.
    allow(`${name} Uploads`, ['s3:ListBucketMultipartUploads'], [arn]),
    allow(`${name} Check`, checkActions, [arn]),
  ];
}

/** Only `check` asks for these; it goes without what it may not ask, and says so. */
const checkActions = [
  's3:GetBucketAcl',
  's3:GetBucketObjectLockConfiguration',
  's3:GetBucketOwnershipControls',
  's3:GetBucketPolicyStatus',
  's3:GetBucketPublicAccessBlock',
  's3:GetBucketVersioning',
  's3:GetEncryptionConfiguration',
  's3:GetLifecycleConfiguration',
] as const;

/** What is done to objects below a prefix. */
interface Objects {
  readonly prefix: string;
  readonly actions: readonly string[];
}

function objectsOf(destination: DestinationConfig, { folder, route }: Way): Objects[] {
  const described = descriptionActions(folder.rules);
  const actions = [
    // Every kind of upload, and to go on with one in parts or to end it.
    's3:PutObject',
    's3:AbortMultipartUpload',
    's3:ListMultipartUploadParts',
    // HEAD, If-Match and the source of a copy.
    's3:GetObject',
    ...described,
    // In a bucket with versions `apply` names the one that it means.
    ...described.flatMap((action) => versionAction[action] ?? []),
  ];
  if (route.delete !== 'keep') actions.push('s3:DeleteObject');
  const objects = [{ prefix: routePrefix(destination, folder), actions }];
  if (route.delete !== 'archive') return objects;
  // A copy of what is described is looked at once: did the store keep it all?
  const copied = ['s3:PutObject', ...(described.length > 0 ? ['s3:GetObject'] : []), ...described];
  return [...objects, { prefix: folder.archivePrefix, actions: copied }];
}

const versionAction: Readonly<Record<string, string>> = {
  's3:PutObjectTagging': 's3:PutObjectVersionTagging',
  's3:PutObjectAcl': 's3:PutObjectVersionAcl',
};

/** What the rules say of objects besides their bytes. HEAD tells of tags and locks only to those who may read them. */
function descriptionActions(rules: readonly Rule[]): string[] {
  const some = (has: (rule: Rule) => unknown) => rules.some((rule) => Boolean(has(rule)));
  const actions: string[] = [];
  if (some(({ tags }) => tags)) actions.push('s3:PutObjectTagging', 's3:GetObjectTagging');
  if (some(({ access }) => access)) actions.push('s3:PutObjectAcl');
  if (some(({ objectLock }) => objectLock?.retention))
    actions.push('s3:PutObjectRetention', 's3:GetObjectRetention');
  if (some(({ objectLock }) => objectLock?.legalHold !== undefined))
    actions.push('s3:PutObjectLegalHold', 's3:GetObjectLegalHold');
  return actions;
}

/** Prefixes with equal actions share a statement. */
function objectStatements(name: string, arn: string, objects: readonly Objects[]): Statement[] {
  const byActions = Map.groupBy(objects, ({ actions }) => actions.join());
  return [...byActions.values()].map((group, index) =>
    allow(
      `${name} Objects${index === 0 ? '' : index + 1}`,
      group[0]!.actions,
      group.map(({ prefix }) => `${arn}/${quoted(prefix)}*`),
    ),
  );
}

/** Undefined when some folder has the whole bucket. */
function listCondition(prefixes: readonly string[]): Condition | undefined {
  if (prefixes.includes('')) return undefined;
  return { StringLike: { 's3:prefix': prefixes.map((prefix) => `${quoted(prefix)}*`) } };
}

function kmsStatements(config: Config, destination: DestinationConfig): Statement[] {
  const { name, region = '*' } = destination;
  const partition = partitionOf(destination.region);
  const domain = partition === 'aws-cn' ? 'amazonaws.com.cn' : 'amazonaws.com';
  // Only in the hands of S3.
  const viaS3 = { StringLike: { 'kms:ViaService': [`s3.${region}.${domain}`] } };
  return kmsKeys(config, destination).map((key, index) => {
    const place = /^arn:[^:]+:kms:[^:]+:[^:]+/.exec(key)?.[0] ?? `arn:${partition}:kms:${region}:*`;
    const alias = /(?:^|:)(alias\/.+)$/.exec(key)?.[1];
    // A policy names keys, never aliases: there is a condition for those.
    const resource = alias === undefined ? `${place}:key/${key.replace(/^.*:key\//, '')}` : `${place}:key/*`;
    const condition = alias && { 'ForAnyValue:StringEquals': { 'kms:ResourceAliases': [alias] } };
    return allow(
      `${name} Key${index === 0 ? '' : index + 1}`,
      // Decrypt: to put parts together, and to be told the checksum.
      ['kms:GenerateDataKey', 'kms:Decrypt'],
      [resource],
      { ...viaS3, ...condition },
    );
  });
}

/** Undefined without one, and for S3's own, which everybody in the account may use through S3. */
function kmsKeyOf(encryption: Encryption | undefined): string | undefined {
  return encryption?.sse === 'aws:kms' || encryption?.sse === 'aws:kms:dsse' ? encryption.keyId : undefined;
}

interface Way {
  readonly folder: FolderConfig;
  readonly route: RouteConfig;
}

function waysTo(config: Config, destination: string): Way[] {
  return config.folders.flatMap((folder) =>
    folder.to.filter((route) => route.destination === destination).map((route) => ({ folder, route })),
  );
}

function partitionOf(region = ''): string {
  if (region.startsWith('cn-')) return 'aws-cn';
  return region.startsWith('us-gov-') ? 'aws-us-gov' : 'aws';
}

/** In patterns `*` and `?` match anything, and `$` begins a variable. */
function quoted(text: string): string {
  return text.replaceAll(/[*?$]/g, (character) => `\${${character}}`);
}

function allow(
  words: string,
  actions: readonly string[],
  resources: readonly string[],
  condition?: Condition,
): Statement {
  return {
    Sid: words.replaceAll(/(?:^|[^A-Za-z0-9]+)([A-Za-z0-9]?)/g, (_, first: string) => first.toUpperCase()),
    Effect: 'Allow',
    Action: actions,
    Resource: [...new Set(resources)],
    ...(condition && { Condition: condition }),
  };
}

/** Names of statements must differ: those of destinations `a-b` and `a.b` would not. */
function policyOf(statements: readonly Statement[]): PolicyDocument {
  const seen = new Map<string, number>();
  const Statement = statements.map((statement) => {
    const count = (seen.get(statement.Sid) ?? 0) + 1;
    seen.set(statement.Sid, count);
    return count === 1 ? statement : { ...statement, Sid: `${statement.Sid}X${count}` };
  });
  return { Version: '2012-10-17', Statement };
}

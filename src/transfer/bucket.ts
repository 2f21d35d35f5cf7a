// What a bucket is set up to, asked of the bucket itself for `check`. Nothing here is needed to sync: who may not ask, or a
// store that does not know a question, leaves it open.
import {
  GetBucketAclCommand,
  GetBucketEncryptionCommand,
  GetBucketLifecycleConfigurationCommand,
  GetBucketOwnershipControlsCommand,
  GetBucketPolicyStatusCommand,
  GetBucketVersioningCommand,
  GetObjectLockConfigurationCommand,
  GetPublicAccessBlockCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  type LifecycleRule,
  type S3Client,
} from '@aws-sdk/client-s3';
import type { DestinationConfig } from '../config/config.ts';
import { classify, codeOf } from './classify.ts';

/** An answer, or why there is none. */
export type Told<T> =
  | { readonly kind: 'told'; readonly value: T }
  /** The credentials may not ask. */
  | { readonly kind: 'denied' }
  /** The store does not know the question. */
  | { readonly kind: 'not-known' };

/** By the question; `check` names the IAM action of those that were denied. */
export interface BucketFacts {
  readonly versioning: Told<boolean>;
  readonly objectLock: Told<{ readonly enabled: boolean; readonly retainsByDefault: boolean }>;
  /** Objects may have ACLs. */
  readonly acls: Told<boolean>;
  readonly accessBlock: Told<AccessBlock>;
  readonly publicPolicy: Told<boolean>;
  readonly publicAcl: Told<boolean>;
  /** Undefined: none. */
  readonly encryption: Told<{ readonly algorithm: string; readonly keyId?: string | undefined } | undefined>;
  readonly lifecycle: Told<readonly Cleanup[]>;
}

interface AccessBlock {
  readonly ignoresAcls: boolean;
  readonly restrictsPolicy: boolean;
  /** Nothing public can even be set. */
  readonly complete: boolean;
}

/** A lifecycle rule. */
export interface Cleanup {
  readonly enabled: boolean;
  readonly prefix: string;
  /** Not for every object below the prefix. */
  readonly partial: boolean;
  readonly endsUploadsAfterDays?: number | undefined;
  readonly expires: boolean;
}

/** @throws Failure when the store cannot be reached, or refuses everything */
export async function askBucket(config: DestinationConfig, client: S3Client): Promise<BucketFacts> {
  const { bucket: Bucket, expectedBucketOwner } = config;
  const input = { Bucket, ...(expectedBucketOwner && { ExpectedBucketOwner: expectedBucketOwner }) };
  /** @param noneCode by which S3 says that there is no such configuration */
  const told = <A, T>(question: Promise<A>, read: (answer: A) => T, noneCode?: string, none?: T) =>
    answerTo(config, question.then(read), noneCode, none);
  const [versioning, objectLock, acls, accessBlock, publicPolicy, publicAcl, encryption, lifecycle] =
    await Promise.all([
      told(client.send(new GetBucketVersioningCommand(input)), ({ Status }) => Status === 'Enabled'),
      told(
        client.send(new GetObjectLockConfigurationCommand(input)),
        ({ ObjectLockConfiguration: lock }) => ({
          enabled: lock?.ObjectLockEnabled === 'Enabled',
          retainsByDefault: lock?.Rule?.DefaultRetention !== undefined,
        }),
        'ObjectLockConfigurationNotFoundError',
        { enabled: false, retainsByDefault: false },
      ),
      told(
        client.send(new GetBucketOwnershipControlsCommand(input)),
        ({ OwnershipControls }) => OwnershipControls?.Rules?.[0]?.ObjectOwnership !== 'BucketOwnerEnforced',
        'OwnershipControlsNotFoundError',
        true,
      ),
      told(
        client.send(new GetPublicAccessBlockCommand(input)),
        ({ PublicAccessBlockConfiguration: block }) => ({
          ignoresAcls: block?.IgnorePublicAcls === true,
          restrictsPolicy: block?.RestrictPublicBuckets === true,
          complete:
            block?.IgnorePublicAcls === true &&
            block.RestrictPublicBuckets === true &&
            block.BlockPublicAcls === true &&
            block.BlockPublicPolicy === true,
        }),
        'NoSuchPublicAccessBlockConfiguration',
        { ignoresAcls: false, restrictsPolicy: false, complete: false },
      ),
      told(
        client.send(new GetBucketPolicyStatusCommand(input)),
        ({ PolicyStatus }) => PolicyStatus?.IsPublic === true,
        'NoSuchBucketPolicy',
        false,
      ),
      told(client.send(new GetBucketAclCommand(input)), ({ Grants = [] }) =>
        Grants.some(({ Grantee }) => publicGroups.test(Grantee?.URI ?? '')),
      ),
      told(
        client.send(new GetBucketEncryptionCommand(input)),
        ({ ServerSideEncryptionConfiguration: configuration }) => {
          const byDefault = configuration?.Rules?.[0]?.ApplyServerSideEncryptionByDefault;
          return byDefault && { algorithm: String(byDefault.SSEAlgorithm), keyId: byDefault.KMSMasterKeyID };
        },
        'ServerSideEncryptionConfigurationNotFoundError',
      ),
      told<Awaited<ReturnType<typeof askLifecycle>>, readonly Cleanup[]>(
        askLifecycle(client, input),
        ({ Rules = [] }) => Rules.map(cleanup),
        'NoSuchLifecycleConfiguration',
        [],
      ),
    ]);
  return { versioning, objectLock, acls, accessBlock, publicPolicy, publicAcl, encryption, lifecycle };
}

/** Of an upload in parts that was begun and not ended, S3 tells no more: neither by which program, nor what for. */
interface OpenUpload {
  readonly key: string;
  readonly initiatedMs: number;
}

/** Uploads in parts below a prefix, whoever began them: the first thousand. */
export function openUploads(
  config: DestinationConfig,
  client: S3Client,
  prefix: string,
): Promise<Told<OpenUpload[]>> {
  const { bucket: Bucket, expectedBucketOwner } = config;
  const command = new ListMultipartUploadsCommand({
    Bucket,
    Prefix: prefix,
    ...(expectedBucketOwner && { ExpectedBucketOwner: expectedBucketOwner }),
  });
  const answer = client
    .send(command)
    .then(({ Uploads = [] }) =>
      Uploads.map(({ Key = '', Initiated }) => ({ key: Key, initiatedMs: Initiated?.getTime() ?? 0 })),
    );
  return answerTo(config, answer, undefined, undefined);
}

const publicGroups = /\/groups\/global\/(AllUsers|AuthenticatedUsers)$/;

function askLifecycle(client: S3Client, input: { Bucket: string }) {
  return client.send(new GetBucketLifecycleConfigurationCommand(input));
}

function cleanup({
  Status,
  Filter,
  Prefix,
  AbortIncompleteMultipartUpload,
  Expiration,
}: LifecycleRule): Cleanup {
  const { Prefix: only, And, ...others } = Filter ?? {};
  return {
    enabled: Status === 'Enabled',
    prefix: only ?? And?.Prefix ?? Prefix ?? '',
    partial: And !== undefined || Object.values(others).some((value) => value !== undefined),
    endsUploadsAfterDays: AbortIncompleteMultipartUpload?.DaysAfterInitiation,
    expires: Expiration?.Days !== undefined || Expiration?.Date !== undefined,
  };
}

async function answerTo<T>(
  { name, bucket, endpoint = 'AWS' }: DestinationConfig,
  answer: Promise<T>,
  noneCode: string | undefined,
  none: T | undefined,
): Promise<Told<T>> {
  try {
    return { kind: 'told', value: await answer };
  } catch (error) {
    if (noneCode !== undefined && codeOf(error) === noneCode) return { kind: 'told', value: none as T };
    const subject = { operation: 'GetBucketConfiguration', key: '', bucket, endpoint, destination: name };
    const failure = classify(error, subject);
    if (failure.class === 'denied') return { kind: 'denied' };
    if (failure.class === 'permanent') return { kind: 'not-known' };
    throw failure;
  }
}

/** True when the bucket can be listed, but not as one that the expected account owns. */
export async function belongsToAnother(
  { bucket, expectedBucketOwner }: DestinationConfig,
  client: S3Client,
  prefix: string,
): Promise<boolean> {
  if (expectedBucketOwner === undefined) return false;
  const list = (more: { ExpectedBucketOwner?: string }) =>
    client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, MaxKeys: 1, ...more })).then(
      () => true,
      () => false,
    );
  return !(await list({ ExpectedBucketOwner: expectedBucketOwner })) && (await list({}));
}

/** Compares clocks with the answers that come from now on. @returns by how much the store is ahead, once it is known */
export function compareClocks(client: S3Client): () => number | undefined {
  let aheadMs: number | undefined;
  client.middlewareStack.add(
    (next) => async (args) => {
      const sentMs = Date.now();
      const result = await next(args);
      const { headers } = result.response as { headers: Readonly<Record<string, string>> };
      const date = Date.parse(headers['date'] ?? '');
      // The header has whole seconds, cut off: on average half a second is missing.
      if (!Number.isNaN(date)) aheadMs = date + 500 - (sentMs + Date.now()) / 2;
      return result;
    },
    // Inside of what makes an error of an answer.
    { step: 'deserialize', priority: 'low', name: 'compareClocks' },
  );
  return () => aheadMs;
}

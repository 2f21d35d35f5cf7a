// Call: one verified request on its way to a handler, and the answer it gives. Handlers are synchronous,
// which makes every check-and-commit atomic.
import type { Segment } from './bodies.ts';
import { s3Error, type S3ErrorCode } from './errors.ts';
import type { Permission } from './iam.ts';
import type { LegacySwitch } from './legacy.ts';
import { param, type S3Request } from './request.ts';
import type { ReceivedBody } from './receive.ts';
import type { Bucket, ObjectVersion, Requester, Store } from './store.ts';

interface Service {
  store: Store;
  legacy: ReadonlySet<LegacySwitch>;
  region: string;
  accountId: string;
}

export interface Call extends Service {
  request: S3Request;
  headers: S3Request['headers'];
  key: string;
  requester: Requester;
  body?: ReceivedBody;
  document: Buffer;
  /** May the requester do this? Always, unless its credential has a policy or the server an `authorise` hook. */
  may(permission: Permission): boolean;
}

export interface Answer {
  status: number;
  headers?: Record<string, string>;
  /** A document, or the part of an object to stream. */
  body?: string | { segments: readonly Segment[]; start: number; end: number };
}

export const noContent: Answer = { status: 204 };

export function xmlAnswer(body: string, headers: Record<string, string> = {}): Answer {
  return { status: 200, headers: { 'content-type': 'application/xml', ...headers }, body };
}

export function query(call: Call, name: string): string | undefined {
  return param(call.request, name);
}

export function bucketOf(call: Call): Bucket {
  const bucket = call.store.bucket(call.request.bucket);
  if (bucket === undefined) throw s3Error('NoSuchBucket', undefined, { BucketName: call.request.bucket });
  if (bucket.region === call.region) return bucket;
  const details = { Bucket: bucket.name, Endpoint: `${bucket.name}.s3.${bucket.region}.amazonaws.com` };
  throw s3Error('PermanentRedirect', undefined, details, { 'x-amz-bucket-region': bucket.region });
}

/** The version a read is about: the one of `versionId`, else the current one. */
export function findVersion(call: Call): ObjectVersion {
  const { bucket } = call.request;
  const versionId = query(call, 'versionId');
  const version =
    versionId === undefined
      ? call.store.latest(bucket, call.key)
      : call.store.version(bucket, call.key, versionId);
  if (version === undefined) throw missing(call, versionId === undefined ? 'NoSuchKey' : 'NoSuchVersion');
  if (!version.isDeleteMarker) return version;
  const marker = { 'x-amz-delete-marker': 'true', 'x-amz-version-id': version.versionId };
  if (versionId === undefined) throw s3Error('NoSuchKey', undefined, { Key: call.key }, marker);
  throw s3Error('MethodNotAllowed', undefined, { Method: call.request.method }, marker);
}

/** @throws AccessDenied when one of them is lacking */
export function require(call: Call, permissions: readonly Permission[]): void {
  if (!permissions.every((permission) => call.may(permission))) throw s3Error('AccessDenied');
}

// AWS: without s3:ListBucket a missing key is 403, so that names cannot be probed. A policy that allows listing below
// some s3:prefix counts for keys below it: to AWS the key is the prefix then (ceph/ceph#68577).
function missing(call: Call, code: S3ErrorCode): Error {
  const context = { 's3:prefix': call.key };
  require(call, [{ action: 's3:ListBucket', bucket: call.request.bucket, key: '', context }]);
  return s3Error(code, undefined, { Key: call.key });
}

/** Only buckets which had versioning at some time show version ids. */
export function versionHeader(call: Call, versionId: string): Record<string, string> {
  return bucketOf(call).versioning === '' ? {} : { 'x-amz-version-id': versionId };
}

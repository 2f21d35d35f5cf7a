// Call: one verified request on its way to a handler, and the answer it gives. Handlers are synchronous,
// which makes every check-and-commit atomic.
import type { Segment } from './bodies.ts';
import { s3Error, type S3ErrorCode } from './errors.ts';
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
  /** May the requester do this? Always, unless the server has an `authorise` hook. */
  may(action: string, bucket: string, key: string): boolean;
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
  return bucket;
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

// AWS: without s3:ListBucket a missing key is 403, so that names cannot be probed.
function missing(call: Call, code: S3ErrorCode): Error {
  if (!call.may('s3:ListBucket', call.request.bucket, '')) return s3Error('AccessDenied');
  return s3Error(code, undefined, { Key: call.key });
}

/** Only buckets which had versioning at some time show version ids. */
export function versionHeader(call: Call, versionId: string): Record<string, string> {
  return bucketOf(call).versioning === '' ? {} : { 'x-amz-version-id': versionId };
}

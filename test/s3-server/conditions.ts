// Conditions: If-Match and friends. Handlers evaluate them in the same synchronous section that commits. AWS:
// "Add preconditions to S3 operations with conditional requests", "Conditional writes", "Conditional
// deletes".
import type { Call } from './call.ts';
import { S3Error, s3Error } from './errors.ts';
import type { ObjectVersion } from './store.ts';

function failed(condition: string): S3Error {
  return s3Error('PreconditionFailed', undefined, { Condition: condition });
}

/** `upload` is there for CompleteMultipartUpload only. */
export function checkWriteConditions(call: Call, upload?: { isConflicted: boolean }): void {
  const { headers, legacy, store } = call;
  let ifMatch = headers['if-match'];
  let ifNoneMatch = headers['if-none-match'];
  if (ifMatch === undefined && ifNoneMatch === undefined) return;
  if (legacy.has('reject-conditions')) throw s3Error('NotImplemented');
  if (upload !== undefined && legacy.has('ignore-conditions-on-complete')) return;
  if (legacy.has('ignore-if-match')) ifMatch = undefined;
  if (legacy.has('ignore-if-none-match')) ifNoneMatch = undefined;
  const current = store.current(call.request.bucket, call.key);
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch !== '*' || ifMatch !== undefined) throw s3Error('NotImplemented');
    if (current !== undefined) throw failed('If-None-Match');
  }
  if (ifMatch !== undefined) checkIfMatch(call, current, ifMatch);
  // The condition holds, but only because of what others did meanwhile: deleted the key, or wrote the same
  // bytes. A mismatch stays 412, which AWS answers first.
  if (upload?.isConflicted && (ifMatch !== undefined || ifNoneMatch !== undefined)) {
    throw s3Error('ConditionalRequestConflict', undefined, {
      Condition: ifMatch === undefined ? 'If-None-Match' : 'If-Match',
      Key: call.key,
    });
  }
}

export function checkDeleteCondition(call: Call, key: string, ifMatch: string | undefined): void {
  if (ifMatch === undefined || call.legacy.has('ignore-conditions-on-delete')) return;
  if (call.legacy.has('reject-conditions')) throw s3Error('NotImplemented');
  checkIfMatch(call, call.store.current(call.request.bucket, key), ifMatch);
}

// A missing key, and a delete marker, is 404 whatever the condition says, `*` included.
function checkIfMatch(call: Call, current: ObjectVersion | undefined, ifMatch: string): void {
  if (current === undefined) {
    throw call.legacy.has('if-match-missing-412')
      ? failed('If-Match')
      : s3Error('NoSuchKey', undefined, { Key: call.key });
  }
  if (ifMatch === '*') return;
  const given = call.legacy.has('if-match-unquoted-only') ? ifMatch : unquote(ifMatch);
  if (given !== current.etag) throw failed('If-Match');
}

/**
 * GET and HEAD, in the order of RFC 9110: If-Match beats If-Unmodified-Since, If-None-Match beats If-
 * Modified-Since.
 */
export function checkReadConditions(version: ObjectVersion, headers: Call['headers']): void {
  const notModified = readConditions(version, headers, '');
  if (!notModified) return;
  throw new S3Error('NotModified', 304, 'Not Modified', {}, { etag: `"${version.etag}"` });
}

/** For copies a condition that would be 304 is 412 as well. */
export function checkCopySourceConditions(version: ObjectVersion, headers: Call['headers']): void {
  const notModified = readConditions(version, headers, 'x-amz-copy-source-');
  if (notModified) throw failed(`x-amz-copy-source-${notModified.toLowerCase()}`);
}

/** Throws 412; the name of the condition that makes it "not modified", else undefined. */
function readConditions(
  version: ObjectVersion,
  headers: Call['headers'],
  prefix: string,
): string | undefined {
  const ifMatch = headers[`${prefix}if-match`];
  const ifNoneMatch = headers[`${prefix}if-none-match`];
  const unmodifiedSince = headers[`${prefix}if-unmodified-since`];
  const modifiedSince = headers[`${prefix}if-modified-since`];
  if (ifMatch !== undefined) {
    if (!names(ifMatch, version.etag)) throw failed('If-Match');
  } else if (unmodifiedSince !== undefined && version.modifiedMs > Date.parse(unmodifiedSince)) {
    throw failed('If-Unmodified-Since');
  }
  if (ifNoneMatch !== undefined) return names(ifNoneMatch, version.etag) ? 'If-None-Match' : undefined;
  if (modifiedSince !== undefined && version.modifiedMs <= Date.parse(modifiedSince))
    return 'If-Modified-Since';
  return undefined;
}

function names(list: string, etag: string): boolean {
  return list.split(',').some((entry) => entry.trim() === '*' || unquote(entry) === etag);
}

function unquote(etag: string): string {
  return etag.trim().replace(/^(?:W\/)?"(.*)"$/, '$1');
}

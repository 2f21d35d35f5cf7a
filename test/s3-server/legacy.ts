// What real S3-compatible stores get wrong, each as a switch. Found on Ceph RGW 16, s3rver and gateways; a
// client that is correct only against AWS loses or overwrites data on them.

export const legacySwitches = [
  'ignore-if-none-match', // 200 and overwritten: the header is not read at all
  'ignore-if-match',
  'ignore-conditions-on-complete', // honoured on PutObject, ignored on CompleteMultipartUpload (Ceph RGW 16)
  'ignore-conditions-on-delete', // Ceph RGW 16
  'ignore-conditions-on-copy', // on the source as well as on the key (Ceph RGW 16)
  'if-match-unquoted-only', // the right ETag in quotes answers 412 (Ceph RGW 16)
  'if-match-missing-412', // If-Match on a missing key: 412 where AWS says 404 (Ceph RGW 16)
  'reject-conditions', // 501 NotImplemented for any condition on a write
  'ignore-checksums', // x-amz-checksum-* neither verified nor echoed
  'no-trailers', // 411 for aws-chunked bodies
  'store-aws-chunked-framing', // the chunk framing becomes part of the object (s3rver 3.7.1)
  'drop-multipart-tags', // x-amz-tagging on CreateMultipartUpload has no effect (Ceph RGW 16)
  'drop-multipart-locks', // x-amz-object-lock-* on CreateMultipartUpload has no effect (Ceph RGW 16)
  'drop-copy-tags', // x-amz-tagging on CopyObject has no effect (Ceph RGW 16)
  'ignore-sse', // x-amz-server-side-encryption: AES256 neither done nor echoed (Ceph RGW 16)
  'reject-tagging', // 501 NotImplemented for x-amz-tagging and ?tagging
  'empty-complete-etag', // <ETag></ETag> in the answer to CompleteMultipartUpload (Ceph RGW 16)
  'unquoted-copy-etag', // <ETag> without quotes in the answer to CopyObject (Ceph RGW 16)
  'opaque-etags', // an ETag which is not the MD5 of the content
  'list-v1-only', // list-type=2 is answered as ListObjects version 1
] as const;

export type LegacySwitch = (typeof legacySwitches)[number];

export function isLegacySwitch(name: string): name is LegacySwitch {
  return (legacySwitches as readonly string[]).includes(name);
}

// What a store was found to do. Stores answer 200 to headers that they do not know, so only a probe tells.

export interface Capabilities {
  /** PutObject refuses `If-None-Match: *` when the key exists. */
  readonly putIfAbsent: boolean;
  /**
   * PutObject honours `If-Match`: with the ETag quoted as S3 sends it, only without quotes, or not at all. `denied`: the
   * credentials may not ask for it (s3:GetObject), which tells nothing of the store.
   */
  readonly putIfMatch: 'quoted' | 'unquoted' | 'no' | 'denied';
  /** CompleteMultipartUpload refuses `If-None-Match: *` when the key exists. */
  readonly completeIfAbsent: boolean;
  /** CopyObject refuses a source that is not the object which `x-amz-copy-source-if-match` names. */
  readonly copySourceIfMatch: boolean;
  /** CopyObject refuses `If-None-Match: *` when the key exists. */
  readonly copyIfAbsent: boolean;
  /** CopyObject refuses an `If-Match` that does not hold, and takes one that does. */
  readonly copyIfMatch: boolean;
  /** DeleteObject honours `If-Match`. `denied`: the credentials may not delete, or not ask for it. */
  readonly deleteIfMatch: boolean | 'denied';
  /** Stores x-amz-checksum-crc32 and gives it back on HEAD. */
  readonly checksums: boolean;
  /** Keeps x-amz-tagging of CreateMultipartUpload. */
  readonly multipartTags: boolean;
}

/** The name, under each prefix, of the one object that is written to find out what a store does. */
export const scratchName = '.s3syncd-probe';

// Descriptions: what a write says of an object besides its content, in the program's own words. `transfer/describe.ts`
// translates them into S3's.
import type { ChecksumAlgorithm } from './object.ts';
import type { Transform } from './transform.ts';

/** Classes that an upload can choose; SNOW, OUTPOSTS and those of FSx are where other services keep theirs. */
export const storageClasses = [
  'STANDARD',
  'REDUCED_REDUNDANCY',
  'STANDARD_IA',
  'ONEZONE_IA',
  'INTELLIGENT_TIERING',
  'GLACIER',
  'DEEP_ARCHIVE',
  'GLACIER_IR',
  'EXPRESS_ONEZONE',
] as const;
export type StorageClass = (typeof storageClasses)[number];

export const cannedAcls = [
  'private',
  'public-read',
  'public-read-write',
  'authenticated-read',
  'aws-exec-read',
  'bucket-owner-read',
  'bucket-owner-full-control',
] as const;
type CannedAcl = (typeof cannedAcls)[number];

/** What a grantee may be allowed. */
export const permissions = ['read', 'read-acp', 'write-acp', 'full-control'] as const;
export type Permission = (typeof permissions)[number];

/** Who may do what with the object: S3 takes a canned ACL or grants, never both. */
export type Access =
  | { readonly kind: 'canned'; readonly acl: CannedAcl }
  /** Grantees as `id=…` or `uri=…`. */
  | { readonly kind: 'grants'; readonly grants: Readonly<Partial<Record<Permission, readonly string[]>>> };

export const sseAlgorithms = ['AES256', 'aws:kms', 'aws:kms:dsse'] as const;

/** Encryption at rest. Its parts belong together: a key of KMS means nothing to another algorithm. */
export type Encryption =
  | { readonly sse: 'AES256' }
  | {
      readonly sse: 'aws:kms' | 'aws:kms:dsse';
      readonly keyId?: string;
      readonly context?: Readonly<Record<string, string>>;
      readonly bucketKey?: boolean;
    }
  /** SSE-C: S3 encrypts with a key that it does not keep. Base64 of 32 bytes; never logged. */
  | { readonly sse: 'customer'; readonly key: string };

export const lockModes = ['GOVERNANCE', 'COMPLIANCE'] as const;

/** A date is made of a duration when the object is written, so that the description of a file stays the same. */
export type RetainUntil =
  | { readonly kind: 'after'; readonly durationMs: number }
  | { readonly kind: 'at'; readonly atMs: number };

export interface ObjectLock {
  readonly retention?: { readonly mode: (typeof lockModes)[number]; readonly until: RetainUntil };
  readonly legalHold?: boolean;
}

/** Of a file: how its content is transformed for the object, and what the object is besides. */
export interface ObjectDescription extends Transform {
  readonly tags: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly storageClass?: StorageClass;
  readonly contentType?: string;
  readonly contentEncoding?: string;
  readonly contentDisposition?: string;
  readonly contentLanguage?: string;
  readonly cacheControl?: string;
  readonly expiresMs?: number;
  readonly websiteRedirect?: string;
  readonly access?: Access;
  readonly encryption?: Encryption;
  readonly objectLock?: ObjectLock;
  /** Instead of the destination's. */
  readonly checksum?: ChecksumAlgorithm | 'none';
}

/** S3's limits for one object. */
export const tagsMax = 10;
export const metadataBytesMax = 2048;

/** Why no object can be written as the rules that match a file together have it. */
const unfitReasons = ['too-many-tags', 'metadata-too-large', 'lock-without-checksum'] as const;

export interface Unfit {
  readonly reason: (typeof unfitReasons)[number];
  readonly message: string;
}

/**
 * What S3 would refuse of a description: found here, so that it is said in words and costs no request.
 * @param checksum what is sent with the body
 */
export function unfitness(
  { tags, metadata, objectLock }: ObjectDescription,
  checksum: ChecksumAlgorithm | 'none',
): Unfit | undefined {
  const keys = Object.keys(tags);
  if (keys.length > tagsMax) {
    return {
      reason: 'too-many-tags',
      message: `the rules that match it give it ${keys.length} tags (${keys.join(', ')}), and S3 allows ${tagsMax}: take some out`,
    };
  }
  const bytes = metadataBytes(metadata);
  if (bytes > metadataBytesMax) {
    return {
      reason: 'metadata-too-large',
      message: `the rules that match it give it ${bytes} bytes of metadata, and S3 allows ${metadataBytesMax}: shorten it`,
    };
  }
  if (objectLock !== undefined && checksum === 'none') {
    return {
      reason: 'lock-without-checksum',
      message:
        'S3 locks only what comes with a checksum, and a rule that matches it says "checksum: none": remove that',
    };
  }
  return undefined;
}

/** Names and values are ASCII. */
export function metadataBytes(metadata: Readonly<Record<string, string>>): number {
  return Object.entries(metadata).reduce((sum, [name, value]) => sum + name.length + value.length, 0);
}

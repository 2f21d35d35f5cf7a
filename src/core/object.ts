// Objects: what S3 says about a key, and the checksums by which an object and a file are compared.

export const checksumAlgorithms = ['md5', 'crc32', 'crc32c', 'crc64nvme', 'sha1', 'sha256'] as const;
export type ChecksumAlgorithm = (typeof checksumAlgorithms)[number];

/**
 * A checksum of content in S3's own form: base64 for x-amz-checksum-*, hex for an ETag that is an MD5, with `-N`
 * appended when it is the checksum of the checksums of N parts of `partSize` bytes.
 */
export interface Checksum {
  readonly algorithm: ChecksumAlgorithm;
  readonly value: string;
  /** Bytes per part of a composite checksum; absent for a checksum over the whole content. */
  readonly partSize?: number;
}

/** Content that was transformed before it became a body. */
export interface TransformedContent {
  /** As `transformName` calls it. */
  readonly transform: string;
  readonly size: number;
  /** Absent where the content is encrypted: whoever reads the metadata could try which content has it. */
  readonly checksum?: Checksum;
}

/** An object's current version. */
export interface ObjectState {
  /** As S3 sends it, quotes included. */
  readonly etag: string;
  readonly size: number;
  readonly lastModifiedMs: number;
  readonly versionId?: string;
  /** The source file's mtime, from x-amz-meta-mtime. */
  readonly mtimeNs?: bigint;
  /** By what we know it for a write of ours; absent once another tool wrote over it. */
  readonly writeId?: string;
  /** What S3 stored as x-amz-checksum-*, whichever comes first in `checksumAlgorithms`. */
  readonly checksum?: Checksum;
  /** True when the ETag is known not to be an MD5 of the body: SSE-KMS or SSE-C. */
  readonly opaqueEtag?: boolean;
  /** Of an object whose body is not the content itself: what that was, from its metadata. */
  readonly content?: TransformedContent;
  /** `listing` lacks metadata, checksum and encryption; `head` has them. */
  readonly source: 'listing' | 'head';
}

/** What stands at a key now. A delete marker is `absent`. */
export type Remote = { readonly kind: 'absent' } | { readonly kind: 'object'; readonly object: ObjectState };

/** What S3 must find at the key for a write to count. The action carries it, so that S3 enforces what was decided. */
export type Precondition =
  | { readonly kind: 'none' }
  | { readonly kind: 'absent' }
  | { readonly kind: 'etag'; readonly etag: string };

/** Whether a precondition is met by what stands at the key. */
export function holds(precondition: Precondition, remote: Remote): boolean {
  switch (precondition.kind) {
    case 'none':
      return true;
    case 'absent':
      return remote.kind === 'absent';
    case 'etag':
      return remote.kind === 'object' && remote.object.etag === precondition.etag;
  }
}

/** Bytes of the file that has this object's content. */
export function contentSize(object: ObjectState): number {
  return object.content?.size ?? object.size;
}

/**
 * The checksum that tells whether a file has this object's content: S3's stored checksum, else the ETag where it is
 * an MD5; of content that was transformed, the one in the metadata. Undefined when nothing comparable is known.
 * @param partSizeOf the part size with which an object of that size and number of parts was uploaded, if it is known
 */
export function comparableChecksum(
  object: ObjectState,
  partSizeOf: (size: number, parts: number) => number | undefined,
): Checksum | undefined {
  if (object.content) return object.content.checksum;
  const [checksum, parts] = object.checksum
    ? [object.checksum, partsIn(object.checksum.value)]
    : md5OfEtag(object);
  if (!checksum) return undefined;
  if (parts === undefined || checksum.partSize !== undefined) return checksum;
  const partSize = partSizeOf(object.size, parts);
  return partSize === undefined ? undefined : { ...checksum, partSize };
}

function md5OfEtag(object: ObjectState): [Checksum | undefined, number | undefined] {
  const value = object.etag.replaceAll('"', '');
  if (object.opaqueEtag || !/^[0-9a-f]{32}(-\d+)?$/.test(value)) return [undefined, undefined];
  return [{ algorithm: 'md5', value }, partsIn(value)];
}

function partsIn(value: string): number | undefined {
  const parts = /-(\d+)$/.exec(value)?.[1];
  return parts === undefined ? undefined : Number(parts);
}

// The one interface between the drain and a store. Expected outcomes of a write are data; everything else is thrown as
// a `Failure`, classified where it happened.
import type { Readable } from 'node:stream';
import type { Access, ObjectDescription, ObjectLock } from '../core/description.ts';
import type { Usage } from '../core/usage.ts';
import type { Checksum, ChecksumAlgorithm, Precondition, Remote } from '../core/object.ts';

export type WriteResult =
  | { readonly kind: 'written'; readonly etag: string; readonly versionId?: string }
  /** S3 refused the precondition. */
  | { readonly kind: 'precondition-failed' }
  /** If-Match on a key that does not exist. */
  | { readonly kind: 'missing' }
  /** 409: another write to the key is under way. */
  | { readonly kind: 'busy' };

/** An object that is copied as long as it is the one that is known. */
export interface CopySource {
  readonly key: string;
  readonly etag: string;
  /** Of SSE-C, without which S3 cannot read it. */
  readonly customerKey?: string;
}

export type CopyResult =
  | WriteResult
  /**
   * The source is gone, or is another object by now. Told apart from a refused precondition only where there is none:
   * S3 answers both with 412.
   */
  | { readonly kind: 'source-changed' };

export type RemoveResult =
  /** Or there was none, which S3 does not tell without a condition. */
  | { readonly kind: 'removed' }
  /** S3 refused the precondition: another object stands there. */
  | { readonly kind: 'precondition-failed' }
  /** If-Match on a key that does not exist. */
  | { readonly kind: 'missing' }
  /** 409: a write to the key is under way. */
  | { readonly kind: 'busy' };

export interface ListedKey {
  readonly key: string;
  readonly size: number;
  readonly etag: string;
  readonly lastModifiedMs: number;
}

export interface WrittenPart {
  readonly partNumber: number;
  readonly etag: string;
  readonly checksum?: string;
}

export interface StoredPart extends WrittenPart {
  readonly size: number;
}

export interface UploadHandle {
  readonly key: string;
  readonly uploadId: string;
  /** Of SSE-C, with which it was begun: every part has to bring it. */
  readonly customerKey?: string;
  /** With which it was begun: every part has to bring its own. */
  readonly checksum?: ChecksumAlgorithm;
}

export interface BegunUpload extends UploadHandle {
  readonly initiatedMs: number;
}

/** How an object comes about other than by one PUT, of which every store keeps all that is said. */
export type IndirectWrite = 'parts' | 'copy';

/** A body whose bytes are known: sent as one buffer, or as a stream of known length, which is never retried inside. */
export type Body =
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  | {
      readonly kind: 'stream';
      readonly size: number;
      readonly open: () => Readable;
      /** Aborted when the rest of the body will not come: the request must not wait for it. */
      readonly abandoned: AbortSignal;
    };

/** A body whose length is not known before its end. */
export interface StreamedWrite {
  readonly body: Readable;
  readonly partSize: number;
  readonly checksum: ChecksumAlgorithm | 'none';
  readonly precondition: Precondition;
  /** Ends parts that are on their way. */
  readonly signal: AbortSignal;
}

export interface Destination {
  readonly name: string;
  /** Some stores drop the tags or the locks of what is not a plain PUT; the probe tells, or else the first such write. */
  readonly keeps: Record<IndirectWrite, { tags?: boolean; locks?: boolean }>;
  /** Some stores take If-Match only without the quotes that S3 sends; the probe tells. */
  ifMatchQuoted: boolean;
  /** Requests sent, by S3 operation. */
  readonly requests: ReadonlyMap<string, number>;
  /** What was sent since the last call, by operation and storage class. */
  takeUsage(): Usage[];

  put(
    key: string,
    body: Body,
    description: ObjectDescription,
    checksum: Checksum | undefined,
    precondition: Precondition,
  ): Promise<WriteResult>;
  /**
   * As one PutObject where the body is no longer than a part, else in parts as they come. Whatever goes wrong, the upload
   * that was begun is there still.
   * @param begin has the store make an upload, where there is more than one part
   */
  putStream(
    key: string,
    description: ObjectDescription,
    write: StreamedWrite,
    begin: () => Promise<UploadHandle>,
  ): Promise<WriteResult>;
  head(key: string): Promise<Remote>;
  /** Every current object below `prefix`, in pages. */
  list(prefix: string, signal: AbortSignal): AsyncIterable<readonly ListedKey[]>;

  /** `retried`: a first try may have made another upload, which nobody knows. */
  createUpload(
    key: string,
    description: ObjectDescription,
    checksum: ChecksumAlgorithm | 'none',
  ): Promise<{ uploadId: string; retried: boolean }>;
  /** Uploads to exactly this key that are under way, whoever began them. */
  listUploads(key: string): Promise<BegunUpload[]>;
  uploadPart(
    upload: UploadHandle,
    partNumber: number,
    bytes: Buffer,
    checksum: Checksum | undefined,
    signal: AbortSignal,
  ): Promise<WrittenPart>;
  /** Undefined when the store no longer knows the upload. */
  listParts(upload: UploadHandle): Promise<StoredPart[] | undefined>;
  /** `missing` here: the store no longer knows the upload, perhaps because our own first try completed it. */
  completeUpload(
    upload: UploadHandle,
    parts: readonly WrittenPart[],
    precondition: Precondition,
  ): Promise<WriteResult>;
  abortUpload(upload: UploadHandle): Promise<void>;

  /** Copies an object of up to 5 GiB within the bucket; what the new one is besides its bytes is said anew. */
  copy(
    source: CopySource,
    key: string,
    description: ObjectDescription,
    precondition: Precondition,
  ): Promise<CopyResult>;
  remove(key: string, precondition: Exclude<Precondition, { kind: 'absent' }>): Promise<RemoveResult>;
  tagCount(key: string): Promise<number>;
  /** Replaces all tags. `versionId`: of that version, undefined for the current one. */
  putTags(key: string, tags: ObjectDescription['tags'], versionId: string | undefined): Promise<void>;
  /** Says anew who may do what; undefined: nobody but the owner. */
  putAcl(key: string, access: Access | undefined, versionId: string | undefined): Promise<void>;
  /** Locks a version. @param writtenMs from when on it is retained; a retention that is over by now is left out */
  putLock(
    key: string,
    objectLock: ObjectLock | undefined,
    writtenMs: number,
    versionId: string | undefined,
  ): Promise<void>;
  /** Gives a written object the tags and the lock of which its store took no notice. */
  supplement(
    how: IndirectWrite,
    key: string,
    description: ObjectDescription,
    versionId: string | undefined,
  ): Promise<void>;
}

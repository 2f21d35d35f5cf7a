// What is asked of an upload, and what comes of it.
import type { Capabilities } from '../core/capabilities.ts';
import type { ObjectDescription, Unfit } from '../core/description.ts';
import type { FileState } from '../core/file.ts';
import type { Checksum, ChecksumAlgorithm, Precondition } from '../core/object.ts';
import type { Clock } from '../edge/clock.ts';
import type { Destination, UploadHandle, WriteResult, WrittenPart } from './destination.ts';
import type { ByteBudget } from './limits.ts';
import type { Root } from './open.ts';

/** Where multipart uploads under way are remembered; the journal, seen from here. */
export interface UploadMemory {
  find(): (BegunRecord & UploadIdentity & { readonly parts: readonly WrittenPart[] }) | undefined;
  /** Before the store is asked for an upload: so that one which nobody heard of can be found and ended. */
  begin(upload: { readonly key: string } & UploadIdentity): void;
  created(uploadId: string): void;
  recordParts(parts: readonly WrittenPart[]): void;
  end(): void;
  /** The store may have made another one that nobody heard of, or may be about to: it is looked for again. */
  doubt(key: string): void;
}

export interface BegunRecord extends UploadHandle {
  readonly beganMs: number;
}

/** What must be the same for an upload to be continued. */
export interface UploadIdentity {
  readonly file: Pick<FileState, 'size' | 'mtimeNs' | 'ctimeNs' | 'ino'>;
  readonly partSize: number;
  readonly description: string;
}

export interface UploadRequest {
  readonly destination: Destination;
  readonly clock: Clock;
  readonly root: Root;
  readonly path: string;
  readonly key: string;
  readonly describe: (file: FileState) => ObjectDescription;
  readonly precondition: Precondition;
  /** By which the object is known for ours when the answer is lost. */
  readonly writeId: string;
  readonly checksum: ChecksumAlgorithm | 'none';
  readonly capabilities: Capabilities | undefined;
  readonly memory: UploadMemory;
  /** Memory for the bodies of small files. */
  readonly budget: ByteBudget;
  /** Memory for parts; apart, so that large files never keep small ones waiting. */
  readonly partBudget: ByteBudget;
  /** Stops a multipart upload between parts, to be continued later. */
  readonly signal: AbortSignal;
  readonly onBytes: (bytes: number) => void;
}

/** A request for what has become one object: `checksum` is what the rules have it. */
export interface DescribedRequest extends UploadRequest {
  readonly description: ObjectDescription;
}

interface Written {
  readonly kind: 'written';
  readonly etag: string;
  readonly versionId?: string;
  /** The state whose bytes the object has. */
  readonly file: FileState;
  /** Of the content. */
  readonly checksum: Checksum;
}

type NotWritten =
  | Exclude<WriteResult, { kind: 'written' }>
  /** The file is not what it was when it was opened: look again. */
  | { readonly kind: 'changed' }
  | { readonly kind: 'vanished' }
  /** The store no longer knows the upload: perhaps our own earlier try completed it. */
  | { readonly kind: 'uncertain' }
  | { readonly kind: 'interrupted' }
  | { readonly kind: 'too-large' }
  | ({ readonly kind: 'unfit' } & Unfit)
  /** The store would ignore the precondition for a file of this size. */
  | { readonly kind: 'cannot-enforce' };

/** What came of sending a body. */
export type PutResult = Written | NotWritten;

export type UploadResult =
  | (Written & {
      readonly description: ObjectDescription;
      /** As `transformName` calls it; absent where the body is the content. */
      readonly transform?: string;
    })
  | NotWritten;

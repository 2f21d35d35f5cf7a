// Multipart uploads from beginning to end: remembered before the store is asked for one, so that whatever happens none is
// left there unknown.
import { createHash } from 'node:crypto';
import type { ObjectDescription } from '../core/description.ts';
import { Failure, unlessDenied, unlessForbidden } from '../core/failure.ts';
import type { FileState } from '../core/file.ts';
import { holds, type ChecksumAlgorithm, type Precondition } from '../core/object.ts';
import type { Destination, UploadHandle } from './destination.ts';
import type { BegunRecord, DescribedRequest, UploadIdentity, UploadMemory } from './request.ts';

/** @param file whose state the upload is of */
export function identityOf(
  { description, checksum }: DescribedRequest,
  file: FileState,
  partSize: number,
): UploadIdentity {
  return { file, partSize, description: digestOf({ ...description, checksum }) };
}

/** Has the store make an upload, and remembers it: that it will be asked first, then which one it is. */
export async function beginUpload(
  { destination, key, memory, description, checksum, clock }: DescribedRequest,
  identity: UploadIdentity,
): Promise<UploadHandle> {
  const beganMs = clock.now();
  memory.begin({ key, ...identity });
  const { uploadId, retried } = await destination
    .createUpload(key, description, checksum)
    .catch((error: unknown) => {
      if (error instanceof Failure && !error.mayHaveLanded) memory.end();
      throw error;
    });
  // Before it is known by its name: should this fail, the next try ends every one that nobody knows.
  if (retried) {
    await endUnnamed(destination, { key, beganMs }, uploadId);
    memory.doubt(key);
  }
  memory.created(uploadId);
  return { key, uploadId, ...begunWith(description, checksum) };
}

/**
 * Ends an upload that will not be completed: its parts would be paid for as long as it is there. Without the rights, or on
 * a store that cannot do it, a lifecycle rule of the bucket has to clear uploads away.
 * @param upload by its name, or without one as far as the store made any
 * @param other name of one to the same key that goes on
 */
export async function endUpload(
  destination: Destination,
  upload: UploadHandle & { readonly beganMs?: number },
  other?: string,
): Promise<void> {
  const { key, uploadId, beganMs = 0 } = upload;
  if (uploadId === '') await endUnnamed(destination, { key, beganMs }, other);
  else await unlessForbidden(destination.abortUpload(upload));
}

/** Ends what an earlier try began. */
export async function endBegun(
  destination: Destination,
  begun: BegunRecord,
  memory: Pick<UploadMemory, 'end' | 'doubt'>,
): Promise<void> {
  await endUpload(destination, begun);
  if (begun.uploadId === '') memory.doubt(begun.key);
  memory.end();
}

/** How far the clocks of a store and of this machine may differ here. */
const clocksDifferMs = 60_000;

/**
 * Ends the uploads that we asked for and never heard of. They are to this key, not older than our asking, and empty: the
 * same may be true of one that somebody else began this moment, who loses nothing but the time to begin again.
 */
async function endUnnamed(
  destination: Destination,
  { key, beganMs }: { readonly key: string; readonly beganMs: number },
  other: string | undefined,
): Promise<void> {
  for (const upload of (await unlessForbidden(destination.listUploads(key))) ?? []) {
    if (upload.uploadId === other || upload.initiatedMs < beganMs - clocksDifferMs) continue;
    const parts = await unlessForbidden(destination.listParts(upload));
    if (parts?.length === 0) await unlessForbidden(destination.abortUpload(upload));
  }
}

/** S3 checks conditions at Complete only, after the whole body was sent: ask before. */
export async function isRefusedAhead(
  { destination, key }: DescribedRequest,
  precondition: Precondition,
): Promise<boolean> {
  if (precondition.kind === 'none') return false;
  const remote = await unlessDenied(destination.head(key));
  return remote !== undefined && !holds(precondition, remote);
}

/** What every part has to bring. */
export function begunWith(
  { encryption }: ObjectDescription,
  checksum: ChecksumAlgorithm | 'none',
): Pick<UploadHandle, 'customerKey' | 'checksum'> {
  return {
    ...(encryption?.sse === 'customer' && { customerKey: encryption.key }),
    ...(checksum !== 'none' && { checksum }),
  };
}

function digestOf(description: ObjectDescription): string {
  return createHash('sha256').update(JSON.stringify(description)).digest('base64');
}

// What uploads in parts leave in the journal: what one needs to go on, and what is to be ended that no change ends.
import type { Claim, Journal } from '../journal/journal.ts';
import { endBegun, endUpload } from '../transfer/begun.ts';
import type { UploadMemory } from '../transfer/request.ts';
import type { Route } from './route.ts';

/** S3 refuses what was signed more than 15 minutes ago (RequestTimeTooSkewed): what is on its way for longer is lost. */
const lateMs = 16 * 60_000;

export type ClaimUploads = ReturnType<typeof uploadMemory>;

export function uploadMemory(route: Route, claim: Claim, journal: Journal) {
  const { clock } = route;
  const { routeId, path } = claim;
  let uploadRow: number | undefined;
  let completedRow: number | undefined;
  const memory: UploadMemory = {
    find() {
      const record = journal.uploads.find(routeId, path);
      uploadRow = record?.uploadRow;
      return record;
    },
    begin(upload) {
      const begun = { ...upload, uploadId: '' };
      ({ uploadRow } = journal.uploads.begin(routeId, path, begun, clock.now()));
    },
    created(uploadId) {
      if (uploadRow !== undefined) journal.uploads.created(uploadRow, uploadId);
    },
    recordParts(parts) {
      if (uploadRow !== undefined) journal.uploads.recordParts(uploadRow, parts);
    },
    end() {
      if (uploadRow !== undefined) journal.uploads.end(uploadRow);
      uploadRow = undefined;
    },
    doubt(key) {
      journal.uploads.doubt(routeId, key, clock.now());
      route.leftUploadsDueMs = Math.min(route.leftUploadsDueMs, clock.now() + lateMs);
    },
  };
  return {
    ...memory,
    /** The object was written; where it was in parts, the journal forgets the upload together with the change. */
    completed() {
      completedRow = uploadRow;
    },
    /** Ends an upload that was begun for what the file was before. */
    async endLeft(): Promise<void> {
      const left = memory.find();
      if (left && uploadRow !== completedRow) await endBegun(route.destination, left, memory);
    },
  };
}

/**
 * Ends uploads in parts that nobody would complete, and whose parts would be paid for: what another config or another store
 * left behind, and what the store was asked for and never named. Those are looked for until none can come any more.
 * @throws Failure when the store cannot be asked
 */
export async function endLeftUploads(route: Route, { uploads }: Journal): Promise<void> {
  const { destination, destinationId, clock } = route;
  for (const left of uploads.left(destinationId)) {
    await endUpload(destination, left, uploads.underWay(destinationId, left.key));
    const mayComeLate = left.uploadId === '' && clock.now() < left.beganMs + lateMs;
    if (!mayComeLate) uploads.endLeft(destinationId, left);
  }
  // With those that came meanwhile: changes go on while the store is asked.
  const dueMs = uploads.left(destinationId).map(({ beganMs }) => beganMs + lateMs);
  route.leftUploadsDueMs = Math.min(...dueMs);
}

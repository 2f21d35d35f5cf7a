// What a claim's upload in parts leaves in the journal while it is under way.
import type { Claim, Journal } from '../journal/journal.ts';
import { endUpload } from '../transfer/begun.ts';
import type { UploadMemory } from '../transfer/request.ts';
import type { Route } from './route.ts';

export type ClaimUploads = ReturnType<typeof uploadMemory>;

export function uploadMemory({ clock }: Route, claim: Claim, journal: Journal) {
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
  };
  return {
    ...memory,
    /** The object was written; where it was in parts, the journal forgets the upload together with the change. */
    completed() {
      completedRow = uploadRow;
    },
    /** Ends an upload that was begun for what the file was before. */
    async endLeft(destination: Route['destination']): Promise<void> {
      const left = journal.uploads.find(routeId, path);
      if (!left || left.uploadRow === completedRow) return;
      await endUpload(destination, left);
      journal.uploads.end(left.uploadRow);
    },
  };
}

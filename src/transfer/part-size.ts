// How a file is cut into parts. S3's limits (user guide, "Multipart upload limits"): 10,000 parts, 5 MiB to 5 GiB each;
// an object 48.8 TiB; one PutObject 5 GiB.

const MiB = 1024 ** 2;
const GiB = 1024 ** 3;

/** Up to here a file is one PutObject from one buffer: one request, an ETag that is an MD5, nothing to resume. */
export const singlePutMax = 8 * MiB;

/** The most that one PutObject takes. */
export const singlePutLimit = 5 * GiB;

const partSizeMin = 16 * MiB;
const partsMax = 10_000;
const partSizeLimit = 5 * GiB;

/** Bytes per part: 16 MiB, which covers 156 GiB, and for larger files as little more as 10,000 parts allow. */
export function partSizeFor(size: number): number {
  return Math.max(partSizeMin, Math.ceil(size / partsMax / MiB) * MiB);
}

/**
 * Of a body that may get so long, and of which several parts are in memory at once: 5 MiB, S3's least, which covers 48 GiB, or as
 * little more as 10,000 parts allow.
 */
export function streamPartSizeFor(sizeMax: number): number {
  return Math.max(5 * MiB, Math.ceil(sizeMax / partsMax / MiB) * MiB);
}

export const objectSizeMax = partsMax * partSizeLimit;

/** Part sizes of other uploaders: aws-cli, rclone and s5cmd, s3cmd, mc. */
const foreignPartSizes = [8 * MiB, 5 * MiB, 50 * MiB, 15 * MiB, 16 * MiB, 64 * MiB, 128 * MiB];

/** The part size with which an object of that size most likely came to have that many parts. */
export function likelyPartSize(size: number, parts: number): number | undefined {
  return [partSizeFor(size), ...foreignPartSizes].find(
    (partSize) => Math.max(1, Math.ceil(size / partSize)) === parts,
  );
}

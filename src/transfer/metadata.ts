// What a file's times and owner look like as object metadata, in rclone's names and forms, so that rclone restores them.
import type { ObjectDescription } from '../core/description.ts';
import type { FileState } from '../core/file.ts';
import type { Preservable } from '../core/policy.ts';

/** Seconds since 1970 with a nanosecond fraction, as rclone writes x-amz-meta-mtime: `1732390000.123456789`. */
export function mtimeToMetadata(mtimeNs: bigint): string {
  const sign = mtimeNs < 0n ? '-' : '';
  const absolute = mtimeNs < 0n ? -mtimeNs : mtimeNs;
  const fraction = (absolute % 1_000_000_000n).toString().padStart(9, '0').replace(/0+$/, '');
  return `${sign}${absolute / 1_000_000_000n}${fraction === '' ? '' : `.${fraction}`}`;
}

/** The inverse; undefined for what is not such a time. */
export function mtimeFromMetadata(text: string | undefined): bigint | undefined {
  const match = /^(-?)(\d+)(?:\.(\d{1,9})\d*)?$/.exec(text ?? '');
  if (!match) return undefined;
  const [, sign, seconds = '0', fraction = ''] = match;
  const absolute = BigInt(seconds) * 1_000_000_000n + BigInt(fraction.padEnd(9, '0'));
  return sign === '-' ? -absolute : absolute;
}

/** Name of the metadata by which a write is known for ours when its answer was lost. */
const writeName = 's3syncd-write';

/**
 * Adds by what an object is known for the one that we wrote. The mtime goes with it: tools that put new content into an
 * object and keep the metadata that they do not know (s3fs, rclone) set the mtime.
 */
export function describeWrite(description: ObjectDescription, writeId: string): ObjectDescription {
  const { metadata } = description;
  return { ...description, metadata: { ...metadata, [writeName]: `${writeId} ${metadata['mtime'] ?? ''}` } };
}

/** The write that made an object, unless another writer came after it. */
export function writeIdFromMetadata(metadata: Readonly<Record<string, string>> = {}): string | undefined {
  const [writeId, mtime] = metadata[writeName]?.split(' ') ?? [];
  return mtime === (metadata['mtime'] ?? '') ? writeId : undefined;
}

/** Adds to what the rules say of an object what is kept of its file: always the mtime, mode and owner on request. */
export function describeFile(
  description: ObjectDescription,
  file: FileState,
  preserve: readonly Preservable[],
): ObjectDescription {
  return {
    ...description,
    metadata: {
      ...description.metadata,
      mtime: mtimeToMetadata(file.mtimeNs),
      ...(preserve.includes('mode') && { mode: file.mode.toString(8) }),
      ...(preserve.includes('owner') && { uid: String(file.uid), gid: String(file.gid) }),
    },
  };
}

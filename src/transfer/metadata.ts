// What a file's times and owner look like as object metadata, in rclone's names and forms, so that rclone restores them;
// and what its content was where it was transformed.
import type { ObjectDescription } from '../core/description.ts';
import type { Baseline } from '../core/baseline.ts';
import type { FileState } from '../core/file.ts';
import { checksumAlgorithms, type Checksum, type TransformedContent } from '../core/object.ts';
import type { Preservable } from '../core/policy.ts';
import { transformName } from '../core/transform.ts';

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

/**
 * Adds to what the rules say of an object what is kept of its file: always the mtime, mode and owner on request, and the
 * size where the body is not the content.
 */
export function describeFile(
  description: ObjectDescription,
  file: FileState,
  preserve: readonly Preservable[],
): ObjectDescription {
  const transform = transformName(description);
  return {
    ...description,
    metadata: {
      ...description.metadata,
      mtime: mtimeToMetadata(file.mtimeNs),
      ...(preserve.includes('mode') && { mode: file.mode.toString(8) }),
      ...(preserve.includes('owner') && { uid: String(file.uid), gid: String(file.gid) }),
      ...(transform !== undefined && { [names.transform]: transform, [names.size]: String(file.size) }),
    },
  };
}

const names = { transform: 's3syncd-transform', size: 's3syncd-size', checksum: 's3syncd-checksum' } as const;

/**
 * Adds the checksum of the content, once that was read. Not where it is encrypted: whoever may read the metadata could try
 * which content it is, and of a short one they would find it.
 */
export function describeContent(description: ObjectDescription, checksum: Checksum): ObjectDescription {
  if (description.recipients) return description;
  const { algorithm, value } = checksum;
  return {
    ...description,
    metadata: { ...description.metadata, [names.checksum]: `${algorithm} ${value}` },
  };
}

/**
 * Describes an object whose body is there already: what was done to its content stays done, whatever the rules have become.
 * @param object as the journal knows it
 */
export function describeBody(
  description: ObjectDescription,
  { transform, checksum, file }: Pick<Baseline, 'transform' | 'checksum' | 'file'>,
): ObjectDescription {
  const isEncrypted = transform?.split(' ').includes('age') === true;
  const known = transform === undefined || isEncrypted ? undefined : checksum;
  if (transformName(description) === transform)
    return known ? describeContent(description, known) : description;
  const { compress: _, recipients: __, contentEncoding: ___, metadata, ...rest } = description;
  const { [names.transform]: ____, [names.size]: _____, ...kept } = metadata;
  if (transform === undefined) return { ...rest, metadata: kept };
  const described = {
    ...rest,
    metadata: { ...kept, [names.transform]: transform, [names.size]: String(file.size) },
    ...(!isEncrypted && { contentEncoding: transform }),
  };
  return known ? describeContent(described, known) : described;
}

/** Undefined for an object whose body is the content. */
export function contentFromMetadata(
  metadata: Readonly<Record<string, string>>,
): TransformedContent | undefined {
  const { [names.transform]: transform, [names.size]: size = '', [names.checksum]: checksum = '' } = metadata;
  if (transform === undefined || !/^\d{1,15}$/.test(size)) return undefined;
  const [name, value] = checksum.split(' ');
  const algorithm = checksumAlgorithms.find((each) => each === name);
  return {
    transform,
    size: Number(size),
    ...(algorithm && value !== undefined && { checksum: { algorithm, value } }),
  };
}

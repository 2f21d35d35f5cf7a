// Asks a store what it does instead of believing its name: many answer 200 to a condition that they ignore. One scratch
// key under the prefix, always the same, removed afterwards where that is allowed.
import { scratchName, type Capabilities } from '../core/capabilities.ts';
import type { Encryption, ObjectDescription } from '../core/description.ts';
import { Failure, unlessDenied } from '../core/failure.ts';
import { checksumOf } from './checksum.ts';
import type { Destination, WriteResult } from './destination.ts';
import type { S3Destination } from './s3.ts';

const plain: ObjectDescription = { tags: {}, metadata: {}, contentType: 'text/plain' };
const tagged: ObjectDescription = { ...plain, tags: { s3syncd: 'probe' } };

/**
 * Probes the store with about a dozen requests.
 * @throws Failure when the scratch key cannot even be written
 */
export async function probe(destination: S3Destination, prefix: string): Promise<Capabilities> {
  const key = `${prefix}${scratchName}`;
  const bytes = Buffer.from('s3syncd asks what this store enforces; this object may be deleted\n');
  const checksum = await checksumOf('crc32', bytes);
  const put = (precondition: Parameters<Destination['put']>[4]) =>
    destination.put(key, { kind: 'bytes', bytes }, plain, checksum, precondition);

  const first = await put({ kind: 'none' });
  const etag = first.kind === 'written' ? first.etag : '';
  try {
    const putIfAbsent = (await answerTo(put({ kind: 'absent' }))) === 'refused';
    const putIfMatch = (await unlessDenied(probeIfMatch(destination, put, etag))) ?? 'denied';
    const head = await unlessDenied(destination.head(key));
    const checksums = head?.kind === 'object' && head.object.checksum?.value === checksum.value;
    return { putIfAbsent, putIfMatch, checksums, ...(await probeMultipart(destination, key, bytes)) };
  } finally {
    // Without the right to delete, one small object stays: said by `check`, harmless otherwise.
    await destination.remove(key, { kind: 'none' }).catch(ignoreFailure);
  }
}

/**
 * True when an object that asks for this encryption has it: stores that know none answer 200 all the same.
 * @throws Failure when the scratch key cannot be written so, say without the right to use the key of KMS
 */
export async function probeEncryption(
  destination: S3Destination,
  prefix: string,
  encryption: Encryption,
): Promise<boolean> {
  const key = `${prefix}${scratchName}`;
  const bytes = Buffer.from('s3syncd asks whether this is encrypted; this object may be deleted\n');
  const checksum = await checksumOf('crc32', bytes);
  await destination.put(key, { kind: 'bytes', bytes }, { ...plain, encryption }, checksum, { kind: 'none' });
  try {
    return (await destination.encryptionOf(key)) === encryption.sse;
  } finally {
    await destination.remove(key, { kind: 'none' }).catch(ignoreFailure);
  }
}

async function probeIfMatch(
  destination: S3Destination,
  put: (precondition: Parameters<Destination['put']>[4]) => Promise<WriteResult>,
  etag: string,
): Promise<Capabilities['putIfMatch']> {
  const other = { kind: 'etag', etag: '"00000000000000000000000000000000"' } as const;
  if ((await answerTo(put(other))) !== 'refused') return 'no';
  for (const form of ['quoted', 'unquoted'] as const) {
    destination.ifMatchQuoted = form === 'quoted';
    if ((await put({ kind: 'etag', etag })).kind === 'written') return form;
  }
  destination.ifMatchQuoted = true;
  return 'no';
}

async function probeMultipart(
  destination: Destination,
  key: string,
  bytes: Buffer,
): Promise<Pick<Capabilities, 'completeIfAbsent' | 'multipartTags'>> {
  const { uploadId } =
    (await unlessDenied(unlessNotUnderstood(destination.createUpload(key, tagged, 'none')))) ??
    (await destination.createUpload(key, plain, 'none'));
  const upload = { key, uploadId };
  try {
    const signal = AbortSignal.timeout(60_000);
    const parts = [await destination.uploadPart(upload, 1, bytes, undefined, signal)];
    const conditional = await answerTo(destination.completeUpload(upload, parts, { kind: 'absent' }));
    // Refused, as it should be: complete it without a condition, to see whether the tags were kept.
    if (conditional !== 'written') await destination.completeUpload(upload, parts, { kind: 'none' });
    const multipartTags = (await unlessDenied(destination.tagCount(key))) === 1;
    return { completeIfAbsent: conditional === 'refused', multipartTags };
  } finally {
    await destination.abortUpload(upload).catch(ignoreFailure);
  }
}

/** `refused`: the store answered that the condition does not hold; 501 and the like mean that it knows no conditions. */
async function answerTo(write: Promise<WriteResult>): Promise<'written' | 'refused' | 'not-understood'> {
  const answer = await unlessNotUnderstood(write);
  if (!answer) return 'not-understood';
  return answer.kind === 'written' ? 'written' : 'refused';
}

/** Undefined where the store cannot do that at all. */
async function unlessNotUnderstood<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof Failure && error.class === 'permanent') return undefined;
    throw error;
  }
}

function ignoreFailure(error: unknown): void {
  if (!(error instanceof Failure)) throw error;
}

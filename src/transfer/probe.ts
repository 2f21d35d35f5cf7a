// Asks a store what it does instead of believing its name: many answer 200 to a condition that they ignore. One scratch
// key under the prefix, always the same, removed afterwards where that is allowed.
import { scratchName, type Capabilities } from '../core/capabilities.ts';
import type { Encryption, ObjectDescription } from '../core/description.ts';
import { Failure, unlessDenied, unlessForbidden } from '../core/failure.ts';
import type { Precondition } from '../core/object.ts';
import { checksumOf } from './checksum.ts';
import type { Destination, WriteResult } from './destination.ts';
import type { S3Destination } from './s3.ts';

const plain: ObjectDescription = { tags: {}, metadata: {}, contentType: 'text/plain' };
const tagged: ObjectDescription = { ...plain, tags: { s3syncd: 'probe' } };

/**
 * Probes the store with about sixteen requests, and with as many more where it seems to lack something.
 * @throws Failure when the scratch key cannot even be written
 */
export async function probe(destination: Destination, prefix: string): Promise<Capabilities> {
  const found = await ask(destination, prefix);
  const lacks = Object.values(found).some((capability) => capability === false || capability === 'no');
  return lacks ? either(found, await ask(destination, prefix)) : found;
}

/**
 * What was refused once is enforced. That nothing was refused proves less: another daemon that begins at the same moment
 * asks at the same key, and takes away what this one asks about.
 */
function either(one: Capabilities, other: Capabilities): Capabilities {
  return {
    putIfAbsent: one.putIfAbsent || other.putIfAbsent,
    putIfMatch: one.putIfMatch === 'no' ? other.putIfMatch : one.putIfMatch,
    completeIfAbsent: one.completeIfAbsent || other.completeIfAbsent,
    copySourceIfMatch: one.copySourceIfMatch || other.copySourceIfMatch,
    copyIfAbsent: one.copyIfAbsent || other.copyIfAbsent,
    copyIfMatch: one.copyIfMatch || other.copyIfMatch,
    deleteIfMatch: one.deleteIfMatch || other.deleteIfMatch,
    checksums: one.checksums || other.checksums,
    multipartTags: one.multipartTags || other.multipartTags,
  };
}

async function ask(destination: Destination, prefix: string): Promise<Capabilities> {
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
    const seen = head?.kind === 'object' ? head.object : undefined;
    const checksums = seen?.checksum?.value === checksum.value;
    const copies = seen && (await unlessForbidden(probeCopies(destination, key, seen.etag)));
    const multipart = await probeMultipart(destination, key, bytes);
    const deleteIfMatch = (await unlessDenied(probeDelete(destination, key))) ?? 'denied';
    return { putIfAbsent, putIfMatch, checksums, ...(copies ?? noCopies), ...multipart, deleteIfMatch };
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

const anotherEtag = { kind: 'etag', etag: '"00000000000000000000000000000000"' } as const;

/** The last question: a store that ignores the condition has deleted the scratch object. */
async function probeDelete(destination: Destination, key: string): Promise<boolean> {
  const removed = await unlessNotUnderstood(destination.remove(key, anotherEtag));
  return removed?.kind === 'precondition-failed';
}

async function probeIfMatch(
  destination: Destination,
  put: (precondition: Parameters<Destination['put']>[4]) => Promise<WriteResult>,
  etag: string,
): Promise<Capabilities['putIfMatch']> {
  if ((await answerTo(put(anotherEtag))) !== 'refused') return 'no';
  for (const form of ['quoted', 'unquoted'] as const) {
    destination.ifMatchQuoted = form === 'quoted';
    if ((await put({ kind: 'etag', etag })).kind === 'written') return form;
  }
  destination.ifMatchQuoted = true;
  return 'no';
}

type CopyCapabilities = Pick<Capabilities, 'copySourceIfMatch' | 'copyIfAbsent' | 'copyIfMatch'>;

const noCopies: CopyCapabilities = { copySourceIfMatch: false, copyIfAbsent: false, copyIfMatch: false };

/** Copies the scratch object onto itself: a store that holds to conditions does so once, for the one that is true. */
async function probeCopies(destination: Destination, key: string, first: string): Promise<CopyCapabilities> {
  let etag = first;
  const copy = async (source: string, precondition: Precondition) => {
    const result = await destination.copy({ key, etag: source }, key, plain, precondition);
    if (result.kind === 'written') ({ etag } = result);
    return result.kind;
  };
  const copySourceIfMatch = (await copy(anotherEtag.etag, { kind: 'none' })) === 'source-changed';
  const copyIfAbsent = (await copy(etag, { kind: 'absent' })) === 'precondition-failed';
  const refusesIfMatch = (await copy(etag, anotherEtag)) === 'precondition-failed';
  const copyIfMatch = refusesIfMatch && (await copy(etag, { kind: 'etag', etag })) === 'written';
  return { copySourceIfMatch, copyIfAbsent, copyIfMatch };
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

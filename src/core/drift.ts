// Drift: what the rules say of an object by now, against what they said when it was written. What was said is remembered as
// one text, so that the thousands of objects of which the same was said share it.
import type { Encryption, ObjectDescription, ObjectLock, RetainUntil } from './description.ts';
import type { ChecksumAlgorithm } from './object.ts';

/** What can differ, by its key in the config. */
const driftFields = [
  'key',
  'tags',
  'metadata',
  'storage-class',
  'content-type',
  'content-encoding',
  'content-disposition',
  'content-language',
  'cache-control',
  'expires',
  'website-redirect',
  'acl',
  'sse',
  'object-lock',
  'checksum',
  'compress',
  'encrypt',
] as const;
export type DriftField = (typeof driftFields)[number];

/** What was said of an object, and when: ages in rules are judged as of then. */
export interface Recorded {
  readonly text: string;
  readonly atMs: number;
}

/** Metadata that follows the file, the write or the body, not the rules. */
function isOurOwn(name: string): boolean {
  return ['mtime', 'mode', 'uid', 'gid'].includes(name) || name.startsWith('s3syncd-');
}

/**
 * The text that is remembered of a description: equal exactly when the same was said.
 * @param checksum what was sent with the body
 * @param digest of a key of SSE-C, which is never written down
 */
export function recordedText(
  description: ObjectDescription,
  checksum: ChecksumAlgorithm | 'none',
  digest: (key: string) => string,
): string {
  const { metadata, storageClass, encryption, objectLock } = description;
  const rules = Object.entries(metadata).filter(([name]) => !isOurOwn(name));
  const fields: Readonly<Record<Exclude<DriftField, 'key'>, unknown>> = {
    tags: sorted(description.tags),
    metadata: sorted(Object.fromEntries(rules)),
    // What S3 takes where nothing is said.
    'storage-class': storageClass === 'STANDARD' ? undefined : storageClass,
    'content-type': description.contentType,
    'content-encoding': description.contentEncoding,
    'content-disposition': description.contentDisposition,
    'content-language': description.contentLanguage,
    'cache-control': description.cacheControl,
    expires: description.expiresMs,
    'website-redirect': description.websiteRedirect,
    acl: description.access,
    sse: encryption && recordedEncryption(encryption, digest),
    'object-lock': objectLock && recordedLock(objectLock),
    checksum,
    compress: description.compress,
    encrypt: description.recipients,
  };
  return JSON.stringify(fields);
}

function recordedEncryption(encryption: Encryption, digest: (key: string) => string) {
  if (encryption.sse === 'customer') return { sse: 'customer', digest: digest(encryption.key) };
  return encryption.sse === 'AES256' ? encryption : { ...encryption, context: sorted(encryption.context) };
}

/** A legal hold that is off is none. */
function recordedLock({ retention, legalHold }: ObjectLock): ObjectLock | undefined {
  if (!retention && !legalHold) return undefined;
  return { ...(retention && { retention }), ...(legalHold && { legalHold }) };
}

/** In one order, and nothing where nothing is said: rules that were only moved say the same. */
function sorted(values: Readonly<Record<string, string>> | undefined): Record<string, string> | undefined {
  const entries = Object.entries(values ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

type Fields = Readonly<Record<string, unknown>>;

/** The digest of the key of SSE-C with which the object was written. */
export function recordedKeyDigest(text: string): string | undefined {
  const { sse } = JSON.parse(text) as { sse?: { digest?: string } };
  return sse?.digest;
}

/** The fields of which the two say different things. */
export function differingFields(recordedText: string, wantedText: string): DriftField[] {
  if (recordedText === wantedText) return [];
  const [recorded, wanted] = [JSON.parse(recordedText) as Fields, JSON.parse(wantedText) as Fields];
  return driftFields.filter((field) => JSON.stringify(recorded[field]) !== JSON.stringify(wanted[field]));
}

/** Why an object cannot be brought in line where it is. */
const refusals = ['archived', 'too-large-to-copy', 'lock-shortened', 'encryption-key-unknown'] as const;
export type Refusal = (typeof refusals)[number];

/** How an object is brought in line. */
export type Remedy =
  /** One request for each of these; the object stays as it is. */
  | { readonly kind: 'put'; readonly fields: readonly InPlaceField[] }
  /** A copy onto itself, by the store: S3 has no other way to change what an object was written with. */
  | { readonly kind: 'copy' }
  /** The file has to be sent again. */
  | { readonly kind: 'upload' }
  | { readonly kind: 'refused'; readonly reason: Refusal };

/** What an object gets only when its file is sent. */
const ofTheUpload: readonly DriftField[] = ['key', 'checksum', 'compress', 'encrypt'];

const inPlaceFields = ['tags', 'acl', 'object-lock'] as const;
export type InPlaceField = (typeof inPlaceFields)[number];

/** CopyObject takes no more (Amazon S3 API reference). */
const copyBytesMax = 5 * 1024 ** 3;

/** Classes whose objects must be restored before they can be read, also by a copy. */
const archiveClasses: readonly unknown[] = ['GLACIER', 'DEEP_ARCHIVE'];

/** What is to be done about differing fields, of which there is at least one. */
export function remedyFor(
  fields: readonly DriftField[],
  recorded: Recorded,
  wanted: ObjectDescription,
  size: number,
  nowMs: number,
): Remedy {
  const was = JSON.parse(recorded.text) as Fields;
  if (
    fields.includes('object-lock') &&
    shortens(was['object-lock'] as ObjectLock | undefined, wanted.objectLock, recorded.atMs, nowMs)
  )
    return { kind: 'refused', reason: 'lock-shortened' };
  if (fields.some((field) => ofTheUpload.includes(field))) return { kind: 'upload' };
  const inPlace = inPlaceFields.filter((field) => fields.includes(field));
  if (inPlace.length === fields.length) return { kind: 'put', fields: inPlace };
  if (archiveClasses.includes(was['storage-class'])) return { kind: 'refused', reason: 'archived' };
  return size > copyBytesMax ? { kind: 'refused', reason: 'too-large-to-copy' } : { kind: 'copy' };
}

/** What was locked stays locked for as long as was said, unless a rule takes a legal hold away in so many words. */
function shortens(
  was: ObjectLock | undefined,
  wanted: ObjectLock | undefined,
  writtenMs: number,
  nowMs: number,
): boolean {
  if (was?.legalHold && wanted?.legalHold === undefined) return true;
  if (!was?.retention) return false;
  const untilMs = retainedUntilMs(was.retention.until, writtenMs);
  if (untilMs <= nowMs) return false;
  if (!wanted?.retention || retainedUntilMs(wanted.retention.until, writtenMs) < untilMs) return true;
  return was.retention.mode === 'COMPLIANCE' && wanted.retention.mode === 'GOVERNANCE';
}

/** @param writtenMs when the object was */
export function retainedUntilMs(until: RetainUntil, writtenMs: number): number {
  return until.kind === 'at' ? until.atMs : writtenMs + until.durationMs;
}

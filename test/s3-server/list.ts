// Listings. Keys come in the order of their UTF-8 bytes, straight from the index; a delimiter skips a whole
// group with one seek.
import { query, xmlAnswer, type Answer, type Call } from './call.ts';
import { s3Error } from './errors.ts';
import { pageSize } from './multipart.ts';
import { encode } from './request.ts';
import type { ObjectVersion, Upload } from './store.ts';
import { document, element, group } from './xml.ts';

/** One line of a listing: an entry, or a group of keys that share a prefix. */
type Line<T> = { entry: T; prefix?: never } | { prefix: string; entry?: never };

interface Page<T> {
  lines: Line<T>[];
  isTruncated: boolean;
}

interface Selection {
  prefix: string;
  delimiter: string;
  /** Begin after this key or group. */
  after: string;
  max: number;
}

function collect<T extends { key: string }>(
  selection: Selection,
  walk: (from: string) => Iterable<T>,
  isBefore: (entry: T) => boolean = () => false,
): Page<T> {
  const { prefix, delimiter, after, max } = selection;
  const lines: Line<T>[] = [];
  let from: string | undefined = first(prefix, after);
  while (from !== undefined) {
    let next: string | undefined;
    for (const entry of walk(from)) {
      if (!entry.key.startsWith(prefix)) break;
      if (isBefore(entry)) continue;
      const groupOfKey = commonPrefix(entry.key, prefix, delimiter);
      const isPast = groupOfKey !== undefined && groupOfKey === after;
      if (!isPast && lines.length === max) return { lines, isTruncated: max > 0 };
      if (groupOfKey === undefined) lines.push({ entry });
      else {
        if (!isPast) lines.push({ prefix: groupOfKey });
        next = successor(groupOfKey);
        break;
      }
    }
    from = next;
  }
  return { lines, isTruncated: false };
}

// The smallest string that can be in the page. `\0` makes the next one in byte order.
function first(prefix: string, after: string): string {
  if (after === '') return prefix;
  const next = `${after}\0`;
  return byteOrder(next, prefix) > 0 ? next : prefix;
}

// JavaScript compares UTF-16 units, which puts emoji before U+FF5E.
function byteOrder(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function commonPrefix(key: string, prefix: string, delimiter: string): string | undefined {
  if (delimiter === '') return undefined;
  const found = key.indexOf(delimiter, prefix.length);
  return found < 0 ? undefined : key.slice(0, found + delimiter.length);
}

/** The first string in byte order that does not begin with `text`; undefined when there is none. */
function successor(text: string): string | undefined {
  const points = Array.from(text, (char) => char.codePointAt(0)!);
  while (points.length > 0) {
    const last = points.pop()!;
    if (last === 0x10ffff) continue;
    // Surrogates are no characters.
    return String.fromCodePoint(...points, last === 0xd7ff ? 0xe000 : last + 1);
  }
  return undefined;
}

interface Style {
  /** Applies encoding-type=url. */
  shown: (text: string) => string;
  encodingType: string | undefined;
}

function style(call: Call): Style {
  const encodingType = query(call, 'encoding-type');
  if (encodingType !== undefined && encodingType !== 'url') {
    throw s3Error('InvalidArgument', 'Invalid Encoding Method specified in Request');
  }
  // S3 leaves slashes as they are.
  const shown =
    encodingType === 'url' ? (text: string) => encode(text).replaceAll('%2F', '/') : (text: string) => text;
  return { shown, encodingType };
}

function selection(call: Call, after: string, maxName = 'max-keys'): Selection {
  return {
    prefix: query(call, 'prefix') ?? '',
    delimiter: query(call, 'delimiter') ?? '',
    after,
    max: pageSize(query(call, maxName), maxName),
  };
}

function owner(call: Call): string {
  return group('Owner', element('ID', call.accountId));
}

function contents(version: ObjectVersion, { shown }: Style, ownerField: string): string {
  return group(
    'Contents',
    element('Key', shown(version.key)),
    element('LastModified', new Date(version.modifiedMs).toISOString()),
    element('ETag', `"${version.etag}"`),
    element('ChecksumAlgorithm', version.checksum?.algorithm),
    element('ChecksumType', version.checksum?.type),
    element('Size', version.size),
    ownerField,
    element('StorageClass', version.storageClass),
  );
}

function commonPrefixes(lines: readonly Line<unknown>[], { shown }: Style): string {
  return lines
    .map(({ prefix }) =>
      prefix === undefined ? '' : group('CommonPrefixes', element('Prefix', shown(prefix))),
    )
    .join('');
}

/** The optional fields that echo the request. */
function echo({ prefix, delimiter, max }: Selection, { shown, encodingType }: Style): string[] {
  return [
    element('Prefix', shown(prefix)),
    element('Delimiter', delimiter === '' ? undefined : shown(delimiter)),
    element('MaxKeys', max),
    element('EncodingType', encodingType),
  ];
}

function lastOf(page: Page<{ key: string }>): string {
  const line = page.lines.at(-1);
  return line?.prefix ?? line?.entry?.key ?? '';
}

export function listObjectsV2(call: Call): Answer {
  if (call.legacy.has('list-v1-only')) return listObjects(call);
  const { bucket } = call.request;
  const token = query(call, 'continuation-token');
  const startAfter = query(call, 'start-after');
  const chosen = selection(call, token === undefined ? (startAfter ?? '') : decodeToken(token));
  const look = style(call);
  const page = collect(chosen, (from) => call.store.walk(bucket, from));
  const ownerField = query(call, 'fetch-owner') === 'true' ? owner(call) : '';
  const next = page.isTruncated ? Buffer.from(lastOf(page)).toString('base64url') : undefined;
  return xmlAnswer(
    document(
      'ListBucketResult',
      element('Name', bucket),
      ...echo(chosen, look),
      element('StartAfter', startAfter === undefined ? undefined : look.shown(startAfter)),
      element('ContinuationToken', token),
      element('NextContinuationToken', next),
      element('KeyCount', page.lines.length),
      element('IsTruncated', page.isTruncated),
      ...page.lines.map(({ entry }) => (entry === undefined ? '' : contents(entry, look, ownerField))),
      commonPrefixes(page.lines, look),
    ),
  );
}

function decodeToken(token: string): string {
  const text = Buffer.from(token, 'base64url').toString('utf8');
  if (text === '' || Buffer.from(text).toString('base64url') !== token) {
    throw s3Error('InvalidArgument', 'The continuation token provided is incorrect');
  }
  return text;
}

export function listObjects(call: Call): Answer {
  const { bucket } = call.request;
  const marker = query(call, 'marker') ?? '';
  const chosen = selection(call, marker);
  const look = style(call);
  const page = collect(chosen, (from) => call.store.walk(bucket, from));
  // AWS sends NextMarker only when there is a delimiter; else the last key serves.
  const next = page.isTruncated && chosen.delimiter !== '' ? look.shown(lastOf(page)) : undefined;
  return xmlAnswer(
    document(
      'ListBucketResult',
      element('Name', bucket),
      ...echo(chosen, look),
      element('Marker', look.shown(marker)),
      element('NextMarker', next),
      element('IsTruncated', page.isTruncated),
      ...page.lines.map(({ entry }) => (entry === undefined ? '' : contents(entry, look, owner(call)))),
      commonPrefixes(page.lines, look),
    ),
  );
}

export function listObjectVersions(call: Call): Answer {
  const { bucket } = call.request;
  const keyMarker = query(call, 'key-marker') ?? '';
  const versionMarker = query(call, 'version-id-marker');
  if (versionMarker !== undefined && keyMarker === '') {
    throw s3Error('InvalidArgument', 'A version-id marker cannot be specified without a key marker.');
  }
  const look = style(call);
  // With a version marker the key itself is looked at again, up to that version.
  const chosen = selection(call, versionMarker === undefined ? keyMarker : '');
  let isReached = versionMarker === undefined;
  const isBefore = (version: ObjectVersion): boolean => {
    if (isReached || version.key !== keyMarker) return false;
    isReached = version.versionId === versionMarker;
    return true;
  };
  const from = (start: string): string =>
    versionMarker === undefined || byteOrder(start, keyMarker) > 0 ? start : keyMarker;
  const page = collect(chosen, (start) => call.store.walkVersions(bucket, from(start)), isBefore);
  const last = page.lines.at(-1);
  return xmlAnswer(
    document(
      'ListVersionsResult',
      element('Name', bucket),
      ...echo(chosen, look),
      element('KeyMarker', look.shown(keyMarker)),
      element('VersionIdMarker', versionMarker ?? ''),
      element('NextKeyMarker', page.isTruncated ? look.shown(lastOf(page)) : undefined),
      element('NextVersionIdMarker', page.isTruncated ? last?.entry?.versionId : undefined),
      element('IsTruncated', page.isTruncated),
      ...page.lines.map(({ entry }) => (entry === undefined ? '' : versionEntry(call, entry, look))),
      commonPrefixes(page.lines, look),
    ),
  );
}

function versionEntry(call: Call, version: ObjectVersion, look: Style): string {
  const common = [
    element('Key', look.shown(version.key)),
    element('VersionId', version.versionId),
    element('IsLatest', version.isLatest),
    element('LastModified', new Date(version.modifiedMs).toISOString()),
    owner(call),
  ];
  if (version.isDeleteMarker) return group('DeleteMarker', ...common);
  const own = [element('ETag', `"${version.etag}"`), element('Size', version.size)];
  return group('Version', ...common, ...own, element('StorageClass', version.storageClass));
}

export function listMultipartUploads(call: Call): Answer {
  const { bucket } = call.request;
  const keyMarker = query(call, 'key-marker') ?? '';
  const uploadMarker = query(call, 'upload-id-marker') ?? '';
  const look = style(call);
  const chosen = selection(call, uploadMarker === '' ? keyMarker : '', 'max-uploads');
  const uploads = afterMarker(call.store.uploads(bucket), keyMarker, uploadMarker);
  const walk = (from: string): Upload[] => uploads.filter(({ key }) => byteOrder(key, from) >= 0);
  const page = collect(chosen, walk);
  const last = page.lines.at(-1);
  const { prefix, delimiter, max } = chosen;
  return xmlAnswer(
    document(
      'ListMultipartUploadsResult',
      element('Bucket', bucket),
      element('KeyMarker', look.shown(keyMarker)),
      element('UploadIdMarker', uploadMarker),
      element('NextKeyMarker', look.shown(lastOf(page))),
      element('NextUploadIdMarker', last?.entry?.id ?? ''),
      element('Prefix', look.shown(prefix)),
      element('Delimiter', delimiter === '' ? undefined : look.shown(delimiter)),
      element('MaxUploads', max),
      element('EncodingType', look.encodingType),
      element('IsTruncated', page.isTruncated),
      ...page.lines.map(({ entry }) => (entry === undefined ? '' : uploadEntry(call, entry, look))),
      commonPrefixes(page.lines, look),
    ),
  );
}

/** Uploads of one key go on after the marker's one; the key alone skips all of them. */
function afterMarker(uploads: Upload[], keyMarker: string, uploadMarker: string): Upload[] {
  if (uploadMarker === '') return uploads;
  const index = uploads.findIndex(({ key, id }) => key === keyMarker && id === uploadMarker);
  return uploads.slice(index + 1);
}

function uploadEntry(call: Call, upload: Upload, look: Style): string {
  return group(
    'Upload',
    element('Key', look.shown(upload.key)),
    element('UploadId', upload.id),
    group('Initiator', element('ID', call.accountId)),
    owner(call),
    element('StorageClass', upload.storageClass),
    element('Initiated', new Date(upload.initiatedMs).toISOString()),
    element('ChecksumAlgorithm', upload.checksumAlgorithm),
    element('ChecksumType', upload.checksumType),
  );
}

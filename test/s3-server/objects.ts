// Objects: put, get, head, delete, copy, tags, retention and legal hold.
import { createHash, randomUUID } from 'node:crypto';
import {
  attributesOf,
  checkAcl,
  checkCustomerKey,
  describeContent,
  legalHold,
  placement,
  rejectTagging,
  retention,
  tagsOfDocument,
  tagsOfHeader,
} from './attributes.ts';
import {
  bucketOf,
  findVersion,
  noContent,
  query,
  require,
  versionHeader,
  xmlAnswer,
  type Answer,
  type Call,
} from './call.ts';
import { checksumElement, checksumHeaders, createDigest, type Checksum } from './checksums.ts';
import {
  checkCopySourceConditions,
  checkDeleteCondition,
  checkReadConditions,
  checkWriteConditions,
} from './conditions.ts';
import { S3Error, s3Error } from './errors.ts';
import { readSegments } from './bodies.ts';
import { copyPermissions, decryption } from './permissions.ts';
import { checkKey } from './request.ts';
import type { NewObject, ObjectVersion } from './store.ts';
import {
  children,
  document,
  element,
  group,
  parseDocument,
  requiredText,
  text,
  type XmlNode,
} from './xml.ts';

const deleteKeysMax = 1000;
const copyBytesMax = 5 * 1024 ** 3;

export function putObject(call: Call): Answer {
  const body = call.body!;
  const attributes = attributesOf(call);
  const isLocking = Object.keys(call.headers).some((name) => name.startsWith('x-amz-object-lock-'));
  if (isLocking) requireProtected(call);
  checkWriteConditions(call);
  const object: NewObject = {
    ...attributes,
    bucket: call.request.bucket,
    key: call.key,
    etag: etagOf(call, body.md5),
    body: [body.segment],
  };
  if (body.checksum !== undefined) object.checksum = { ...body.checksum, type: 'FULL_OBJECT' };
  const version = call.store.write(object, call.requester);
  return { status: 200, headers: writtenHeaders(call, version) };
}

/** The `opaque-etags` switch: like the ETags of stores that encrypt or chunk internally. */
export function etagOf(call: Call, md5: string): string {
  return call.legacy.has('opaque-etags') ? `o${randomUUID().replaceAll('-', '')}` : md5;
}

export function requireProtected(call: Call): void {
  if (call.body!.isProtected || call.legacy.has('ignore-checksums')) return;
  throw s3Error(
    'InvalidRequest',
    'Missing required header for this request: Content-MD5 OR x-amz-checksum-*',
  );
}

function writtenHeaders(call: Call, version: ObjectVersion): Record<string, string> {
  return {
    etag: `"${version.etag}"`,
    ...version.encryption,
    ...checksumAnswer(version.checksum),
    ...versionHeader(call, version.versionId),
  };
}

function checksumAnswer(checksum: Checksum | undefined): Record<string, string> {
  if (checksum === undefined) return {};
  return { [checksumHeaders[checksum.algorithm]]: checksum.value, 'x-amz-checksum-type': checksum.type };
}

export function headObject(call: Call): Answer {
  const { status, headers } = getObject(call);
  return { status, headers: headers! };
}

const archived: readonly string[] = ['GLACIER', 'DEEP_ARCHIVE'];
const overrides = [
  'response-cache-control',
  'response-content-disposition',
  'response-content-encoding',
  'response-content-language',
  'response-content-type',
  'response-expires',
];

/** What was not restored can be neither read nor copied. */
function refuseArchived({ storageClass }: ObjectVersion): void {
  if (archived.includes(storageClass)) {
    throw s3Error('InvalidObjectState', undefined, { StorageClass: storageClass });
  }
}

export function getObject(call: Call): Answer {
  const version = findVersion(call);
  checkReadConditions(version, call.headers);
  checkCustomerKey(version, call.headers);
  const isChecksumWanted = call.headers['x-amz-checksum-mode']?.toUpperCase() === 'ENABLED';
  if (call.request.method === 'GET' || (isChecksumWanted && version.checksum))
    require(call, decryption(version));
  if (call.request.method === 'GET') refuseArchived(version);
  const part = requestedPart(call, version);
  const range = part ?? requestedRange(call.headers['range'], version.size);
  const { start, end } = range ?? { start: 0, end: version.size };
  const headers = describe(call, version);
  headers['content-length'] = String(end - start);
  for (const name of overrides) {
    const value = query(call, name);
    if (value !== undefined) headers[name.slice('response-'.length)] = value;
  }
  // A checksum of the whole object says nothing about a range of it.
  if (isChecksumWanted && range === undefined) {
    Object.assign(headers, checksumAnswer(version.checksum));
  }
  if (range !== undefined) headers['content-range'] = `bytes ${start}-${end - 1}/${version.size}`;
  if (part !== undefined && version.parts) headers['x-amz-mp-parts-count'] = String(version.parts.length);
  const body = { segments: version.body, start, end };
  return { status: range === undefined ? 200 : 206, headers, body };
}

function describe(call: Call, version: ObjectVersion): Record<string, string> {
  const headers: Record<string, string> = {
    ...version.headers,
    ...version.encryption,
    ...versionHeader(call, version.versionId),
    etag: `"${version.etag}"`,
    'last-modified': new Date(version.modifiedMs).toUTCString(),
    'accept-ranges': 'bytes',
  };
  // AWS: the storage class is returned for all but S3 Standard objects.
  if (version.storageClass !== 'STANDARD') headers['x-amz-storage-class'] = version.storageClass;
  // AWS tells these only to those who may ask for them.
  const may = (action: string) => call.may({ action, bucket: version.bucket, key: version.key });
  if (version.tags.length > 0 && may('s3:GetObjectTagging'))
    headers['x-amz-tagging-count'] = String(version.tags.length);
  if (version.retention !== undefined && may('s3:GetObjectRetention')) {
    headers['x-amz-object-lock-mode'] = version.retention.mode;
    headers['x-amz-object-lock-retain-until-date'] = new Date(version.retention.untilMs).toISOString();
  }
  if (version.legalHold !== undefined && may('s3:GetObjectLegalHold'))
    headers['x-amz-object-lock-legal-hold'] = version.legalHold;
  return headers;
}

interface ByteRange {
  start: number;
  /** Not included. */
  end: number;
}

/** Undefined for the whole object: no range, or one that RFC 9110 says to ignore. */
function requestedRange(header: string | undefined, size: number): ByteRange | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  if (match === null || (match[1] === '' && match[2] === '')) return undefined;
  const [first, last] = [match[1]!, match[2]!];
  const start = first === '' ? Math.max(size - Number(last), 0) : Number(first);
  const end = first === '' || last === '' ? size : Math.min(Number(last) + 1, size);
  if (first !== '' && last !== '' && Number(last) < start) return undefined;
  if (start >= size) {
    throw s3Error('InvalidRange', undefined, { RangeRequested: header!, ActualObjectSize: String(size) });
  }
  return { start, end };
}

function requestedPart(call: Call, version: ObjectVersion): ByteRange | undefined {
  const number = query(call, 'partNumber');
  if (number === undefined) return undefined;
  const parts = version.parts ?? [{ number: 1, size: version.size }];
  const index = Number(number) - 1;
  const part = parts[index];
  if (part === undefined) throw s3Error('InvalidRange', 'The requested partnumber is not satisfiable');
  const start = parts.slice(0, index).reduce((sum, { size }) => sum + size, 0);
  return { start, end: start + part.size };
}

export function deleteObject(call: Call): Answer {
  const ifMatch = call.headers['if-match'];
  const versionId = query(call, 'versionId');
  // AWS rejects the combination even when the version is the current one and the ETag matches.
  if (ifMatch !== undefined && versionId !== undefined) throw s3Error('NotImplemented');
  checkDeleteCondition(call, call.key, ifMatch);
  const deleted = deleteOne(call, call.key, versionId);
  return {
    status: 204,
    headers: {
      ...(deleted.isDeleteMarker && { 'x-amz-delete-marker': 'true' }),
      ...(deleted.versionId !== undefined && { 'x-amz-version-id': deleted.versionId }),
    },
  };
}

interface Deleted {
  versionId?: string;
  isDeleteMarker: boolean;
}

function deleteOne(call: Call, key: string, versionId: string | undefined): Deleted {
  const { bucket } = call.request;
  if (versionId === undefined) {
    const marker = call.store.remove(bucket, key, call.requester);
    return marker === undefined
      ? { isDeleteMarker: false }
      : { versionId: marker.versionId, isDeleteMarker: true };
  }
  const version = call.store.version(bucket, key, versionId);
  if (version === undefined) return { versionId, isDeleteMarker: false };
  checkLock(call, version);
  call.store.removeVersion(version, call.requester);
  return { versionId, isDeleteMarker: version.isDeleteMarker };
}

function checkLock(call: Call, version: ObjectVersion): void {
  if (version.legalHold === 'ON') throw lockedError();
  checkRetention(call, version);
}

function checkRetention(call: Call, { retention }: ObjectVersion): void {
  if (retention === undefined || retention.untilMs <= call.requester.nowMs) return;
  if (retention.mode === 'COMPLIANCE' || !bypassesGovernance(call)) throw lockedError();
}

function lockedError(): S3Error {
  return s3Error('AccessDenied', 'Access Denied because object protected by object lock.');
}

function bypassesGovernance(call: Call): boolean {
  return call.headers['x-amz-bypass-governance-retention']?.toLowerCase() === 'true';
}

export function deleteObjects(call: Call): Answer {
  requireProtected(call);
  const root = parseDocument(call.document, 'Delete');
  const entries = children(root, 'Object');
  if (entries.length === 0 || entries.length > deleteKeysMax) throw s3Error('MalformedXML');
  const isQuiet = text(root, 'Quiet') === 'true';
  const results = entries.map((entry) => deleteEntry(call, entry, isQuiet));
  return xmlAnswer(document('DeleteResult', ...results));
}

function deleteEntry(call: Call, entry: XmlNode, isQuiet: boolean): string {
  const key = requiredText(entry, 'Key');
  const versionId = text(entry, 'VersionId');
  try {
    checkKey(key);
    const action = versionId === undefined ? 's3:DeleteObject' : 's3:DeleteObjectVersion';
    require(call, [{ action, bucket: call.request.bucket, key }]);
    checkDeleteCondition({ ...call, key }, key, text(entry, 'ETag'));
    const deleted = deleteOne(call, key, versionId);
    if (isQuiet) return '';
    const marker = deleted.isDeleteMarker
      ? element('DeleteMarker', true) + element('DeleteMarkerVersionId', deleted.versionId)
      : '';
    return group('Deleted', element('Key', key), element('VersionId', versionId), marker);
  } catch (error) {
    if (!(error instanceof S3Error)) throw error;
    const { code, message } = error;
    const details = [element('VersionId', versionId), element('Code', code), element('Message', message)];
    return group('Error', element('Key', key), ...details);
  }
}

/** The object named by x-amz-copy-source, allowed and conditions checked. */
export function copySource(call: Call): ObjectVersion {
  const match = /^\/?([^/]+)\/([^?]+)(?:\?versionId=(.+))?$/.exec(call.headers['x-amz-copy-source']!);
  if (match === null) throw s3Error('InvalidArgument', 'Copy Source must mention the source bucket and key');
  const [bucket, key] = [decodeURIComponent(match[1]!), decodeURIComponent(match[2]!)];
  if (call.store.bucket(bucket) === undefined)
    throw s3Error('NoSuchBucket', undefined, { BucketName: bucket });
  require(call, [{ action: match[3] === undefined ? 's3:GetObject' : 's3:GetObjectVersion', bucket, key }]);
  const version =
    match[3] === undefined ? call.store.current(bucket, key) : call.store.version(bucket, key, match[3]);
  if (version === undefined) throw s3Error(match[3] === undefined ? 'NoSuchKey' : 'NoSuchVersion');
  require(call, [...copyPermissions(call, version), ...decryption(version)]);
  if (!call.legacy.has('ignore-conditions-on-copy')) checkCopySourceConditions(version, call.headers);
  checkCustomerKey(version, call.headers, 'x-amz-copy-source-server-side-encryption-customer');
  refuseArchived(version);
  return version;
}

export function copyObject(call: Call): Answer {
  const source = copySource(call);
  if (source.size > copyBytesMax)
    throw s3Error('InvalidRequest', 'The specified copy source is larger than 5 GiB');
  const replacesMetadata = directive(call, 'x-amz-metadata-directive') === 'REPLACE';
  const replacesTags = directive(call, 'x-amz-tagging-directive') === 'REPLACE';
  checkSelfCopy(call, source, replacesMetadata);
  if (!call.legacy.has('ignore-conditions-on-copy')) checkWriteConditions(call);
  const givenTags = call.legacy.has('drop-copy-tags') ? [] : tagsOfHeader(call);
  const object: NewObject = {
    ...placement(call),
    headers: replacesMetadata ? describeContent(call) : source.headers,
    tags: replacesTags ? givenTags : source.tags,
    bucket: call.request.bucket,
    key: call.key,
    etag: etagOf(call, source.parts === undefined ? source.etag : md5Of(call, source)),
    body: source.body.map((segment) => call.store.bodies.duplicate(segment)),
  };
  const checksum = copyChecksum(call, source);
  if (checksum !== undefined) object.checksum = checksum;
  const version = call.store.write(object, call.requester);
  const { etag, ...headers } = writtenHeaders(call, version);
  const checksumFields =
    checksum === undefined ? '' : element(checksumElement(checksum.algorithm), checksum.value);
  const modified = element('LastModified', new Date(version.modifiedMs).toISOString());
  const shownEtag = call.legacy.has('unquoted-copy-etag') ? version.etag : etag;
  return xmlAnswer(
    document('CopyObjectResult', modified, element('ETag', shownEtag), checksumFields),
    headers,
  );
}

function directive(call: Call, header: string): string {
  const value = call.headers[header] ?? 'COPY';
  if (value !== 'COPY' && value !== 'REPLACE') throw s3Error('InvalidArgument', `Unknown ${header}`);
  return value;
}

function checkSelfCopy(call: Call, source: ObjectVersion, replacesMetadata: boolean): void {
  const isSelf = source.bucket === call.request.bucket && source.key === call.key && source.isLatest;
  const changes = ['x-amz-storage-class', 'x-amz-website-redirect-location', 'x-amz-server-side-encryption'];
  if (!isSelf || replacesMetadata || changes.some((name) => call.headers[name] !== undefined)) return;
  throw s3Error(
    'InvalidRequest',
    "This copy request is illegal because it is trying to copy an object to itself without changing the object's " +
      'metadata, storage class, website redirect location or encryption attributes.',
  );
}

function md5Of(call: Call, source: ObjectVersion): string {
  const md5 = createHash('md5');
  for (const chunk of readSegments(call.store.bodies, source.body, 0, source.size)) md5.update(chunk);
  return md5.digest('hex');
}

// A copy is one piece: a composite checksum of the source does not describe it.
function copyChecksum(call: Call, source: ObjectVersion): Checksum | undefined {
  const algorithm = call.headers['x-amz-checksum-algorithm'] ?? source.checksum?.algorithm;
  if (source.checksum?.algorithm === algorithm && source.checksum?.type === 'FULL_OBJECT')
    return source.checksum;
  if (algorithm === undefined || !(algorithm in checksumHeaders)) return undefined;
  const digest = createDigest(algorithm as Checksum['algorithm']);
  for (const chunk of readSegments(call.store.bodies, source.body, 0, source.size)) digest.update(chunk);
  const value = digest.digest().toString('base64');
  return { algorithm: algorithm as Checksum['algorithm'], type: 'FULL_OBJECT', value };
}

export function getObjectTagging(call: Call): Answer {
  rejectTagging(call);
  const version = findVersion(call);
  const tags = version.tags.map(([key, value]) => group('Tag', element('Key', key), element('Value', value)));
  return xmlAnswer(document('Tagging', group('TagSet', ...tags)), versionHeader(call, version.versionId));
}

export function putObjectTagging(call: Call): Answer {
  rejectTagging(call);
  const version = findVersion(call);
  call.store.saveAttributes({ ...version, tags: tagsOfDocument(call) });
  return { status: 200, headers: versionHeader(call, version.versionId) };
}

export function deleteObjectTagging(call: Call): Answer {
  rejectTagging(call);
  const version = findVersion(call);
  call.store.saveAttributes({ ...version, tags: [] });
  return { ...noContent, headers: versionHeader(call, version.versionId) };
}

// Who may do what is checked for form and refused where ACLs are off; nobody asks for it back.
export function putObjectAcl(call: Call): Answer {
  const headers = Object.keys(call.headers);
  const saysSomething = headers.some((name) => name === 'x-amz-acl' || name.startsWith('x-amz-grant-'));
  if (!saysSomething) throw s3Error('NotImplemented', 'An ACL in the body');
  checkAcl(call);
  findVersion(call);
  return { status: 200 };
}

export function getObjectRetention(call: Call): Answer {
  const { retention } = lockable(call);
  if (retention === undefined) throw s3Error('NoSuchObjectLockConfiguration');
  const until = new Date(retention.untilMs).toISOString();
  return xmlAnswer(document('Retention', element('Mode', retention.mode), element('RetainUntilDate', until)));
}

export function putObjectRetention(call: Call): Answer {
  requireProtected(call);
  const version = lockable(call);
  const root = parseDocument(call.document, 'Retention');
  const wanted = retention(requiredText(root, 'Mode'), requiredText(root, 'RetainUntilDate'), call);
  const previous = version.retention;
  const isWeaker = previous && (wanted.untilMs < previous.untilMs || wanted.mode !== previous.mode);
  if (isWeaker) checkRetention(call, version);
  call.store.saveAttributes({ ...version, retention: wanted });
  return { status: 200 };
}

export function getObjectLegalHold(call: Call): Answer {
  const { legalHold } = lockable(call);
  if (legalHold === undefined) throw s3Error('NoSuchObjectLockConfiguration');
  return xmlAnswer(document('LegalHold', element('Status', legalHold)));
}

export function putObjectLegalHold(call: Call): Answer {
  requireProtected(call);
  const version = lockable(call);
  const status = requiredText(parseDocument(call.document, 'LegalHold'), 'Status');
  call.store.saveAttributes({ ...version, legalHold: legalHold(status) });
  return { status: 200 };
}

function lockable(call: Call): ObjectVersion {
  if (!bucketOf(call).objectLock)
    throw s3Error('InvalidRequest', 'Bucket is missing Object Lock Configuration');
  return findVersion(call);
}

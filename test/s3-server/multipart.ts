// Multipart uploads. AWS: "Uploading and copying objects using multipart upload", "Multipart upload limits".
import { createHash, randomBytes } from 'node:crypto';
import { attributesOf, checkCustomerKey } from './attributes.ts';
import { noContent, query, versionHeader, xmlAnswer, type Answer, type Call } from './call.ts';
import {
  checksumAlgorithms,
  checksumElement,
  checksumHeaders,
  checksumTypes,
  combineParts,
  createDigest,
  type Checksum,
  type ChecksumAlgorithm,
  type ChecksumType,
  type Digest,
} from './checksums.ts';
import { checkWriteConditions } from './conditions.ts';
import { s3Error } from './errors.ts';
import { readSegments, type Segment } from './bodies.ts';
import { copySource, etagOf } from './objects.ts';
import type { NewObject, ObjectVersion, Part, Upload } from './store.ts';
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

const partNumberMax = 10_000;
const partBytesMin = 5 * 1024 ** 2;
const objectBytesMax = 50 * 1024 ** 4;
const pageMax = 1000;

export function createMultipartUpload(call: Call): Answer {
  const attributes = attributesOf(call);
  if (call.legacy.has('drop-multipart-tags')) attributes.tags = [];
  if (call.legacy.has('drop-multipart-locks')) {
    delete attributes.retention;
    delete attributes.legalHold;
  }
  const { bucket } = call.request;
  const id = randomBytes(32).toString('base64url');
  const checksum = call.legacy.has('ignore-checksums') ? {} : announcedChecksum(call);
  const { checksumAlgorithm, checksumType } = checksum;
  call.store.createUpload({
    ...attributes,
    ...checksum,
    id,
    bucket,
    key: call.key,
    initiatedMs: call.requester.nowMs,
  });
  const headers = { ...attributes.encryption };
  if (checksumAlgorithm !== undefined) headers['x-amz-checksum-algorithm'] = checksumAlgorithm;
  if (checksumType !== undefined) headers['x-amz-checksum-type'] = checksumType;
  const fields = [element('Bucket', bucket), element('Key', call.key), element('UploadId', id)];
  return xmlAnswer(document('InitiateMultipartUploadResult', ...fields), headers);
}

// AWS, "Checking object integrity": SHA-1 and SHA-256 are composite only, CRC64NVME full object only, the
// others both with composite as the default.
function announcedChecksum(call: Call): Pick<Upload, 'checksumAlgorithm' | 'checksumType'> {
  const algorithm = call.headers['x-amz-checksum-algorithm'];
  const type = call.headers['x-amz-checksum-type'];
  if (algorithm === undefined) {
    if (type !== undefined)
      throw s3Error('InvalidRequest', 'x-amz-checksum-type needs x-amz-checksum-algorithm');
    return {};
  }
  if (!isAlgorithm(algorithm)) throw s3Error('InvalidRequest', 'Checksum algorithm provided is unsupported.');
  const fallback = algorithm === 'CRC64NVME' ? 'FULL_OBJECT' : 'COMPOSITE';
  const checksumType = type ?? fallback;
  const isSha = algorithm === 'SHA1' || algorithm === 'SHA256';
  if (
    !isType(checksumType) ||
    (isSha && checksumType === 'FULL_OBJECT') ||
    (algorithm === 'CRC64NVME' && checksumType === 'COMPOSITE')
  ) {
    throw s3Error(
      'InvalidRequest',
      `The ${type} checksum type cannot be used with the ${algorithm} algorithm.`,
    );
  }
  return { checksumAlgorithm: algorithm, checksumType };
}

function isAlgorithm(name: string): name is ChecksumAlgorithm {
  return (checksumAlgorithms as readonly string[]).includes(name);
}

function isType(name: string): name is ChecksumType {
  return (checksumTypes as readonly string[]).includes(name);
}

function openUpload(call: Call): Upload {
  const upload = findUpload(call);
  if (upload.completed !== undefined) throw s3Error('NoSuchUpload', undefined, { UploadId: upload.id });
  return upload;
}

function findUpload(call: Call): Upload {
  const id = query(call, 'uploadId')!;
  const upload = call.store.upload(id);
  if (upload === undefined || upload.bucket !== call.request.bucket || upload.key !== call.key) {
    throw s3Error('NoSuchUpload', undefined, { UploadId: id });
  }
  return upload;
}

/** Before the body is read: may this part be sent, and which checksum is computed on the way? */
export function preparePart(call: Call): ChecksumAlgorithm | undefined {
  partNumber(call);
  const upload = openUpload(call);
  if (call.legacy.has('ignore-checksums')) return undefined;
  const sent = checksumAlgorithms.find(
    (name) =>
      call.headers[checksumHeaders[name]] !== undefined ||
      call.headers['x-amz-trailer']?.toLowerCase() === checksumHeaders[name],
  );
  const expected = upload.checksumAlgorithm;
  // Without an algorithm at creation any may be sent. A full-object upload computes what is missing; a
  // composite one needs every part's value from the client.
  const mayBeAbsent = upload.checksumType === 'FULL_OBJECT';
  if (expected === undefined || sent === expected || (sent === undefined && mayBeAbsent)) return expected;
  throw s3Error(
    'InvalidRequest',
    `Checksum Type mismatch occurred, expected checksum Type: ${expected.toLowerCase()}, ` +
      `actual checksum Type: ${sent?.toLowerCase() ?? 'null'}`,
  );
}

function partNumber(call: Call): number {
  const number = Number(query(call, 'partNumber'));
  if (Number.isInteger(number) && number >= 1 && number <= partNumberMax) return number;
  throw s3Error(
    'InvalidArgument',
    `Part number must be an integer between 1 and ${partNumberMax}, inclusive`,
    {
      ArgumentName: 'partNumber',
      ArgumentValue: query(call, 'partNumber') ?? '',
    },
  );
}

export function uploadPart(call: Call): Answer {
  const body = call.body!;
  // It may have been completed or aborted while the part was on its way.
  const upload = openUpload(call);
  checkCustomerKey(upload, call.headers);
  const part: Part = {
    number: partNumber(call),
    size: body.size,
    etag: etagOf(call, body.md5),
    modifiedMs: call.requester.nowMs,
    body: body.segment,
  };
  if (body.checksum !== undefined) part.checksum = body.checksum;
  call.store.savePart(upload.id, part);
  const headers: Record<string, string> = { etag: `"${part.etag}"`, ...upload.encryption };
  if (part.checksum !== undefined) headers[checksumHeaders[part.checksum.algorithm]] = part.checksum.value;
  return { status: 200, headers };
}

export function uploadPartCopy(call: Call): Answer {
  const number = partNumber(call);
  const upload = openUpload(call);
  const source = copySource(call);
  const { start, end } = copyRange(call, source);
  const sink = call.store.bodies.sink();
  const md5 = createHash('md5');
  const algorithm = upload.checksumAlgorithm;
  const digest: Digest | undefined = algorithm && createDigest(algorithm);
  for (const chunk of readSegments(call.store.bodies, source.body, start, end)) {
    sink.write(chunk);
    md5.update(chunk);
    digest?.update(chunk);
  }
  const etag = etagOf(call, md5.digest('hex'));
  const part: Part = {
    number,
    size: end - start,
    etag,
    modifiedMs: call.requester.nowMs,
    body: sink.finish(),
  };
  if (algorithm !== undefined && digest !== undefined) {
    part.checksum = { algorithm, value: digest.digest().toString('base64') };
  }
  call.store.savePart(upload.id, part);
  const fields = [
    element('LastModified', new Date(part.modifiedMs).toISOString()),
    element('ETag', `"${etag}"`),
  ];
  return xmlAnswer(document('CopyPartResult', ...fields, checksumField(part.checksum)));
}

function copyRange(call: Call, source: ObjectVersion): { start: number; end: number } {
  const header = call.headers['x-amz-copy-source-range'];
  if (header === undefined) return { start: 0, end: source.size };
  const match = /^bytes=(\d+)-(\d+)$/.exec(header);
  const [start, end] = [Number(match?.[1]), Number(match?.[2]) + 1];
  if (match === null || start >= end || end > source.size) {
    throw s3Error(
      'InvalidArgument',
      'The x-amz-copy-source-range value must be of the form bytes=first-last',
    );
  }
  return { start, end };
}

function checksumField(checksum: { algorithm: ChecksumAlgorithm; value: string } | undefined): string {
  return checksum === undefined ? '' : element(checksumElement(checksum.algorithm), checksum.value);
}

export function completeMultipartUpload(call: Call): Answer {
  const upload = findUpload(call);
  const listed = children(parseDocument(call.document, 'CompleteMultipartUpload'), 'Part');
  if (listed.length === 0) throw s3Error('MalformedXML', 'You must specify at least one part');
  // Conditions are evaluated for a repeated request too: after an answer that was lost, the client's own
  // object fails If-None-Match.
  checkWriteConditions(call, upload.completed === undefined ? upload : { isConflicted: false });
  if (upload.completed !== undefined) return completedAgain(call, upload, upload.completed, listed);
  const parts = chooseParts(call, upload, listed);
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  if (size > objectBytesMax) throw s3Error('EntityTooLarge');
  const declaredSize = call.headers['x-amz-mp-object-size'];
  if (declaredSize !== undefined && Number(declaredSize) !== size) {
    throw s3Error(
      'InvalidRequest',
      'The provided x-amz-mp-object-size does not match the combined size of the parts',
    );
  }
  const object = assemble(call, upload, parts);
  const numbers = parts.map((part) => part.number);
  const version = call.store.complete(upload, object, numbers, call.requester);
  return completedAnswer(call, upload, version.etag, version.versionId, version.checksum);
}

// S3 answers 200 again for a while, so that a client whose answer was lost can simply repeat the request.
function completedAgain(
  call: Call,
  upload: Upload,
  completed: NonNullable<Upload['completed']>,
  listed: XmlNode[],
): Answer {
  const numbers = listed.map((part) => Number(requiredText(part, 'PartNumber')));
  if (numbers.join() !== completed.partNumbers.join()) throw s3Error('InvalidPart');
  return completedAnswer(call, upload, completed.etag, completed.versionId, completed.checksum);
}

function chooseParts(call: Call, upload: Upload, listed: XmlNode[]): Part[] {
  const stored = new Map(call.store.parts(upload.id).map((part) => [part.number, part]));
  let previous = 0;
  const chosen = listed.map((entry) => {
    const number = Number(requiredText(entry, 'PartNumber'));
    if (number <= previous) throw s3Error('InvalidPartOrder');
    previous = number;
    const part = stored.get(number);
    const etag = requiredText(entry, 'ETag').replace(/^"(.*)"$/, '$1');
    if (part === undefined || part.etag !== etag) {
      throw s3Error('InvalidPart', undefined, {
        UploadId: upload.id,
        PartNumber: String(number),
        ETag: etag,
      });
    }
    checkPartChecksum(call, upload, part, entry);
    return part;
  });
  for (const part of chosen.slice(0, -1)) {
    if (part.size >= partBytesMin) continue;
    throw s3Error('EntityTooSmall', undefined, {
      PartNumber: String(part.number),
      ProposedSize: String(part.size),
      MinSizeAllowed: String(partBytesMin),
      ETag: part.etag,
    });
  }
  return chosen;
}

function checkPartChecksum(call: Call, upload: Upload, part: Part, entry: XmlNode): void {
  if (call.legacy.has('ignore-checksums')) return;
  const algorithm = upload.checksumAlgorithm ?? part.checksum?.algorithm;
  const given = algorithm === undefined ? undefined : text(entry, checksumElement(algorithm));
  if (given === undefined && upload.checksumType === 'COMPOSITE') {
    throw s3Error(
      'InvalidRequest',
      `The upload was created using a ${algorithm!.toLowerCase()} checksum. The complete request must include the ` +
        `checksum for each part. It was missing for part ${part.number} in the request.`,
    );
  }
  if (given !== undefined && given !== part.checksum?.value) {
    throw s3Error('InvalidPart', undefined, {
      UploadId: upload.id,
      PartNumber: String(part.number),
      ETag: part.etag,
    });
  }
}

function assemble(call: Call, upload: Upload, parts: Part[]): NewObject {
  const { headers, encryption, tags, storageClass, retention, legalHold, bucket, key } = upload;
  const md5 = createHash('md5');
  for (const part of parts) md5.update(Buffer.from(part.etag, 'hex'));
  const object: NewObject = {
    headers,
    encryption,
    tags,
    storageClass,
    ...(retention && { retention }),
    ...(legalHold && { legalHold }),
    bucket,
    key,
    etag: `${etagOf(call, md5.digest('hex'))}-${parts.length}`,
    body: parts.map((part): Segment => part.body),
    parts: parts.map(({ number, size, checksum }) => ({
      number,
      size,
      ...(checksum && { checksum: checksum.value }),
    })),
  };
  const checksum = objectChecksum(call, upload, parts);
  if (checksum !== undefined) object.checksum = checksum;
  return object;
}

function objectChecksum(call: Call, upload: Upload, parts: Part[]): Checksum | undefined {
  const { checksumAlgorithm: algorithm, checksumType: type } = upload;
  if (algorithm === undefined || type === undefined) return undefined;
  const declaredType = call.headers['x-amz-checksum-type'];
  if (declaredType !== undefined && declaredType !== type) {
    throw s3Error('InvalidRequest', `The upload was created with the ${type} checksum type`);
  }
  const values = parts.map((part) => ({ value: part.checksum!.value, size: part.size }));
  const value = combineParts(algorithm, type, values);
  const declared = call.headers[checksumHeaders[algorithm]];
  if (declared !== undefined && declared !== value && declared !== value.replace(/-\d+$/, '')) {
    throw s3Error('BadDigest', `The ${algorithm} you specified did not match the calculated checksum.`);
  }
  return { algorithm, type, value };
}

function completedAnswer(
  call: Call,
  upload: Upload,
  etag: string,
  versionId: string,
  checksum: Checksum | undefined,
): Answer {
  const { bucket, key } = upload;
  const location = `http://${call.headers['host'] ?? ''}/${bucket}/${encodeURIComponent(key)}`;
  const shownEtag = call.legacy.has('empty-complete-etag') ? '' : `"${etag}"`;
  const fields = [
    element('Location', location),
    element('Bucket', bucket),
    element('Key', key),
    element('ETag', shownEtag),
    checksumField(checksum),
    element('ChecksumType', checksum?.type),
  ];
  const headers = { ...upload.encryption, ...versionHeader(call, versionId) };
  return xmlAnswer(document('CompleteMultipartUploadResult', ...fields), headers);
}

export function abortMultipartUpload(call: Call): Answer {
  call.store.abort(openUpload(call).id);
  return noContent;
}

export function listParts(call: Call): Answer {
  const upload = openUpload(call);
  const marker = Number(query(call, 'part-number-marker') ?? 0);
  const max = pageSize(query(call, 'max-parts'), 'max-parts');
  const after = call.store.parts(upload.id).filter((part) => part.number > marker);
  const page = after.slice(0, max);
  const isTruncated = after.length > page.length;
  const entries = page.map((part) =>
    group(
      'Part',
      element('PartNumber', part.number),
      element('LastModified', new Date(part.modifiedMs).toISOString()),
      element('ETag', `"${part.etag}"`),
      element('Size', part.size),
      checksumField(part.checksum),
    ),
  );
  return xmlAnswer(
    document(
      'ListPartsResult',
      element('Bucket', upload.bucket),
      element('Key', upload.key),
      element('UploadId', upload.id),
      element('PartNumberMarker', marker),
      element('NextPartNumberMarker', page.at(-1)?.number ?? 0),
      element('MaxParts', max),
      element('IsTruncated', isTruncated),
      element('StorageClass', upload.storageClass),
      element('ChecksumAlgorithm', upload.checksumAlgorithm),
      element('ChecksumType', upload.checksumType),
      ...entries,
    ),
  );
}

export function pageSize(value: string | undefined, name: string): number {
  const size = value === undefined ? pageMax : Number(value);
  if (Number.isInteger(size) && size >= 0) return Math.min(size, pageMax);
  throw s3Error('InvalidArgument', `Provided ${name} not an integer or within integer range`, {
    ArgumentName: name,
    ArgumentValue: value ?? '',
  });
}

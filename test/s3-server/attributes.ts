// Attributes: what the headers of PutObject, CreateMultipartUpload and CopyObject say about the object beside
// its bytes, validated.
import { createHash } from 'node:crypto';
import { bucketOf, type Call } from './call.ts';
import { s3Error } from './errors.ts';
import { lockModes, type Attributes, type LockMode, type ObjectVersion, type Retention } from './store.ts';
import { children, parseDocument, requiredText, text, type XmlNode } from './xml.ts';

const storageClasses: readonly string[] = [
  'STANDARD',
  'REDUCED_REDUNDANCY',
  'STANDARD_IA',
  'ONEZONE_IA',
  'INTELLIGENT_TIERING',
  'GLACIER',
  'DEEP_ARCHIVE',
  'OUTPOSTS',
  'GLACIER_IR',
  'SNOW',
  'EXPRESS_ONEZONE',
  'FSX_OPENZFS',
];

const storedHeaders = [
  'cache-control',
  'content-disposition',
  'content-language',
  'expires',
  'x-amz-website-redirect-location',
];

const metadataBytesMax = 2048;
const objectTagsMax = 10;

/** Everything, from the headers of this request. */
export function attributesOf(call: Call): Attributes {
  return {
    headers: describeContent(call),
    tags: tagsOfHeader(call),
    ...placement(call),
  };
}

/** All but metadata and tags, which CopyObject may take from its source. */
export function placement(call: Call): Omit<Attributes, 'headers' | 'tags'> {
  checkAcl(call);
  return { encryption: encryption(call), storageClass: storageClass(call), ...lock(call) };
}

export function describeContent(call: Call): Record<string, string> {
  const { headers } = call;
  const described: Record<string, string> = {
    'content-type': headers['content-type'] || 'binary/octet-stream',
  };
  for (const name of storedHeaders) if (headers[name] !== undefined) described[name] = headers[name];
  const encoding = contentEncoding(call);
  if (encoding !== '') described['content-encoding'] = encoding;
  let metadataBytes = 0;
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith('x-amz-meta-') || value === undefined) continue;
    described[name] = value;
    // Node gives one character per byte here.
    metadataBytes += name.length - 'x-amz-meta-'.length + value.length;
  }
  if (metadataBytes > metadataBytesMax) {
    throw s3Error('MetadataTooLarge', undefined, {
      Size: String(metadataBytes),
      MaxSizeAllowed: String(metadataBytesMax),
    });
  }
  return described;
}

// `aws-chunked` describes the transfer and is not kept. AWS: PutObject, "Content-Encoding".
function contentEncoding(call: Call): string {
  const codings = (call.headers['content-encoding'] ?? '').split(',').map((coding) => coding.trim());
  const keepsFraming = call.legacy.has('store-aws-chunked-framing');
  return codings.filter((coding) => coding !== '' && (keepsFraming || coding !== 'aws-chunked')).join(',');
}

function storageClass(call: Call): string {
  const name = call.headers['x-amz-storage-class'] ?? 'STANDARD';
  if (!storageClasses.includes(name)) throw s3Error('InvalidStorageClass');
  return name;
}

// Buckets are made with BucketOwnerEnforced, as AWS does since 2023: ACLs are off, but one that changes
// nothing may be sent, and rclone sends `private` with every object.
const acceptedAcls: readonly string[] = ['private', 'bucket-owner-full-control'];

const cannedAcls: readonly string[] = [
  ...acceptedAcls,
  'public-read',
  'public-read-write',
  'authenticated-read',
  'aws-exec-read',
  'bucket-owner-read',
];

const grantees = /^(id|uri)="[^"]+"(, *(id|uri)="[^"]+")*$/;

export function checkAcl(call: Call): void {
  const acl = call.headers['x-amz-acl'];
  const grants = Object.entries(call.headers).filter(([name]) => name.startsWith('x-amz-grant-'));
  if (acl !== undefined && !cannedAcls.includes(acl)) throw s3Error('InvalidArgument');
  if (grants.some(([, value]) => !grantees.test(value ?? ''))) throw s3Error('InvalidArgument');
  const controls = bucketOf(call).configuration['ownershipControls'];
  const isEnforced = controls === undefined || controls?.includes('BucketOwnerEnforced') === true;
  if (isEnforced && (grants.length > 0 || (acl !== undefined && !acceptedAcls.includes(acl)))) {
    throw s3Error('AccessControlListNotSupported');
  }
  if (acl !== undefined && grants.length > 0) {
    throw s3Error('InvalidRequest', 'Specifying both Canned ACLs and Header Grants is not allowed');
  }
}

const sse = 'x-amz-server-side-encryption';
const kmsHeaders = [`${sse}-aws-kms-key-id`, `${sse}-bucket-key-enabled`, `${sse}-context`];

function encryption(call: Call): Record<string, string> {
  const { headers } = call;
  const customer = customerKey(headers, `${sse}-customer`);
  const algorithm = headers[sse];
  const kms = kmsHeaders.filter((name) => headers[name] !== undefined);
  if (customer !== undefined) {
    if (algorithm !== undefined)
      throw s3Error('InvalidArgument', 'SSE-C and another encryption exclude each other');
    return customer;
  }
  if (call.legacy.has('ignore-sse')) return {};
  // AWS encrypts everything with AES256 since 2023 and says so in every answer.
  if (algorithm === undefined && kms.length === 0) return { [sse]: 'AES256' };
  if (algorithm === 'AES256') {
    if (kms.length > 0)
      throw s3Error('InvalidArgument', 'A KMS header needs x-amz-server-side-encryption: aws:kms');
    return { [sse]: 'AES256' };
  }
  if (algorithm !== 'aws:kms' && algorithm !== 'aws:kms:dsse') {
    throw s3Error('InvalidArgument', 'The encryption method specified is not supported');
  }
  const keyId =
    headers[`${sse}-aws-kms-key-id`] ?? `arn:aws:kms:${call.region}:${call.accountId}:alias/aws/s3`;
  const echoed: Record<string, string> = { [sse]: algorithm, [`${sse}-aws-kms-key-id`]: keyId };
  for (const name of kms) echoed[name] = headers[name]!;
  return echoed;
}

/** The two SSE-C headers that are echoed and kept (never the key itself). */
function customerKey(headers: Call['headers'], prefix: string): Record<string, string> | undefined {
  const [algorithm, key, keyMd5] = ['algorithm', 'key', 'key-md5'].map(
    (name) => headers[`${prefix}-${name}`],
  );
  if (algorithm === undefined && key === undefined && keyMd5 === undefined) return undefined;
  if (algorithm !== 'AES256' || key === undefined || keyMd5 === undefined) {
    throw s3Error('InvalidArgument', 'SSE-C needs algorithm AES256, the key and its MD5');
  }
  const bytes = Buffer.from(key, 'base64');
  if (bytes.length !== 32)
    throw s3Error('InvalidArgument', 'The secret key was invalid for the specified algorithm.');
  if (createHash('md5').update(bytes).digest('base64') !== keyMd5) {
    throw s3Error(
      'InvalidArgument',
      'The calculated MD5 hash of the key did not match the hash that was provided.',
    );
  }
  return { [`${sse}-customer-algorithm`]: algorithm, [`${sse}-customer-key-md5`]: keyMd5 };
}

/** An object stored with SSE-C is readable with the same key only. */
export function checkCustomerKey(
  { encryption }: Pick<ObjectVersion, 'encryption'>,
  headers: Call['headers'],
  prefix = `${sse}-customer`,
): void {
  const stored = encryption[`${sse}-customer-key-md5`];
  const given = customerKey(headers, prefix)?.[`${sse}-customer-key-md5`];
  if (stored === given) return;
  if (stored === undefined)
    throw s3Error('InvalidRequest', 'The encryption parameters are not applicable to this object.');
  if (given === undefined) {
    throw s3Error(
      'InvalidRequest',
      'The object was stored using a form of Server Side Encryption; provide its key.',
    );
  }
  throw s3Error('AccessDenied');
}

function lock(call: Call): Pick<Attributes, 'retention' | 'legalHold'> {
  const { headers } = call;
  const mode = headers['x-amz-object-lock-mode'];
  const until = headers['x-amz-object-lock-retain-until-date'];
  const hold = headers['x-amz-object-lock-legal-hold'];
  const bucket = bucketOf(call);
  if (mode === undefined && until === undefined && hold === undefined) {
    const retention = bucket.objectLock
      ? defaultRetention(bucket.configuration['object-lock'], call)
      : undefined;
    return retention === undefined ? {} : { retention };
  }
  if (!bucket.objectLock) throw s3Error('InvalidRequest', 'Bucket is missing Object Lock Configuration');
  if ((mode === undefined) !== (until === undefined)) {
    throw s3Error(
      'InvalidArgument',
      'x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied',
    );
  }
  return {
    ...(mode !== undefined && until !== undefined && { retention: retention(mode, until, call) }),
    ...(hold !== undefined && { legalHold: legalHold(hold) }),
  };
}

export function retention(mode: string, until: string, call: Call): Retention {
  if (!isLockMode(mode)) throw s3Error('InvalidArgument', 'Unknown wormMode directive.');
  const untilMs = Date.parse(until);
  if (Number.isNaN(untilMs)) throw s3Error('InvalidArgument', 'The retain until date is not a date');
  if (untilMs <= call.requester.nowMs) {
    throw s3Error('InvalidArgument', 'The retain until date must be in the future!');
  }
  return { mode, untilMs };
}

export function legalHold(status: string): 'ON' | 'OFF' {
  if (status !== 'ON' && status !== 'OFF')
    throw s3Error('InvalidArgument', 'Legal Hold must be either of ON or OFF');
  return status;
}

function isLockMode(mode: string): mode is LockMode {
  return (lockModes as readonly string[]).includes(mode);
}

function defaultRetention(configuration: string | null | undefined, call: Call): Retention | undefined {
  if (configuration == null) return undefined;
  const root = parseDocument(Buffer.from(configuration), 'ObjectLockConfiguration');
  const rule = children(root, 'Rule')[0];
  const defaults = rule && children(rule, 'DefaultRetention')[0];
  if (defaults === undefined) return undefined;
  const days = Number(text(defaults, 'Days') ?? 0) + 365 * Number(text(defaults, 'Years') ?? 0);
  const untilMs = call.requester.nowMs + days * 24 * 3600 * 1000;
  return retention(requiredText(defaults, 'Mode'), new Date(untilMs).toISOString(), call);
}

export function tagsOfHeader(call: Call): Attributes['tags'] {
  const header = call.headers['x-amz-tagging'];
  if (header === undefined) return [];
  rejectTagging(call);
  // "The tag-set must be encoded as URL Query parameters."
  return checkTags([...new URLSearchParams(header)]);
}

export function tagsOfDocument(call: Call): Attributes['tags'] {
  const root = parseDocument(call.document, 'Tagging');
  const set = children(root, 'TagSet')[0];
  if (set === undefined) throw s3Error('MalformedXML');
  return checkTags(children(set, 'Tag').map(tagOf));
}

function tagOf(node: XmlNode): [key: string, value: string] {
  return [requiredText(node, 'Key'), requiredText(node, 'Value')];
}

export function rejectTagging(call: Call): void {
  if (call.legacy.has('reject-tagging')) throw s3Error('NotImplemented');
}

function checkTags(tags: Attributes['tags']): Attributes['tags'] {
  if (tags.length > objectTagsMax) throw s3Error('InvalidTag', 'Object tags cannot be greater than 10');
  if (new Set(tags.map(([key]) => key)).size < tags.length) {
    throw s3Error('InvalidTag', 'Cannot provide multiple Tags with the same key');
  }
  for (const [key, value] of tags) {
    if (key === '' || key.length > 128)
      throw s3Error('InvalidTag', 'The TagKey you have provided is invalid');
    if (value.length > 256) throw s3Error('InvalidTag', 'The TagValue you have provided is invalid');
    if (key.startsWith('aws:'))
      throw s3Error('InvalidTag', 'System tags cannot be added/updated by requester');
    // AWS: letters, numbers and spaces of any script, and + - = . _ : / @
    if (!/^[\p{L}\p{N}\p{Z}+\-=._:/@]*$/u.test(key + value)) throw s3Error('InvalidTag');
  }
  return tags;
}

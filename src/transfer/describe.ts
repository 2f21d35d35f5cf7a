// Describe: how S3 calls what a description says. One table for both ways of sending: the SDK takes members of its input,
// a lean PUT writes the headers itself.
import { createHash } from 'node:crypto';
import type { CreateMultipartUploadCommandInput, PutObjectCommandInput } from '@aws-sdk/client-s3';
import { retainedUntilMs } from '../core/drift.ts';
import type { Encryption, ObjectDescription, Permission, RetainUntil } from '../core/description.ts';

type Value = string | boolean | Date | undefined;

/** A member of the SDK's input, its header, and its value for an object that is written at a time. */
type Row = readonly [
  member: keyof PutObjectCommandInput & keyof CreateMultipartUploadCommandInput,
  header: string,
  value: (description: ObjectDescription, nowMs: number) => Value,
];

const sse = 'x-amz-server-side-encryption';
const lock = 'x-amz-object-lock';

const table = [
  ['StorageClass', 'x-amz-storage-class', ({ storageClass }) => storageClass],
  ['Tagging', 'x-amz-tagging', ({ tags }) => tagging(tags)],
  ['ContentType', 'content-type', ({ contentType }) => contentType],
  ['ContentEncoding', 'content-encoding', ({ contentEncoding }) => contentEncoding],
  ['ContentDisposition', 'content-disposition', ({ contentDisposition }) => contentDisposition],
  ['ContentLanguage', 'content-language', ({ contentLanguage }) => contentLanguage],
  ['CacheControl', 'cache-control', ({ cacheControl }) => cacheControl],
  ['Expires', 'expires', ({ expiresMs }) => (expiresMs === undefined ? undefined : new Date(expiresMs))],
  ['WebsiteRedirectLocation', 'x-amz-website-redirect-location', ({ websiteRedirect }) => websiteRedirect],
  ['ACL', 'x-amz-acl', ({ access }) => (access?.kind === 'canned' ? access.acl : undefined)],
  ['GrantRead', 'x-amz-grant-read', grantees('read')],
  ['GrantReadACP', 'x-amz-grant-read-acp', grantees('read-acp')],
  ['GrantWriteACP', 'x-amz-grant-write-acp', grantees('write-acp')],
  ['GrantFullControl', 'x-amz-grant-full-control', grantees('full-control')],
  ['ServerSideEncryption', sse, ({ encryption }) => (isCustomer(encryption) ? undefined : encryption?.sse)],
  ['SSEKMSKeyId', `${sse}-aws-kms-key-id`, ({ encryption }) => kms(encryption)?.keyId],
  ['SSEKMSEncryptionContext', `${sse}-context`, ({ encryption }) => contextText(kms(encryption)?.context)],
  ['BucketKeyEnabled', `${sse}-bucket-key-enabled`, ({ encryption }) => kms(encryption)?.bucketKey],
  ['SSECustomerAlgorithm', `${sse}-customer-algorithm`, customer('SSECustomerAlgorithm')],
  ['SSECustomerKey', `${sse}-customer-key`, customer('SSECustomerKey')],
  ['SSECustomerKeyMD5', `${sse}-customer-key-md5`, customer('SSECustomerKeyMD5')],
  ['ObjectLockMode', `${lock}-mode`, ({ objectLock }) => objectLock?.retention?.mode],
  [
    'ObjectLockRetainUntilDate',
    `${lock}-retain-until-date`,
    ({ objectLock }, nowMs) => objectLock?.retention && retainUntilDate(objectLock.retention.until, nowMs),
  ],
  ['ObjectLockLegalHoldStatus', `${lock}-legal-hold`, ({ objectLock }) => objectLock?.legalHold && 'ON'],
] as const satisfies readonly Row[];

type DescriptionInput = Pick<PutObjectCommandInput, (typeof table)[number][0] | 'Metadata'>;

/**
 * Members of PutObject and CreateMultipartUpload for an object.
 * @param nowMs from when on it is retained
 */
export function describe(description: ObjectDescription, nowMs: number): DescriptionInput {
  const members = table.map(([member, , value]): [string, Value] => [member, value(description, nowMs)]);
  const said = Object.fromEntries(members.filter(([, value]) => value !== undefined));
  return { ...said, Metadata: { ...description.metadata } };
}

/** The headers that the SDK makes of these members. */
export function describeHeaders(input: DescriptionInput): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [member, header] of table) {
    const value = input[member];
    if (value !== undefined) headers[header] = headerText(member, value);
  }
  for (const [name, value] of Object.entries(input.Metadata ?? {})) headers[`x-amz-meta-${name}`] = value;
  return headers;
}

function headerText(member: string, value: NonNullable<Value>): string {
  if (!(value instanceof Date)) return String(value);
  // Expires is HTTP's own, with HTTP's form of dates.
  return member === 'Expires' ? value.toUTCString() : value.toISOString().replace('.000Z', 'Z');
}

/** As in the query of a URL, but a space as %20: for a `+` Ceph's gateway keeps a `+`. */
function tagging(tags: ObjectDescription['tags']): string | undefined {
  const pairs = Object.entries(tags).map((pair) => pair.map(encodeURIComponent).join('='));
  return pairs.join('&') || undefined;
}

/** What every request that reads or writes an object under SSE-C has to bring. */
export function customerKeyInput(key: string) {
  return {
    SSECustomerAlgorithm: 'AES256',
    SSECustomerKey: key,
    SSECustomerKeyMD5: createHash('md5').update(Buffer.from(key, 'base64')).digest('base64'),
  };
}

/** The same of the object that a copy reads. */
export function copySourceKeyInput(key: string) {
  const { SSECustomerAlgorithm, SSECustomerKey, SSECustomerKeyMD5 } = customerKeyInput(key);
  return {
    CopySourceSSECustomerAlgorithm: SSECustomerAlgorithm,
    CopySourceSSECustomerKey: SSECustomerKey,
    CopySourceSSECustomerKeyMD5: SSECustomerKeyMD5,
  };
}

function customer(member: keyof ReturnType<typeof customerKeyInput>) {
  return ({ encryption }: ObjectDescription) =>
    isCustomer(encryption) ? customerKeyInput(encryption.key)[member] : undefined;
}

function isCustomer(encryption: Encryption | undefined) {
  return encryption?.sse === 'customer';
}

function kms(encryption: Encryption | undefined) {
  return encryption?.sse === 'aws:kms' || encryption?.sse === 'aws:kms:dsse' ? encryption : undefined;
}

function contextText(context: Readonly<Record<string, string>> | undefined): string | undefined {
  return context && Buffer.from(JSON.stringify(context)).toString('base64');
}

/** `id="…", uri="…"`. */
function grantees(permission: Permission) {
  return ({ access }: ObjectDescription) => {
    const list = access?.kind === 'grants' ? access.grants[permission] : undefined;
    return list?.map((grantee) => `${grantee.replace('=', '="')}"`).join(', ');
  };
}

/** In whole seconds, and not one too early. @param writtenMs when the object is or was written */
export function retainUntilDate(until: RetainUntil, writtenMs: number): Date {
  return new Date(Math.ceil(retainedUntilMs(until, writtenMs) / 1000) * 1000);
}

// Permissions: the IAM actions that a request needs, by its operation and its headers. AWS: "Required permissions for
// Amazon S3 API operations", and what the reference says of each header.
import type { Call } from './call.ts';
import type { Permission } from './iam.ts';
import type { ObjectVersion } from './store.ts';

/**
 * What this request needs, as far as it shows without a look at the store.
 * @param action the operation's own
 */
export function requiredPermissions(name: string, action: string | undefined, call: Call): Permission[] {
  const { bucket, key } = call.request;
  const actions = action === undefined ? [] : [hasVersion(call) ? versionAction(action) : action];
  const permissions: Permission[] = [...actions, ...headerActions(name, call)].map((action) => ({
    action,
    bucket,
    key,
    context: contextOf(call),
  }));
  const kmsKey = isWrite(name) ? kmsKeyOf(call.headers) : undefined;
  if (kmsKey !== undefined) {
    permissions.push({ action: 'kms:GenerateDataKey', kmsKey });
    // Parts are read again when they are put together.
    if (name === 'CreateMultipartUpload') permissions.push({ action: 'kms:Decrypt', kmsKey });
  }
  return permissions;
}

/** To read an object that is encrypted with a key of KMS, its checksum included. */
export function decryption({ encryption }: ObjectVersion): Permission[] {
  const kmsKey = kmsKeyOf(encryption);
  return kmsKey === undefined ? [] : [{ action: 'kms:Decrypt', kmsKey }];
}

/** To copy from an object: its tags go along unless others are said. */
export function copyPermissions(call: Call, { bucket, key, tags }: ObjectVersion): Permission[] {
  const isVersion = /\?versionId=/.test(call.headers['x-amz-copy-source']!);
  const source = (action: string) => ({ action: isVersion ? versionAction(action) : action, bucket, key });
  if (tags.length === 0 || call.headers['x-amz-tagging-directive'] === 'REPLACE')
    return [source('s3:GetObject')];
  const target = { action: 's3:PutObjectTagging', bucket: call.request.bucket, key: call.key };
  return [source('s3:GetObject'), source('s3:GetObjectTagging'), target];
}

const writes: readonly string[] = ['PutObject', 'CopyObject', 'CreateMultipartUpload'];

function isWrite(name: string): boolean {
  return writes.includes(name);
}

function headerActions(name: string, { headers }: Call): string[] {
  const actions: string[] = [];
  const isConditional = isWrite(name) || name === 'CompleteMultipartUpload' || name === 'DeleteObject';
  // AWS, "Conditional writes": If-Match reads the object, so it needs s3:GetObject as well.
  if (headers['if-match'] !== undefined && isConditional) actions.push('s3:GetObject');
  if (headers['x-amz-bypass-governance-retention'] !== undefined)
    actions.push('s3:BypassGovernanceRetention');
  if (!isWrite(name)) return actions;
  if (headers['x-amz-tagging'] !== undefined) actions.push('s3:PutObjectTagging');
  if (headers['x-amz-object-lock-mode'] !== undefined) actions.push('s3:PutObjectRetention');
  if (headers['x-amz-object-lock-legal-hold'] !== undefined) actions.push('s3:PutObjectLegalHold');
  const acl = Object.keys(headers).some((name) => name === 'x-amz-acl' || name.startsWith('x-amz-grant-'));
  if (acl) actions.push('s3:PutObjectAcl');
  return actions;
}

function hasVersion(call: Call): boolean {
  return call.request.query.some(([parameter]) => parameter === 'versionId');
}

/** Retention and legal hold have no action of their own for versions. */
function versionAction(action: string): string {
  return /Object(Tagging|Acl)?$/.test(action) ? action.replace('Object', 'ObjectVersion') : action;
}

/** Condition keys of listings, and of what is written. */
function contextOf(call: Call): Record<string, string> {
  const context: Record<string, string> = {};
  for (const [name, value] of call.request.query) {
    if (name === 'prefix' || name === 'delimiter' || name === 'max-keys') context[`s3:${name}`] = value;
  }
  for (const name of ['x-amz-acl', 'x-amz-storage-class', 'x-amz-server-side-encryption']) {
    const value = call.headers[name];
    if (value !== undefined) context[`s3:${name}`] = value;
  }
  return context;
}

const sse = 'x-amz-server-side-encryption';

/** Undefined where there is none, or S3's own, which everybody in the account may use through S3. */
function kmsKeyOf(headers: Readonly<Record<string, string | undefined>>): string | undefined {
  const key = headers[`${sse}-aws-kms-key-id`];
  return headers[sse]?.startsWith('aws:kms') && !key?.endsWith(':alias/aws/s3') ? key : undefined;
}

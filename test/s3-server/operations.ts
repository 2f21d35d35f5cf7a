// Operations: the closed table of what the server can do. A request is matched by level, method and
// sub-resource; a query parameter that no row knows is 501, because a sub-resource that is silently ignored
// turns `PUT ?acl` into an overwrite.
import {
  createBucket,
  deleteBucket,
  deleteConfiguration,
  getBucketAcl,
  getBucketLocation,
  getBucketPolicyStatus,
  getBucketVersioning,
  getConfiguration,
  headBucket,
  listBuckets,
  putBucketAcl,
  putBucketPolicy,
  putBucketVersioning,
  putConfiguration,
  putObjectLockConfiguration,
} from './buckets.ts';
import type { Answer, Call } from './call.ts';
import type { ChecksumAlgorithm } from './checksums.ts';
import { s3Error } from './errors.ts';
import { listMultipartUploads, listObjects, listObjectsV2, listObjectVersions } from './list.ts';
import {
  abortMultipartUpload,
  completeMultipartUpload,
  createMultipartUpload,
  listParts,
  preparePart,
  uploadPart,
  uploadPartCopy,
} from './multipart.ts';
import {
  copyObject,
  deleteObject,
  deleteObjects,
  deleteObjectTagging,
  getObject,
  getObjectLegalHold,
  getObjectRetention,
  getObjectTagging,
  headObject,
  putObject,
  putObjectAcl,
  putObjectLegalHold,
  putObjectRetention,
  putObjectTagging,
} from './objects.ts';
import { signingParameters, type S3Request } from './request.ts';

export interface Operation {
  level: 'service' | 'bucket' | 'object';
  method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  /** Query parameters which must be there; they select the row. */
  requires?: readonly string[];
  /** Query parameters which may be there. */
  allows?: readonly string[];
  /** A header which must be there; it selects the row. */
  header?: string;
  /** The IAM action. Rows without one check for themselves. */
  action?: string;
  body?: 'document' | 'object';
  /** Runs before the body is read; the checksum to compute while it is. */
  prepare?: (call: Call) => ChecksumAlgorithm | undefined;
  handler: (call: Call) => Answer;
  /** The bucket need not exist. */
  makesBucket?: boolean;
}

const listParameters = ['prefix', 'delimiter', 'max-keys', 'encoding-type'];
const overrides = [
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-type',
  'expires',
];
const readParameters = ['versionId', 'partNumber', ...overrides.map((name) => `response-${name}`)];
const versionId = ['versionId'];

// Within a level and method, the first row that matches wins: the more particular ones come first.
const table = {
  ListBuckets: {
    level: 'service',
    method: 'GET',
    allows: ['max-buckets', 'prefix', 'bucket-region'],
    action: 's3:ListAllMyBuckets',
    handler: listBuckets,
  },

  GetBucketLocation: config('GET', 'location', 's3:GetBucketLocation', getBucketLocation),
  GetBucketVersioning: config('GET', 'versioning', 's3:GetBucketVersioning', getBucketVersioning),
  PutBucketVersioning: config('PUT', 'versioning', 's3:PutBucketVersioning', putBucketVersioning),
  GetBucketAcl: config('GET', 'acl', 's3:GetBucketAcl', getBucketAcl),
  PutBucketAcl: config('PUT', 'acl', 's3:PutBucketAcl', putBucketAcl),
  GetBucketPolicyStatus: config('GET', 'policyStatus', 's3:GetBucketPolicyStatus', getBucketPolicyStatus),
  GetBucketPolicy: config('GET', 'policy', 's3:GetBucketPolicy', getConfiguration('policy')),
  PutBucketPolicy: config('PUT', 'policy', 's3:PutBucketPolicy', putBucketPolicy),
  DeleteBucketPolicy: config('DELETE', 'policy', 's3:DeleteBucketPolicy', deleteConfiguration('policy')),
  GetBucketAccelerateConfiguration: config(
    'GET',
    'accelerate',
    's3:GetAccelerateConfiguration',
    getConfiguration('accelerate'),
  ),
  PutBucketAccelerateConfiguration: config(
    'PUT',
    'accelerate',
    's3:PutAccelerateConfiguration',
    putConfiguration('accelerate'),
  ),
  GetBucketEncryption: config(
    'GET',
    'encryption',
    's3:GetEncryptionConfiguration',
    getConfiguration('encryption'),
  ),
  PutBucketEncryption: config(
    'PUT',
    'encryption',
    's3:PutEncryptionConfiguration',
    putConfiguration('encryption'),
  ),
  DeleteBucketEncryption: config(
    'DELETE',
    'encryption',
    's3:PutEncryptionConfiguration',
    deleteConfiguration('encryption'),
  ),
  GetBucketLifecycleConfiguration: config(
    'GET',
    'lifecycle',
    's3:GetLifecycleConfiguration',
    getConfiguration('lifecycle'),
  ),
  PutBucketLifecycleConfiguration: config(
    'PUT',
    'lifecycle',
    's3:PutLifecycleConfiguration',
    putConfiguration('lifecycle'),
  ),
  DeleteBucketLifecycle: config(
    'DELETE',
    'lifecycle',
    's3:PutLifecycleConfiguration',
    deleteConfiguration('lifecycle'),
  ),
  GetObjectLockConfiguration: config(
    'GET',
    'object-lock',
    's3:GetBucketObjectLockConfiguration',
    getConfiguration('object-lock'),
  ),
  PutObjectLockConfiguration: config(
    'PUT',
    'object-lock',
    's3:PutBucketObjectLockConfiguration',
    putObjectLockConfiguration,
  ),
  GetBucketOwnershipControls: config(
    'GET',
    'ownershipControls',
    's3:GetBucketOwnershipControls',
    getConfiguration('ownershipControls'),
  ),
  PutBucketOwnershipControls: config(
    'PUT',
    'ownershipControls',
    's3:PutBucketOwnershipControls',
    putConfiguration('ownershipControls'),
  ),
  DeleteBucketOwnershipControls: config(
    'DELETE',
    'ownershipControls',
    's3:PutBucketOwnershipControls',
    deleteConfiguration('ownershipControls'),
  ),
  GetPublicAccessBlock: config(
    'GET',
    'publicAccessBlock',
    's3:GetBucketPublicAccessBlock',
    getConfiguration('publicAccessBlock'),
  ),
  PutPublicAccessBlock: config(
    'PUT',
    'publicAccessBlock',
    's3:PutBucketPublicAccessBlock',
    putConfiguration('publicAccessBlock'),
  ),
  DeletePublicAccessBlock: config(
    'DELETE',
    'publicAccessBlock',
    's3:PutBucketPublicAccessBlock',
    deleteConfiguration('publicAccessBlock'),
  ),
  GetBucketTagging: config('GET', 'tagging', 's3:GetBucketTagging', getConfiguration('tagging')),
  PutBucketTagging: config('PUT', 'tagging', 's3:PutBucketTagging', putConfiguration('tagging')),
  DeleteBucketTagging: config('DELETE', 'tagging', 's3:PutBucketTagging', deleteConfiguration('tagging')),

  ListObjectVersions: {
    level: 'bucket',
    method: 'GET',
    requires: ['versions'],
    allows: [...listParameters, 'key-marker', 'version-id-marker'],
    action: 's3:ListBucketVersions',
    handler: listObjectVersions,
  },
  ListMultipartUploads: {
    level: 'bucket',
    method: 'GET',
    requires: ['uploads'],
    allows: ['prefix', 'delimiter', 'max-uploads', 'encoding-type', 'key-marker', 'upload-id-marker'],
    action: 's3:ListBucketMultipartUploads',
    handler: listMultipartUploads,
  },
  ListObjectsV2: {
    level: 'bucket',
    method: 'GET',
    requires: ['list-type'],
    allows: [...listParameters, 'continuation-token', 'start-after', 'fetch-owner'],
    action: 's3:ListBucket',
    handler: listObjectsV2,
  },
  ListObjects: {
    level: 'bucket',
    method: 'GET',
    allows: [...listParameters, 'marker'],
    action: 's3:ListBucket',
    handler: listObjects,
  },
  HeadBucket: { level: 'bucket', method: 'HEAD', action: 's3:ListBucket', handler: headBucket },
  CreateBucket: {
    level: 'bucket',
    method: 'PUT',
    action: 's3:CreateBucket',
    body: 'document',
    makesBucket: true,
    handler: createBucket,
  },
  DeleteBucket: { level: 'bucket', method: 'DELETE', action: 's3:DeleteBucket', handler: deleteBucket },
  DeleteObjects: {
    level: 'bucket',
    method: 'POST',
    requires: ['delete'],
    body: 'document',
    handler: deleteObjects,
  },

  GetObjectTagging: sub('GET', 'tagging', 's3:GetObjectTagging', getObjectTagging),
  PutObjectTagging: sub('PUT', 'tagging', 's3:PutObjectTagging', putObjectTagging),
  DeleteObjectTagging: sub('DELETE', 'tagging', 's3:DeleteObjectTagging', deleteObjectTagging),
  GetObjectRetention: sub('GET', 'retention', 's3:GetObjectRetention', getObjectRetention),
  PutObjectRetention: sub('PUT', 'retention', 's3:PutObjectRetention', putObjectRetention),
  GetObjectLegalHold: sub('GET', 'legal-hold', 's3:GetObjectLegalHold', getObjectLegalHold),
  PutObjectAcl: sub('PUT', 'acl', 's3:PutObjectAcl', putObjectAcl),
  PutObjectLegalHold: sub('PUT', 'legal-hold', 's3:PutObjectLegalHold', putObjectLegalHold),

  ListParts: {
    level: 'object',
    method: 'GET',
    requires: ['uploadId'],
    allows: ['max-parts', 'part-number-marker'],
    action: 's3:ListMultipartUploadParts',
    handler: listParts,
  },
  GetObject: {
    level: 'object',
    method: 'GET',
    allows: readParameters,
    action: 's3:GetObject',
    handler: getObject,
  },
  HeadObject: {
    level: 'object',
    method: 'HEAD',
    allows: readParameters,
    action: 's3:GetObject',
    handler: headObject,
  },
  UploadPartCopy: {
    level: 'object',
    method: 'PUT',
    requires: ['partNumber', 'uploadId'],
    header: 'x-amz-copy-source',
    action: 's3:PutObject',
    handler: uploadPartCopy,
  },
  UploadPart: {
    level: 'object',
    method: 'PUT',
    requires: ['partNumber', 'uploadId'],
    action: 's3:PutObject',
    body: 'object',
    prepare: preparePart,
    handler: uploadPart,
  },
  CopyObject: {
    level: 'object',
    method: 'PUT',
    header: 'x-amz-copy-source',
    action: 's3:PutObject',
    handler: copyObject,
  },
  PutObject: { level: 'object', method: 'PUT', action: 's3:PutObject', body: 'object', handler: putObject },
  CreateMultipartUpload: {
    level: 'object',
    method: 'POST',
    requires: ['uploads'],
    action: 's3:PutObject',
    handler: createMultipartUpload,
  },
  CompleteMultipartUpload: {
    level: 'object',
    method: 'POST',
    requires: ['uploadId'],
    action: 's3:PutObject',
    body: 'document',
    handler: completeMultipartUpload,
  },
  AbortMultipartUpload: {
    level: 'object',
    method: 'DELETE',
    requires: ['uploadId'],
    action: 's3:AbortMultipartUpload',
    handler: abortMultipartUpload,
  },
  DeleteObject: {
    level: 'object',
    method: 'DELETE',
    allows: versionId,
    action: 's3:DeleteObject',
    handler: deleteObject,
  },
} as const satisfies Record<string, Operation>;

export type OperationName = keyof typeof table;
export const operations: Readonly<Record<OperationName, Operation>> = table;

export function isOperationName(name: string): name is OperationName {
  return Object.hasOwn(operations, name);
}

function config(
  method: 'GET' | 'PUT' | 'DELETE',
  subresource: string,
  action: string,
  handler: Operation['handler'],
): Operation {
  const base: Operation = { level: 'bucket', method, requires: [subresource], action, handler };
  return method === 'PUT' ? { ...base, body: 'document' } : base;
}

function sub(
  method: 'GET' | 'PUT' | 'DELETE',
  subresource: string,
  action: string,
  handler: Operation['handler'],
): Operation {
  const base: Operation = {
    level: 'object',
    method,
    requires: [subresource],
    allows: versionId,
    action,
    handler,
  };
  return method === 'PUT' ? { ...base, body: 'document' } : base;
}

const rowsByKind = Map.groupBy(
  Object.entries(operations) as [OperationName, Operation][],
  ([, operation]) => `${operation.level} ${operation.method}`,
);

export function findOperation(request: S3Request): OperationName {
  const level = request.bucket === '' ? 'service' : request.key === '' ? 'bucket' : 'object';
  const names = request.query.map(([name]) => name).filter((name) => !isCommonParameter(name));
  for (const [name, operation] of rowsByKind.get(`${level} ${request.method}`) ?? []) {
    if (operation.header !== undefined && request.headers[operation.header] === undefined) continue;
    if (!(operation.requires ?? []).every((required) => names.includes(required))) continue;
    if (names.every((found) => operation.requires?.includes(found) || operation.allows?.includes(found)))
      return name;
  }
  if (names.length === 0) throw s3Error('MethodNotAllowed', undefined, { Method: request.method });
  throw s3Error('NotImplemented', 'A query parameter or sub-resource you provided is not implemented', {
    Resource: names.join(', '),
  });
}

// `x-id` is what the AWS SDKs add to name the operation.
function isCommonParameter(name: string): boolean {
  return name === 'x-id' || signingParameters.has(name) || /^x-amz-/i.test(name);
}

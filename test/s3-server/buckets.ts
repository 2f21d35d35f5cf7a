// Buckets and their configuration. Most configuration documents are kept and returned as they came: the
// server has no use for them, but a client's check wants to read them.
import { bucketOf, noContent, query, xmlAnswer, type Answer, type Call } from './call.ts';
import { s3Error, type S3ErrorCode } from './errors.ts';
import { requireProtected } from './objects.ts';
import type { Bucket, Versioning } from './store.ts';
import { document, element, group, parseDocument, requiredText, text } from './xml.ts';

export function newBucket(name: string, region: string, createdMs: number): Bucket {
  return { name, region, createdMs, versioning: '', objectLock: false, configuration: {} };
}

function checkBucketName(name: string): void {
  const isValid =
    /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name) && !name.includes('..') && !/^\d+(\.\d+){3}$/.test(name);
  if (!isValid) throw s3Error('InvalidBucketName', undefined, { BucketName: name });
}

export function listBuckets(call: Call): Answer {
  const prefix = query(call, 'prefix') ?? '';
  const buckets = call.store.buckets().filter(({ name }) => name.startsWith(prefix));
  const entries = buckets.map((bucket) =>
    group(
      'Bucket',
      element('Name', bucket.name),
      element('CreationDate', new Date(bucket.createdMs).toISOString()),
      element('BucketRegion', bucket.region),
    ),
  );
  const owner = group('Owner', element('ID', call.accountId));
  return xmlAnswer(document('ListAllMyBucketsResult', owner, group('Buckets', ...entries)));
}

export function createBucket(call: Call): Answer {
  const name = call.request.bucket;
  checkBucketName(name);
  // us-east-1 alone answers 200 to the owner who creates a bucket again.
  if (call.store.bucket(name) !== undefined && call.region !== 'us-east-1')
    throw s3Error('BucketAlreadyOwnedByYou');
  if (call.document.length > 0) {
    const wanted = text(parseDocument(call.document, 'CreateBucketConfiguration'), 'LocationConstraint');
    if (wanted !== undefined && wanted !== call.region) {
      throw s3Error(
        'InvalidArgument',
        `The ${wanted} location constraint is incompatible with this endpoint.`,
      );
    }
  }
  if (call.store.bucket(name) === undefined) {
    const bucket = newBucket(name, call.region, call.requester.nowMs);
    if (call.headers['x-amz-bucket-object-lock-enabled']?.toLowerCase() === 'true') {
      bucket.objectLock = true;
      bucket.versioning = 'Enabled';
      bucket.configuration['object-lock'] = document(
        'ObjectLockConfiguration',
        element('ObjectLockEnabled', 'Enabled'),
      );
    }
    call.store.saveBucket(bucket);
  }
  return { status: 200, headers: { location: `/${name}` } };
}

export function headBucket(call: Call): Answer {
  return { status: 200, headers: { 'x-amz-bucket-region': bucketOf(call).region } };
}

export function deleteBucket(call: Call): Answer {
  const { name } = bucketOf(call);
  if (!call.store.isEmpty(name)) throw s3Error('BucketNotEmpty', undefined, { BucketName: name });
  call.store.removeBucket(name);
  return noContent;
}

export function getBucketLocation(call: Call): Answer {
  const { region } = bucketOf(call);
  // us-east-1 is the empty location, for historical reasons.
  return xmlAnswer(
    region === 'us-east-1' ? document('LocationConstraint') : document('LocationConstraint', region),
  );
}

export function getBucketVersioning(call: Call): Answer {
  const { versioning } = bucketOf(call);
  return xmlAnswer(document('VersioningConfiguration', element('Status', versioning || undefined)));
}

export function putBucketVersioning(call: Call): Answer {
  const bucket = bucketOf(call);
  const status = requiredText(parseDocument(call.document, 'VersioningConfiguration'), 'Status');
  if (status !== 'Enabled' && status !== 'Suspended') throw s3Error('MalformedXML');
  if (status === 'Suspended' && bucket.objectLock) {
    throw s3Error(
      'InvalidBucketState',
      'An Object Lock configuration is present; versioning cannot be suspended.',
    );
  }
  call.store.saveBucket({ ...bucket, versioning: status satisfies Versioning });
  return { status: 200 };
}

export function putObjectLockConfiguration(call: Call): Answer {
  requireProtected(call);
  const bucket = bucketOf(call);
  const root = parseDocument(call.document, 'ObjectLockConfiguration');
  if (text(root, 'ObjectLockEnabled') !== 'Enabled') throw s3Error('MalformedXML');
  if (bucket.versioning !== 'Enabled') {
    throw s3Error(
      'InvalidBucketState',
      'Versioning must be Enabled on the bucket to apply an Object Lock configuration',
    );
  }
  const configuration = { ...bucket.configuration, 'object-lock': call.document.toString('utf8') };
  call.store.saveBucket({ ...bucket, objectLock: true, configuration });
  return { status: 200 };
}

interface Configuration {
  /** The root element of the document; none for JSON. */
  root?: string;
  /** What GET says when it was never set: a document, or an error. */
  initial?: string;
  missing: S3ErrorCode;
  isProtected?: boolean;
}

// What a bucket made today has: AWS switched these on for new buckets in January and April 2023.
const encryptionByDefault = document(
  'ServerSideEncryptionConfiguration',
  group(
    'Rule',
    group('ApplyServerSideEncryptionByDefault', element('SSEAlgorithm', 'AES256')),
    element('BucketKeyEnabled', false),
  ),
);
const accessBlockByDefault = document(
  'PublicAccessBlockConfiguration',
  element('BlockPublicAcls', true),
  element('IgnorePublicAcls', true),
  element('BlockPublicPolicy', true),
  element('RestrictPublicBuckets', true),
);
const ownershipByDefault = document(
  'OwnershipControls',
  group('Rule', element('ObjectOwnership', 'BucketOwnerEnforced')),
);

const configurations = {
  accelerate: {
    root: 'AccelerateConfiguration',
    initial: document('AccelerateConfiguration'),
    missing: 'InvalidRequest',
  },
  encryption: {
    root: 'ServerSideEncryptionConfiguration',
    initial: encryptionByDefault,
    missing: 'ServerSideEncryptionConfigurationNotFoundError',
  },
  lifecycle: {
    root: 'LifecycleConfiguration',
    missing: 'NoSuchLifecycleConfiguration',
    isProtected: true,
  },
  'object-lock': { root: 'ObjectLockConfiguration', missing: 'ObjectLockConfigurationNotFoundError' },
  ownershipControls: {
    root: 'OwnershipControls',
    initial: ownershipByDefault,
    missing: 'OwnershipControlsNotFoundError',
  },
  policy: { missing: 'NoSuchBucketPolicy' },
  publicAccessBlock: {
    root: 'PublicAccessBlockConfiguration',
    initial: accessBlockByDefault,
    missing: 'NoSuchPublicAccessBlockConfiguration',
  },
  tagging: { root: 'Tagging', missing: 'NoSuchTagSet' },
} as const satisfies Record<string, Configuration>;

export type ConfigurationName = keyof typeof configurations;

export function getConfiguration(name: ConfigurationName): (call: Call) => Answer {
  const { root, initial, missing }: Configuration = configurations[name];
  return (call) => {
    const stored = bucketOf(call).configuration[name];
    const shown = stored === undefined ? initial : stored;
    if (shown == null) throw s3Error(missing);
    return root === undefined
      ? { status: 200, headers: { 'content-type': 'application/json' }, body: shown }
      : xmlAnswer(shown);
  };
}

export function putConfiguration(name: Exclude<ConfigurationName, 'policy'>): (call: Call) => Answer {
  const { root, isProtected }: Configuration & { root: string } = configurations[name];
  return (call) => {
    if (isProtected) requireProtected(call);
    parseDocument(call.document, root);
    saveConfiguration(call, name, call.document.toString('utf8'));
    return name === 'tagging' ? noContent : { status: 200 };
  };
}

function checkJson(text: Buffer): void {
  try {
    JSON.parse(text.toString('utf8'));
  } catch {
    throw s3Error('InvalidRequest', 'Policies must be valid JSON and the first byte must be {');
  }
}

export function deleteConfiguration(name: ConfigurationName): (call: Call) => Answer {
  return (call) => {
    saveConfiguration(call, name, null);
    return noContent;
  };
}

function saveConfiguration(call: Call, name: ConfigurationName | 'acl', text: string | null): void {
  const bucket = bucketOf(call);
  call.store.saveBucket({ ...bucket, configuration: { ...bucket.configuration, [name]: text } });
}

export function putBucketPolicy(call: Call): Answer {
  checkJson(call.document);
  const policy = call.document.toString('utf8');
  if (isPublicPolicy(policy) && isBlocked(call, 'BlockPublicPolicy')) {
    throw s3Error('AccessDenied', 'public policies are prevented by the BlockPublicPolicy setting');
  }
  saveConfiguration(call, 'policy', policy);
  return noContent;
}

export function getBucketPolicyStatus(call: Call): Answer {
  const policy = bucketOf(call).configuration['policy'];
  if (policy == null) throw s3Error('NoSuchBucketPolicy');
  return xmlAnswer(document('PolicyStatus', element('IsPublic', isPublicPolicy(policy))));
}

function isPublicPolicy(policy: string): boolean {
  const { Statement } = JSON.parse(policy) as {
    Statement?: { Effect?: string; Principal?: unknown; Condition?: unknown }[];
  };
  return (Statement ?? []).some(
    ({ Effect, Principal, Condition }) =>
      Effect === 'Allow' && Condition === undefined && JSON.stringify(Principal ?? '').includes('"*"'),
  );
}

function isBlocked(call: Call, setting: 'BlockPublicPolicy' | 'BlockPublicAcls'): boolean {
  const { publicAccessBlock = accessBlockByDefault } = bucketOf(call).configuration;
  return publicAccessBlock?.includes(`<${setting}>true<`) ?? false;
}

const everybody = 'http://acs.amazonaws.com/groups/global/AllUsers';

/** Whom each canned ACL lets do what, besides the owner. */
const bucketAcls: Readonly<Record<string, readonly (readonly [group: string, permission: string])[]>> = {
  private: [],
  'public-read': [[everybody, 'READ']],
  'public-read-write': [
    [everybody, 'READ'],
    [everybody, 'WRITE'],
  ],
  'authenticated-read': [['http://acs.amazonaws.com/groups/global/AuthenticatedUsers', 'READ']],
};

export function putBucketAcl(call: Call): Answer {
  const acl = call.headers['x-amz-acl'];
  if (acl === undefined) throw s3Error('NotImplemented', 'Only canned ACLs are implemented');
  if (bucketAcls[acl] === undefined) throw s3Error('InvalidArgument');
  const { ownershipControls: ownership = ownershipByDefault } = bucketOf(call).configuration;
  if (ownership?.includes('BucketOwnerEnforced') && acl !== 'private')
    throw s3Error('AccessControlListNotSupported');
  if (acl !== 'private' && isBlocked(call, 'BlockPublicAcls')) {
    throw s3Error('AccessDenied', 'public ACLs are prevented by the BlockPublicAcls setting');
  }
  saveConfiguration(call, 'acl', acl);
  return { status: 200 };
}

const instance = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"';

export function getBucketAcl(call: Call): Answer {
  const owner = element('ID', call.accountId);
  const grant = (type: string, grantee: string, permission: string) =>
    group(
      'Grant',
      `<Grantee ${instance} xsi:type="${type}">${grantee}</Grantee>`,
      element('Permission', permission),
    );
  const grants = [
    grant('CanonicalUser', owner, 'FULL_CONTROL'),
    ...bucketAcls[bucketOf(call).configuration['acl'] ?? 'private']!.map(([uri, permission]) =>
      grant('Group', element('URI', uri), permission),
    ),
  ];
  return xmlAnswer(
    document('AccessControlPolicy', group('Owner', owner), group('AccessControlList', ...grants)),
  );
}

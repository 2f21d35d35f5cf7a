// Schema of the config file: which keys there are, what they mean and what they may hold. `config schema` prints it for
// editors. Messages are predicates: the loader puts the value before them, `"5" is not a duration: …`.
import * as z from 'zod';
import {
  compares,
  deleteModes,
  policies,
  preservable,
  preserveChanges,
  symlinkModes,
} from '../core/policy.ts';
import { templateProblem } from '../core/template.ts';
import { checksumsSent, logLevels } from './config.ts';
import { ruleSchema } from './rule-schema.ts';
import { selectorSchema } from './selector-schema.ts';
import { duration, text } from './values.ts';

const path = () =>
  text().refine(
    (value) => !value.startsWith('~'),
    'begins with ~, which only a shell expands; write the whole path',
  );

const name = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
    'is not a name; use letters, digits, ".", "_" and "-", at most 63, beginning with a letter or digit',
  );

const bucket = text().superRefine((value, context) => {
  const problem = bucketProblem(value);
  if (problem) context.addIssue(problem);
});

function bucketProblem(bucket: string): string | undefined {
  if (bucket.startsWith('s3://') || bucket.includes('/')) {
    return `is not a bucket; write its name alone${bucket.startsWith('s3://') ? ' without s3://' : ''} and what follows / as prefix`;
  }
  if (bucket.length < 3 || bucket.length > 63) return 'is not a bucket; a bucket has 3 to 63 characters';
  if (!/^[a-z0-9.-]+$/.test(bucket)) {
    return 'is not a bucket; a bucket has lower-case letters, digits, "-" and "." only';
  }
  if (!/^[a-z0-9].*[a-z0-9]$/.test(bucket))
    return 'is not a bucket; a bucket begins and ends with a letter or digit';
  if (bucket.includes('..')) return 'is not a bucket; a bucket has no two dots in a row';
  if (/^\d+\.\d+\.\d+\.\d+$/.test(bucket))
    return 'is not a bucket; a bucket does not look like an IP address';
  if (/^(xn--|sthree-)/.test(bucket))
    return 'is not a bucket; names that begin with xn-- or sthree- are reserved';
  return undefined;
}

/** What a prefix may hold besides text. */
const prefixTemplates = ['host', 'folder'] as const;

const prefix = z.string().superRefine((value, context) => {
  const problem = prefixProblem(value);
  if (problem) context.addIssue(problem);
});

function prefixProblem(prefix: string): string | undefined {
  if (prefix.startsWith('/')) return 'begins with /, which would be part of every key; remove it';
  // oxlint-disable-next-line no-control-regex
  if (/[\u0000-\u001f\u007f]/.test(prefix)) return 'has a control character; remove it';
  if (!prefix.isWellFormed()) return 'is not valid Unicode';
  if (/(^|\/)\.{1,2}(\/|$)/.test(prefix))
    return 'has "." or ".." between slashes, which S3 clients disagree about; remove it';
  if (prefix.includes('//')) return 'has // in it, an empty name between slashes; keep one /';
  // The key's limit is 1,024 bytes: a prefix which leaves no room for paths is a mistake.
  if (Buffer.byteLength(prefix) > 512)
    return 'is longer than 512 bytes, which leaves too little of the 1,024 of a key';
  return templateProblem(prefix, prefixTemplates);
}

const endpoint = text().superRefine((value, context) => {
  const problem = endpointProblem(value);
  if (problem) context.addIssue(problem);
});

function endpointProblem(endpoint: string): string | undefined {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (!url || !/^https?:\/\//i.test(endpoint))
    return 'is not a URL; write it as in https://s3.example.com:9000';
  if (url.username !== '' || url.password !== '')
    return 'has a user or password in it; use credentials instead';
  if (url.search !== '' || url.hash !== '') return 'has a ? or # in it; write the address alone';
  return undefined;
}

const secret = z
  .string()
  .regex(/^[\x21-\x7e]+$/, 'is empty or has a character that no key has (a space, a line break?)')
  // For editors: the file itself holds the reference, never the secret.
  .meta({ pattern: String.raw`^\$\{(env|cred):[A-Za-z0-9._-]+\}$` });

const credentials = z.strictObject({
  'access-key-id': secret.describe('Access key id. From ${env:NAME} or ${cred:NAME} only.'),
  'secret-access-key': secret.describe('Secret access key. From ${env:NAME} or ${cred:NAME} only.'),
  'session-token': secret
    .optional()
    .describe('Session token of temporary credentials. From ${env:NAME} or ${cred:NAME} only.'),
});

const flag = (description: string) => z.boolean().default(false).describe(description);

/** One entry of `destinations`. */
export const destinationSchema = z.strictObject({
  bucket: bucket.describe('Name of the bucket. It must exist.'),
  prefix: prefix
    .default('')
    .describe(
      'What every key begins with, usually ending in "/". May hold {host} (the host name) and {folder} (the name of the folder).',
    ),
  region: text()
    .regex(/^[A-Za-z0-9-]+$/, 'is not a region; write it as in eu-central-1')
    .optional()
    .describe('Region of the bucket. Default: $AWS_REGION, then the profile.'),
  endpoint: endpoint.optional().describe('URL of an S3-compatible store. Default: Amazon S3.'),
  'path-style': z
    .boolean()
    .optional()
    .describe(
      'Put the bucket into the path of URLs instead of the host name. Default: true when there is an endpoint, else false.',
    ),
  credentials: credentials
    .optional()
    .describe(
      'Keys of this destination. Default: the profile or role, else the default chain of the AWS SDK.',
    ),
  profile: text()
    .optional()
    .describe('Profile of ~/.aws/config or ~/.aws/credentials, or of shared-credentials-file, to use.'),
  'shared-credentials-file': path()
    .optional()
    .describe(
      'File with profiles, as ~/.aws/credentials is; relative to the config file. Default: $AWS_SHARED_CREDENTIALS_FILE, then that one.',
    ),
  'role-arn': text()
    .regex(
      /^arn:[a-z0-9-]+:iam::[^:]*:role\/.+$/,
      'is not the ARN of a role; write it as in arn:aws:iam::111122223333:role/backup',
    )
    .optional()
    .describe('Role to assume.'),
  'external-id': text().optional().describe('External id that the role asks for.'),
  'web-identity-token-file': path()
    .optional()
    .describe(
      'File with the token of a web identity that may assume the role; relative to the config file. Default: $AWS_WEB_IDENTITY_TOKEN_FILE with $AWS_ROLE_ARN.',
    ),
  'expected-bucket-owner': z
    .string({
      error: ({ input }) =>
        typeof input === 'number' ? 'is a number; put it in quotes, for leading zeros count' : undefined,
    })
    .regex(/^\d{12}$/, 'is not an account; an account has 12 digits')
    .optional()
    .describe('Account that must own the bucket: requests fail when it belongs to anybody else.'),
  'request-payer': flag('Pay for the requests to a bucket whose owner does not.'),
  accelerate: flag('Use S3 Transfer Acceleration.'),
  dualstack: flag('Use endpoints that have IPv6 addresses too.'),
  fips: flag('Use endpoints validated to FIPS 140.'),
  'ca-file': path()
    .optional()
    .describe('PEM file with the certificate authority of a private endpoint; relative to the config file.'),
  checksum: z
    .enum(checksumsSent)
    .default('crc32')
    .describe(
      'Checksum that is sent with every upload for S3 to verify and store. none: for stores that refuse it.',
    ),
  'requests-per-day': z
    .number()
    .int('is not a whole number')
    .min(100, 'is less than 100, and a first look at a store takes a dozen')
    .optional()
    .describe(
      'Budget of requests for a UTC day. When four fifths of it are used, the rest is spread over what is left of the day; nothing is dropped. Default: no limit.',
    ),
  'unsafe-emulation': flag(
    'Run a policy that the store cannot enforce by looking first: a file may then replace what somebody else wrote in between.',
  ),
  'allow-public': flag('The bucket is meant to be public: `check` calls that an error otherwise.'),
});

/** One entry of `to`: a destination by its name, or with what is otherwise there than in the rest of the folder. */
const toEntry = [
  z.string(),
  z.strictObject({
    destination: z.string().describe('Name of the destination.'),
    when: selectorSchema
      .optional()
      .describe('Which files go there; all that is given must hold. Default: all of the folder.'),
    policy: z.enum(policies).optional().describe('Policy there. Default: that of the folder.'),
    compare: z.enum(compares).optional().describe('Comparison there. Default: that of the folder.'),
    delete: z
      .enum(deleteModes)
      .optional()
      .describe('What happens there to the object of a deleted file. Default: as in the folder.'),
  }),
] as const;

const patterns = () => z.union([z.string(), z.array(z.string())]);

/** One entry of `folders`. */
export const folderSchema = z.strictObject({
  path: path().describe('Directory to keep in S3; relative to the config file.'),
  to: z
    .union(
      [...toEntry, z.array(z.union(toEntry)).min(1, 'names no destination; name at least one')],
      'is neither the name of a destination nor { destination: NAME, … }, nor a list of them',
    )
    .describe(
      'Where to: the name of a destination, or { destination: NAME, when: …, policy: … }, or a list of either.',
    ),
  policy: z
    .enum(policies)
    .default('overwrite')
    .describe(
      'Who wins when file and object differ. overwrite: the file. skip-existing: the object, whatever it holds. if-unchanged: the file, unless somebody else wrote the object. newer-wins: the newer one.',
    ),
  compare: z
    .enum(compares)
    .default('content')
    .describe(
      'When a file and an object that was there before count as equal. content: same checksum. size-and-time, size: without reading the file. aws: as aws s3 sync does.',
    ),
  delete: z
    .enum(deleteModes)
    .default('keep')
    .describe(
      'What happens to the object of a file that was deleted. keep: nothing. propagate: it is deleted. archive: it is moved to archive-prefix.',
    ),
  'delete-grace': duration()
    .default('5s')
    .describe('How long a file must be gone before its object is deleted; looked at twice, so long apart.'),
  'max-delete': z
    .strictObject({
      count: z
        .int('is not a whole number')
        .min(0, 'is less than 0')
        .default(50)
        .describe('So many files. 0: every delete is held.'),
      percent: z
        .number()
        .min(0, 'is less than 0')
        .max(100, 'is more than 100')
        .default(25)
        .describe('This part of the files that are synced. 100: no limit.'),
    })
    .prefault({})
    .describe(
      'More deletes than either within an hour are held, all of them, until `s3syncd deletes approve` or `discard`.',
    ),
  'archive-prefix': prefix
    .default('archive/{host}/{folder}/')
    .describe(
      'Where delete: archive moves objects to, in the same bucket; the time is appended to each key. Must not overlap with what a folder syncs to.',
    ),
  settle: duration().default('1s').describe('How long a file must be quiet before it is uploaded.'),
  'settle-max': duration()
    .default('60s')
    .describe('After this time a file is uploaded although it still changes.'),
  rescan: duration()
    .default('1h')
    .describe('How often the whole folder is scanned for what no event told of.'),
  exclude: patterns().default([]).describe('Gitignore patterns of what is not synced.'),
  include: patterns()
    .default([])
    .describe('Gitignore patterns; when there are any, only files that match one are synced.'),
  symlinks: z
    .enum(symlinkModes)
    .default('skip')
    .describe(
      'skip: symbolic links are not synced. follow: those that stay within the folder are synced as the file they point to.',
    ),
  preserve: z
    .array(z.enum(preservable))
    .default([])
    .describe(
      'What of a file is kept in metadata. mtime is always kept when bytes are uploaded; named here, also when it alone changes.',
    ),
  'preserve-changes': z
    .enum(preserveChanges)
    .default('lazy')
    .describe(
      'When that is written for a file that was only touched or whose mode or owner changed. lazy: with its next upload. eager: at once, by a copy of the object onto itself, which on a versioned bucket is one more version.',
    ),
  rules: z
    .array(ruleSchema)
    .default([])
    .describe(
      'What objects get besides their bytes. Every rule that matches applies; later ones win field by field.',
    ),
});

/** The whole file. */
export const configSchema = z
  .strictObject({
    version: z
      .literal(1, { error: 'is no version of the format that this program reads; write 1' })
      .describe('Version of this format: 1.'),
    'state-dir': path()
      .optional()
      .describe(
        'Directory for the journal and its lock, outside every folder; relative to the config file. Default: $STATE_DIRECTORY.',
      ),
    log: z
      .strictObject({
        level: z.enum(logLevels).default('info').describe('Least important messages to write.'),
      })
      .prefault({})
      .describe('What is logged.'),
    destinations: z
      .record(name, destinationSchema)
      .refine((entries) => Object.keys(entries).length > 0, 'names no destination; add one')
      .describe('Buckets to keep folders in, by a name of your choice.'),
    folders: z
      .record(name, folderSchema)
      .refine((entries) => Object.keys(entries).length > 0, 'names no folder; add one')
      .describe('Local directories to keep in S3, by a name of your choice.'),
  })
  .meta({ title: 's3syncd configuration' });

export type DestinationInput = z.output<typeof destinationSchema>;
export type FolderInput = z.output<typeof folderSchema>;

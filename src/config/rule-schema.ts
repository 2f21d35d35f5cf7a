// Schema of a rule: which files it is for, and what their objects get. Keys that the AWS CLI has are named as it names
// them. Messages are predicates, as in schema.ts.
import * as z from 'zod';
import { cannedAcls, lockModes, permissions, sseAlgorithms, storageClasses } from '../core/description.ts';
import { hasOddSegment } from '../core/key.ts';
import { recipientProblem } from '../core/recipient.ts';
import { fileTemplates, templateProblem } from '../core/template.ts';
import { compressions } from '../core/transform.ts';
import { checksumsSent } from './config.ts';
import { duration, durationOrMoment, moment, size, text } from './values.ts';

const tagText = () =>
  z
    .string({
      error: ({ input }) =>
        typeof input === 'number' || typeof input === 'boolean'
          ? `is a ${typeof input}; put it in quotes`
          : undefined,
    })
    .max(256, 'is longer than 256 characters, the limit of S3');

/** A value that a tag has, as against the template that gives it one. */
export const givenTagValue = () =>
  tagText().superRefine((value, context) => {
    const problem = charactersProblem(value);
    if (problem) context.addIssue(problem);
  });

const tagValue = tagText().superRefine((value, context) => {
  const problem =
    templateProblem(value, fileTemplates) ?? charactersProblem(value.replaceAll(/\{[^{}]*\}/g, ''));
  if (problem) context.addIssue(problem);
});

// The alphabet that S3 documents for tags.
function charactersProblem(text: string): string | undefined {
  const bad = /[^\p{L}\p{Z}\p{N}+\-=._:/@]/u.exec(text)?.[0];
  if (bad === undefined) return undefined;
  return `has ${JSON.stringify(bad)} in it; S3 allows letters, digits, spaces and + - = . _ : / @ in tags`;
}

export const tagKey = z.string().superRefine((key, context) => {
  const problem =
    key === ''
      ? 'is empty; give the tag a name'
      : key.length > 128
        ? 'is longer than 128 characters, the limit of S3'
        : /^aws:/i.test(key)
          ? 'begins with aws:, which is reserved; choose another name'
          : charactersProblem(key);
  if (problem) context.addIssue(problem);
});

/** What it expands to is checked file by file: a name may be anything. */
const keyTemplate = text().superRefine((value, context) => {
  const problem = keyProblem(value) ?? templateProblem(value, fileTemplates);
  if (problem) context.addIssue(problem);
});

function keyProblem(template: string): string | undefined {
  if (template.startsWith('/')) return 'begins with /, but it is added to the prefix; remove it';
  if (template.endsWith('/')) return 'ends with /, which is no name for a file; add {name}';
  if (template.includes('//')) return 'has // in it, an empty name between slashes; keep one /';
  if (hasOddSegment(template))
    return 'has "." or ".." between slashes, which S3 clients take for directories; remove it';
  if (!template.isWellFormed()) return 'is not valid Unicode';
  if (Buffer.byteLength(template) > 512)
    return 'is longer than 512 bytes, which leaves too little of the 1,024 of a key';
  return undefined;
}

// Names under which the daemon itself stores times and modes.
const ownMetadata = [
  'mtime',
  'mode',
  'uid',
  'gid',
  's3syncd-write',
  's3syncd-transform',
  's3syncd-size',
  's3syncd-checksum',
];

const metadataKey = z.string().superRefine((key, context) => {
  if (!/^[a-z0-9!#$%&'*+.^_`|~-]+$/i.test(key)) {
    context.addIssue('is not a name for metadata; use letters, digits, "-" and "_" without x-amz-meta-');
  } else if (/^x-amz-/i.test(key)) {
    context.addIssue('begins with x-amz-, which is added by itself; remove it');
  } else if (ownMetadata.includes(key.toLowerCase())) {
    context.addIssue('is written by s3syncd itself; choose another name');
  }
});

const headerText = () =>
  text()
    .regex(/^[\x20-\x7e]*$/, 'has a character that no header can hold; use ASCII')
    .max(1024, 'is longer than 1,024 characters');

const redirect = headerText().regex(
  /^(\/|https?:\/\/)/,
  'is neither a key of the bucket, as in /new.html, nor a URL, as in https://example.com/',
);

const grantee = text().superRefine((value, context) => {
  const problem = granteeProblem(value);
  if (problem) context.addIssue(problem);
});

function granteeProblem(grantee: string): string | undefined {
  if (/^email(address)?=/i.test(grantee))
    return 'names a grantee by e-mail address, which S3 takes no more; write id= and the canonical id';
  return /^(id|uri)=[\x21\x23-\x2b\x2d-\x7e]+$/.test(grantee)
    ? undefined
    : 'is not a grantee; write id= and the canonical id of an account, or uri= and the address of a group';
}

const grantees = (may: string) =>
  z
    .union([grantee, z.array(grantee).min(1, 'names no grantee; name at least one')])
    .optional()
    .describe(`Who may ${may}: id=… or uri=…, or a list of them. Not beside acl.`);

const kmsKeyId = text()
  .regex(/^[\x21-\x7e]+$/, 'is not the id, ARN or alias of a key; write it as in alias/backup')
  .max(2048, 'is longer than 2,048 characters');

const contextKey = z.string().superRefine((key, context) => {
  if (key === '') context.addIssue('is empty; give it a name');
  else if (/^aws:/i.test(key))
    context.addIssue('begins with aws:, which S3 sets by itself; choose another name');
});

const customerKey = z
  .string()
  .regex(
    /^[A-Za-z0-9+/]{43}=$/,
    'is not a key; a key is 32 bytes in base64, as openssl rand -base64 32 prints',
  )
  // For editors: the file itself holds the reference, never the key.
  .meta({ pattern: String.raw`^\$\{cred:[A-Za-z0-9._-]+\}$` });

const objectLock = z.strictObject({
  mode: z
    .enum(lockModes)
    .optional()
    .describe('GOVERNANCE: who has the right may shorten it. COMPLIANCE: nobody may, not even the owner.'),
  retain: durationOrMoment()
    .optional()
    .describe('How long the object cannot be deleted: a duration from its upload on, or until a date.'),
  'legal-hold': z
    .boolean()
    .optional()
    .describe('Whether the object cannot be deleted until somebody takes the hold away.'),
});

const recipient = text().superRefine((value, context) => {
  const problem = recipientProblem(value);
  if (problem) context.addIssue(problem);
});

const encrypt = z.strictObject({
  'age-recipients': z
    .union([
      recipient,
      z.array(recipient).min(1, 'names nobody, and nobody could restore; name at least one'),
    ])
    .describe(
      'Public keys of age (age1…, as age-keygen prints them), one or a list. Whoever has the private key of one can restore.',
    ),
});

/** One entry of `rules`. */
export const ruleSchema = z
  .strictObject({
    match: text().describe(
      'Glob over the path within the folder: "*" stays within a directory, "**" crosses them, "{a,b}" is either.',
    ),
    'larger-than': size().optional().describe('Only files of more bytes than this.'),
    'smaller-than': size().optional().describe('Only files of fewer bytes than this.'),
    'older-than': duration()
      .optional()
      .describe(
        'Only files whose last change, by their mtime, was longer ago than this when they are uploaded.',
      ),
    'newer-than': duration()
      .optional()
      .describe('Only files whose last change, by their mtime, was not as long ago when they are uploaded.'),
    key: keyTemplate
      .optional()
      .describe(
        'What follows the prefix in the key, instead of the path. May hold what tags may, as in {dir}/{mtime:yyyy}/{name}.',
      ),
    'storage-class': z.enum(storageClasses).optional().describe('Storage class of the object.'),
    tags: z
      .record(tagKey, tagValue)
      .optional()
      .describe(
        'Tags of the object, at most 10. Values may hold {path}, {dir}, {dir:1|2|3}, {name}, {stem}, {ext}, {host}, {folder} and {mtime:yyyy|MM|dd|HH}.',
      ),
    metadata: z
      .record(metadataKey, headerText())
      .optional()
      .describe('User metadata (x-amz-meta-…), at most 2 KiB.'),
    'content-type': headerText().optional().describe('Content-Type. Default: by the name of the file.'),
    'content-encoding': headerText()
      .optional()
      .describe('Content-Encoding. The file is not transformed for it: compress does that, and sets it.'),
    'content-disposition': headerText().optional().describe('Content-Disposition.'),
    'content-language': headerText().optional().describe('Content-Language.'),
    'cache-control': headerText().optional().describe('Cache-Control.'),
    expires: moment().optional().describe('Expires: from when on caches ask again.'),
    'website-redirect': redirect
      .optional()
      .describe(
        'Where a website of the bucket sends those who ask for the object: a key with / before it, or a URL.',
      ),
    acl: z
      .enum(cannedAcls)
      .optional()
      .describe('Canned ACL. Refused by buckets whose owner owns everything, which is the default.'),
    'grant-read': grantees('read the object'),
    'grant-read-acp': grantees('read its ACL'),
    'grant-write-acp': grantees('write its ACL'),
    'grant-full-control': grantees('do all of these'),
    sse: z
      .enum(sseAlgorithms)
      .optional()
      .describe('Encryption at rest with keys of S3 or of KMS. Default: that of the bucket.'),
    'sse-kms-key-id': kmsKeyId
      .optional()
      .describe('Id, ARN or alias of the KMS key. Default: the key that AWS manages for S3.'),
    'sse-kms-encryption-context': z
      .record(contextKey, text())
      .optional()
      .describe('What KMS binds the key to and logs, as names and values.'),
    'bucket-key-enabled': z
      .boolean()
      .optional()
      .describe(
        'Whether S3 asks KMS once for many objects instead of for each. Default: that of the bucket.',
      ),
    'sse-customer-key': customerKey
      .optional()
      .describe(
        'SSE-C: a key that S3 does not keep, 32 bytes in base64. From ${cred:NAME} only. Who loses it loses the objects.',
      ),
    'object-lock': objectLock
      .optional()
      .describe('Keeps versions of the object from being deleted. The bucket must have Object Lock.'),
    compress: z
      .enum([...compressions, 'none'])
      .optional()
      .describe(
        'The object is the compressed file. Names of what is compressed already (jpg, mp4, zip, docx …) are left out; none: as it is.',
      ),
    encrypt: encrypt
      .optional()
      .describe(
        'The object is the file encrypted with age, before it leaves this machine; compressed first where compress says so.',
      ),
    checksum: z
      .enum(checksumsSent)
      .optional()
      .describe('Checksum that is sent for S3 to verify and store. Default: that of the destination.'),
  })
  .superRefine((rule, context) => {
    for (const { path, message } of contradictions(rule)) context.addIssue({ code: 'custom', path, message });
  });
export type RuleInput = z.output<typeof ruleSchema>;

/** Keys that mean nothing without another one, or not beside it. */
function* contradictions(rule: RuleInput): Iterable<{ path: string[]; message: string }> {
  for (const age of ['older-than', 'newer-than'] as const) {
    if (rule.key !== undefined && rule[age] !== undefined)
      yield {
        path: [age],
        message:
          'does not go with key: an object does not move because its file grows older; use {mtime:yyyy}',
      };
  }
  const { sse, 'object-lock': lock } = rule;
  for (const key of ['sse-kms-key-id', 'sse-kms-encryption-context', 'bucket-key-enabled'] as const) {
    if (rule[key] !== undefined && sse !== 'aws:kms' && sse !== 'aws:kms:dsse')
      yield { path: [key], message: 'needs "sse: aws:kms" or "sse: aws:kms:dsse" in the same rule' };
  }
  if (rule['bucket-key-enabled'] && sse === 'aws:kms:dsse')
    yield {
      path: ['bucket-key-enabled'],
      message: 'does not go with aws:kms:dsse, which has no bucket keys',
    };
  if (rule['sse-customer-key'] !== undefined && sse !== undefined)
    yield { path: ['sse'], message: 'does not go with sse-customer-key; remove one of them' };
  if (rule.acl !== undefined && permissions.some((permission) => rule[`grant-${permission}`] !== undefined))
    yield { path: ['acl'], message: 'does not go with grants: S3 takes the one or the others' };
  if (lock && lock.mode === undefined && lock.retain === undefined && lock['legal-hold'] === undefined)
    yield { path: ['object-lock'], message: 'says nothing; write mode and retain, or legal-hold' };
  if ((lock?.mode === undefined) !== (lock?.retain === undefined)) {
    const [given, missing] = lock?.mode === undefined ? ['retain', 'mode'] : ['mode', 'retain'];
    yield { path: ['object-lock', given], message: `needs ${missing} beside it` };
  }
}

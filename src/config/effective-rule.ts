// From what a rule or a selector of the file says to what the program reads: keys that belong together become one value.
import { permissions } from '../core/description.ts';
import type { Access, Encryption, ObjectLock } from '../core/description.ts';
import type { Rule } from '../core/rules.ts';
import type { Selector } from '../core/selector.ts';
import { present } from './present.ts';
import type { RuleInput } from './rule-schema.ts';
import type { SelectorInput } from './selector-schema.ts';
import { parseDuration, parseMoment, parseSize } from './units.ts';

export function effectiveRule(input: RuleInput): Rule {
  return present({
    match: input.match,
    largerThanBytes: parsed(input['larger-than'], parseSize),
    smallerThanBytes: parsed(input['smaller-than'], parseSize),
    olderThanMs: parsed(input['older-than'], parseDuration),
    newerThanMs: parsed(input['newer-than'], parseDuration),
    key: input.key,
    storageClass: input['storage-class'],
    tags: input.tags,
    metadata: input.metadata && lowerCased(input.metadata),
    contentType: input['content-type'],
    contentEncoding: input['content-encoding'],
    contentDisposition: input['content-disposition'],
    contentLanguage: input['content-language'],
    cacheControl: input['cache-control'],
    expiresMs: parsed(input.expires, parseMoment),
    websiteRedirect: input['website-redirect'],
    access: accessOf(input),
    encryption: encryptionOf(input),
    objectLock: input['object-lock'] && objectLockOf(input['object-lock']),
    compress: input.compress,
    recipients: input.encrypt && [input.encrypt['age-recipients']].flat(),
    checksum: input.checksum,
  });
}

export function effectiveSelector(input: SelectorInput): Selector {
  return present({
    match: input.match === undefined ? undefined : [input.match].flat(),
    largerThanBytes: parsed(input['larger-than'], parseSize),
    smallerThanBytes: parsed(input['smaller-than'], parseSize),
    tags:
      input.tags &&
      Object.fromEntries(Object.entries(input.tags).map(([name, values]) => [name, [values].flat()])),
  });
}

/** Names of headers are the same in upper and lower case: written in one, rules merge by what they mean. */
function lowerCased(metadata: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata).map(([name, value]) => [name.toLowerCase(), value]));
}

function accessOf(input: RuleInput): Access | undefined {
  if (input.acl !== undefined) return { kind: 'canned', acl: input.acl };
  const grants = permissions.flatMap((permission) => {
    const grantees = input[`grant-${permission}`];
    return grantees === undefined ? [] : [[permission, [grantees].flat()] as const];
  });
  return grants.length === 0 ? undefined : { kind: 'grants', grants: Object.fromEntries(grants) };
}

function encryptionOf(input: RuleInput): Encryption | undefined {
  const { sse, 'sse-customer-key': customerKey } = input;
  if (customerKey !== undefined) return { sse: 'customer', key: customerKey };
  if (sse === undefined || sse === 'AES256') return sse && { sse };
  return present({
    sse,
    keyId: input['sse-kms-key-id'],
    context: input['sse-kms-encryption-context'],
    bucketKey: input['bucket-key-enabled'],
  });
}

function objectLockOf({
  mode,
  retain,
  'legal-hold': legalHold,
}: NonNullable<RuleInput['object-lock']>): ObjectLock {
  return present({
    retention: mode && retain !== undefined ? { mode, until: retainUntil(retain) } : undefined,
    legalHold,
  });
}

function retainUntil(retain: string) {
  const durationMs = parseDuration(retain);
  return durationMs === undefined
    ? { kind: 'at' as const, atMs: parsed(retain, parseMoment)! }
    : { kind: 'after' as const, durationMs };
}

function parsed(text: string | undefined, parse: (text: string) => number | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = parse(text);
  if (value === undefined) throw new Error(`the schema let a bad value pass: ${text}`);
  return value;
}

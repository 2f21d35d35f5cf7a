// Drift: what counts as a difference between what the rules said of an object and what they say, and what is done about it.
import { describe, expect, test } from 'vitest';
import type { ObjectDescription } from '../../src/core/description.ts';
import { differingFields, recordedText, remedyFor, type DriftField } from '../../src/core/drift.ts';

const plain: ObjectDescription = { tags: {}, metadata: {} };
const dayMs = 86_400_000;
const writtenMs = Date.UTC(2026, 0, 1);
const nowMs = writtenMs + 10 * dayMs;

type Said = Partial<ObjectDescription>;

function text(said: Said, checksum: 'none' | 'crc32' | 'sha256' = 'crc32'): string {
  return recordedText({ ...plain, ...said }, checksum, (key) => `digest of ${key.length} characters`);
}

function fields(before: Said, after: Said): DriftField[] {
  return differingFields(text(before), text(after));
}

const retention = (mode: 'GOVERNANCE' | 'COMPLIANCE', days: number) =>
  ({ mode, until: { kind: 'after', durationMs: days * dayMs } }) as const;

describe('an object differs from the rules', () => {
  test.each<[before: Said, after: Said, fields: DriftField[]]>([
    [{ tags: { a: '1' } }, { tags: { a: '2' } }, ['tags']],
    [{ tags: { a: '1' } }, {}, ['tags']],
    [{ metadata: { a: '1' } }, { metadata: { b: '1' } }, ['metadata']],
    [{ storageClass: 'STANDARD_IA' }, {}, ['storage-class']],
    [{ contentType: 'a/b' }, { contentType: 'c/d' }, ['content-type']],
    [
      {},
      { contentEncoding: 'gzip', contentDisposition: 'inline' },
      ['content-encoding', 'content-disposition'],
    ],
    [{}, { contentLanguage: 'de', cacheControl: 'no-store' }, ['content-language', 'cache-control']],
    [{ expiresMs: 1 }, { expiresMs: 2 }, ['expires']],
    [{}, { websiteRedirect: '/a' }, ['website-redirect']],
    [{}, { access: { kind: 'canned', acl: 'private' } }, ['acl']],
    [{ encryption: { sse: 'AES256' } }, { encryption: { sse: 'aws:kms' } }, ['sse']],
    [{ encryption: { sse: 'aws:kms', keyId: 'a' } }, { encryption: { sse: 'aws:kms', keyId: 'b' } }, ['sse']],
    [{}, { objectLock: { legalHold: true } }, ['object-lock']],
    [{ tags: { a: '1' }, storageClass: 'STANDARD_IA' }, {}, ['tags', 'storage-class']],
  ])('%j → %j: %j', (before, after, expected) => {
    expect(fields(before, after)).toEqual(expected);
  });

  test('in its checksum', () => {
    expect(differingFields(text({}), text({}, 'sha256'))).toEqual(['checksum']);
  });

  test.each<[what: string, before: Said, after: Said]>([
    ['rules were moved', { tags: { a: '1', b: '2' } }, { tags: { b: '2', a: '1' } }],
    ['what S3 does anyway is said', {}, { storageClass: 'STANDARD' }],
    ['a legal hold that never was is taken away', {}, { objectLock: { legalHold: false } }],
    ['the file was touched', { metadata: { mtime: '1' } }, { metadata: { mtime: '2' } }],
    ['its mode changed', { metadata: { mode: '100644', uid: '1', gid: '1' } }, {}],
    ['it was written by another try', { metadata: { 's3syncd-write': 'a 1' } }, {}],
  ])('not because %s', (_, before, after) => {
    expect(fields(before, after)).toEqual([]);
  });

  test('in its key of SSE-C, which is not written down', () => {
    const key = 'c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I=';
    expect(text({ encryption: { sse: 'customer', key } })).not.toContain(key);
    expect(fields({}, { encryption: { sse: 'customer', key } })).toEqual(['sse']);
  });
});

describe('it is brought in line', () => {
  const remedy = (before: Said, after: Said, { size = 100, keyMoves = false } = {}) => {
    const differing = [...(keyMoves ? ['key' as const] : []), ...fields(before, after)];
    return remedyFor(differing, { text: text(before), atMs: writtenMs }, { ...plain, ...after }, size, nowMs);
  };
  const refused = (reason: string) => ({ kind: 'refused', reason });
  const locked = (mode: 'GOVERNANCE' | 'COMPLIANCE', days: number): Said => ({
    objectLock: { retention: retention(mode, days) },
  });

  test.each<[before: Said, after: Said, remedy: object]>([
    [{}, { tags: { a: '1' } }, { kind: 'put', fields: ['tags'] }],
    [{}, { access: { kind: 'canned', acl: 'private' } }, { kind: 'put', fields: ['acl'] }],
    [{}, { objectLock: { legalHold: true } }, { kind: 'put', fields: ['object-lock'] }],
    [
      {},
      { tags: { a: '1' }, objectLock: { legalHold: true } },
      { kind: 'put', fields: ['tags', 'object-lock'] },
    ],
    [{}, { cacheControl: 'no-store' }, { kind: 'copy' }],
    [{}, { tags: { a: '1' }, cacheControl: 'no-store' }, { kind: 'copy' }],
    [{}, { storageClass: 'GLACIER' }, { kind: 'copy' }],
    [{ storageClass: 'GLACIER' }, { storageClass: 'STANDARD_IA' }, refused('archived')],
    [{ storageClass: 'DEEP_ARCHIVE' }, {}, refused('archived')],
    // Tags of what is archived can be put.
    [
      { storageClass: 'GLACIER' },
      { storageClass: 'GLACIER', tags: { a: '1' } },
      { kind: 'put', fields: ['tags'] },
    ],
  ])('%j → %j: %j', (before, after, expected) => {
    expect(remedy(before, after)).toEqual(expected);
  });

  test('only up to what S3 copies', () => {
    const after = { cacheControl: 'no-store' };
    expect(remedy({}, after, { size: 5 * 1024 ** 3 })).toEqual({ kind: 'copy' });
    expect(remedy({}, after, { size: 5 * 1024 ** 3 + 1 })).toEqual(refused('too-large-to-copy'));
    expect(remedy({}, { tags: { a: '1' } }, { size: 1024 ** 4 })).toMatchObject({ kind: 'put' });
  });

  test('by sending the file again, where its key or its checksum is another', () => {
    expect(remedy({}, {}, { keyMoves: true })).toEqual({ kind: 'upload' });
    const other = { text: text({}, 'sha256'), atMs: writtenMs };
    expect(remedyFor(['checksum'], other, plain, 1, nowMs)).toEqual({ kind: 'upload' });
  });

  test.each<[what: string, before: Said, after: Said]>([
    ['longer', locked('GOVERNANCE', 30), locked('GOVERNANCE', 60)],
    ['stronger', locked('GOVERNANCE', 30), locked('COMPLIANCE', 30)],
    ['at all', {}, locked('GOVERNANCE', 30)],
    ['no more, when that time is over', locked('COMPLIANCE', 9), {}],
    [
      'no more, where a rule takes the hold away',
      { objectLock: { legalHold: true } },
      { objectLock: { legalHold: false } },
    ],
  ])('locked %s', (_, before, after) => {
    expect(remedy(before, after)).toEqual({ kind: 'put', fields: ['object-lock'] });
  });

  test.each<[what: string, before: Said, after: Said]>([
    ['shorter', locked('GOVERNANCE', 60), locked('GOVERNANCE', 30)],
    ['weaker', locked('COMPLIANCE', 30), locked('GOVERNANCE', 60)],
    ['no more', locked('GOVERNANCE', 30), {}],
    ['no more, because no rule speaks of the hold', { objectLock: { legalHold: true } }, {}],
    [
      'shorter, not even by a copy',
      locked('GOVERNANCE', 60),
      { ...locked('GOVERNANCE', 30), cacheControl: 'no-store' },
    ],
  ])('but never locked %s', (_, before, after) => {
    expect(remedy(before, after)).toEqual(refused('lock-shortened'));
  });
});

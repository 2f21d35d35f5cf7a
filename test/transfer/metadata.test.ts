import { bigInt } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { metadataBytes } from '../../src/core/description.ts';
import type { TransformedContent } from '../../src/core/object.ts';
import type { Transform } from '../../src/core/transform.ts';
import {
  contentFromMetadata,
  describeContent,
  describeFile,
  describeWrite,
  mtimeFromMetadata,
  mtimeToMetadata,
  writeIdFromMetadata,
} from '../../src/transfer/metadata.ts';
import { file } from '../helpers/given.ts';
import { law } from '../helpers/law.ts';

law(
  'every time that a file can have comes back to the nanosecond',
  bigInt(-(2n ** 63n), 2n ** 63n - 1n),
  (mtimeNs) => mtimeFromMetadata(mtimeToMetadata(mtimeNs)) === mtimeNs,
  { numRuns: 1000 },
);

describe('an mtime', () => {
  test.each([
    [0n, '0'],
    [1n, '0.000000001'],
    [-1n, '-0.000000001'],
    [1_732_390_000_123_456_789n, '1732390000.123456789'],
    [1_732_390_000_500_000_000n, '1732390000.5'],
    [1_732_390_000_000_000_000n, '1732390000'],
    [-1_500_000_000n, '-1.5'],
    [-1_000_000_000n, '-1'],
  ])('of %i ns is %s', (mtimeNs, text) => {
    expect(mtimeToMetadata(mtimeNs)).toBe(text);
  });

  test.each([
    // As rclone writes it: nine digits, always.
    ['1732390000.123456000', 1_732_390_000_123_456_000n],
    ['1732390000.000000000', 1_732_390_000_000_000_000n],
    // More digits than there are nanoseconds.
    ['1.0000000019', 1_000_000_001n],
    ['007', 7_000_000_000n],
  ])('%s is %i ns', (text, mtimeNs) => {
    expect(mtimeFromMetadata(text)).toBe(mtimeNs);
  });

  test.each([undefined, '', ' ', '1,5', '1.', '.5', '1e9', '+1', '2026-03-09T12:00:00Z', '--1', '1 ', 'NaN'])(
    '%j is none',
    (text) => {
      expect(mtimeFromMetadata(text)).toBeUndefined();
    },
  );
});

describe('what is kept of a file', () => {
  const description = { tags: { Kind: 'log' }, metadata: { note: 'x' }, contentType: 'text/plain' };

  test.each([
    [[], {}],
    [['mode'], { mode: '100644' }],
    [['owner'], { uid: '1000', gid: '1000' }],
    [['mode', 'owner'], { mode: '100644', uid: '1000', gid: '1000' }],
  ] as const)('is its mtime, and with preserve %j: %j', (preserve, metadata) => {
    expect(describeFile(description, file(10), preserve)).toEqual({
      ...description,
      metadata: { note: 'x', mtime: mtimeToMetadata(file(10).mtimeNs), ...metadata },
    });
  });
});

describe('the write that made an object', () => {
  const { metadata } = describeWrite({ tags: {}, metadata: { note: 'x', mtime: '1.5' } }, '9f86d081884c7d65');

  test('is told by its metadata', () => {
    expect(metadata).toEqual({ note: 'x', mtime: '1.5', 's3syncd-write': '9f86d081884c7d65 1.5' });
    expect(writeIdFromMetadata(metadata)).toBe('9f86d081884c7d65');
  });

  test.each([
    ['that another tool wrote', { mtime: '1.5' }],
    ['that another tool changed, keeping what it did not know', { ...metadata, mtime: '2' }],
    ['without metadata', undefined],
  ])('is not told of an object %s', (_what, found) => {
    expect(writeIdFromMetadata(found)).toBeUndefined();
  });
});

describe('content that is transformed', () => {
  const described = (transform: Transform) =>
    describeContent(describeFile({ tags: {}, metadata: {}, ...transform }, file(10), []), {
      algorithm: 'crc32',
      value: 'AAAAAA==',
    }).metadata;

  test.each<[Transform, TransformedContent]>([
    [
      { compress: 'gzip' },
      { transform: 'gzip', size: 10, checksum: { algorithm: 'crc32', value: 'AAAAAA==' } },
    ],
    [{ recipients: ['age1'] }, { transform: 'age', size: 10 }],
    [
      { compress: 'zstd', recipients: ['age1'] },
      { transform: 'zstd age', size: 10 },
    ],
  ])('%j comes back from its metadata: %j', (transform, content) => {
    expect(contentFromMetadata(described(transform))).toEqual(content);
  });

  test('is not what any other object has', () => {
    const { metadata } = describeFile({ tags: {}, metadata: {} }, file(10), ['mode', 'owner']);
    expect(contentFromMetadata(metadata)).toBeUndefined();
  });

  test.each([
    [{ 's3syncd-transform': 'gzip' }, undefined],
    [{ 's3syncd-transform': 'gzip', 's3syncd-size': '-1' }, undefined],
    [{ 's3syncd-size': '1' }, undefined],
    [
      { 's3syncd-transform': 'gzip', 's3syncd-size': '1', 's3syncd-checksum': 'adler AA==' },
      { transform: 'gzip', size: 1 },
    ],
    [
      { 's3syncd-transform': 'gzip', 's3syncd-size': '1', 's3syncd-checksum': 'crc32' },
      { transform: 'gzip', size: 1 },
    ],
  ])('is not made of what somebody else wrote there: %j', (metadata, content) => {
    expect(contentFromMetadata(metadata as Record<string, string>)).toEqual(content);
  });

  test('needs no more room in the metadata than the rules leave', () => {
    const longest = { 's3syncd-transform': 'zstd age', 's3syncd-size': String(2 ** 53) };
    const sha256 = `sha256 ${'A'.repeat(44)}`;
    expect(metadataBytes({ ...longest, 's3syncd-checksum': sha256 })).toBeLessThanOrEqual(144);
  });
});

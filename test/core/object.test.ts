import { describe, expect, test } from 'vitest';
import { agreed } from '../../src/core/baseline.ts';
import { settledOutcomes } from '../../src/core/action.ts';
import { sameFingerprint } from '../../src/core/file.ts';
import { comparableChecksum, type ObjectState } from '../../src/core/object.ts';
import { baseline, file, object } from '../helpers/given.ts';

const md5 = 'd41d8cd98f00b204e9800998ecf8427e';
const crc32 = { algorithm: 'crc32', value: 'AAAAAA==' } as const;
const eightBytes = () => 8;
const unknown = () => undefined;

describe('the checksum by which a file is compared with an object', () => {
  test.each<[string, Partial<ObjectState>, (() => number | undefined) | undefined, unknown]>([
    ['is the ETag where it is an MD5', { etag: `"${md5}"` }, unknown, { algorithm: 'md5', value: md5 }],
    ['is the stored one rather than the ETag', { etag: `"${md5}"`, checksum: crc32 }, unknown, crc32],
    [
      'is the stored one where the ETag says nothing',
      { etag: '"x"', checksum: crc32, opaqueEtag: true },
      unknown,
      crc32,
    ],
    [
      'is none where the ETag is of an encrypted object',
      { etag: `"${md5}"`, opaqueEtag: true },
      unknown,
      undefined,
    ],
    ['is none where the ETag is no MD5', { etag: '"0123"' }, unknown, undefined],
    ['is none where the ETag is longer than an MD5', { etag: `"${md5}0"` }, unknown, undefined],
    ['is none where there is no ETag', { etag: '' }, unknown, undefined],
    ['is none of a part size that nobody knows', { etag: `"${md5}-3"` }, unknown, undefined],
    [
      'is that of parts where their size is known',
      { etag: `"${md5}-3"` },
      eightBytes,
      { algorithm: 'md5', value: `${md5}-3`, partSize: 8 },
    ],
    [
      'is that of parts for a stored one likewise',
      { etag: '"x"', checksum: { algorithm: 'crc32', value: 'AAAAAA==-3' } },
      eightBytes,
      { algorithm: 'crc32', value: 'AAAAAA==-3', partSize: 8 },
    ],
    [
      'is that in the metadata where the body is not the content',
      {
        etag: `"${md5}"`,
        checksum: { algorithm: 'sha256', value: 'of the body' },
        content: { transform: 'gzip', size: 3, checksum: crc32 },
      },
      unknown,
      crc32,
    ],
    [
      'is none where the content is encrypted',
      { etag: `"${md5}"`, checksum: crc32, content: { transform: 'age', size: 3 } },
      unknown,
      undefined,
    ],
    [
      'is a stored one that knows its part size',
      { etag: '"x"', checksum: { algorithm: 'crc32', value: 'AAAAAA==-3', partSize: 5 } },
      unknown,
      { algorithm: 'crc32', value: 'AAAAAA==-3', partSize: 5 },
    ],
  ])('%s', (_name, state, partSizeOf, checksum) => {
    expect(comparableChecksum({ ...object(20), ...state }, partSizeOf!)).toEqual(checksum);
  });

  test('is asked for the part size with the size and the number of parts', () => {
    const asked: number[][] = [];
    comparableChecksum(object(20, { etag: `"${md5}-3"` }), (...question) => void asked.push(question));
    expect(asked).toEqual([[20, 3]]);
  });
});

describe('two looks at a file', () => {
  const seen = file(10);

  test.each([
    ['size', { size: 11 }],
    ['mtimeNs', { mtimeNs: 1n }],
    ['ctimeNs', { ctimeNs: 1n }],
    ['ino', { ino: 7n }],
  ])('differ when %s does', (_what, change) => {
    expect(sameFingerprint(seen, { ...seen, ...change })).toBe(false);
  });

  test('are the same otherwise: who may read it says nothing of its content', () => {
    const chmodded = { ...seen, mode: 0, uid: 1 };
    expect(sameFingerprint(seen, chmodded)).toBe(true);
  });
});

test('file and object agreed unless the object was left alone', () => {
  const leftAlone = settledOutcomes.filter((outcome) => !agreed(baseline(outcome, file(10))));
  expect(leftAlone).toEqual(['skipped-existing', 'remote-newer']);
});

import { integer, maxSafeInteger } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { likelyPartSize, objectSizeMax, partSizeFor } from '../../src/transfer/part-size.ts';
import { law } from '../helpers/law.ts';

const MiB = 1024 ** 2;
const GiB = 1024 ** 3;
const sizes = integer({ min: 1, max: objectSizeMax });

law('no file has more than 10,000 parts', sizes, (size) => Math.ceil(size / partSizeFor(size)) <= 10_000, {
  numRuns: 2000,
});

law(
  'a part is whole mebibytes, at least 16 and at most 5 GiB',
  sizes,
  (size) => {
    const partSize = partSizeFor(size);
    return partSize % MiB === 0 && partSize >= 16 * MiB && partSize <= 5 * GiB;
  },
  { numRuns: 2000 },
);

law('what we uploaded is recognised by its number of parts', sizes, (size) => {
  const partSize = partSizeFor(size);
  return likelyPartSize(size, Math.ceil(size / partSize)) === partSize;
});

law('a likely part size gives that many parts', maxSafeInteger().map(Math.abs), (size) => {
  const parts = (size % 9_999) + 1;
  const partSize = likelyPartSize(size, parts);
  return partSize === undefined || Math.max(1, Math.ceil(size / partSize)) === parts;
});

describe('part sizes', () => {
  test.each([
    [16 * MiB, 16 * MiB],
    [156 * GiB, 16 * MiB],
    [10_000 * 16 * MiB, 16 * MiB],
    [10_000 * 16 * MiB + 1, 17 * MiB],
    [objectSizeMax, 5 * GiB],
  ])('of a file of %i bytes: %i', (size, partSize) => {
    expect(partSizeFor(size)).toBe(partSize);
  });

  test.each([
    ['aws-cli', 20 * MiB, 3, 8 * MiB],
    ['rclone', 20 * MiB, 4, 5 * MiB],
    ['mc', 300 * MiB, 3, 128 * MiB],
    ['nobody that we know', 20 * MiB, 7, undefined],
  ])('of %s are guessed', (_who, size, parts, partSize) => {
    expect(likelyPartSize(size, parts)).toBe(partSize);
  });
});

// Checksums against node:crypto, against the check values of the CRC catalogue, and against themselves in other pieces.
import { createHash } from 'node:crypto';
import { array, constantFrom, integer, option, record, uint8Array } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checksumAlgorithms, type Checksum } from '../../src/core/object.ts';
import { checksumLike, checksumOf, compositeOf } from '../../src/transfer/checksum.ts';
import { asyncLaw } from '../helpers/law.ts';

describe('of "123456789"', () => {
  // https://reveng.sourceforge.io/crc-catalogue: CRC-32/ISO-HDLC, CRC-32/ISCSI, CRC-64/NVME
  test.each([
    ['crc32', 'cbf43926'],
    ['crc32c', 'e3069283'],
    ['crc64nvme', 'ae8b14860a799888'],
  ] as const)('%s is the check value of the catalogue', async (algorithm, hex) => {
    const { value } = await checksumOf(algorithm, Buffer.from('123456789'));
    expect(Buffer.from(value, 'base64').toString('hex')).toBe(hex);
  });

  test.each(['sha1', 'sha256'] as const)('%s is what node:crypto says', async (algorithm) => {
    const expected = createHash(algorithm).update('123456789').digest('base64');
    expect((await checksumOf(algorithm, Buffer.from('123456789'))).value).toBe(expected);
  });

  test('md5 is in hex, as in an ETag', async () => {
    expect((await checksumOf('md5', Buffer.from('123456789'))).value).toBe(
      '25f9e794323b453885f5181f1b624d0b',
    );
  });
});

describe('of parts', () => {
  test('is that of the parts’ digests, with their number', async () => {
    const parts = ['ab', 'c'].map((part) => createHash('md5').update(part).digest());
    const etag = `${createHash('md5').update(Buffer.concat(parts)).digest('hex')}-2`;
    const composite = await compositeOf(
      'md5',
      parts.map((part) => part.toString('hex')),
      2,
    );
    expect(composite).toEqual({ algorithm: 'md5', value: etag, partSize: 2 });
    expect(await checksumLike({ algorithm: 'md5', value: '', partSize: 2 }, [Buffer.from('abc')])).toEqual(
      composite,
    );
  });

  test('of an empty content is none of parts', async () => {
    expect((await checksumLike({ algorithm: 'crc32', value: '', partSize: 5 }, [])).value).toMatch(/-0$/);
  });
});

async function inOnePiece(like: Checksum, content: Buffer): Promise<Checksum> {
  const { algorithm, partSize } = like;
  if (partSize === undefined) return checksumOf(algorithm, content);
  const parts: string[] = [];
  for (let at = 0; at < content.length; at += partSize) {
    parts.push((await checksumOf(algorithm, content.subarray(at, at + partSize))).value);
  }
  return compositeOf(algorithm, parts, partSize);
}

asyncLaw(
  'a checksum does not depend on the pieces in which content comes',
  record({
    algorithm: constantFrom(...checksumAlgorithms),
    partSize: option(integer({ min: 1, max: 12 }), { nil: undefined }),
    pieces: array(uint8Array({ maxLength: 10 }), { maxLength: 8 }),
  }),
  async ({ algorithm, partSize, pieces }) => {
    const like = { algorithm, value: '', ...(partSize !== undefined && { partSize }) };
    const whole = await inOnePiece(like, Buffer.concat(pieces));
    const inPieces = await checksumLike(like, pieces);
    return inPieces.value === whole.value && inPieces.partSize === whole.partSize;
  },
  { numRuns: 300 },
);

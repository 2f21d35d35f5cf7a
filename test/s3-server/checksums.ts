// Checksums: the five algorithms of S3, and the two ways to a multipart object's checksum: COMPOSITE
// (checksum of the parts' checksums) and FULL_OBJECT (CRCs of the parts combined, without reading the bytes
// again).
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';

export const checksumAlgorithms = ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as const;
export type ChecksumAlgorithm = (typeof checksumAlgorithms)[number];

export const checksumTypes = ['COMPOSITE', 'FULL_OBJECT'] as const;
export type ChecksumType = (typeof checksumTypes)[number];

export interface Checksum {
  algorithm: ChecksumAlgorithm;
  type: ChecksumType;
  /** Base64; a composite value ends in `-N`. */
  value: string;
}

export interface Digest {
  update(chunk: Buffer): void;
  digest(): Buffer;
}

/** The header that carries a value of this algorithm; a trailer has the same name. */
export const checksumHeaders: Record<ChecksumAlgorithm, string> = {
  CRC32: 'x-amz-checksum-crc32',
  CRC32C: 'x-amz-checksum-crc32c',
  CRC64NVME: 'x-amz-checksum-crc64nvme',
  SHA1: 'x-amz-checksum-sha1',
  SHA256: 'x-amz-checksum-sha256',
};

/** The XML element of the same: ChecksumCRC32, ChecksumSHA256, ... */
export function checksumElement(algorithm: ChecksumAlgorithm): string {
  return `Checksum${algorithm}`;
}

export const digestBytes: Record<ChecksumAlgorithm, number> = {
  CRC32: 4,
  CRC32C: 4,
  CRC64NVME: 8,
  SHA1: 20,
  SHA256: 32,
};

const digestMakers: Record<ChecksumAlgorithm, () => Digest> = {
  CRC32: createCrc32,
  CRC32C: createCrc32c,
  CRC64NVME: createCrc64,
  SHA1: () => createHash('sha1'),
  SHA256: () => createHash('sha256'),
};

export function createDigest(algorithm: ChecksumAlgorithm): Digest {
  return digestMakers[algorithm]();
}

function createCrc32(): Digest {
  let value = 0;
  return {
    update: (chunk) => {
      value = crc32(chunk, value);
    },
    digest: () => bigEndian(BigInt(value), 4),
  };
}

// Polynomials in reflected form. https://reveng.sourceforge.io/crc-catalogue: CRC-32/ISO-HDLC, CRC-32/ISCSI,
// CRC-64/NVME.
const polynomials: Partial<Record<ChecksumAlgorithm, bigint>> = {
  CRC32: 0xedb88320n,
  CRC32C: 0x82f63b78n,
  CRC64NVME: 0x9a6c9329ac4bc9b5n,
};

function crcTable(polynomial: bigint): bigint[] {
  return Array.from({ length: 256 }, (_, byte) => {
    let value = BigInt(byte);
    for (let bit = 0; bit < 8; bit++) value = value & 1n ? (value >> 1n) ^ polynomial : value >> 1n;
    return value;
  });
}

const crc32cTable = Uint32Array.from(crcTable(0x82f63b78n), Number);

function createCrc32c(): Digest {
  let crc = 0xffffffff;
  return {
    update: (chunk) => {
      let value = crc;
      for (let i = 0; i < chunk.length; i++) value = (value >>> 8) ^ crc32cTable[(value ^ chunk[i]!) & 0xff]!;
      crc = value;
    },
    digest: () => bigEndian(BigInt(~crc >>> 0), 4),
  };
}

// Two halves of 32 bits: a loop over BigInt is about fifty times slower.
const crc64Table = crcTable(0x9a6c9329ac4bc9b5n);
const crc64Low = Uint32Array.from(crc64Table, (value) => Number(value & 0xffffffffn));
const crc64High = Uint32Array.from(crc64Table, (value) => Number(value >> 32n));

function createCrc64(): Digest {
  let low = 0xffffffff;
  let high = 0xffffffff;
  return {
    update: (chunk) => {
      let l = low;
      let h = high;
      for (let i = 0; i < chunk.length; i++) {
        const index = (l ^ chunk[i]!) & 0xff;
        l = ((l >>> 8) | (h << 24)) ^ crc64Low[index]!;
        h = (h >>> 8) ^ crc64High[index]!;
      }
      low = l;
      high = h;
    },
    digest: () => bigEndian((BigInt(~high >>> 0) << 32n) | BigInt(~low >>> 0), 8),
  };
}

function bigEndian(value: bigint, bytes: number): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64BE(value);
  return buffer.subarray(8 - bytes);
}

export interface PartChecksum {
  /** Base64. */
  value: string;
  size: number;
}

export function combineParts(
  algorithm: ChecksumAlgorithm,
  type: ChecksumType,
  parts: readonly PartChecksum[],
): string {
  return type === 'COMPOSITE' ? compositeOf(algorithm, parts) : fullObjectOf(algorithm, parts);
}

function compositeOf(algorithm: ChecksumAlgorithm, parts: readonly PartChecksum[]): string {
  const digest = createDigest(algorithm);
  for (const part of parts) digest.update(Buffer.from(part.value, 'base64'));
  return `${digest.digest().toString('base64')}-${parts.length}`;
}

// crc(A + B) = crc(A) * x^(8 * length of B) + crc(B) modulo the polynomial: zlib's crc32_combine, for any
// width.
function fullObjectOf(algorithm: ChecksumAlgorithm, parts: readonly PartChecksum[]): string {
  const polynomial = polynomials[algorithm];
  if (polynomial === undefined) throw new TypeError(`${algorithm} has no full-object form`);
  const bytes = digestBytes[algorithm];
  const shifts = new Map<number, bigint>();
  let crc = 0n;
  for (const part of parts) {
    const shift = shifts.get(part.size) ?? powerOfX8(part.size, polynomial, bytes);
    shifts.set(part.size, shift);
    crc =
      multiply(crc, shift, polynomial, bytes) ^
      BigInt(`0x${Buffer.from(part.value, 'base64').toString('hex')}`);
  }
  return bigEndian(crc, bytes).toString('base64');
}

/** a * b modulo the polynomial; reflected, so the highest bit is x^0. */
function multiply(a: bigint, b: bigint, polynomial: bigint, bytes: number): bigint {
  let product = 0n;
  let factor = b;
  for (let bit = BigInt(bytes * 8 - 1); bit >= 0n; bit--) {
    if ((a >> bit) & 1n) product ^= factor;
    factor = factor & 1n ? (factor >> 1n) ^ polynomial : factor >> 1n;
  }
  return product;
}

function powerOfX8(exponent: number, polynomial: bigint, bytes: number): bigint {
  const one = 1n << BigInt(bytes * 8 - 1);
  let square = one >> 8n;
  let power = one;
  for (let rest = exponent; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) power = multiply(power, square, polynomial, bytes);
    square = multiply(square, square, polynomial, bytes);
  }
  return power;
}

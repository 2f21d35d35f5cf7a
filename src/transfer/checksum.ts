// Checksums in S3's forms: base64 of the digest (hex for MD5, as in ETags), over the whole content or, for multipart
// objects, over the digests of the parts with `-N` appended. CRC32 comes from zlib: 0.5 CPU s per GiB, where SHA-256
// costs 0.9 and CRC64NVME in JavaScript 2.0.
import { createHash, type Hash } from 'node:crypto';
import zlib from 'node:zlib';
import { Crc32c, Crc64Nvme } from '@aws-sdk/checksums/crc';
import type { Checksum, ChecksumAlgorithm } from '../core/object.ts';

/** Feeds on bytes in order and gives the digest. */
export interface Digester {
  update(bytes: Uint8Array): void;
  digest(): Promise<Buffer>;
}

/** A checksum is always computed: where none is sent it still tells a touched file from a changed one. */
export function algorithmFor(sent: ChecksumAlgorithm | 'none'): ChecksumAlgorithm {
  return sent === 'none' ? 'crc32' : sent;
}

export function digester(algorithm: ChecksumAlgorithm): Digester {
  switch (algorithm) {
    case 'crc32':
      return crc32Digester();
    case 'crc32c':
      return sdkDigester(new Crc32c());
    case 'crc64nvme':
      return sdkDigester(new Crc64Nvme());
    case 'md5':
    case 'sha1':
    case 'sha256':
      return hashDigester(createHash(algorithm));
  }
}

/** The checksum of bytes in memory, with what S3 calls it. */
export async function checksumOf(algorithm: ChecksumAlgorithm, bytes: Uint8Array): Promise<Checksum> {
  const digest = digester(algorithm);
  digest.update(bytes);
  return { algorithm, value: encode(algorithm, await digest.digest()) };
}

/** The composite checksum of a multipart object from its parts' checksums, in order. */
export async function compositeOf(
  algorithm: ChecksumAlgorithm,
  parts: readonly string[],
  partSize: number,
): Promise<Checksum> {
  const whole = digester(algorithm);
  for (const part of parts) whole.update(Buffer.from(part, algorithm === 'md5' ? 'hex' : 'base64'));
  return { algorithm, value: `${encode(algorithm, await whole.digest())}-${parts.length}`, partSize };
}

/**
 * Computes, over content that comes in pieces, the checksum that has the form of another one.
 * @param like says algorithm and part size
 */
export async function checksumLike(
  like: Checksum,
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<Checksum> {
  const { algorithm, partSize } = like;
  const partDigests: string[] = [];
  let part = digester(algorithm);
  let partBytes = 0;
  const end = partSize ?? Infinity;
  for await (const piece of pieces) {
    let rest = piece;
    for (let room = end - partBytes; rest.length >= room; room = end) {
      part.update(rest.subarray(0, room));
      partDigests.push(encode(algorithm, await part.digest()));
      rest = rest.subarray(room);
      part = digester(algorithm);
      partBytes = 0;
    }
    part.update(rest);
    partBytes += rest.length;
  }
  if (partSize === undefined) return { algorithm, value: encode(algorithm, await part.digest()) };
  if (partBytes > 0) partDigests.push(encode(algorithm, await part.digest()));
  return compositeOf(algorithm, partDigests, partSize);
}

function encode(algorithm: ChecksumAlgorithm, digest: Buffer): string {
  return digest.toString(algorithm === 'md5' ? 'hex' : 'base64');
}

function crc32Digester(): Digester {
  let crc = 0;
  return {
    update: (bytes) => {
      crc = zlib.crc32(bytes, crc);
    },
    digest: () => {
      const digest = Buffer.alloc(4);
      digest.writeUInt32BE(crc);
      return Promise.resolve(digest);
    },
  };
}

function hashDigester(hash: Hash): Digester {
  return {
    update: (bytes) => void hash.update(bytes),
    digest: () => Promise.resolve(hash.digest()),
  };
}

function sdkDigester(checksum: { update(bytes: Uint8Array): void; digest(): Promise<Uint8Array> }): Digester {
  return {
    update: (bytes) => checksum.update(bytes),
    digest: async () => Buffer.from(await checksum.digest()),
  };
}

// Compresses and encrypts content on its way into an object.
import { pipeline, Readable } from 'node:stream';
import { ReadableStream } from 'node:stream/web';
import zlib from 'node:zlib';
import type { Compression, Transform } from '../core/transform.ts';

/**
 * The body that content becomes, as it comes. Its errors are the content's; destroyed, it asks for no more.
 * @param content in pieces that are the body's to keep
 * @param size of the content
 */
export async function transformed(
  content: AsyncIterable<Buffer> | Iterable<Buffer>,
  { compress, recipients }: Transform,
  size: number,
): Promise<Readable> {
  let body = Readable.from(content, { objectMode: false });
  // Whoever reads the body hears of every error; without a listener it would end the process too.
  if (compress) body = pipeline(body, compressor(compress, size), () => undefined);
  if (recipients) body = Readable.from(await encrypted(body, recipients), { objectMode: false });
  return body.on('error', () => undefined);
}

/**
 * As `gzip` and `zstd` do by default; zstd with the checksum by which its tool notices damage, and told the size: without, each
 * small file would take megabytes of memory as for a large one.
 */
function compressor(compression: Compression, size: number) {
  switch (compression) {
    case 'gzip':
      return zlib.createGzip();
    case 'zstd':
      return zlib.createZstdCompress({
        params: { [zlib.constants.ZSTD_c_checksumFlag]: 1 },
        pledgedSrcSize: size,
      });
  }
}

/** At the end of whatever is longer than a file should be: bytes that compression or encryption add at most. */
export function transformedSizeMax(size: number): number {
  // Both compressors store what does not shrink, with less than 1 in 1,000 of framing; age adds 16 bytes to 64 KiB, and
  // a header that has 2 KiB even for keys of the largest kind.
  return size + Math.ceil(size / 1000) + 1024 ** 2;
}

async function encrypted(body: Readable, recipients: readonly string[]): Promise<AsyncIterable<Uint8Array>> {
  // Loaded only where something is encrypted: a tenth of a second and 20 MB.
  const { Encrypter } = await import('age-encryption');
  const encrypter = new Encrypter();
  for (const recipient of recipients) encrypter.addRecipient(recipient);
  return encrypter.encrypt(ReadableStream.from<Uint8Array>(body));
}

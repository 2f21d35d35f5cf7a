// aws-chunked: a body in chunks of `size[;chunk-signature=...]\r\n data \r\n`, ended by a chunk of size 0,
// optional trailers and an empty line. Each signature covers the one before it, so chunks cannot be dropped,
// swapped or changed. AWS: "Signature calculations for the Authorization header: transferring payload in
// multiple chunks".
import { createHash, hash, type Hash } from 'node:crypto';
import { hmac, isEqual, type ChunkSigning } from './auth.ts';
import { s3Error } from './errors.ts';

const lineBytesMax = 16 * 1024;
const chunkBytesMin = 8192;
const emptyHash = hash('sha256', '');

export interface ChunkedDecoder {
  write(bytes: Buffer): void;
  /** Call at the end of the body; the trailers by lower-case name. */
  end(): Map<string, string>;
}

export function createChunkedDecoder(
  /** Undefined for STREAMING-UNSIGNED-PAYLOAD-TRAILER. */
  signing: ChunkSigning | undefined,
  expectsTrailer: boolean,
  onData: (data: Buffer) => void,
): ChunkedDecoder {
  let state: 'size' | 'data' | 'data-end' | 'trailer' | 'done' = 'size';
  let line = '';
  let rest = 0;
  let previousSize: number | undefined;
  let previousSignature = signing?.seed ?? '';
  let chunkSignature = '';
  let chunkHash: Hash | undefined;
  const trailers = new Map<string, string>();

  function startChunk(header: string): void {
    const match = /^([0-9a-fA-F]{1,12})(?:;chunk-signature=([0-9a-f]{64}))?$/.exec(header);
    if (match === null) throw s3Error('IncompleteBody', 'The aws-chunked framing is malformed');
    if (signing !== undefined && match[2] === undefined)
      throw s3Error('SignatureDoesNotMatch', 'Chunk is unsigned');
    rest = Number.parseInt(match[1]!, 16);
    chunkSignature = match[2] ?? '';
    if (rest > 0 && previousSize !== undefined && previousSize < chunkBytesMin) {
      throw s3Error('InvalidChunkSizeError', undefined, { BadChunkSizeInBytes: String(previousSize) });
    }
    previousSize = rest;
    if (signing !== undefined) chunkHash = createHash('sha256');
    if (rest > 0) state = 'data';
    else {
      endChunk();
      state = 'trailer';
    }
  }

  function endChunk(): void {
    if (signing === undefined) return;
    const dataHash = chunkHash!.digest('hex');
    verify(`AWS4-HMAC-SHA256-PAYLOAD\n${prefix(signing)}\n${emptyHash}\n${dataHash}`, chunkSignature);
  }

  function prefix(signing: ChunkSigning): string {
    return `${signing.timestamp}\n${signing.scope}\n${previousSignature}`;
  }

  function verify(stringToSign: string, given: string): void {
    const expected = hmac(signing!.key, stringToSign).toString('hex');
    if (!isEqual(expected, given)) throw s3Error('SignatureDoesNotMatch', 'A chunk signature does not match');
    previousSignature = expected;
  }

  function endOfLine(): void {
    const complete = line.replace(/\r$/, '');
    line = '';
    if (state === 'size') startChunk(complete);
    else if (state === 'data-end') {
      if (complete !== '') throw s3Error('IncompleteBody', 'A chunk is longer than it says');
      state = 'size';
    } else if (complete === '') state = 'done';
    else {
      const colon = complete.indexOf(':');
      if (colon < 1) throw s3Error('MalformedTrailerError');
      trailers.set(complete.slice(0, colon).toLowerCase(), complete.slice(colon + 1).trim());
    }
  }

  function verifyTrailer(): void {
    const given = trailers.get('x-amz-trailer-signature');
    trailers.delete('x-amz-trailer-signature');
    if (signing === undefined || !expectsTrailer) return;
    const canonical = [...trailers].map(([name, value]) => `${name}:${value}\n`).join('');
    verify(`AWS4-HMAC-SHA256-TRAILER\n${prefix(signing)}\n${hash('sha256', canonical)}`, given ?? '');
  }

  return {
    write(bytes) {
      for (let offset = 0; offset < bytes.length;) {
        if (state === 'done') throw s3Error('IncompleteBody', 'There are bytes after the last chunk');
        if (state === 'data') {
          const data = bytes.subarray(offset, offset + rest);
          offset += data.length;
          rest -= data.length;
          chunkHash?.update(data);
          onData(data);
          if (rest > 0) continue;
          endChunk();
          state = 'data-end';
          continue;
        }
        const newline = bytes.indexOf(0x0a, offset);
        const stop = newline < 0 ? bytes.length : newline;
        line += bytes.toString('latin1', offset, stop);
        offset = stop + 1;
        if (line.length > lineBytesMax) throw s3Error('IncompleteBody', 'A chunk header is too long');
        if (newline >= 0) endOfLine();
      }
    },
    end() {
      // The empty line after the last chunk is missing in some clients' bodies and in AWS's own example.
      if (state !== 'done' && state !== 'trailer') throw s3Error('IncompleteBody');
      verifyTrailer();
      return trailers;
    },
  };
}

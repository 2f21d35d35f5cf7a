// Receive: the body of a request, hashed while it arrives. It resolves only when every promise of the headers
// holds: length, signed hash, chunk signatures, Content-MD5, checksum in header or trailer. Until then
// nothing of it is visible.
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Authentication } from './auth.ts';
import type { BodySink, Segment } from './bodies.ts';
import {
  checksumAlgorithms,
  checksumHeaders,
  createDigest,
  digestBytes,
  type ChecksumAlgorithm,
} from './checksums.ts';
import { createChunkedDecoder, type ChunkedDecoder } from './chunked.ts';
import { s3Error } from './errors.ts';
import type { LegacySwitch } from './legacy.ts';
import type { S3Request } from './request.ts';

export interface ReceivedBody {
  size: number;
  /** Hex. */
  md5: string;
  checksum?: { algorithm: ChecksumAlgorithm; value: string };
  /** Content-MD5 or a checksum came with it. */
  isProtected: boolean;
  segment: Segment;
}

const putBytesMax = 5 * 1024 ** 3;

interface Expectation {
  /** Undefined for stored framing that came with Transfer-Encoding: chunked. */
  size: number | undefined;
  trailer: boolean;
  algorithm: ChecksumAlgorithm | undefined;
  /** Undefined when it comes in the trailer. */
  checksum: string | undefined;
  md5: string | undefined;
}

export async function receiveBody(
  message: IncomingMessage,
  request: S3Request,
  authentication: Authentication,
  legacy: ReadonlySet<LegacySwitch>,
  openSink: () => BodySink,
  /**
   * Computed even when the client sends no value: the algorithm of the multipart upload the part belongs to.
   */
  wantedAlgorithm?: ChecksumAlgorithm,
): Promise<ReceivedBody> {
  const { payload } = authentication;
  const isChunked = payload.startsWith('STREAMING-') && !legacy.has('store-aws-chunked-framing');
  const expected = expectation(request, payload, isChunked, legacy);
  const sink = openSink();
  const md5 = createHash('md5');
  const sha256 = /^[0-9a-f]{64}$/.test(payload) ? createHash('sha256') : undefined;
  const algorithm = expected.algorithm ?? wantedAlgorithm;
  const digest = algorithm === undefined ? undefined : createDigest(algorithm);
  let size = 0;

  function accept(data: Buffer): void {
    size += data.length;
    if (size > putBytesMax) throw tooLarge();
    md5.update(data);
    digest?.update(data);
    sink.write(data);
  }

  const decoder = isChunked ? chunkedDecoder(authentication, expected.trailer, accept) : undefined;
  try {
    await readAll(message, (chunk) => {
      sha256?.update(chunk);
      if (decoder === undefined) accept(chunk);
      else decoder.write(chunk);
    });
    const trailers = decoder?.end() ?? new Map<string, string>();
    if (expected.size !== undefined && size !== expected.size) {
      throw s3Error('IncompleteBody', undefined, {
        NumberBytesExpected: String(expected.size),
        NumberBytesProvided: String(size),
      });
    }
    if (sha256 !== undefined && sha256.digest('hex') !== payload) throw s3Error('XAmzContentSHA256Mismatch');
    const md5Bytes = md5.digest();
    if (expected.md5 !== undefined && md5Bytes.toString('base64') !== expected.md5)
      throw s3Error('BadDigest');
    const received: ReceivedBody = {
      size,
      md5: md5Bytes.toString('hex'),
      isProtected: expected.md5 !== undefined || expected.algorithm !== undefined,
      segment: { id: '', size },
    };
    if (algorithm !== undefined && digest !== undefined) {
      const value = digest.digest().toString('base64');
      checkChecksum(expected, trailers, value);
      received.checksum = { algorithm, value };
    }
    received.segment = sink.finish();
    return received;
  } catch (error) {
    sink.discard();
    throw error;
  }
}

function chunkedDecoder(
  authentication: Authentication,
  expectsTrailer: boolean,
  accept: (data: Buffer) => void,
): ChunkedDecoder {
  const isSigned = authentication.payload.startsWith('STREAMING-AWS4');
  return createChunkedDecoder(isSigned ? authentication.chunkSigning : undefined, expectsTrailer, accept);
}

function expectation(
  request: S3Request,
  payload: string,
  isChunked: boolean,
  legacy: ReadonlySet<LegacySwitch>,
): Expectation {
  const { headers } = request;
  if (payload.startsWith('STREAMING-') && legacy.has('no-trailers')) throw s3Error('MissingContentLength');
  const declared = isChunked ? headers['x-amz-decoded-content-length'] : headers['content-length'];
  const isStoredFraming = payload.startsWith('STREAMING-') && !isChunked;
  const hasBody = headers['transfer-encoding'] !== undefined || request.method === 'PUT';
  if (declared === undefined && hasBody && !isStoredFraming) throw s3Error('MissingContentLength');
  const size = declared === undefined && isStoredFraming ? undefined : Number(declared ?? 0);
  if (size !== undefined && !(Number.isSafeInteger(size) && size >= 0)) throw s3Error('InvalidArgument');
  if (size !== undefined && size > putBytesMax) throw tooLarge(size);
  const md5 = headers['content-md5'];
  if (md5 !== undefined && !isDigest(md5, 16)) throw s3Error('InvalidDigest');
  const base = { size, trailer: payload.endsWith('-TRAILER'), md5 };
  if (legacy.has('ignore-checksums') || isStoredFraming)
    return { ...base, algorithm: undefined, checksum: undefined };
  return { ...base, ...announcedChecksum(request, isChunked) };
}

// One algorithm at most, in a header or announced as a trailer. AWS: "Checking object integrity".
function announcedChecksum(
  request: S3Request,
  isChunked: boolean,
): Pick<Expectation, 'algorithm' | 'checksum'> {
  const { headers } = request;
  const trailer = isChunked ? headers['x-amz-trailer']?.toLowerCase() : undefined;
  const announced = checksumAlgorithms.filter(
    (name) => headers[checksumHeaders[name]] !== undefined || checksumHeaders[name] === trailer,
  );
  if (announced.length > 1) {
    throw s3Error(
      'InvalidRequest',
      'Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.',
    );
  }
  const [algorithm] = announced;
  const named = headers['x-amz-sdk-checksum-algorithm'];
  if (algorithm === undefined && named !== undefined) {
    throw s3Error(
      'InvalidRequest',
      'x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.',
    );
  }
  if (algorithm === undefined) return { algorithm, checksum: undefined };
  if (named !== undefined && named.toUpperCase() !== algorithm) {
    throw s3Error('InvalidRequest', 'Value for x-amz-sdk-checksum-algorithm header is invalid.');
  }
  const checksum = headers[checksumHeaders[algorithm]];
  if (checksum !== undefined) checkForm(algorithm, checksum);
  return { algorithm, checksum };
}

function checkChecksum(expected: Expectation, trailers: ReadonlyMap<string, string>, computed: string): void {
  if (expected.algorithm === undefined) return;
  const name = checksumHeaders[expected.algorithm];
  const given = expected.checksum ?? trailers.get(name);
  if (given === undefined) throw s3Error('MalformedTrailerError');
  checkForm(expected.algorithm, given);
  if (given !== computed) {
    throw s3Error(
      'BadDigest',
      `The ${expected.algorithm} you specified did not match the calculated checksum.`,
    );
  }
}

function checkForm(algorithm: ChecksumAlgorithm, value: string): void {
  if (isDigest(value, digestBytes[algorithm])) return;
  throw s3Error('InvalidRequest', `Value for ${checksumHeaders[algorithm]} header is invalid.`);
}

function isDigest(base64: string, bytes: number): boolean {
  const decoded = Buffer.from(base64, 'base64');
  return decoded.length === bytes && decoded.toString('base64') === base64;
}

function tooLarge(size?: number): Error {
  const details = size === undefined ? {} : { ProposedSize: String(size) };
  return s3Error('EntityTooLarge', undefined, { ...details, MaxSizeAllowed: String(putBytesMax) });
}

/** A request document; small, so it is kept in memory. */
export function memorySink(): BodySink & { bytes(): Buffer } {
  const chunks: Buffer[] = [];
  return {
    write: (chunk) => void chunks.push(chunk),
    finish: () => ({ id: '', size: 0 }),
    discard() {},
    bytes: () => Buffer.concat(chunks),
  };
}

// Events and not `for await`: an async iterator costs more than all of S3's own work on a small body.
function readAll(message: IncomingMessage, onChunk: (chunk: Buffer) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    message.on('data', (chunk: Buffer) => {
      try {
        onChunk(chunk);
      } catch (error) {
        // The rest is read and thrown away, so that the client gets its answer instead of a reset.
        message.removeAllListeners('data').resume();
        reject(error);
      }
    });
    message.on('end', resolve);
    message.on('close', () => {
      if (!message.complete) reject(s3Error('IncompleteBody'));
    });
    message.on('error', reject);
  });
}

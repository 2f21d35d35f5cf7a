// Request: from an HTTP request to bucket, key and parameters. Path-style (`/bucket/key`) and virtual-host
// style (`bucket.localhost`, `bucket.s3.region.amazonaws.com`). The path is never normalised: `..` and `//`
// are part of the key.
import type { IncomingMessage } from 'node:http';
import { s3Error } from './errors.ts';

export interface S3Request {
  method: string;
  /** Percent-encoded, without the query, as it was received. */
  rawPath: string;
  bucket: string;
  key: string;
  query: [name: string, value: string][];
  headers: Record<string, string | undefined>;
}

const keyBytesMax = 1024;
const virtualHost = /^(.+)\.(?:localhost|s3(?:[.-][a-z0-9.-]+)?\.amazonaws\.com(?:\.cn)?)$/;

export function parseRequest(message: IncomingMessage): S3Request {
  const url = message.url ?? '/';
  const mark = url.indexOf('?');
  const rawPath = mark < 0 ? url : url.slice(0, mark);
  const query = mark < 0 ? [] : parseQuery(url.slice(mark + 1));
  // Repeated headers arrive joined with ", "; Set-Cookie, the one array, is no request header.
  const headers = message.headers as Record<string, string | undefined>;
  const path = decode(rawPath).slice(1);
  const hostBucket = virtualHost.exec((headers['host'] ?? '').replace(/:\d+$/, ''))?.[1];
  const slash = path.indexOf('/');
  const bucket = hostBucket ?? (slash < 0 ? path : path.slice(0, slash));
  const key = hostBucket === undefined ? (slash < 0 ? '' : path.slice(slash + 1)) : path;
  const request = { method: message.method ?? 'GET', rawPath, bucket, key, query, headers };
  return isPresigned(request) ? { ...request, headers: { ...headers, ...hoistedHeaders(query) } } : request;
}

export function checkKey(key: string): void {
  const size = Buffer.byteLength(key);
  if (size > keyBytesMax) {
    throw s3Error('KeyTooLongError', undefined, { Size: String(size), MaxSizeAllowed: String(keyBytesMax) });
  }
}

const knownHeaders = new RegExp(
  `^x-amz-(?:${[
    'content-sha256|date|security-token|user-agent|decoded-content-length|trailer',
    'sdk-checksum-algorithm|checksum-(?:algorithm|type|mode|crc32|crc32c|crc64nvme|sha1|sha256)',
    'meta-.*|acl|grant-.*|tagging|tagging-directive|metadata-directive|storage-class|website-redirect-location',
    'server-side-encryption.*|copy-source.*|object-lock-.*|bypass-governance-retention|mp-object-size',
    'expected-bucket-owner|source-expected-bucket-owner|request-payer',
    'bucket-object-lock-enabled|bucket-object-lock-token|object-ownership',
  ].join('|')})$`,
);

/**
 * Stricter than S3, which ignores what it does not know: here a misspelt header is found by the first test
 * that sends it.
 */
export function checkHeaders(headers: S3Request['headers']): void {
  for (const name of Object.keys(headers)) {
    if (name.startsWith('x-amz-') && !knownHeaders.test(name)) {
      throw s3Error('NotImplemented', undefined, { Header: name });
    }
  }
}

export function isPresigned(request: Pick<S3Request, 'query'>): boolean {
  return request.query.some(([name]) => name === 'X-Amz-Signature');
}

export function param(request: Pick<S3Request, 'query'>, name: string): string | undefined {
  return request.query.find(([found]) => found === name)?.[1];
}

function parseQuery(raw: string): [string, string][] {
  return raw
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const equals = pair.indexOf('=');
      if (equals < 0) return [decode(pair), ''];
      // A plus in a query is a space; in a path it is a plus.
      return [decode(pair.slice(0, equals)), decode(pair.slice(equals + 1).replaceAll('+', ' '))];
    });
}

// A presigned URL carries what were x-amz-* headers as parameters; S3 reads them as headers.
function hoistedHeaders(query: S3Request['query']): Record<string, string> {
  const hoisted = query.filter(([name]) => /^x-amz-/i.test(name) && !signingParameters.has(name));
  return Object.fromEntries(hoisted.map(([name, value]) => [name.toLowerCase(), value]));
}

export const signingParameters: ReadonlySet<string> = new Set([
  'X-Amz-Algorithm',
  'X-Amz-Credential',
  'X-Amz-Date',
  'X-Amz-Expires',
  'X-Amz-SignedHeaders',
  'X-Amz-Signature',
  'X-Amz-Security-Token',
]);

function decode(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    throw s3Error('InvalidURI', 'The URI is not percent-encoded UTF-8');
  }
}

/** Percent-encoding as SigV4 wants it: everything but A-Z a-z 0-9 - . _ ~ */
export function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

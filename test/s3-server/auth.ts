// Signature Version 4, verified with node:crypto alone: a verifier built on the SDK's signer would share its
// bugs. AWS: "Signature Version 4 signing process", header form and query (presigned) form.
import { createHmac, createSecretKey, hash, timingSafeEqual, type KeyObject } from 'node:crypto';
import { s3Error } from './errors.ts';
import type { PolicyDocument } from './iam.ts';
import { encode, isPresigned, param, type S3Request } from './request.ts';

export interface Credential {
  accessKey: string;
  secretKey: string;
  /** Temporary credentials: requests must carry this token. */
  sessionToken?: string;
  /** Answer ExpiredToken to every request made with it. */
  isExpired?: boolean;
  /** All that it may do; without one, everything. */
  policy?: PolicyDocument;
}

/** What the chunks of a streamed body are signed with. */
export interface ChunkSigning {
  key: KeyObject;
  timestamp: string;
  scope: string;
  seed: string;
}

export interface Authentication {
  accessKey: string;
  /** x-amz-content-sha256: a hash, UNSIGNED-PAYLOAD or STREAMING-... */
  payload: string;
  chunkSigning: ChunkSigning;
}

interface Claim {
  accessKey: string;
  scope: string;
  date: string;
  region: string;
  timestamp: string;
  signedHeaders: string[];
  signature: string;
  payload: string;
  token: string | undefined;
}

const algorithm = 'AWS4-HMAC-SHA256';
const skewMaxMs = 15 * 60 * 1000;
const presignedSecondsMax = 7 * 24 * 3600;

const payloadModes = [
  'UNSIGNED-PAYLOAD',
  'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
  'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
  'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER',
] as const;

export function createAuthenticator(
  credentials: ReadonlyMap<string, Credential>,
  region: string,
): (request: S3Request, nowMs: number) => Authentication {
  const signingKeys = new Map<string, KeyObject>();

  function signingKey(secretKey: string, claim: Claim): KeyObject {
    const id = `${secretKey}/${claim.scope}`;
    let key = signingKeys.get(id);
    if (key === undefined) {
      const steps = [claim.date, claim.region, 's3', 'aws4_request'];
      key = createSecretKey(steps.reduce<Buffer>(hmac, Buffer.from(`AWS4${secretKey}`)));
      signingKeys.set(id, key);
    }
    return key;
  }

  return (request, nowMs) => {
    const presigned = isPresigned(request);
    const claim = presigned ? claimOfQuery(request) : claimOfHeader(request);
    const credential = credentials.get(claim.accessKey);
    if (credential === undefined) {
      throw s3Error('InvalidAccessKeyId', undefined, { AWSAccessKeyId: claim.accessKey });
    }
    checkScope(claim, region, presigned);
    if (presigned) checkExpiry(request, claim, nowMs);
    else checkSkew(claim, nowMs);
    checkAllSigned(request, claim);
    const key = signingKey(credential.secretKey, claim);
    const expected = signature(request, claim, key);
    if (!isEqual(expected, claim.signature)) throw s3Error('SignatureDoesNotMatch');
    checkToken(credential, claim);
    const { accessKey, payload, timestamp, scope } = claim;
    return { accessKey, payload, chunkSigning: { key, timestamp, scope, seed: expected } };
  };
}

function claimOfHeader(request: S3Request): Claim {
  const { headers } = request;
  const authorization = headers['authorization'];
  if (authorization === undefined) throw s3Error('AccessDenied');
  const match = /^(\S+) +Credential=([^,\s]+), *SignedHeaders=([^,\s]+), *Signature=([0-9a-f]+)$/.exec(
    authorization,
  );
  if (match === null) throw s3Error('AuthorizationHeaderMalformed');
  const [, name, credential, signedHeaders, signature] = match as unknown as string[];
  if (name !== algorithm) throw s3Error('InvalidRequest', `Only ${algorithm} is supported`);
  const payload = headers['x-amz-content-sha256'];
  if (payload === undefined) {
    throw s3Error('InvalidRequest', 'Missing required header for this request: x-amz-content-sha256');
  }
  checkPayloadMode(payload);
  return {
    ...scopeOf(credential!, () => s3Error('AuthorizationHeaderMalformed')),
    timestamp: headers['x-amz-date'] ?? '',
    signedHeaders: signedHeaders!.split(';'),
    signature: signature!,
    payload,
    token: headers['x-amz-security-token'],
  };
}

function claimOfQuery(request: S3Request): Claim {
  const required = (name: string): string => {
    const value = param(request, name);
    if (value === undefined) throw malformedQuery();
    return value;
  };
  if (required('X-Amz-Algorithm') !== algorithm) throw malformedQuery();
  const payload = request.headers['x-amz-content-sha256'] ?? 'UNSIGNED-PAYLOAD';
  checkPayloadMode(payload);
  return {
    ...scopeOf(required('X-Amz-Credential'), malformedQuery),
    timestamp: required('X-Amz-Date'),
    signedHeaders: required('X-Amz-SignedHeaders').split(';'),
    signature: required('X-Amz-Signature'),
    payload,
    token: param(request, 'X-Amz-Security-Token'),
  };
}

function malformedQuery(): Error {
  return s3Error('AuthorizationQueryParametersError');
}

function checkPayloadMode(payload: string): void {
  if (/^[0-9a-f]{64}$/.test(payload) || (payloadModes as readonly string[]).includes(payload)) return;
  throw s3Error(
    'InvalidArgument',
    `x-amz-content-sha256 must be ${payloadModes.join(', ')}, or a valid sha256 value.`,
    { ArgumentName: 'x-amz-content-sha256', ArgumentValue: payload },
  );
}

function scopeOf(
  credential: string,
  malformed: () => Error,
): Pick<Claim, 'accessKey' | 'scope' | 'date' | 'region'> {
  const match = /^(.+)\/((\d{8})\/([^/]+)\/s3\/aws4_request)$/.exec(credential);
  if (match === null) throw malformed();
  const [, accessKey, scope, date, region] = match as unknown as string[];
  return { accessKey: accessKey!, scope: scope!, date: date!, region: region! };
}

function checkScope(claim: Claim, region: string, presigned: boolean): void {
  if (claim.region === region && claim.timestamp.startsWith(claim.date)) return;
  const code = presigned ? 'AuthorizationQueryParametersError' : 'AuthorizationHeaderMalformed';
  if (claim.region !== region) {
    throw s3Error(code, `the region '${claim.region}' is wrong; expecting '${region}'`, { Region: region });
  }
  throw s3Error(code, 'the credential date does not match the date of the request');
}

function checkSkew(claim: Claim, nowMs: number): void {
  if (Math.abs(timeOf(claim.timestamp) - nowMs) <= skewMaxMs) return;
  throw s3Error('RequestTimeTooSkewed', undefined, {
    RequestTime: claim.timestamp,
    ServerTime: new Date(nowMs).toISOString(),
    MaxAllowedSkewMilliseconds: String(skewMaxMs),
  });
}

function checkExpiry(request: S3Request, claim: Claim, nowMs: number): void {
  const seconds = Number(param(request, 'X-Amz-Expires'));
  if (!(seconds >= 1 && seconds <= presignedSecondsMax)) {
    throw s3Error('AuthorizationQueryParametersError', `X-Amz-Expires must be 1 to ${presignedSecondsMax}`);
  }
  const signedMs = timeOf(claim.timestamp);
  if (signedMs - nowMs > skewMaxMs) throw s3Error('AccessDenied', 'Request is not valid yet');
  if (signedMs + seconds * 1000 < nowMs) throw s3Error('AccessDenied', 'Request has expired');
}

function timeOf(timestamp: string): number {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(timestamp);
  if (match === null)
    throw s3Error('AccessDenied', 'AWS authentication requires a valid Date or x-amz-date header');
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return Date.UTC(year, month - 1, day, hour, minute, second);
}

// AWS: the Host header and every x-amz-* header of the request must be signed, else they could be added on
// the way.
function checkAllSigned(request: S3Request, claim: Claim): void {
  const signed = new Set(claim.signedHeaders);
  const parameters = new Set(request.query.map(([name]) => name.toLowerCase()));
  const unsigned = Object.keys(request.headers).filter(
    (name) => (name === 'host' || name.startsWith('x-amz-')) && !signed.has(name) && !parameters.has(name),
  );
  if (unsigned.length === 0) return;
  throw s3Error('AccessDenied', 'There were headers present in the request which were not signed', {
    HeadersNotSigned: unsigned.join(', '),
  });
}

function signature(request: S3Request, claim: Claim, key: KeyObject): string {
  const canonicalHeaders = claim.signedHeaders
    .map((name) => `${name}:${(request.headers[name] ?? '').trim().replace(/ +/g, ' ')}\n`)
    .join('');
  const canonicalRequest = [
    request.method,
    canonicalPath(request.rawPath),
    canonicalQuery(request.query),
    canonicalHeaders,
    claim.signedHeaders.join(';'),
    claim.payload,
  ].join('\n');
  // Node gives header bytes as latin1 characters; this turns them back into the bytes that were signed.
  const digest = hash('sha256', Buffer.from(canonicalRequest, 'latin1'));
  return hmac(key, `${algorithm}\n${claim.timestamp}\n${claim.scope}\n${digest}`).toString('hex');
}

// Encoded once for S3 (other services twice), and from the decoded form, so that `%7E` and `~` sign alike.
function canonicalPath(rawPath: string): string {
  if (/^[A-Za-z0-9\-._~/]*$/.test(rawPath)) return rawPath;
  return rawPath
    .split('/')
    .map((segment) => encode(decodeURIComponent(segment)))
    .join('/');
}

function canonicalQuery(query: S3Request['query']): string {
  if (query.length === 0) return '';
  return query
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, value]) => [encode(name), encode(value)] as const)
    .toSorted((a, b) => compare(a[0], b[0]) || compare(a[1], b[1]))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function checkToken(credential: Credential, claim: Claim): void {
  if (credential.isExpired) throw s3Error('ExpiredToken');
  if (credential.sessionToken === claim.token) return;
  if (credential.sessionToken === undefined || claim.token === undefined) throw s3Error('InvalidToken');
  if (!isEqual(credential.sessionToken, claim.token)) throw s3Error('InvalidToken');
}

export function hmac(key: Buffer | KeyObject, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

export function isEqual(expected: string, given: string): boolean {
  const a = Buffer.from(expected);
  const b = Buffer.from(given);
  return a.length === b.length && timingSafeEqual(a, b);
}

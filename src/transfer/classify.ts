// From the SDK's and the system's errors to `Failure`: done once, here, by S3's code first and the HTTP status second,
// because a 200 can carry an error document and proxies answer with statuses of their own.
import { Failure, type FailureClass } from '../core/failure.ts';

/** What was asked of whom: goes into the message. */
export interface RequestSubject {
  readonly operation: string;
  readonly key: string;
  readonly bucket: string;
  readonly endpoint: string;
  readonly destination: string;
}

interface SdkError {
  name?: string;
  Code?: string;
  code?: string;
  message?: string;
  cause?: unknown;
  Region?: string;
  $response?: { headers?: Readonly<Record<string, string>> };
  $metadata?: { httpStatusCode?: number; attempts?: number; requestId?: string };
}

export function statusOf(error: unknown): number | undefined {
  return (error as SdkError).$metadata?.httpStatusCode;
}

/** S3's error code, or the system's (ECONNREFUSED), which may be wrapped. */
export function codeOf(error: unknown): string {
  const { name, Code, code, cause, message } = error as SdkError;
  if (Code) return Code;
  // The SDK gives a connection that was never made and an answer that never came the same name.
  if (name === 'TimeoutError' && message?.includes('establish a connection')) return 'ConnectTimeout';
  if (code) return code;
  if (cause && typeof cause === 'object' && 'code' in cause) return String(cause.code);
  return name ?? 'Error';
}

/** Where the bucket is, if this is what is wrong: from the header of a redirect, or the document of a refused signature. */
function regionOf(error: unknown): string | undefined {
  const code = codeOf(error);
  if (code !== 'PermanentRedirect' && code !== 'AuthorizationHeaderMalformed') return undefined;
  const { $response, Region } = error as SdkError;
  return $response?.headers?.['x-amz-bucket-region'] ?? Region;
}

const classByCode: Readonly<Record<string, FailureClass>> = {
  // Nobody there, or not yet.
  ECONNREFUSED: 'unreachable',
  ENOTFOUND: 'unreachable',
  EAI_AGAIN: 'unreachable',
  ConnectTimeout: 'unreachable',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EHOSTDOWN: 'unreachable',
  ENETDOWN: 'unreachable',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'unreachable',
  SELF_SIGNED_CERT_IN_CHAIN: 'unreachable',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'unreachable',
  CERT_HAS_EXPIRED: 'unreachable',
  ERR_TLS_CERT_ALTNAME_INVALID: 'unreachable',
  // Whom we are, or where, is wrong: nothing else will work either.
  CredentialsProviderError: 'refused',
  InvalidAccessKeyId: 'refused',
  SignatureDoesNotMatch: 'refused',
  InvalidToken: 'refused',
  ExpiredToken: 'refused',
  ExpiredTokenException: 'refused',
  TokenRefreshRequired: 'refused',
  NoSuchBucket: 'refused',
  PermanentRedirect: 'refused',
  AuthorizationHeaderMalformed: 'refused',
  AllAccessDisabled: 'refused',
  AccountProblem: 'refused',
  NotSignedUp: 'refused',
  RequestTimeTooSkewed: 'refused',
  AccessDenied: 'denied',
  SlowDown: 'throttled',
  TooManyRequests: 'throttled',
  ThrottlingException: 'throttled',
  RequestTimeout: 'transient',
  IncompleteBody: 'transient',
  BadDigest: 'transient',
  XAmzContentSHA256Mismatch: 'transient',
  UnusableAnswer: 'transient',
  OperationAborted: 'transient',
};

/** The answer began and never ended: its status is there, and what S3 meant by it is not. */
function wasCutOff({ name, code }: SdkError): boolean {
  return name === 'TimeoutError' || code !== undefined;
}

function classOf(error: SdkError, code: string, status: number | undefined): FailureClass {
  const known = classByCode[code];
  if (known) return known;
  if (status === undefined || wasCutOff(error)) return 'transient';
  if (status === 503 || status === 429) return 'throttled';
  if (status >= 500 && status !== 501) return 'transient';
  if (status === 401 || status === 403) return 'denied';
  if (status === 301 || status === 307) return 'refused';
  return status >= 400 ? 'permanent' : 'transient';
}

/** What a person can do about it. */
const advice: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there: is the server up, is `endpoint` right?',
  ENOTFOUND: 'the name does not resolve: check `endpoint` and DNS',
  EAI_AGAIN: 'names do not resolve: check the network and DNS',
  ConnectTimeout: 'nobody answers there: is the server up, does a firewall stand between?',
  TimeoutError: 'no answer in time: check the network and the server',
  CredentialsProviderError:
    'no credentials found: set `profile` or `credentials`, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
  InvalidAccessKeyId: 'the store does not know this access key: check the credentials',
  SignatureDoesNotMatch: 'the secret key is wrong for this access key: check the credentials',
  ExpiredToken: 'the session token has expired: renew the credentials',
  TokenRefreshRequired: 'the session token has expired: renew the credentials',
  NoSuchBucket: 'create the bucket, or correct `bucket`',
  PermanentRedirect: 'the bucket is in another region: correct `region`',
  AuthorizationHeaderMalformed: 'the bucket is in another region: correct `region`',
  RequestTimeTooSkewed: "this machine's clock is wrong: synchronise it",
  AccessDenied: 'the credentials lack the right: see `s3syncd check`',
  AccessControlListNotSupported:
    'the bucket has ACLs disabled: remove acl and grant-… from the rules, or enable them for the bucket',
  HeadObject400: 'perhaps the object is encrypted with a key of SSE-C that no rule names (sse-customer-key)',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'the certificate is self-signed: name its CA in `ca-file`',
  SELF_SIGNED_CERT_IN_CHAIN: 'the certificate comes from a private CA: name it in `ca-file`',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'the certificate comes from an unknown CA: name it in `ca-file`',
};

/** A store's own words may repeat the request, with the credential that signs it. */
function withoutRequest(message = ''): string {
  return /AWS4-HMAC-SHA256|X-Amz-|Credential=|Signature=|Authorization:/i.test(message) ? '' : message;
}

/** Classifies an error of the SDK. The message names operation, place, code and what to do; never a secret or a body. */
export function classify(error: unknown, subject: RequestSubject): Failure {
  const code = codeOf(error);
  const status = statusOf(error);
  const failureClass = classOf(error as SdkError, code, status);
  const wholeRoute = failureClass === 'refused' || failureClass === 'unreachable' || subject.key === '';
  const where = wholeRoute
    ? `bucket ${subject.bucket} at ${subject.endpoint}`
    : `${subject.bucket}/${subject.key}`;
  const isUnnamed = subject.operation === 'HeadObject' && status === 400 && !(code in classByCode);
  const region = regionOf(error);
  const detail =
    (region === undefined
      ? advice[isUnnamed ? 'HeadObject400' : code]
      : `the bucket is in ${region}: set \`region: ${region}\``) ??
    withoutRequest((error as SdkError).message);
  return new Failure(
    `destination "${subject.destination}": ${subject.operation} to ${where} failed: ${code}` +
      `${status === undefined ? '' : ` (HTTP ${status})`}${detail === '' || detail === code ? '' : `: ${detail}`}`,
    {
      class: failureClass,
      code,
      status,
      requestId: (error as SdkError).$metadata?.requestId,
      mayHaveLanded: status === undefined || status >= 500,
    },
  );
}

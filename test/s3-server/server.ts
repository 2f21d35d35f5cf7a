// A local S3 server for demo, tests, fault injection and benchmarks: strict where S3 is strict, and atomic.
// The way of a request: parse, find the operation, faults, signature, permission, body, handler, answer, log.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { answerAdmin, adminPath } from './admin.ts';
import { createAuthenticator, type Authentication, type Credential } from './auth.ts';
import { readSegments, type BodySink } from './bodies.ts';
import { newBucket } from './buckets.ts';
import { bucketOf, require, type Answer, type Call } from './call.ts';
import type { ChecksumAlgorithm } from './checksums.ts';
import { S3Error, s3Error } from './errors.ts';
import {
  answerInstead,
  breakBody,
  clockOffsetMs,
  endBrokenBody,
  faultAnswer,
  faultKey,
  untilClosed,
} from './fault-effects.ts';
import { createFaults, wireKinds, type Fault, type Faults } from './faults.ts';
import type { LegacySwitch } from './legacy.ts';
import { askFor, compilePolicy, type Permission } from './iam.ts';
import { newLoggedRequest, type LoggedRequest } from './log.ts';
import { findOperation, operations, type OperationName } from './operations.ts';
import { requiredPermissions } from './permissions.ts';
import { memorySink, receiveBody } from './receive.ts';
import { checkHeaders, checkKey, parseRequest, type S3Request } from './request.ts';
import { Store } from './store.ts';
import { document, element, errorDocument } from './xml.ts';

interface BucketOptions {
  name: string;
  /** Default: the server's. A bucket elsewhere is known here, and where it is. */
  region?: string;
  versioning?: boolean;
  objectLock?: boolean;
}

export interface S3ServerOptions {
  /** 0, the default, takes a free one. */
  port?: number;
  /** A directory, or `memory` (the default). */
  data?: string;
  /** Memory only: keep sizes and checksums, not the bytes. */
  discardBodies?: boolean;
  buckets?: (string | BucketOptions)[];
  accessKey?: string;
  secretKey?: string;
  /** Beside the one of accessKey and secretKey. */
  credentials?: Credential[];
  region?: string;
  accountId?: string;
  legacy?: LegacySwitch[];
  /** False makes a benchmark's memory flat. */
  keepRequests?: boolean;
  keepHistory?: boolean;
  /** One JSON line per request. */
  requestLog?: string;
  /** Serve /_s3-server/. */
  admin?: boolean;
  authorise?: Authorise;
  now?: () => number;
}

type Authorise = (action: string, bucket: string, key: string, accessKey: string) => boolean;

export interface S3Server {
  readonly endpoint: string;
  readonly port: number;
  readonly region: string;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly store: Store;
  readonly faults: Faults;
  /** Add and delete at will. */
  readonly legacy: Set<LegacySwitch>;
  /** By access key; add, replace and delete at will. */
  readonly credentials: Map<string, Credential>;
  readonly requests: readonly LoggedRequest[];
  clearRequests(): void;
  /** Requests by operation since the start or clearRequests(). */
  counts(): Record<string, number>;
  /** Resolves as soon as `isTrue`; it is asked whenever a request arrives or ends. */
  until(isTrue: () => boolean): Promise<void>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** One request on its way through the server. */
interface Exchange {
  message: IncomingMessage;
  response: ServerResponse;
  expectsContinue: boolean;
  requestId: string;
  logged: LoggedRequest;
  struck: Fault[];
}

export async function startS3Server(options: S3ServerOptions = {}): Promise<S3Server> {
  const region = options.region ?? 'us-east-1';
  const accessKey = options.accessKey ?? 's3syncd';
  const secretKey = options.secretKey ?? 's3syncd-secret';
  const accountId = options.accountId ?? '111122223333';
  const now = options.now ?? Date.now;
  const keepRequests = options.keepRequests ?? true;
  const legacy = new Set(options.legacy);
  const faults = createFaults(wireKinds);
  const credentials = new Map(
    [{ accessKey, secretKey }, ...(options.credentials ?? [])].map((credential) => [
      credential.accessKey,
      credential,
    ]),
  );
  const authenticate = createAuthenticator(credentials, region);
  const store = new Store({
    data: options.data ?? 'memory',
    discardBodies: options.discardBodies ?? false,
    keepHistory: options.keepHistory ?? true,
  });
  for (const bucket of options.buckets ?? []) addBucket(store, bucket, region, now());
  const requestLog =
    options.requestLog === undefined ? undefined : createWriteStream(options.requestLog, { flags: 'a' });

  const isLogged = keepRequests || requestLog !== undefined;
  const requests: LoggedRequest[] = [];
  const counts = new Map<string, number>();
  const waiting = new Set<() => void>();
  const closing = new AbortController();
  const requestIdPrefix = randomBytes(4).toString('hex').toUpperCase();
  let requestNumber = 0;

  function arrived(logged: LoggedRequest): void {
    counts.set(logged.operation, (counts.get(logged.operation) ?? 0) + 1);
    if (keepRequests) requests.push(logged);
    for (const look of waiting) look();
  }

  function ended(logged: LoggedRequest, status: number, code?: string): void {
    logged.status = status;
    if (code !== undefined) logged.code = code;
    requestLog?.write(`${JSON.stringify(logged)}\n`);
    for (const look of waiting) look();
  }

  async function serve(
    message: IncomingMessage,
    response: ServerResponse,
    expectsContinue: boolean,
  ): Promise<void> {
    const requestId = requestIdPrefix + (++requestNumber).toString(16).toUpperCase().padStart(8, '0');
    const logged = newLoggedRequest(message, now(), isLogged);
    const exchange: Exchange = { message, response, expectsContinue, requestId, logged, struck: [] };
    let answer: Answer;
    try {
      answer = await answerTo(exchange);
    } catch (error) {
      if (logged.operation === 'Unknown') arrived(logged);
      if (message.socket.destroyed) return ended(logged, 0);
      answer = errorAnswer(error, message, requestId);
      logged.code = errorCode(error);
    }
    for (const look of waiting) look();
    await conclude(exchange, answer);
  }

  async function answerTo(exchange: Exchange): Promise<Answer> {
    const { message, logged } = exchange;
    const request = parseRequest(message);
    Object.assign(logged, { bucket: request.bucket, key: request.key });
    if (isLogged) logged.query = Object.fromEntries(request.query);
    const name = findOperation(request);
    exchange.struck = faults.match(name, request.bucket, faultKey(request));
    logged.operation = name;
    logged.faults = exchange.struck.map(({ kind }) => kind);
    arrived(logged);
    return (
      (await answerInstead(exchange.struck, message, closing.signal)) ?? perform(exchange, request, name)
    );
  }

  async function perform(exchange: Exchange, request: S3Request, name: OperationName): Promise<Answer> {
    const { message, logged, struck } = exchange;
    const nowMs = now() + clockOffsetMs(struck);
    const authentication = authenticate(request, nowMs);
    logged.accessKey = authentication.accessKey;
    const operation = operations[name];
    const call = newCall(request, authentication, nowMs);
    checkHeaders(request.headers);
    checkKey(request.key);
    require(call, requiredPermissions(name, operation.action, call));
    if (operation.level !== 'service' && !operation.makesBucket) checkBucket(call);
    const wantedAlgorithm = operation.prepare?.(call);
    breakBody(struck, message);
    if (operation.body !== undefined)
      await receive(exchange, call, authentication, operation.body, wantedAlgorithm);
    try {
      await endBrokenBody(struck, message);
      return operation.handler(call);
    } catch (error) {
      if (operation.body === 'object') store.bodies.remove(call.body!.segment.id);
      throw error;
    }
  }

  async function receive(
    { message, response, expectsContinue, logged }: Exchange,
    call: Call,
    authentication: Authentication,
    kind: 'document' | 'object',
    wantedAlgorithm: ChecksumAlgorithm | undefined,
  ): Promise<void> {
    if (expectsContinue) {
      response.removeHeader('connection');
      response.writeContinue();
    }
    const sink = kind === 'document' ? memorySink() : undefined;
    const openSink = (): BodySink => sink ?? store.bodies.sink();
    call.body = await receiveBody(message, call.request, authentication, legacy, openSink, wantedAlgorithm);
    logged.bytes = call.body.size;
    if (sink !== undefined) call.document = sink.bytes();
  }

  /** Sends the answer, unless a fault has other plans for it. */
  async function conclude(exchange: Exchange, answer: Answer): Promise<void> {
    const { message, response, requestId, logged, struck } = exchange;
    const kinds = struck.map(({ kind }) => kind);
    if (kinds.includes('commit-then-drop')) {
      ended(logged, 0);
      message.socket.destroy();
      return;
    }
    if (kinds.includes('commit-then-stall')) {
      await untilClosed(message.socket);
      return ended(logged, 0);
    }
    const instead = struck.find(({ kind }) => kind === 'commit-then-answer');
    const shown = instead === undefined ? answer : faultAnswer(instead);
    // What stands between client and server has no numbers of S3.
    const isForeign = kinds.includes('html') || kinds.includes('empty');
    const headers: Record<string, string> = isForeign
      ? {}
      : { 'x-amz-request-id': requestId, 'x-amz-id-2': requestId };
    const offsetMs = clockOffsetMs(struck);
    if (offsetMs !== 0) headers['date'] = new Date(now() + offsetMs).toUTCString();
    ended(logged, shown.status, struck.find(({ code }) => code !== undefined)?.code);
    const truncated = struck.find(({ kind }) => kind === 'truncate-answer');
    if (truncated !== undefined) sendTruncated(response, shown, headers, store, truncated.afterBytes ?? 0);
    else await send(response, shown, headers, message.method === 'HEAD', store);
  }

  function newCall(request: S3Request, authentication: Authentication, nowMs: number): Call {
    const { accessKey } = authentication;
    return {
      store,
      legacy,
      region,
      accountId,
      request,
      headers: request.headers,
      key: request.key,
      requester: { accessKey, nowMs },
      document: Buffer.alloc(0),
      may: (permission) => mayHook(permission, accessKey) && mayByPolicy(permission, accessKey),
    };
  }

  function mayHook(permission: Permission, accessKey: string): boolean {
    const [bucket, key] = 'bucket' in permission ? [permission.bucket, permission.key] : ['', ''];
    return options.authorise?.(permission.action, bucket, key, accessKey) ?? true;
  }

  function mayByPolicy(permission: Permission, accessKey: string): boolean {
    const policy = credentials.get(accessKey)?.policy;
    return policy === undefined || compilePolicy(policy)(askFor(permission, region, accountId));
  }

  function checkBucket(call: Call): void {
    bucketOf(call);
    for (const name of ['x-amz-expected-bucket-owner', 'x-amz-source-expected-bucket-owner']) {
      const owner = call.headers[name];
      if (owner !== undefined && owner !== accountId) throw s3Error('AccessDenied');
    }
  }

  const http = createServer({ keepAliveTimeout: 75_000, requestTimeout: 0 });
  const listener = (expectsContinue: boolean) => (message: IncomingMessage, response: ServerResponse) => {
    if (options.admin && message.url?.startsWith(adminPath)) {
      void answerAdmin(server, message, response);
      return;
    }
    // A client that is refused before "100 Continue" sends no body, and the connection would wait for it.
    if (expectsContinue) response.setHeader('connection', 'close');
    void serve(message, response, expectsContinue);
  };
  http.on('request', listener(false));
  http.on('checkContinue', listener(true));
  http.on('clientError', answerBrokenRequest);
  http.listen(options.port ?? 0, '127.0.0.1');
  await once(http, 'listening');
  const { port } = http.address() as AddressInfo;

  const server: S3Server = {
    endpoint: `http://127.0.0.1:${port}`,
    port,
    region,
    accessKey,
    secretKey,
    store,
    faults,
    legacy,
    credentials,
    requests,
    clearRequests() {
      requests.length = 0;
      counts.clear();
    },
    counts: () => Object.fromEntries(counts),
    until(isTrue) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const look = (): void => {
        if (isTrue() && waiting.delete(look)) resolve();
      };
      waiting.add(look);
      look();
      return promise;
    },
    async close() {
      closing.abort();
      http.close();
      http.closeAllConnections();
      if (http.listening) await once(http, 'close');
      await endLog(requestLog);
      store.close();
    },
    [Symbol.asyncDispose]: () => server.close(),
  };
  return server;
}

function addBucket(store: Store, options: string | BucketOptions, region: string, nowMs: number): void {
  const { name, versioning, objectLock, ...elsewhere } =
    typeof options === 'string' ? { name: options } : options;
  if (store.bucket(name) !== undefined) return;
  const bucket = newBucket(name, elsewhere.region ?? region, nowMs);
  if (versioning || objectLock) bucket.versioning = 'Enabled';
  if (objectLock) {
    bucket.objectLock = true;
    bucket.configuration['object-lock'] = document(
      'ObjectLockConfiguration',
      element('ObjectLockEnabled', 'Enabled'),
    );
  }
  store.saveBucket(bucket);
}

function errorCode(error: unknown): string {
  return error instanceof S3Error ? error.code : 'InternalError';
}

function errorAnswer(error: unknown, message: IncomingMessage, requestId: string): Answer {
  if (!(error instanceof S3Error)) {
    console.error(error);
    return errorAnswer(s3Error('InternalError', String(error)), message, requestId);
  }
  const { status, code, details, headers } = error;
  if (status === 304) return { status, headers };
  const resource = (message.url ?? '/').split('?', 1)[0]!;
  const body = errorDocument(code, error.message, resource, requestId, details);
  return { status, headers: { 'content-type': 'application/xml', ...headers }, body };
}

async function send(
  response: ServerResponse,
  answer: Answer,
  extra: Record<string, string>,
  isHead: boolean,
  store: Store,
): Promise<void> {
  const { status, body } = answer;
  const headers = { ...answer.headers, ...extra };
  if (body === undefined || isHead || status === 304) {
    if (status !== 204 && status !== 304) headers['content-length'] ??= '0';
    response.writeHead(status, headers).end();
    return;
  }
  if (typeof body === 'string') {
    const bytes = Buffer.from(body);
    headers['content-length'] = String(bytes.length);
    response.writeHead(status, headers).end(bytes);
    return;
  }
  response.writeHead(status, headers);
  await store.whileReading(async () => {
    const { segments, start, end } = body;
    const chunks = readSegments(store.bodies, segments, start, end);
    // A client that goes away in the middle is its own affair.
    await pipeline(Readable.from(chunks, { objectMode: false }), response).catch(() => {});
  });
}

function sendTruncated(
  response: ServerResponse,
  answer: Answer,
  extra: Record<string, string>,
  store: Store,
  limit: number,
): void {
  const { body = '' } = answer;
  const bytes =
    typeof body === 'string'
      ? Buffer.from(body)
      : Buffer.concat([...readSegments(store.bodies, body.segments, body.start, body.end)]);
  // At least one byte is missing, also when there is no body.
  const length = Math.max(bytes.length, limit + 1);
  response.writeHead(answer.status, { ...answer.headers, ...extra, 'content-length': String(length) });
  response.write(bytes.subarray(0, limit));
  response.flushHeaders();
  response.socket?.end();
}

// A body that ends before Content-Length: the parser notices, not the handler.
function answerBrokenRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const isShort = error.code === 'HPE_INVALID_EOF_STATE';
  const cause = s3Error(isShort ? 'IncompleteBody' : 'InvalidRequest', isShort ? undefined : error.message);
  const body = errorDocument(cause.code, cause.message, '', 'NONE', {});
  socket.end(
    `HTTP/1.1 400 Bad Request\r\nContent-Type: application/xml\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `Connection: close\r\n\r\n${body}`,
  );
}

async function endLog(log: WriteStream | undefined): Promise<void> {
  if (log === undefined) return;
  log.end();
  await once(log, 'close');
}

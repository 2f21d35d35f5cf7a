// Lean PUT: sends a small file past the SDK's generic stack. The SDK's own PutObject costs 0.5 ms of CPU and keeps so
// much alive that 10,000 files peak at 350 MB; signed by the SDK's signer and sent through the same connections, the
// same request costs a third of both (test/bench).
//
// It invents nothing: the first PutObject goes through the SDK in full, and where that one went, with which account
// headers and in which region it was signed, the lean ones go too. An answer that is not a plain 200 or 412 is handed
// back, and the SDK sends the same bytes again with its retries, redirects, clock correction and typed errors.
import { hash } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import type { PutObjectCommandInput, S3Client } from '@aws-sdk/client-s3';
import { SignatureV4 } from '@smithy/signature-v4';
import { describeHeaders } from './describe.ts';
import type { WriteResult } from './destination.ts';
import { deadlineMs, type Timing } from './timing.ts';

export type Agents = Readonly<{ 'http:': http.Agent; 'https:': https.Agent }>;

/** `handed-back`: to be sent by the SDK; the request may have been carried out all the same. */
export type LeanAnswer = WriteResult | 'handed-back';

/** Where the SDK's PutObject went. */
interface Route {
  readonly protocol: 'http:' | 'https:';
  readonly hostname: string;
  readonly port: number | undefined;
  /** Path up to the key: `/bucket/`, or `/` where the bucket is in the host's name. */
  readonly pathBefore: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly signer: SignatureV4;
}

interface SentRequest {
  protocol: string;
  hostname: string;
  port?: number;
  path: string;
  query?: Record<string, unknown>;
  headers: Record<string, string>;
}

const installed = new WeakMap<S3Client, LeanPut>();

export function installLeanPut(
  client: S3Client,
  agents: Agents,
  timing: Timing,
  line: { readonly isSilent: boolean },
): void {
  const lean = new LeanPut(client, agents, timing, line);
  installed.set(client, lean);
  client.middlewareStack.add(
    (next, context) => async (args) => {
      const answer = await next(args);
      const input = context.commandName === 'PutObjectCommand' ? args.input : undefined;
      if (input) lean.learn(args.request as SentRequest, (input as PutObjectCommandInput).Key ?? '');
      return answer;
    },
    { step: 'finalizeRequest', priority: 'low', name: 'learnRoute' },
  );
}

export function leanPutOf(client: S3Client): LeanPut | undefined {
  return installed.get(client);
}

/** Headers of the account, not of the object, that every request carries. */
const accountHeaders = ['user-agent', 'x-amz-expected-bucket-owner', 'x-amz-request-payer'];

class Silence extends Error {
  /** As the SDK calls it. */
  override readonly name = 'TimeoutError';
}

export class LeanPut {
  readonly #client: S3Client;
  readonly #agents: Agents;
  readonly #timing: Timing;
  readonly #line: { readonly isSilent: boolean };
  #route: Route | undefined;

  constructor(client: S3Client, agents: Agents, timing: Timing, line: { readonly isSilent: boolean }) {
    this.#client = client;
    this.#agents = agents;
    this.#timing = timing;
    this.#line = line;
  }

  /** Takes the way of a PutObject that the SDK sent and S3 took, if it is a plain one. */
  learn(request: SentRequest, key: string): void {
    if (this.#route) return;
    const path = encodeKey(key);
    const region = /Credential=[^/]+\/\d+\/([^/]+)\/s3\/aws4_request/.exec(
      request.headers['authorization'] ?? '',
    )?.[1];
    const plain =
      region !== undefined &&
      request.path.endsWith(`/${path}`) &&
      !('x-amz-s3session-token' in request.headers);
    if (!plain || (request.protocol !== 'http:' && request.protocol !== 'https:')) return;
    this.#route = {
      protocol: request.protocol,
      hostname: request.hostname,
      port: request.port,
      pathBefore: request.path.slice(0, request.path.length - path.length),
      headers: Object.fromEntries(
        accountHeaders.flatMap((name) =>
          request.headers[name] === undefined ? [] : [[name, request.headers[name]]],
        ),
      ),
      signer: new SignatureV4({
        service: 's3',
        region,
        credentials: this.#client.config.credentials,
        sha256: this.#client.config.sha256,
        // S3 signs the path as it is sent.
        uriEscapePath: false,
        applyChecksum: false,
      }),
    };
  }

  /** The way is known, and there is somebody at its end: what is not answered would be sent twice, here and by the SDK. */
  get isReady(): boolean {
    return this.#route !== undefined && !this.#line.isSilent;
  }

  /**
   * To be called only when it is ready.
   * @throws an error like the SDK's when nobody answered in time
   */
  async send(key: string, bytes: Buffer, input: PutObjectCommandInput): Promise<LeanAnswer> {
    const route = this.#route!;
    const request = await route.signer.sign(
      {
        method: 'PUT',
        protocol: route.protocol,
        hostname: route.hostname,
        ...(route.port !== undefined && { port: route.port }),
        path: route.pathBefore + encodeKey(key),
        query: {},
        headers: {
          ...route.headers,
          ...objectHeaders(input),
          host: route.port === undefined ? route.hostname : `${route.hostname}:${route.port}`,
          'content-length': String(bytes.length),
          'x-amz-content-sha256':
            route.protocol === 'https:' ? 'UNSIGNED-PAYLOAD' : hash('sha256', bytes, 'hex'),
        },
      },
      { signingDate: new Date(Date.now() + this.#client.config.systemClockOffset) },
    );
    try {
      return answerOf(await this.#exchange(route, request.path, request.headers, bytes));
    } catch (error) {
      // Nobody was there for as long as it may take: three more tries of the SDK would say the same, minutes later.
      if (error instanceof Silence) throw error;
      return 'handed-back';
    }
  }

  #exchange(
    route: Route,
    path: string,
    headers: Record<string, string>,
    bytes: Buffer,
  ): Promise<http.IncomingMessage> {
    const { protocol, hostname, port } = route;
    return new Promise((resolve, reject) => {
      const { request: send } = protocol === 'https:' ? https : http;
      const request = send({ method: 'PUT', hostname, port, path, headers, agent: this.#agents[protocol] });
      const late = () => request.destroy(new Silence('no answer in time'));
      request.setTimeout(this.#timing.silenceMs, late);
      const deadline = setTimeout(late, deadlineMs(this.#timing, bytes.length));
      request.once('close', () => clearTimeout(deadline));
      request.once('socket', (socket) => {
        if (!socket.connecting) return;
        const giveUp = () => request.destroy(new Silence('could not establish a connection in time'));
        const timer = setTimeout(giveUp, this.#timing.connectMs);
        socket.once('connect', () => clearTimeout(timer)).once('close', () => clearTimeout(timer));
      });
      request.once('error', reject);
      request.once('response', (response) => {
        response.once('error', reject);
        response.once('end', () => resolve(response));
        response.resume();
      });
      request.end(bytes);
    });
  }
}

function answerOf({ statusCode, headers }: http.IncomingMessage): LeanAnswer {
  const { etag } = headers;
  const versionId = headers['x-amz-version-id'];
  if (statusCode === 200 && etag) {
    return { kind: 'written', etag, ...(typeof versionId === 'string' && { versionId }) };
  }
  return statusCode === 412 ? { kind: 'precondition-failed' } : 'handed-back';
}

/** The headers of those members that say nothing of the object. */
const headerOf = {
  IfNoneMatch: 'if-none-match',
  IfMatch: 'if-match',
  ChecksumCRC32: 'x-amz-checksum-crc32',
  ChecksumSHA256: 'x-amz-checksum-sha256',
  ChecksumCRC64NVME: 'x-amz-checksum-crc64nvme',
} as const;

function objectHeaders(input: PutObjectCommandInput): Record<string, string> {
  const headers = describeHeaders(input);
  for (const [member, header] of Object.entries(headerOf)) {
    const value = input[member as keyof typeof headerOf];
    if (value !== undefined) headers[header] = value;
  }
  return headers;
}

/** As the SDK encodes keys: every byte but the unreserved ones and `/` (RFC 3986). */
function encodeKey(key: string): string {
  return encodeURIComponent(key)
    .replaceAll('%2F', '/')
    .replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}

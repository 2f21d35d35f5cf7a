// What the tests of this server share: the real SDK as a client without retries, and short ways to say what
// came out.
import { S3Client, S3ServiceException, type S3ClientConfig } from '@aws-sdk/client-s3';
import { request as httpRequest, type OutgoingHttpHeaders } from 'node:http';
import { text } from 'node:stream/consumers';
import { startS3Server, type S3Server, type S3ServerOptions } from './server.ts';

export const Bucket = 'test';

export interface Fixture extends AsyncDisposable {
  server: S3Server;
  client: S3Client;
}

export async function start(options: S3ServerOptions = {}): Promise<Fixture> {
  const server = await startS3Server({ buckets: [Bucket], ...options });
  const client = connect(server);
  return {
    server,
    client,
    async [Symbol.asyncDispose]() {
      client.destroy();
      await server.close();
    },
  };
}

type Address = Pick<S3Server, 'endpoint' | 'region' | 'accessKey' | 'secretKey'>;

export function connect(server: Address, config: S3ClientConfig = {}): S3Client {
  return new S3Client({
    endpoint: server.endpoint,
    region: server.region,
    forcePathStyle: true,
    maxAttempts: 1,
    logger: silent,
    credentials: { accessKeyId: server.accessKey, secretAccessKey: server.secretKey },
    ...config,
  });
}

// The SDK reports on the console that it does not retry a stream.
const silent = { trace() {}, debug() {}, info() {}, warn() {}, error() {} };

/** `200`, or `412 PreconditionFailed`; without a status when there was no answer. */
export async function outcome(sent: Promise<{ $metadata: { httpStatusCode?: number } }>): Promise<string> {
  try {
    return String((await sent).$metadata.httpStatusCode);
  } catch (error) {
    if (error instanceof S3ServiceException) return `${error.$metadata.httpStatusCode} ${error.name}`;
    return error instanceof Error && 'code' in error ? String(error.code) : String(error);
  }
}

export interface RawAnswer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
  /** The error code of the document. */
  code: string | undefined;
}

/** A request exactly as given; `path` and `host` are not touched. */
export function raw(
  server: S3Server,
  method: string,
  path: string,
  headers: OutgoingHttpHeaders = {},
  body: Buffer | string = '',
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      port: server.port,
      host: '127.0.0.1',
      method,
      path,
      headers,
      agent: false,
    });
    request.on('error', reject);
    request.on('response', (response) => {
      text(response).then((body) => {
        const code = /<Code>(.*?)<\/Code>/.exec(body)?.[1];
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body, code });
      }, reject);
    });
    request.end(body);
  });
}

// Connections to S3: one client for each destination, set up for what s3syncd needs of the SDK and for nothing else.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import type { DestinationConfig } from '../config/config.ts';
import { credentialsConfig } from './credentials.ts';
import { installLeanPut, type Agents } from './lean-put.ts';
import { installMeters } from './meter.ts';
import { installRenewal } from './renew-credentials.ts';
import { patient, type Timing } from './timing.ts';

/** In-flight requests are bounded below this, so no request ever waits inside the agent. */
const socketsMax = 272;

/** What is known of the other end, and learned of it here. */
export interface Line {
  /** Nobody answers for now: a request asks whether anybody does again, and is sent once. */
  readonly isSilent: boolean;
  /** Somebody answered, and not with an error of the server. */
  answered(): void;
}

const unheard: Line = { isSilent: false, answered: () => undefined };

/** Opens the connections to a destination, to be shared by its routes; closed with `destroy()`. */
export function connect(config: DestinationConfig, timing = patient, line = unheard): S3Client {
  const agents = openAgents(config);
  const client = new S3Client(clientConfig(config, agents, timing));
  if (config.endpoint === undefined || config.endpoint.startsWith('https:')) {
    // TLS protects the transit and our checksum the content: a SHA-256 of every body would cost 0.9 CPU s per GiB.
    client.middlewareStack.add(
      (next) => (args) => {
        const request = args.request as { headers?: Record<string, string>; body?: unknown };
        if (request.headers && request.body) request.headers['x-amz-content-sha256'] = 'UNSIGNED-PAYLOAD';
        return next(args);
      },
      { step: 'build', name: 'unsignedPayload' },
    );
  }
  limitAnswers(client, timing);
  installRenewal(client);
  installMeters(client);
  installLeanPut(client, agents, timing, line);
  listen(client, line);
  tryOnceWhenSilent(client, line);
  return client;
}

/** As soon as a request is answered, not once a file is sent: that may be hours later. */
function listen(client: S3Client, line: Line): void {
  client.middlewareStack.add(
    (next) => async (args) => {
      const answered = await next(args);
      const { statusCode } = answered.response as { statusCode?: number };
      if (statusCode !== undefined && statusCode < 500) line.answered();
      return answered;
    },
    { step: 'deserialize', priority: 'low', name: 'listen' },
  );
}

/** The SDK's tries are for an answer that went astray; where nobody answers they are three times as many questions. */
function tryOnceWhenSilent(client: S3Client, line: Line): void {
  const { retryStrategy } = client.config;
  client.config.retryStrategy = async () => {
    const strategy = await retryStrategy();
    assert('refreshRetryTokenForRetry' in strategy, "it is the SDK's standard strategy");
    return {
      acquireInitialRetryToken: (scope) => strategy.acquireInitialRetryToken(scope),
      recordSuccess: (token) => strategy.recordSuccess(token),
      refreshRetryTokenForRetry: (token, error) =>
        line.isSilent
          ? Promise.reject(new Error('nobody answers'))
          : strategy.refreshRetryTokenForRetry(token, error),
    };
  };
}

/** The SDK's own limit ends with the headers of an answer; a body that trickles would last for ever. */
function limitAnswers(client: S3Client, { answerMs }: Timing): void {
  client.middlewareStack.add(
    (next) => async (args) => {
      const answered = await next(args);
      const { body } = answered.response as { body?: unknown };
      if (body instanceof http.IncomingMessage && !body.complete) {
        const endless = Object.assign(new Error('the answer does not end'), { name: 'TimeoutError' });
        const timer = setTimeout(() => body.destroy(endless), answerMs);
        body.once('close', () => clearTimeout(timer));
      }
      return answered;
    },
    { step: 'deserialize', priority: 'low', name: 'limitAnswers' },
  );
}

/** One pool of connections for the SDK and for lean PUTs. */
function openAgents(config: DestinationConfig): Agents {
  const options = {
    keepAlive: true,
    noDelay: true,
    maxSockets: socketsMax,
    ...(config.caFile && { ca: fs.readFileSync(config.caFile) }),
  };
  return { 'http:': new http.Agent(options), 'https:': new https.Agent(options) };
}

const silent = {
  trace: () => undefined,
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

function clientConfig(config: DestinationConfig, agents: Agents, timing: Timing): S3ClientConfig {
  return {
    ...(config.region && { region: config.region }),
    ...(config.endpoint && { endpoint: config.endpoint }),
    ...credentialsConfig(config),
    forcePathStyle: config.pathStyle,
    useAccelerateEndpoint: config.accelerate,
    useDualstackEndpoint: config.dualstack,
    useFipsEndpoint: config.fips,
    // We compute and send our own checksum; the SDK's default would turn streams into aws-chunked, which many stores
    // refuse or, worse, keep as data.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    retryMode: 'standard',
    // Without one the SDK writes remarks to the console, between the lines of our log.
    logger: silent,
    maxAttempts: 3,
    // Every answer resolves the middleware stack once per command class instead of once per request.
    cacheMiddleware: true,
    requestHandler: {
      httpAgent: agents['http:'],
      httpsAgent: agents['https:'],
      connectionTimeout: timing.connectMs,
      socketTimeout: timing.silenceMs,
      requestTimeout: timing.answerMs,
      throwOnRequestTimeout: true,
    },
    expectContinueHeader: false,
  };
}

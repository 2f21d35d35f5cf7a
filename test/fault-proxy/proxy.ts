// The fault proxy: stands between a client and any S3 server, and does to their requests what networks, proxies and
// servers do. Its faults are those of the local server (test/s3-server/faults.ts), chosen by S3 operation, key and k-th
// call.
//
// It signs nothing. A signature covers the Host header, so that one goes on as the client sent it, with the proxy's own
// address in it: a server that is addressed by path verifies it as it stands and does not ask whose name it is.
import { once } from 'node:events';
import http, { createServer, type ClientRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { answerInstead, faultAnswer, faultKey, untilClosed } from '../s3-server/fault-effects.ts';
import { createFaults, type Fault, type FaultKind, type Faults } from '../s3-server/faults.ts';
import { findOperation } from '../s3-server/operations.ts';
import { parseRequest } from '../s3-server/request.ts';

export interface FaultProxy extends AsyncDisposable {
  readonly endpoint: string;
  readonly faults: Faults;
}

/** An answer that has been read to its end. */
interface Whole {
  readonly status: number;
  /** Names and values by turns. */
  readonly headers: string[];
  readonly body: Buffer;
}

/** These say what becomes of the answer; the request is carried out. */
const afterwards = [
  'commit-then-answer',
  'commit-then-drop',
  'commit-then-stall',
  'truncate-answer',
  'stall-answer',
  'slow-answer',
  'duplicate',
] as const satisfies FaultKind[];

type LateFault = Fault & { readonly kind: (typeof afterwards)[number] };

function isLate(fault: Fault): fault is LateFault {
  return (afterwards as readonly FaultKind[]).includes(fault.kind);
}

/** @param upstream where the server is: `http://host:port` */
export async function startFaultProxy(upstream: string): Promise<FaultProxy> {
  const { hostname, port } = new URL(upstream);
  // The clock is the server's own.
  const faults = createFaults(['clock']);
  const agent = new http.Agent({ keepAlive: true });
  const closing = new AbortController();

  async function serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const struck = strike(message);
    const instead = await answerInstead(struck, message, closing.signal);
    const broken = struck.find(({ kind }) => kind === 'stall' || kind === 'reset-request');
    const after = struck.find(isLate);
    if (instead) answerWhole(response, wholeOf(instead));
    else if (broken) await breakRequest(message, broken);
    else if (after) await answerAfter(message, response, after);
    else await pass(message, response);
  }

  function strike(message: IncomingMessage): Fault[] {
    const request = parseRequest(message);
    return faults.match(findOperation(request), request.bucket, faultKey(request));
  }

  async function pass(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const sent = forward(message);
    message.pipe(sent);
    const answer = await answerTo(sent);
    response.writeHead(answer.statusCode ?? 0, answer.rawHeaders);
    answer.pipe(response);
  }

  /** Never lets the server have the whole of a request. */
  async function breakRequest(message: IncomingMessage, { kind, afterBytes = 0 }: Fault): Promise<void> {
    const limit = Math.min(afterBytes, Number(message.headers['content-length'] ?? 0));
    const sent = limit > 0 ? forward(message) : undefined;
    let received = 0;
    for await (const chunk of limit > 0 ? message.iterator({ destroyOnReturn: false }) : []) {
      received += (chunk as Buffer).length;
      if (received >= limit) break;
      sent?.write(chunk);
    }
    if (kind === 'stall') await untilClosed(message.socket);
    else message.socket.resetAndDestroy();
    sent?.destroy();
  }

  async function answerAfter(
    message: IncomingMessage,
    response: ServerResponse,
    fault: LateFault,
  ): Promise<void> {
    const body = await buffer(message);
    const ask = async (): Promise<Whole> => {
      const answer = await answerTo(forward(message).end(body));
      return { status: answer.statusCode ?? 0, headers: answer.rawHeaders, body: await buffer(answer) };
    };
    const first = await ask();
    const { afterBytes = 0, bytesPerSecond = 1 } = fault;
    switch (fault.kind) {
      case 'commit-then-drop':
        message.socket.destroy();
        return;
      case 'commit-then-stall':
        return untilClosed(message.socket);
      case 'commit-then-answer':
        return answerWhole(response, wholeOf(faultAnswer(fault)));
      case 'duplicate':
        return answerWhole(response, await ask());
      case 'truncate-answer':
        beginAnswer(response, first, afterBytes);
        response.socket?.end();
        return;
      case 'stall-answer':
        beginAnswer(response, first, afterBytes);
        return untilClosed(message.socket);
      case 'slow-answer':
        return answerSlowly(message, first, bytesPerSecond, closing.signal);
    }
  }

  /** Begins to send it on; the body is to follow. */
  function forward(message: IncomingMessage): ClientRequest {
    const { method, url, rawHeaders, socket } = message;
    const sent = http.request({ hostname, port, method, path: url, headers: rawHeaders, agent });
    // Whoever waits for the answer learns of an error; a request that is broken has nobody who waits.
    sent.on('error', () => socket.destroy());
    const giveUp = () => sent.destroy();
    socket.once('close', giveUp);
    sent.once('close', () => socket.off('close', giveUp));
    return sent;
  }

  const server = createServer({ keepAliveTimeout: 75_000, requestTimeout: 0 });
  server.on('request', (message, response) => {
    serve(message, response).catch(() => message.socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    faults,
    async [Symbol.asyncDispose]() {
      closing.abort();
      server.close();
      server.closeAllConnections();
      agent.destroy();
      if (server.listening) await once(server, 'close');
    },
  };
}

async function answerTo(sent: ClientRequest): Promise<IncomingMessage> {
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  return answer;
}

function wholeOf({ status, headers = {}, body = '' }: Awaited<ReturnType<typeof faultAnswer>>): Whole {
  return { status, headers: Object.entries(headers).flat(), body: Buffer.from(body as string) };
}

function answerWhole(response: ServerResponse, { status, headers, body }: Whole): void {
  const isHead = response.req.method === 'HEAD';
  const length = isHead || status === 204 ? [] : ['content-length', String(body.length)];
  response
    .writeHead(status, isHead ? headers : [...withoutLength(headers), ...length])
    .end(isHead ? undefined : body);
}

/** At least one byte of it is missing, also when it has no body. */
function beginAnswer(response: ServerResponse, { status, headers, body }: Whole, afterBytes: number): void {
  const length = Math.max(body.length, afterBytes + 1);
  response.writeHead(status, [...withoutLength(headers), 'content-length', String(length)]);
  response.write(body.subarray(0, afterBytes));
  response.flushHeaders();
}

/** The status line and the headers too: most answers to writes have nothing else. */
async function answerSlowly(
  { method, socket }: IncomingMessage,
  { status, headers, body }: Whole,
  bytesPerSecond: number,
  closing: AbortSignal,
): Promise<void> {
  const lines = [`HTTP/1.1 ${status} Slow`, 'connection: close'];
  if (method !== 'HEAD' && status !== 204) lines.push(`content-length: ${body.length}`);
  const kept = method === 'HEAD' ? headers : withoutLength(headers);
  for (let at = 0; at < kept.length; at += 2) {
    if (kept[at]?.toLowerCase() !== 'connection') lines.push(`${kept[at]}: ${kept[at + 1]}`);
  }
  const bytes = Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), body]);
  const step = Math.max(1, Math.floor(bytesPerSecond / 10));
  for (let at = 0; at < bytes.length && socket.writable; at += step) {
    socket.write(bytes.subarray(at, at + step));
    await delay((1000 * step) / bytesPerSecond, undefined, { signal: closing });
  }
  socket.end();
}

function withoutLength(headers: readonly string[]): string[] {
  return headers.filter(
    (_, at) => !/^(content-length|transfer-encoding)$/i.test(headers[at - (at % 2)] ?? ''),
  );
}

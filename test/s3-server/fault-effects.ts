// What each kind of fault does to a request, before and while its body is read. The kinds that act after the
// commit are in server.ts, and for other servers in test/fault-proxy.
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Answer } from './call.ts';
import { s3Error } from './errors.ts';
import type { Fault } from './faults.ts';
import { param, type S3Request } from './request.ts';
import { errorDocument } from './xml.ts';

/** The key by which faults know a request: a listing's is its prefix. */
export function faultKey(request: S3Request): string {
  return request.key === '' ? (param(request, 'prefix') ?? '') : request.key;
}

/** An answer instead of the operation, if a fault wants that. */
export async function answerInstead(
  struck: readonly Fault[],
  message: IncomingMessage,
  closing: AbortSignal,
): Promise<Answer | undefined> {
  for (const fault of struck) {
    switch (fault.kind) {
      case 'latency':
        await delay(fault.ms, undefined, { signal: closing });
        break;
      case 'answer':
        return faultAnswer(fault);
      case 'error-document':
        return { ...faultAnswer(fault), status: 200 };
      case 'html':
        return {
          status: 200,
          headers: { 'content-type': 'text/html' },
          body: '<!DOCTYPE html><html><body>Please sign in to use this network.</body></html>',
        };
      case 'empty':
        return { status: 200 };
      case 'stall':
      case 'reset-request':
      case 'clock':
      case 'commit-then-answer':
      case 'commit-then-drop':
      case 'commit-then-stall':
      case 'truncate-answer':
      case 'stall-answer':
      case 'slow-answer':
      case 'duplicate':
        break;
    }
  }
  return undefined;
}

/** Stops or resets as soon as so many bytes of the body are there. */
export function breakBody(struck: readonly Fault[], message: IncomingMessage): void {
  for (const { kind, afterBytes } of struck) {
    if (afterBytes === undefined) continue;
    if (kind === 'stall') whenReceived(message, afterBytes, () => message.pause());
    if (kind === 'reset-request') whenReceived(message, afterBytes, () => message.socket.resetAndDestroy());
  }
}

/** The same for a body that was shorter than that: it must not be committed either. */
export async function endBrokenBody(struck: readonly Fault[], message: IncomingMessage): Promise<void> {
  for (const { kind } of struck) {
    if (kind !== 'stall' && kind !== 'reset-request') continue;
    if (kind === 'stall') await untilClosed(message.socket);
    else message.socket.resetAndDestroy();
    throw s3Error('IncompleteBody');
  }
}

function whenReceived(message: IncomingMessage, bytes: number, act: () => void): void {
  let received = 0;
  message.on('data', (chunk: Buffer) => {
    received += chunk.length;
    if (received >= bytes) act();
  });
}

export async function untilClosed(socket: Socket): Promise<void> {
  if (!socket.destroyed) await new Promise((resolve) => socket.once('close', resolve));
}

export function clockOffsetMs(struck: readonly Fault[]): number {
  return 1000 * (struck.find(({ kind }) => kind === 'clock')?.offsetSeconds ?? 0);
}

export function faultAnswer(fault: Fault): Answer {
  const { status = 500, code = 'InternalError', message = 'Injected fault', region, location } = fault;
  const headers: Record<string, string> = { 'content-type': 'application/xml' };
  if (region !== undefined) headers['x-amz-bucket-region'] = region;
  if (location !== undefined) headers['location'] = location;
  if (fault.retryAfterSeconds !== undefined) headers['retry-after'] = String(fault.retryAfterSeconds);
  const details = region === undefined ? {} : { Region: region };
  return { status, headers, body: errorDocument(code, message, '', 'FAULT', details) };
}

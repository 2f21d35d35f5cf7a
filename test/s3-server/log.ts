// The request log: what a test counts and asserts on. An entry is made when the request arrives and filled in
// while it is served.
import type { IncomingMessage } from 'node:http';
import type { FaultKind } from './faults.ts';
import type { OperationName } from './operations.ts';

export interface LoggedRequest {
  time: number;
  operation: OperationName | 'Unknown';
  bucket: string;
  key: string;
  method: string;
  path: string;
  query: Record<string, string>;
  /** 0 while it is served, and for ever if it was not answered. */
  status: number;
  /** Of the body, after aws-chunked is decoded. */
  bytes: number;
  /** Without those of the transport and of the signature. */
  headers: Record<string, string>;
  /** The error code, if it failed. */
  code?: string;
  accessKey?: string;
  /** Kinds of the faults that hit. */
  faults: FaultKind[];
}

const hiddenHeaders =
  /^(?:authorization|host|connection|user-agent|accept.*|amz-sdk-.*|x-amz-(?:date|content-sha256|user-agent|security-token|server-side-encryption-customer-key))$/;

export function newLoggedRequest(message: IncomingMessage, time: number, isKept: boolean): LoggedRequest {
  const url = message.url ?? '/';
  const headers = isKept ? Object.entries(message.headers).filter(([name]) => !hiddenHeaders.test(name)) : [];
  return {
    time,
    operation: 'Unknown',
    bucket: '',
    key: '',
    method: message.method ?? '',
    path: url.split('?', 1)[0]!,
    query: {},
    status: 0,
    bytes: 0,
    headers: Object.fromEntries(headers) as Record<string, string>,
    faults: [],
  };
}

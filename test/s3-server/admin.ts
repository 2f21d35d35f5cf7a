// The admin endpoint, for tests in another process or language: the log, the history, faults, legacy switches
// and credentials. No bucket can be called `_s3-server`.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { json } from 'node:stream/consumers';
import type { Credential } from './auth.ts';
import type { Fault, FaultHandle, Faults } from './faults.ts';
import { isLegacySwitch, legacySwitches, type LegacySwitch } from './legacy.ts';
import type { LoggedRequest } from './log.ts';
import type { ChangeKind, Store } from './store.ts';

export const adminPath = '/_s3-server/';

/** The part of the server that it works on. */
interface Administered {
  store: Store;
  faults: Faults;
  legacy: Set<LegacySwitch>;
  credentials: Map<string, Credential>;
  requests: readonly LoggedRequest[];
  clearRequests(): void;
  counts(): Record<string, number>;
}

export async function answerAdmin(
  server: Administered,
  message: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    const url = new URL(message.url ?? '/', 'http://127.0.0.1');
    const body = message.method === 'POST' ? await json(message) : undefined;
    const result = route(
      server,
      `${message.method} ${url.pathname.slice(adminPath.length)}`,
      url.searchParams,
      body,
    );
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(result));
  } catch (error) {
    const text = JSON.stringify({ error: (error as Error).message });
    response.writeHead(400, { 'content-type': 'application/json' }).end(text);
  }
}

function route(server: Administered, request: string, parameters: URLSearchParams, body: unknown): unknown {
  const filter = Object.fromEntries(parameters) as {
    bucket?: string;
    key?: string;
    kind?: ChangeKind;
    operation?: string;
  };
  switch (request) {
    case 'GET requests':
      return server.requests.filter(({ operation }) => operation === (filter.operation ?? operation));
    case 'DELETE requests':
      server.clearRequests();
      return {};
    case 'GET counts':
      return server.counts();
    case 'GET history':
      return server.store.history(filter);
    case 'GET faults':
      return server.faults.list().map(shown);
    case 'POST faults':
      return shown(server.faults.add(body as Fault));
    case 'DELETE faults':
      server.faults.clear(parameters.has('id') ? Number(parameters.get('id')) : undefined);
      return {};
    case 'GET legacy':
      return [...server.legacy];
    case 'POST legacy':
      setLegacy(server, body);
      return [...server.legacy];
    case 'POST credentials':
      server.credentials.set((body as Credential).accessKey, body as Credential);
      return {};
    default:
      throw new Error(`no such admin request: ${request}`);
  }
}

function shown({ id, fault, calls, hits }: FaultHandle): object {
  return { id, fault, calls, hits };
}

/** The body is the whole new set. */
function setLegacy(server: Administered, body: unknown): void {
  const names = body as string[];
  const unknown = names.filter((name) => !isLegacySwitch(name));
  if (unknown.length > 0)
    throw new Error(`unknown switch ${unknown.join(', ')}; there are ${legacySwitches.join(', ')}`);
  server.legacy.clear();
  for (const name of names) if (isLegacySwitch(name)) server.legacy.add(name);
}

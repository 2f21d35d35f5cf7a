// Control: HTTP with JSON over a Unix socket, for the verbs that speak with a running daemon. No TCP port.
import fs from 'node:fs';
import http from 'node:http';
import { once } from 'node:events';
import { socketAddress } from './socket.ts';

/** Answers by method and path; what it is given and returns, or resolves to, are bodies in JSON. */
export type Routes = Readonly<Record<string, (body: unknown) => unknown>>;

export interface ControlServer {
  close(): Promise<void>;
}

/**
 * Starts listening. The journal's lock is held, so a socket of ours that is there is a dead daemon's.
 * @throws Error when something else stands there
 */
export async function startControlServer(stateDir: string, routes: Routes): Promise<ControlServer> {
  const address = socketAddress(stateDir);
  removeStale(address.path);
  const server = http.createServer((request, response) => {
    const reply = (status: number, body: unknown) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(`${JSON.stringify(body)}\n`);
    };
    const { pathname } = new URL(request.url ?? '/', 'http://control');
    const answer = routes[`${request.method} ${pathname}`];
    if (!answer) {
      reply(404, { error: `no ${request.method} ${pathname}` });
      return;
    }
    readJson(request)
      .then(answer)
      .then((body) => reply(200, body))
      .catch((error: unknown) => reply(500, { error: (error as Error).message }));
  });
  const listening = once(server, 'listening');
  // Owner and group may steer the daemon, others may not: from the moment that it is there. Node binds before it returns.
  const mask = process.umask(0o117);
  server.listen(address.path);
  process.umask(mask);
  await listening;
  return {
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
      fs.rmSync(address.path, { force: true });
      address[Symbol.dispose]();
    },
  };
}

function removeStale(file: string): void {
  const stats = fs.lstatSync(file, { throwIfNoEntry: false });
  if (!stats) return;
  if (!stats.isSocket() || stats.uid !== process.geteuid!())
    throw new Error(
      `${file} is not a socket of the user that runs s3syncd: somebody else put it there. Look at it, and remove it`,
    );
  fs.rmSync(file);
}

/** A list of a hundred thousand long paths has as much; whoever may connect is trusted. */
const bodyBytesMax = 64 * 1024 ** 2;

/** Undefined when there is none. */
async function readJson(request: http.IncomingMessage): Promise<unknown> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > bodyBytesMax) throw new Error(`a request of more than ${bodyBytesMax} bytes`);
    pieces.push(piece);
  }
  return bytes === 0 ? undefined : JSON.parse(Buffer.concat(pieces).toString());
}

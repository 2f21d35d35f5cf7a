// Control: HTTP with JSON over a Unix socket, for the verbs that speak with a running daemon. No TCP port.
import fs from 'node:fs';
import http from 'node:http';
import { once } from 'node:events';
import { socketAddress } from './socket.ts';

/** Answers by method and path; what it returns becomes the JSON body. */
export type Routes = Readonly<Record<string, (query: URLSearchParams) => unknown>>;

export interface ControlServer {
  close(): Promise<void>;
}

/** Starts listening. The journal's lock is held, so a socket that is there is a dead daemon's. */
export async function startControlServer(stateDir: string, routes: Routes): Promise<ControlServer> {
  const address = socketAddress(stateDir);
  fs.rmSync(address.path, { force: true });
  const server = http.createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://control');
    const answer = routes[`${request.method} ${url.pathname}`];
    const reply = (status: number, body: unknown) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(`${JSON.stringify(body)}\n`);
    };
    if (!answer) {
      reply(404, { error: `no ${request.method} ${url.pathname}` });
      return;
    }
    try {
      reply(200, answer(url.searchParams));
    } catch (error) {
      reply(500, { error: (error as Error).message });
    }
  });
  // Owner and group may steer the daemon, others may not.
  const mask = process.umask(0o117);
  try {
    server.listen(address.path);
    await once(server, 'listening');
  } finally {
    process.umask(mask);
  }
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

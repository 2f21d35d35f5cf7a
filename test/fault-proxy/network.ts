// A network in front of a server, which goes away and comes back: below HTTP, as a cable, a firewall or a host does it.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';

/**
 * - `refuses`: the host is there and nobody listens
 * - `resets`: whatever is sent is answered with a reset
 * - `drops`: nothing is ever answered; connections that were open hang, and are as they were when it is over
 */
export const outages = ['refuses', 'resets', 'drops'] as const;
export type Outage = (typeof outages)[number];

export class Network implements AsyncDisposable {
  readonly #upstream: URL;
  readonly #connections = new Set<net.Socket>();
  #server = net.createServer();
  #port = 0;
  #resets = false;
  #silence: Silence | undefined;

  private constructor(upstream: string) {
    this.#upstream = new URL(upstream);
  }

  /** @param upstream where the server is: `http://host:port` */
  static async to(upstream: string): Promise<Network> {
    const network = new Network(upstream);
    await network.up();
    return network;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async down(outage: Outage): Promise<void> {
    this.#resets = outage === 'resets';
    if (outage === 'drops') for (const end of this.#connections) end.pause();
    else for (const end of this.#connections) end.resetAndDestroy();
    if (outage === 'resets') return;
    this.#server.close();
    if (outage === 'drops') this.#silence = await Silence.at(this.#port);
  }

  async up(): Promise<void> {
    this.#resets = false;
    await this.#silence?.[Symbol.asyncDispose]();
    this.#silence = undefined;
    if (!this.#server.listening) {
      this.#server = net.createServer((socket) => this.#connect(socket)).listen(this.#port, '127.0.0.1');
      await once(this.#server, 'listening');
      this.#port = (this.#server.address() as net.AddressInfo).port;
    }
    for (const end of this.#connections) end.resume();
  }

  #connect(socket: net.Socket): void {
    if (this.#resets) {
      socket.resetAndDestroy();
      return;
    }
    const upstream = net.connect(Number(this.#upstream.port), this.#upstream.hostname);
    for (const [end, other] of [
      [socket, upstream],
      [upstream, socket],
    ] as const) {
      this.#connections.add(end);
      end.on('data', (bytes) => {
        // What the other end does not take yet is not taken from this one: but a pause of an outage stays one.
        other.write(bytes);
      });
      end.on('end', () => other.end());
      end.on('error', () => other.destroy());
      end.on('close', () => {
        this.#connections.delete(end);
        other.destroy();
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#silence?.[Symbol.asyncDispose]();
    this.#server.close();
    for (const end of this.#connections) end.destroy();
  }
}

/** A port that answers no SYN: its queue of connections is full, and its process never takes one. */
class Silence implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #queued: net.Socket[];

  private constructor(child: ChildProcess, queued: net.Socket[]) {
    this.#child = child;
    this.#queued = queued;
  }

  static async at(port: number): Promise<Silence> {
    const script = `
      const server = require('node:net').createServer();
      server.listen({ port: ${port}, host: '127.0.0.1', backlog: 1 }, () => {
        require('node:fs').writeSync(1, 'listening');
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
      });`;
    const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    // Linux takes one more than the backlog says; the third one waits already.
    const queued = Array.from({ length: 4 }, () =>
      net.connect(port, '127.0.0.1').on('error', () => undefined),
    );
    return new Silence(child, queued);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
    for (const socket of this.#queued) socket.destroy();
  }
}

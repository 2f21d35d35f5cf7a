// A while without network: nothing is lost, nobody is asked more often than now and then meanwhile, what is elsewhere goes
// on, and the end of it is no storm.
import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { backoffMs } from '../../src/core/schedule.ts';
import { askDaemon } from '../../src/control/client.ts';
import type { RouteStatus, Status } from '../../src/observe/status.ts';
import { Network, outages, type Outage } from '../fault-proxy/network.ts';
import { atScale } from '../helpers/scale.ts';
import { noLocalServer, startStore, until, workspace, type Workspace } from './harness.ts';

const outageMs = atScale(8_000, 60_000);

test.skipIf(noLocalServer)(
  `${outageMs / 1000} s without network, of three kinds at once: nothing is lost, few ask, and it ends without a burst of errors`,
  async () => {
    const healthy = await startStore();
    const sick = await Promise.all(
      outages.map(async (outage) => {
        const store = await startStore();
        const network = await Network.to(store.endpoint);
        onTestFinished(() => network[Symbol.asyncDispose]());
        return { outage, store, network };
      }),
    );
    const home = workspace(healthy, {
      folder: { to: ['s3', ...outages] },
      destinations: Object.fromEntries(
        sick.map(({ outage, store, network }) => [
          outage,
          { endpoint: network.endpoint, bucket: store.bucket, region: store.region, 'path-style': true },
        ]),
      ),
      top: { log: { level: 'debug' } },
    });
    let written = 0;
    const write = () => home.write(`${written % 10}/${written}`, `file ${(written += 1)}`);
    const daemon = await home.start();
    for (let count = 0; count < 300; count++) write();
    for (const { store } of sick) await home.awaitEqual(15_000, { store });

    for (const { network, outage } of sick) await network.down(outage);
    const downAt = performance.now();
    const courses = new Map<Outage, Course>();
    for (const { outage } of sick) courses.set(outage, new Course(await routeTo(home, outage)));
    while (performance.now() - downAt < outageMs) {
      for (let count = 0; count < 10; count++) write();
      await delay(200);
      for (const [outage, course] of courses) course.look(await routeTo(home, outage));
    }
    await home.awaitEqual(3_200);
    for (const [outage, course] of courses) {
      course.look(await routeTo(home, outage));
      console.log(`${outage}: ${course.described()}`);
      expect.soft(course.asked, `requests while it ${outage}`).toBeLessThanOrEqual(course.askedMax);
    }

    const logged = daemon.log.length;
    for (const { network } of sick) await network.up();
    const upAt = performance.now();
    for (const { outage, store } of sick) {
      await until(
        async () => (await store.keys()).length >= written,
        120_000,
        () => `${outage} never recovers`,
      );
      console.log(
        `${outage}: has everything ${((performance.now() - upAt) / 1000).toFixed(1)} s after it was over`,
      );
    }
    for (const { store } of sick) await home.awaitEqual(5_000, { store });
    const complaints = daemon.log.slice(logged).filter(({ level }) => level === 'warn' || level === 'error');
    expect(complaints).toStrictEqual([]);
    await until(async () => (await home.s3syncd('status')).code === 0, 5_000);
  },
  outageMs + 240_000,
);

async function routeTo(home: Workspace, destination: string): Promise<RouteStatus> {
  const { folders } = (await askDaemon(home.stateDir, 'GET', '/status')) as Status;
  return folders[0]!.routes.find((route) => route.destination === destination)!;
}

/** What a route does while its network is away. */
class Course {
  readonly #startedAt = performance.now();
  #requests: number;
  #requestsBefore: number;
  #waiting = 0;
  #mostInFlight = 0;
  #seenAt: number | undefined;

  constructor(route: RouteStatus) {
    this.#requests = this.#requestsBefore = requestsOf(route);
  }

  look(route: RouteStatus): void {
    this.#requests = requestsOf(route);
    this.#waiting = route.pending + route.retrying;
    this.#mostInFlight = Math.max(this.#mostInFlight, route.inFlight);
    if (this.#seenAt !== undefined || !route.trouble || route.sending.length > 0) return;
    // What was under way has ended: from now on somebody asks now and then, and nobody else.
    this.#seenAt = performance.now();
    this.#requestsBefore = this.#requests;
  }

  get asked(): number {
    return this.#requests - this.#requestsBefore;
  }

  /** One at the end of each pause, if all are as short as they may be; where connections hang, what hangs was asked too. */
  get askedMax(): number {
    const hanging = this.#seenAt === undefined ? this.#mostInFlight : 0;
    const forMs = performance.now() - (this.#seenAt ?? this.#startedAt);
    let probes = 0;
    for (let waitedMs = 0; waitedMs <= forMs; probes++) waitedMs += backoffMs(probes + 1, 0);
    return hanging + probes;
  }

  described(): string {
    const seen =
      this.#seenAt === undefined
        ? `not seen, ${this.#mostInFlight} hang`
        : `seen after ${((this.#seenAt - this.#startedAt) / 1000).toFixed(1)} s`;
    return `${seen}; then ${this.asked} requests of ${this.askedMax} that may be; ${this.#waiting} changes wait`;
  }
}

/** As the daemon counts them when they leave, whether they arrive or not. */
function requestsOf({ usage }: RouteStatus): number {
  return Object.values(usage.today.requests).reduce((sum, count) => sum + count, 0);
}

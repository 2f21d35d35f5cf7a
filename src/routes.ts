// Routes: what the config says of a folder and one of its destinations, made ready to be worked on.
import { hostname } from 'node:os';
import {
  routeIdentity,
  routePrefix,
  type Config,
  type DestinationConfig,
  type FolderConfig,
  type RouteConfig,
} from './config/config.ts';
import { compileRules, compileTails, customerKeys, makesKeys } from './core/rules.ts';
import { compileSelector } from './core/selector.ts';
import { dayOf } from './core/usage.ts';
import { Endpoint } from './drain/endpoint.ts';
import { KeysInFlight } from './drain/keys-in-flight.ts';
import { RequestBudget } from './drain/request-budget.ts';
import type { Route } from './drain/route.ts';
import type { Clock } from './edge/clock.ts';
import type { Files } from './edge/files.ts';
import type { Journal } from './journal/journal.ts';
import type { Logger } from './observe/log.ts';
import type { Line } from './transfer/connect.ts';
import type { Destination } from './transfer/destination.ts';
import { Meter } from './transfer/meter.ts';
import { describeFile } from './transfer/metadata.ts';
import { Selection } from './watch/selection.ts';

/** All that routes have to do with the world. */
export interface RouteEdges {
  readonly clock: Clock;
  readonly files: Files;
  /** Opens the connections to a destination, to be shared by its routes. */
  readonly connect: (config: DestinationConfig, line: Line) => Connection;
}

interface Connection {
  /** @param customerKeys every key of SSE-C that the objects may be encrypted with */
  route(customerKeys: readonly string[], meter: Meter): Destination;
  close(): void;
}

/** Makes every folder's routes known to the journal and connects their destinations. */
export function openRoutes(
  config: Config,
  journal: Journal,
  log: Logger,
  edges: RouteEdges,
): { routes: Route[]; close: () => void } {
  const { clock } = edges;
  const opened = new Map<string, { endpoint: Endpoint; connection: Connection }>();
  const routes = config.folders.flatMap((folder) =>
    folder.to.map((to) => {
      const destination = config.destinations.get(to.destination)!;
      const row = journal.registerRoute(routeIdentity(folder, to, destination));
      const open = () => {
        const endpoint = openEndpoint(destination, row.destinationId, journal, log, clock);
        return { endpoint, connection: edges.connect(destination, endpoint) };
      };
      const { endpoint, connection } = opened.get(destination.name) ?? open();
      opened.set(destination.name, { endpoint, connection });
      const meter = new Meter(() => endpoint.requestBudget?.spend(clock.now()));
      const connected = connection.route(customerKeys(folder.rules), meter);
      return makeRoute(folder, to, destination, row, endpoint, connected, edges);
    }),
  );
  shareKeys(routes, config, journal);
  return { routes, close: () => opened.forEach(({ connection }) => connection.close()) };
}

/** Its budget of requests goes on where the journal says that it was. */
function openEndpoint(
  { name, requestsPerDay }: DestinationConfig,
  destinationId: number,
  journal: Journal,
  log: Logger,
  clock: Clock,
): Endpoint {
  if (requestsPerDay === undefined) return new Endpoint(name);
  const nowMs = clock.now();
  const tell = (used: number) =>
    log.warn(
      { destination: name, used, requestsPerDay },
      "the day's budget of requests nears its end: what is left is spread until 00:00 UTC",
    );
  const usedToday = journal.usages.requestsTo(destinationId, dayOf(nowMs));
  return new Endpoint(name, new RequestBudget(requestsPerDay, usedToday, nowMs, tell));
}

/** Makes routes to one bucket known to each other. */
export function shareKeys(routes: readonly Route[], config: Config, journal: Journal | undefined): void {
  const stores = Map.groupBy(
    routes,
    ({ folder, to }) => routeIdentity(folder, to, config.destinations.get(to.destination)!).store,
  );
  for (const together of stores.values()) {
    const keysInFlight = new KeysInFlight();
    for (const route of together) {
      route.keysInFlight = keysInFlight;
      route.sharing = together.filter((other) =>
        other === route
          ? makesKeys(route.folder.rules) || journal?.hasTails(route.routeId) === true
          : other.prefix.startsWith(route.prefix) || route.prefix.startsWith(other.prefix),
      );
    }
  }
}

export function makeRoute(
  folder: FolderConfig,
  to: RouteConfig,
  destination: DestinationConfig,
  row: Pick<Route, 'routeId' | 'folderId' | 'destinationId'>,
  endpoint: Endpoint,
  opened: Destination,
  { clock, files }: Pick<RouteEdges, 'clock' | 'files'>,
): Route {
  const context = { host: hostname(), folder: folder.name };
  const describe = compileRules(folder.rules, context);
  const selects = compileSelector(to.when, folder.rules, context);
  return {
    routeId: row.routeId,
    folderId: row.folderId,
    destinationId: row.destinationId,
    folder,
    to,
    root: { path: realPath(files, folder.path), symlinks: folder.symlinks, files },
    clock,
    selection: new Selection(folder, files),
    selects: (path, file) => selects(path, file, clock.now()),
    destination: opened,
    endpoint,
    prefix: routePrefix(destination, folder),
    tailOf: compileTails(folder.rules, context),
    judgement: {
      policy: to.policy,
      compare: to.compare,
      delete: to.delete,
      preserve: folder.preserve,
      preserveChanges: folder.preserveChanges,
      toleranceMs: clockToleranceMs,
    },
    checksum: destination.checksum,
    describe: (path, file, nowMs = clock.now()) =>
      describeFile(describe(path, file, nowMs), file, folder.preserve),
    needsConditions: to.policy !== 'overwrite' || to.delete === 'archive',
    unsafeEmulation: destination.unsafeEmulation,
    emulates: false,
    sharing: [],
    keysInFlight: new KeysInFlight(),
    looksBeforeDelete: false,
    capabilities: undefined,
    learning: undefined,
    leftUploadsDueMs: 0,
  };
}

/** S3's LastModified has whole seconds, and clocks differ a little. */
const clockToleranceMs = 2_000;

/** The folder with links in its own path resolved, because opened files are compared with it. */
export function realPath(files: Files, path: string): string {
  try {
    return files.realpath(path);
  } catch {
    return path;
  }
}

// Plan: what the drain would do, found with the daemon's own parts and a journal that is only read. Beside daemon.ts the
// only file that knows them all.
import { systemClock } from './edge/clock.ts';
import { systemFiles } from './edge/files.ts';
import type { Config } from './config/config.ts';
import { routeIdentity } from './config/config.ts';
import { unfitness } from './core/description.ts';
import { Failure } from './core/failure.ts';
import type { Observation } from './core/observation.ts';
import { bytesName, directoryOf, joinPath, nameOf } from './core/key.ts';
import { customerKeys, type DescribedFile } from './core/rules.ts';
import { areTooMany, pathDoubt, rootDoubt, trackedEnough, type HoldReason } from './core/safety.ts';
import { makeRoute, shareKeys } from './routes.ts';
import { estimate, usagesOf, usageOf, type Estimate } from './estimate.ts';
import { driftPages, operationsOf, leftObject } from './drain/apply.ts';
import { isCopy, mayCopy } from './drain/copy.ts';
import { Endpoint } from './drain/endpoint.ts';
import { occupantOf, tailIn } from './drain/keys.ts';
import { firstLook, resolve } from './drain/look.ts';
import { rememberedCapabilities } from './drain/prepare.ts';
import { findOrigins } from './drain/renames.ts';
import type { Route } from './drain/route.ts';
import { Journal, journalFile, type ListedObject } from './journal/journal.ts';
import { nothingKnown, openKnown } from './journal/known.ts';
import { connect } from './transfer/connect.ts';
import { S3Destination } from './transfer/s3.ts';
import { surroundingsOf } from './transfer/open.ts';
import { lookAtRoot, type RootLook } from './watch/root.ts';
import { scan } from './watch/scan.ts';
import { Selection } from './watch/selection.ts';

export interface PlannedAction {
  readonly folder: string;
  readonly destination: string;
  readonly path: string;
  readonly key: string;
  readonly action: string;
  readonly reason: string;
  readonly bytes: number;
  /** The path whose object is copied. */
  readonly from?: string;
  /** Of the object that would be uploaded, where a rule names one. */
  readonly storageClass?: string;
  /** What it asks of the store, where the action does not tell. */
  readonly operations?: readonly string[];
}

export interface Plan {
  readonly actions: readonly PlannedAction[];
  /** What carrying them out would take, by folder and destination. */
  readonly estimates: readonly Estimate[];
  /** Objects that somebody else wrote before, of which it is not known whether they are as the rules have it. */
  readonly unknown: number;
  /** Folders that could not be looked at. */
  readonly problems: readonly string[];
}

/** @throws Failure when a destination cannot be asked */
export async function planConfig(config: Config): Promise<Plan> {
  const journal = Journal.openReadOnly(config.stateDir);
  const actions: PlannedAction[] = [];
  let unknown = 0;
  const problems: string[] = [];
  try {
    const allRoutes = config.folders.map((folder) => planRoutes(config, folder, journal));
    shareKeys(allRoutes.flat(), config, journal);
    for (const [index, folder] of config.folders.entries()) {
      const root = lookAtRoot(systemFiles, folder.name, folder.path);
      if (root.state !== 'ok') {
        problems.push(root.message);
        continue;
      }
      const routes = allRoutes[index]!;
      const routeIds = routes.map((route) => route.routeId);
      const known = journal ? openKnown(journalFile(config.stateDir), routeIds) : nothingKnown;
      const subject = {
        folderId: routes[0]!.folderId,
        root: root.path,
        routeIds,
        symlinks: folder.symlinks,
        selection: new Selection(folder, systemFiles),
        files: systemFiles,
        clock: systemClock,
        selects: (routeId: number, path: string, file: DescribedFile) =>
          routes.find((route) => route.routeId === routeId)!.selects(path, file),
        known,
        reported: new Set<string>(),
        tellAbsent: true,
      };
      const listings = new Map<Route, Map<string, ListedObject>>();
      for (const { observations, obstacles } of scan(subject)) {
        for (const { directory, name, reason } of obstacles) {
          const path = joinPath(directory, typeof name === 'string' ? name : bytesName(name));
          for (const route of routes) actions.push(planned(route, path, 'block', reason, 0));
        }
        for (const observation of observations) {
          for (const route of routes) {
            if (observation.routeIds && !observation.routeIds.includes(route.routeId)) continue;
            const action = await planPath(route, observation, journal, listings);
            if (action) actions.push(action);
          }
        }
      }
      known.close();
      for (const route of routes) if (journal) await planDeletes(route, actions, journal, root);
      for (const route of routes) unknown += planDrift(route, journal, actions);
    }
    const estimates = allRoutes.flat().map((route) => estimateRoute(route, actions, config));
    return { actions, estimates, unknown, problems };
  } finally {
    journal?.close();
  }
}

/** The drain asks what the plan had to ask, too, before it does what was planned. */
function estimateRoute(route: Route, actions: readonly PlannedAction[], config: Config): Estimate {
  const place = { folder: route.folder.name, destination: route.destination.name };
  const isConditional = route.judgement.policy !== 'overwrite';
  const planned = actions
    .filter((action) => isOf(route, action))
    .flatMap(({ action, bytes, storageClass = '', operations }) =>
      operations ? operations.map(usageOf) : usagesOf(action, { bytes, storageClass, isConditional }),
    );
  const usages = [...route.destination.takeUsage(), ...planned];
  return estimate(place, usages, config.destinations.get(route.to.destination)!);
}

/** A folder's routes as the journal knows them, without making them known to it. */
export function planRoutes(
  config: Config,
  folder: Config['folders'][number],
  journal: Journal | undefined,
): Route[] {
  return folder.to.map((to, index) => {
    const destination = config.destinations.get(to.destination)!;
    // Without a row nothing is known: numbers that no row has.
    const unknown = { routeId: -1 - index, folderId: -1, destinationId: -1 };
    const row = journal?.findRoute(routeIdentity(folder, to, destination)) ?? unknown;
    const route = makeRoute(
      folder,
      to,
      destination,
      row,
      new Endpoint(destination.name),
      new S3Destination(destination, connect(destination), customerKeys(folder.rules)),
      { clock: systemClock, files: systemFiles },
    );
    route.capabilities = journal && rememberedCapabilities(journal, row.destinationId);
    return route;
  });
}

async function planPath(
  route: Route,
  { directory, name }: Observation,
  journal: Journal | undefined,
  listings: Map<Route, Map<string, ListedObject>>,
): Promise<PlannedAction | undefined> {
  const path = joinPath(directory, name);
  const baseline = journal?.baseline(route.routeId, path);
  const firstContact = !journal || route.routeId < 0 || !journal.isListed(route.routeId);
  const listing = firstContact ? await listingOf(route, listings) : undefined;
  const listed = (tail: string) => (listing ? listing.get(tail) : journal?.listed(route.routeId, tail));
  const [origin] = journal ? findOrigins(route, [{ path, baseline }], journal) : [];
  try {
    const conflict = journal?.conflicts.at(route.routeId, path);
    const remembered = { path, baseline, listed, noticed: false, writeId: undefined, origin, conflict };
    const { keyed, facts: first } = firstLook(route, remembered);
    if (keyed.kind === 'blocked') return planned(route, path, 'block', keyed.reason, 0);
    const { key } = keyed;
    if (first.local.kind === 'file' && !first.baseline && isTaken(route, path, key, journal))
      return planned(route, path, 'block', 'key-collision', 0, key);
    const subject = { path, key };
    let resolved = await resolve(route, subject, first);
    if (resolved.kind === 'resolved' && isCopy(resolved.action) && !mayCopy(route, resolved.action)) {
      resolved = await resolve(route, subject, { ...resolved.facts, copyRefused: true });
    }
    if (resolved.kind === 'changed') return planned(route, path, 'wait', 'changing', 0, key);
    const { action, facts } = resolved;
    const file = facts.local.kind === 'file' ? facts.local.file : undefined;
    const bytes = file?.size ?? 0;
    switch (action.kind) {
      case 'upload': {
        const description = file && route.describe(path, file);
        const unfit = description && unfitness(description, description.checksum ?? route.checksum);
        if (unfit) return planned(route, path, 'fail', unfit.reason, 0, key);
        const { storageClass } = description ?? {};
        return {
          ...planned(route, path, 'upload', action.reason, bytes, key),
          ...(storageClass && { storageClass }),
        };
      }
      case 'copy':
        return { ...planned(route, path, 'copy', action.reason, 0, key), from: action.from };
      case 'describe':
        return planned(route, path, 'meta-updated', action.reason, 0, key);
      case 'delete': {
        const what = action.outcome === 'archived' ? 'archive' : 'delete';
        return planned(route, path, what, action.reason, baseline?.file.size ?? 0, key);
      }
      case 'settle':
      case 'forget':
        return planned(route, path, action.outcome, action.reason, bytes, key);
      case 'keep-both':
      case 'conflict':
      case 'block':
        return planned(route, path, action.kind, action.reason, bytes, key);
      case 'drop':
        return undefined;
    }
  } catch (error) {
    if (error instanceof Failure) throw error;
    return planned(route, path, 'block', 'unreadable', 0);
  }
}

/**
 * What `apply` would do, and why it could not: for objects whose file is as it was, for others are written anew.
 * @returns how many are not known to be as the rules have it, or not to be
 */
function planDrift(route: Route, journal: Journal | undefined, actions: PlannedAction[]): number {
  if (!journal || route.routeId < 0) return 0;
  const planned = new Set(actions.filter((action) => isOf(route, action)).map(({ path }) => path));
  let unknown = 0;
  for (const page of driftPages(route, journal, Date.now())) {
    unknown += page.unknown.length;
    for (const object of page.drifted) {
      const { folder, destination, path, key, fields, reason } = leftObject(route, object);
      if (planned.has(path)) continue;
      const operations = operationsOf(object.drift.remedy);
      const differs = fields.join(', ');
      const place = { folder, destination, path, key, bytes: 0 };
      if (operations.length > 0) actions.push({ ...place, action: 'apply', reason: differs, operations });
      else actions.push({ ...place, action: 'leave', reason: `${differs}: ${reason}` });
    }
  }
  return unknown;
}

/** By an object that is there, or by a file that the plan came to before. */
function isTaken(route: Route, path: string, key: string, journal: Journal | undefined): boolean {
  if (route.sharing.length === 0) return false;
  const isPlanned = !route.keysInFlight.take(key, { path });
  return isPlanned || (journal !== undefined && occupantOf(route, path, key, journal) !== undefined);
}

/**
 * Adds the deletes that wait already, of which no scan tells any more, and says of every one whether it would be held. The
 * guards are the drain's; what depends on time is left out.
 */
async function planDeletes(
  route: Route,
  actions: PlannedAction[],
  journal: Journal,
  root: Extract<RootLook, { state: 'ok' }>,
): Promise<void> {
  const { routeId, folder } = route;
  const isDelete = (action: PlannedAction) =>
    isOf(route, action) && (action.action === 'delete' || action.action === 'archive');
  const known = new Set(actions.filter((action) => isOf(route, action)).map(({ path }) => path));
  const held = new Map<string, HoldReason>();
  for (const { path, heldFor } of journal.deletes.list(routeId)) {
    if (heldFor) held.set(path, heldFor);
    if (known.has(path)) continue;
    const action = await planPath(
      route,
      { directory: directoryOf(path), name: nameOf(path) },
      journal,
      new Map(),
    );
    if (action) actions.push(action);
  }
  const waiting = actions.filter(isDelete).length;
  if (waiting === 0) return;
  const recent = journal.deletes.recent(routeId, Date.now());
  const tracked = journal.deletes.tracked(routeId, trackedEnough(waiting + recent, folder.maxDelete));
  const ofFolder =
    rootDoubt(root, journal.deletes.root(route.folderId)) ??
    (areTooMany({ recent, waiting, tracked }, folder.maxDelete) ? 'too-many' : undefined);
  for (const [index, action] of actions.entries()) {
    if (!isDelete(action)) continue;
    const surroundings = surroundingsOf(route.root, action.path);
    const fileDev = journal.baseline(routeId, action.path)?.file.dev ?? 0n;
    const reason = held.get(action.path) ?? ofFolder ?? pathDoubt({ surroundings, fileDev, root });
    if (reason) actions[index] = { ...action, action: 'hold', reason };
  }
}

function isOf(route: Route, { folder, destination }: PlannedAction): boolean {
  return folder === route.folder.name && destination === route.destination.name;
}

/** By what follows the prefix in the keys. */
async function listingOf(
  route: Route,
  listings: Map<Route, Map<string, ListedObject>>,
): Promise<Map<string, ListedObject>> {
  const taken = listings.get(route);
  if (taken) return taken;
  const listing = new Map<string, ListedObject>();
  for await (const page of route.destination.list(route.prefix, AbortSignal.timeout(3_600_000))) {
    for (const { key, ...object } of page) {
      const tail = tailIn(route, key);
      listing.set(tail, { ...object, tail });
    }
  }
  listings.set(route, listing);
  return listing;
}

function planned(
  route: Route,
  path: string,
  action: string,
  reason: string,
  bytes: number,
  key = route.prefix + path,
): PlannedAction {
  return {
    folder: route.folder.name,
    destination: route.destination.name,
    path,
    key,
    action,
    reason,
    bytes,
  };
}

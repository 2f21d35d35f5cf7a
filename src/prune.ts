// Prune: objects below the prefixes that belong to no file and never did. Listed for a person to see; removed only when
// asked for, each under the condition that it is the one that was listed.
import { systemFiles } from './edge/files.ts';
import type { Config } from './config/config.ts';
import { scratchName } from './core/capabilities.ts';
import { Failure } from './core/failure.ts';
import { keyFor } from './core/key.ts';
import { rootDoubt } from './core/safety.ts';
import { tailIn } from './drain/keys.ts';
import type { Route } from './drain/route.ts';
import { Journal } from './journal/journal.ts';
import { nothingKnown } from './journal/known.ts';
import { planRoutes } from './plan.ts';
import { shareKeys } from './routes.ts';
import type { ListedKey } from './transfer/destination.ts';
import { look } from './transfer/open.ts';
import { lookAtRoot } from './watch/root.ts';
import { scan } from './watch/scan.ts';

export interface PrunedObject {
  readonly folder: string;
  readonly destination: string;
  readonly key: string;
  readonly bytes: number;
  readonly lastModified: string;
  /** `excluded`: there is or was a file, which the config leaves out. */
  readonly reason: 'untracked' | 'excluded';
  /** `changed`: another object stands there by now, which stays. */
  readonly outcome: 'listed' | 'removed' | 'changed' | 'failed';
}

export interface Pruned {
  readonly objects: readonly PrunedObject[];
  /** Folders of which nothing is said, and why; what could not be removed. */
  readonly problems: readonly string[];
}

/**
 * @param remove false: only says what there is
 * @throws JournalInUse when objects are to be removed while a daemon runs; Failure when a destination cannot be listed
 */
export async function prune(
  config: Config,
  folderName: string | undefined,
  remove: boolean,
): Promise<Pruned> {
  // With the lock nobody of this machine writes what is about to be removed.
  const journal = remove ? Journal.open(config.stateDir) : Journal.openReadOnly(config.stateDir);
  if (!journal)
    return { objects: [], problems: [`there is no journal in ${config.stateDir} yet: sync first`] };
  try {
    const routes = config.folders.flatMap((folder) => planRoutes(config, folder, journal));
    shareKeys(routes, config, journal);
    const objects: PrunedObject[] = [];
    const problems: string[] = [];
    for (const route of routes.filter(
      ({ folder }) => folderName === undefined || folder.name === folderName,
    )) {
      const reason = refusal(route, journal);
      if (reason !== undefined)
        problems.push(`folder "${route.folder.name}": ${reason}; nothing of it is pruned`);
      else {
        // The whole listing first: what is incomplete throws before anything is removed.
        for (const found of await strangers(route, journal)) {
          objects.push(
            remove ? await removed(route, journal, found, problems) : reported(route, found, 'listed'),
          );
        }
      }
    }
    return { objects, problems };
  } finally {
    journal.close();
  }
}

interface Stranger {
  readonly object: ListedKey;
  /** Of the file that it is, was or would be the object of. */
  readonly path: string;
  readonly reason: PrunedObject['reason'];
}

/** Why it cannot be said which objects belong to nobody. */
function refusal(route: Route, journal: Journal): string | undefined {
  const { folder, folderId, routeId } = route;
  if (routeId < 0 || journal.scannedAtMs(folderId) === undefined)
    return 'it was never scanned in full: sync it first';
  const halt = journal.halts.ofFolder(folderId) ?? journal.halts.ofRoute(routeId);
  if (halt !== undefined) return `it is halted (${halt.message})`;
  const root = lookAtRoot(systemFiles, folder.name, folder.path);
  if (root.state !== 'ok') return root.message;
  const doubt = rootDoubt(root, journal.deletes.root(folderId));
  if (doubt !== undefined) return `its root is in doubt (${doubt})`;
  const { pending, claimed, failed, conflict } = journal.counts(routeId);
  if (pending + claimed + failed + conflict > 0)
    return 'changes of it are not done: sync it first, or see status';
  return unreadable(route, root.path);
}

function unreadable({ folder, selection, selects, clock }: Route, root: string): string | undefined {
  const subject = {
    folderId: -1,
    root,
    routeIds: [],
    symlinks: folder.symlinks,
    selection,
    files: systemFiles,
    clock,
    selects: (_routeId: number, path: string, file: Parameters<Route['selects']>[1]) => selects(path, file),
    known: nothingKnown,
    reported: new Set<string>(),
    tellAbsent: false,
  };
  for (const { obstacles } of scan(subject)) {
    const found = obstacles.find(({ reason }) => reason === 'unreadable');
    if (found) return `not all of it can be read (${found.message})`;
  }
  return undefined;
}

async function strangers(route: Route, journal: Journal): Promise<Stranger[]> {
  const found: Stranger[] = [];
  for await (const page of route.destination.list(route.prefix, AbortSignal.timeout(3_600_000))) {
    for (const object of page) {
      const stranger = strangerAt(route, journal, object);
      if (stranger) found.push(stranger);
    }
  }
  return found;
}

/** Undefined where the object is some file's, or was. */
function strangerAt(route: Route, journal: Journal, object: ListedKey): Stranger | undefined {
  const { key } = object;
  const tail = tailIn(route, key);
  // No file has such a key ("dir/" markers of consoles), or it is our own.
  if (tail === '' || keyFor(route.prefix, tail).kind === 'blocked' || tail === scratchName) return undefined;
  for (const other of route.sharing) {
    if (other.routeId === route.routeId || !key.startsWith(other.prefix)) continue;
    const isInside = other.prefix.length > route.prefix.length;
    if (isInside || journal.deletes.ownerOf(other.routeId, tailIn(other, key)) !== undefined)
      return undefined;
  }
  // The key of a template is no path: what is excluded is a file, not what its object is called.
  const owner = journal.deletes.ownerOf(route.routeId, tail);
  const path = owner ?? tail;
  if (route.selection.excludesNow(route.root.path, path)) return { object, path, reason: 'excluded' };
  if (owner !== undefined || look(route.root, path).kind !== 'absent') return undefined;
  return { object, path, reason: 'untracked' };
}

async function removed(
  route: Route,
  journal: Journal,
  stranger: Stranger,
  problems: string[],
): Promise<PrunedObject> {
  const { key, etag } = stranger.object;
  // Once it is included again the file is new: it must not pass for one that is in S3.
  if (stranger.reason === 'excluded') journal.deletes.forget(route.routeId, stranger.path);
  try {
    if (route.capabilities?.deleteIfMatch !== true) {
      const remote = await route.destination.head(key);
      if (remote.kind === 'object' && remote.object.etag !== etag)
        return reported(route, stranger, 'changed');
    }
    const result = await route.destination.remove(key, { kind: 'etag', etag });
    const isGone = result.kind === 'removed' || result.kind === 'missing';
    return reported(route, stranger, isGone ? 'removed' : 'changed');
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    problems.push(error.message);
    return reported(route, stranger, 'failed');
  }
}

function reported(
  route: Route,
  { object, reason }: Stranger,
  outcome: PrunedObject['outcome'],
): PrunedObject {
  return {
    folder: route.folder.name,
    destination: route.destination.name,
    key: object.key,
    bytes: object.size,
    lastModified: new Date(object.lastModifiedMs).toISOString(),
    reason,
    outcome,
  };
}

// Keys: which one a path's file gets, which one its object has, and who else wants it.
import type { Baseline } from '../core/baseline.ts';
import { keyFor, type KeyResult } from '../core/key.ts';
import type { FileState } from '../core/file.ts';
import type { Journal } from '../journal/journal.ts';
import type { Route } from './route.ts';

/** The key that the rules give a path's file as it is now. */
export function keyOfFile(route: Pick<Route, 'prefix' | 'tailOf'>, path: string, file: FileState): KeyResult {
  return keyFor(route.prefix, route.tailOf(path, file));
}

/** The key of the object that a baseline tells of: where it is, whatever the rules say by now. */
export function keyOfObject(
  route: Pick<Route, 'prefix'>,
  path: string,
  baseline: Pick<Baseline, 'tail'> | undefined,
): string {
  return route.prefix + (baseline?.tail ?? path);
}

/** What follows the prefix in a key of the route. */
export function tailIn(route: Pick<Route, 'prefix'>, key: string): string {
  return key.slice(route.prefix.length);
}

/** The path of another file that has the key already, of this folder or of one that shares its keys: who came first keeps it. */
export function occupantOf(route: Route, path: string, key: string, journal: Journal): string | undefined {
  for (const other of route.sharing) {
    if (!key.startsWith(other.prefix)) continue;
    const occupant = journal.occupant(other.routeId, key.slice(other.prefix.length));
    if (occupant !== undefined && !(other.routeId === route.routeId && occupant === path)) return occupant;
  }
  return undefined;
}

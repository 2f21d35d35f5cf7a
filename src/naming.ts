// How people name folders and paths on the command line, as the verbs list them or as a shell completes them, and which routes
// they mean by it.
import { isAbsolute, relative, sep } from 'node:path';
import { routeIdentity, routePrefix, type Config, type FolderConfig } from './config/config.ts';
import type { Journal, RouteRow } from './journal/journal.ts';

/** A route that the journal knows. */
export interface NamedRoute {
  readonly folder: FolderConfig;
  readonly destination: string;
  /** Of keys. */
  readonly prefix: string;
  readonly row: RouteRow;
}

/** The routes of a folder, or of all, as far as the journal knows them. */
export function namedRoutes(config: Config, journal: Journal, folderName: string | undefined): NamedRoute[] {
  return config.folders
    .filter(({ name }) => folderName === undefined || name === folderName)
    .flatMap((folder) =>
      folder.to.flatMap((to): NamedRoute[] => {
        const destination = config.destinations.get(to.destination)!;
        const row = journal.findRoute(routeIdentity(folder, to, destination));
        const prefix = routePrefix(destination, folder);
        return row ? [{ folder, destination: to.destination, prefix, row }] : [];
      }),
    );
}

/** Why the folder cannot be meant; undefined when it can, or when all are. */
export function unknownFolder({ folders }: Config, name: string | undefined): string | undefined {
  if (name === undefined || folders.some((folder) => folder.name === name)) return undefined;
  return `there is no folder "${name}"; known are ${folders.map((folder) => folder.name).join(', ')}`;
}

/** The path in the folder that is meant by what was typed; '' for the folder itself. */
export function pathIn({ path: root }: Pick<FolderConfig, 'path'>, typed: string): string {
  const within = isAbsolute(typed) ? relative(root, typed).split(sep).join('/') : typed;
  const plain = within.replace(/^\.\//, '').replace(/\/$/, '');
  return plain === '.' ? '' : plain;
}

/** A directory stands for all below it, and the folder for all that is in it. */
export function covers(folder: Pick<FolderConfig, 'path'>, typed: string, path: string): boolean {
  const meant = pathIn(folder, typed);
  return meant === '' || path === meant || path.startsWith(`${meant}/`);
}

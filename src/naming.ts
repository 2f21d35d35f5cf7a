// How people name folders and paths on the command line: as the verbs list them, or as a shell completes them.
import { isAbsolute, relative, sep } from 'node:path';
import type { Config, FolderConfig } from './config/config.ts';

/** Why the folder cannot be meant; undefined when it can, or when all are. */
export function unknownFolder({ folders }: Config, name: string | undefined): string | undefined {
  if (name === undefined || folders.some((folder) => folder.name === name)) return undefined;
  return `there is no folder "${name}"; known are ${folders.map((folder) => folder.name).join(', ')}`;
}

/** The path in the folder that is meant by what was typed. */
export function pathIn({ path: root }: FolderConfig, typed: string): string {
  const within = isAbsolute(typed) ? relative(root, typed).split(sep).join('/') : typed;
  return within.replace(/^\.\//, '').replace(/\/$/, '');
}

/** A directory stands for all below it. */
export function covers(folder: FolderConfig, typed: string, path: string): boolean {
  const meant = pathIn(folder, typed);
  return path === meant || path.startsWith(`${meant}/`);
}

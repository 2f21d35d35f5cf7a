// How many directories a folder has, for `check`: each needs a watch.
import { readdirSync } from 'node:fs';
import { joinPath } from '../core/key.ts';
import { ignoreFileName, type Selection } from './selection.ts';

export interface Directories {
  readonly count: number;
  /** Relative to the root. */
  readonly unreadable: readonly string[];
}

/** Counts the directories that are watched, without a look at any file. */
export function countDirectories(root: string, selection: Selection): Directories {
  const unreadable: string[] = [];
  const waiting = [''];
  let count = 0;
  for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop()) {
    count++;
    try {
      const entries = readdirSync(joinPath(root, directory), { withFileTypes: true });
      if (entries.some(({ name }) => name === ignoreFileName)) selection.enter(root, directory);
      for (const entry of entries) {
        if (!entry.isDirectory() || selection.excludes(directory, entry.name, true)) continue;
        waiting.push(joinPath(directory, entry.name));
      }
    } catch {
      unreadable.push(directory);
    }
  }
  return { count, unreadable };
}

// Watcher: turns chokidar's events into marks. The only importer of chokidar. An event means "look at this name" and
// nothing more: what happened is found out by whoever looks.
import { FSWatcher } from 'chokidar';
import { directoryOf, nameOf } from '../core/key.ts';
import type { Extent } from './scan.ts';
import type { Selection } from './selection.ts';

export interface WatchEvents {
  mark(directory: string, name: string): void;
  /** Names came or went that no event names: a new directory, one that is gone, a name that is not UTF-8. */
  scan(extent: Extent): void;
  /** Every event of the system, as it arrives. */
  count(): void;
  /** The root itself was removed, moved or made anew. */
  rootChanged(): void;
  failed(error: NodeJS.ErrnoException): void;
}

export interface Watcher {
  /** Fulfilled when changes are seen; after errors too, so those count. */
  readonly ready: Promise<void>;
  close(): Promise<void>;
}

/** @param root absolute, without symlinks, without a backslash (chokidar takes it for a slash) */
export function openWatcher(root: string, selection: Selection, events: WatchEvents): Watcher {
  const pathOf = pathsIn(root);
  const excluded = (absolute: string, stats?: { isDirectory(): boolean }): boolean => {
    const path = pathOf(absolute);
    if (path === undefined || path === '') return false;
    const [directory, name] = [directoryOf(path), nameOf(path)];
    if (stats) {
      if (selection.excludes(directory, name, stats.isDirectory())) return true;
      // It is about to be entered.
      if (stats.isDirectory()) selection.enter(root, path);
      return false;
    }
    // Asked before it is known what it is: excluded only if it is so either way.
    return selection.excludes(directory, name, true) && selection.excludes(directory, name, false);
  };
  const watcher = new FSWatcher({
    // `auto` is one inotify watch per directory on Linux; `native-recursive` would be one per file.
    backend: 'auto',
    ignored: excluded,
    ignoreInitial: true,
    followSymlinks: false,
    // `true` would hide names like `report~`, which are files like any other.
    atomic: false,
    awaitWriteFinish: false,
    persistent: true,
  });

  const mark = (absolute: string): void => {
    const path = pathOf(absolute);
    if (path === '') events.rootChanged();
    else if (path !== undefined) events.mark(directoryOf(path), nameOf(path));
  };
  const scanTree = (absolute: string): void => {
    const path = pathOf(absolute);
    if (path === '') events.rootChanged();
    else if (path !== undefined) events.scan({ path, depth: 'tree' });
  };
  watcher.on('add', mark).on('change', mark).on('unlink', mark);
  watcher.on('addDir', scanTree).on('unlinkDir', scanTree);
  watcher.on('raw', (_event, name, details) => {
    events.count();
    // A name that is not UTF-8 arrives mangled, and a missing one stands for any.
    if (typeof name === 'string' && !name.includes('\ufffd')) return;
    const path = pathOf(watchedPath(details));
    if (path !== undefined) events.scan({ path, depth: 'directory' });
  });
  watcher.on('error', (error) => events.failed(error instanceof Error ? error : new Error(String(error))));

  const { promise: ready, resolve } = Promise.withResolvers<void>();
  watcher.once('ready', resolve);
  selection.enter(root, '');
  watcher.add(root);
  return {
    ready,
    close: async () => {
      await watcher.close();
      resolve();
    },
  };
}

/** Of the watch that a raw event came from. */
function watchedPath(details: unknown): string {
  const has = typeof details === 'object' && details !== null && 'watchedPath' in details;
  return has ? String(details.watchedPath) : '';
}

/** From absolute paths to paths in the folder; undefined for what lies outside. */
function pathsIn(root: string): (absolute: string) => string | undefined {
  const prefix = root === '/' ? '/' : `${root}/`;
  return (absolute) => {
    if (absolute === root) return '';
    return absolute.startsWith(prefix) ? absolute.slice(prefix.length) : undefined;
  };
}

// Root: is the folder that is watched still there? An unmounted disk looks to every watcher like a user who deleted all
// files, so nothing is said to be absent unless the root is the directory it was.
import type { Files, FileStats } from '../edge/files.ts';
import type { RootState } from './messages.ts';

export type RootLook =
  /** `path` is without symlinks; `identity` changes when another directory or file system stands there. */
  | {
      readonly state: 'ok';
      readonly path: string;
      readonly identity: string;
      /** Of its file system. */
      readonly dev: bigint;
      readonly isEmpty: boolean;
    }
  | { readonly state: Exclude<RootState, 'ok' | 'replaced'>; readonly message: string };

/** Looks at a folder's root now: a few µs on a local file system. */
export function lookAtRoot(files: Files, name: string, path: string): RootLook {
  const missing = {
    state: 'missing',
    message: `folder "${name}": ${path} does not exist. Nothing is deleted; syncing goes on when it is back`,
  } as const;
  try {
    const real = files.realpath(path);
    const stats = files.stat(real);
    if (!stats) return missing;
    if (!stats.isDirectory()) {
      return { state: 'not-a-directory', message: `folder "${name}": ${path} is not a directory` };
    }
    const isEmpty = files.isEmpty(real);
    // That it can be listed does not say that it can be entered.
    files.stat(`${real}/.`);
    return { state: 'ok', path: real, identity: identityOf(files, stats), dev: stats.dev, isEmpty };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return missing;
    return {
      state: 'unreadable',
      message: `folder "${name}": cannot read ${path} (${code}). Give the user that runs s3syncd read and search access`,
    };
  }
}

/**
 * The time of birth tells a directory from its successor: ext4 gives the number of a deleted one to the next. Where the
 * system does not know it, libuv says 0, or without statx(2) the time of the last change, which is of no use.
 */
function identityOf(files: Files, stats: FileStats): string {
  const base = files.stat('/');
  const bornAt = base?.birthtimeNs === base?.ctimeNs ? 0n : stats.birthtimeNs;
  return `${stats.dev}:${stats.ino}:${bornAt}`;
}

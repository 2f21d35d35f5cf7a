// What the kernel grants a watcher, and what to tell people when it does not suffice.
import { readFileSync } from 'node:fs';

/**
 * Events that fit into the kernel's queue between two reads; what comes on top is dropped without a word to Node
 * (libuv ignores IN_Q_OVERFLOW). 16,384 is the kernel's default.
 */
export function queuedEventsMax(): number {
  return readLimit('max_queued_events') ?? 16_384;
}

/** How many directories all watchers of this user may watch; undefined where that cannot be told. */
export function watchesMax(): number | undefined {
  return readLimit('max_user_watches');
}

/** Why part of a folder cannot be watched, and which setting mends it. */
export function watchFailureReason(error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOSPC') {
    const now = watchesMax();
    return (
      `the system's limit of watched directories is reached (fs.inotify.max_user_watches${now === undefined ? '' : `=${now}`}): ` +
      `raise it, e.g. sysctl fs.inotify.max_user_watches=${Math.max(524_288, 2 * (now ?? 0))}`
    );
  }
  if (error.code === 'EMFILE' || error.code === 'ENFILE') {
    const now = readLimit('max_user_instances');
    return (
      `the system grants no more watchers (fs.inotify.max_user_instances${now === undefined ? '' : `=${now}`}, or the limit of open files): ` +
      `raise it, e.g. sysctl fs.inotify.max_user_instances=${Math.max(512, 2 * (now ?? 0))}`
    );
  }
  return `the watcher failed (${error.code ?? error.message})`;
}

/** Magic numbers of statfs(2) for file systems whose changes by others raise no events here. */
const networkFileSystems = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB'],
  [0x65735546, 'FUSE'],
  [0x01021997, '9p'],
  [0x00c36400, 'CephFS'],
  [0x5346414f, 'AFS'],
  [0x0bd00bd0, 'Lustre'],
]);

/** The kind of network file system that has this number, undefined for a local one. */
export function networkFileSystem(number: number): string | undefined {
  return networkFileSystems.get(number);
}

function readLimit(name: string): number | undefined {
  try {
    return Number(readFileSync(`/proc/sys/fs/inotify/${name}`, 'utf8'));
  } catch {
    return undefined;
  }
}

// Which directories this process watches, as the kernel has it.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Numbers of the inodes that this process watches; undefined where the system does not say. */
export function watchedInodes(): ReadonlySet<bigint> | undefined {
  const inodes = new Set<bigint>();
  try {
    for (const descriptor of readdirSync('/proc/self/fd')) {
      if (linkOf(descriptor) !== 'anon_inode:inotify') continue;
      const lines = readFileSync(`/proc/self/fdinfo/${descriptor}`, 'latin1');
      for (const [, inode] of lines.matchAll(/^inotify wd:\S+ ino:([0-9a-f]+)/gm))
        inodes.add(BigInt(`0x${inode}`));
    }
  } catch {
    return undefined;
  }
  return inodes;
}

function linkOf(descriptor: string): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    return undefined;
  }
}

// What people are told when the kernel grants a watcher too little.
import { expect, test } from 'vitest';
import { networkFileSystem, watchFailureReason } from '../../src/watch/limits.ts';

test.each([
  ['ENOSPC', /limit of watched directories .*sysctl fs\.inotify\.max_user_watches=\d+$/],
  ['EMFILE', /grants no more watchers .*sysctl fs\.inotify\.max_user_instances=\d+$/],
  ['ENFILE', /grants no more watchers .*sysctl fs\.inotify\.max_user_instances=\d+$/],
  ['EIO', /^the watcher failed \(EIO\)$/],
])('%s says which setting mends it, if any does', (code, reason) => {
  expect(watchFailureReason(Object.assign(new Error('from inotify'), { code }))).toMatch(reason);
});

test('ext4, XFS, Btrfs and tmpfs are watched', () => {
  expect([0xef53, 0x58465342, 0x9123683e, 0x01021994].map(networkFileSystem)).toEqual(
    Array.from({ length: 4 }, () => undefined),
  );
});

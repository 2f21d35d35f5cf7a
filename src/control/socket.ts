// Where the daemon listens and its verbs knock: a Unix socket in the state directory.
import fs from 'node:fs';
import path from 'node:path';

export interface SocketAddress extends Disposable {
  readonly path: string;
}

/** sockaddr_un holds 108 bytes with the final NUL. */
const socketPathMax = 107;

/** The control socket's address. A path too long for the kernel is named through a descriptor of its directory. */
export function socketAddress(stateDir: string): SocketAddress {
  const file = path.join(stateDir, 'control.sock');
  if (Buffer.byteLength(file) <= socketPathMax) return { path: file, [Symbol.dispose]: () => undefined };
  const fd = fs.openSync(stateDir, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  return { path: `/proc/self/fd/${fd}/control.sock`, [Symbol.dispose]: () => fs.closeSync(fd) };
}

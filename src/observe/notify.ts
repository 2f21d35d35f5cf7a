// Tells systemd how we are (sd_notify(3)). Node has no Unix datagram sockets, so either systemd hands us a connected one
// (OpenFile=/run/systemd/notify:notify:graceful, systemd 253 and later) or systemd-notify(1) is run, which costs 4 ms
// and needs NotifyAccess=all. Outside of systemd nothing happens.
import { spawn } from 'node:child_process';
import fs from 'node:fs';

export interface Notifier {
  /** Lines of NAME=value. */
  send(lines: readonly string[]): void;
  /** How often the watchdog wants to hear from us; undefined when there is none. */
  readonly watchdogMs: number | undefined;
}

/** systemd's first passed descriptor (SD_LISTEN_FDS_START). */
const listenFdsStart = 3;

export function openNotifier(environment: NodeJS.ProcessEnv): Notifier {
  const watchdogUsec = Number(environment['WATCHDOG_USEC'] ?? 0);
  // A third of the limit, so that one lost or late message does not kill a healthy daemon.
  const watchdogMs = watchdogUsec > 0 ? watchdogUsec / 1000 / 3 : undefined;
  const fd = passedDescriptor(environment);
  if (fd !== undefined) return { send: (lines) => writeTo(fd, lines), watchdogMs };
  if (environment['NOTIFY_SOCKET']) return { send: runSystemdNotify, watchdogMs };
  return { send: () => undefined, watchdogMs: undefined };
}

/** Only a descriptor that systemd names and addresses to us: a bare fd 3 may be anything. */
function passedDescriptor(environment: NodeJS.ProcessEnv): number | undefined {
  const names = (environment['LISTEN_FDNAMES'] ?? '').split(':');
  const index = names.indexOf('notify');
  const ours = environment['LISTEN_PID'] === String(process.pid);
  return ours && index !== -1 ? listenFdsStart + index : undefined;
}

function writeTo(fd: number, lines: readonly string[]): void {
  try {
    fs.writeSync(fd, lines.join('\n'));
  } catch {
    // A full or closed notify socket must not end the daemon: the watchdog judges by what arrives.
  }
}

function runSystemdNotify(lines: readonly string[]): void {
  spawn('systemd-notify', lines, { stdio: 'ignore' }).on('error', () => undefined);
}

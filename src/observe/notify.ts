// Tells systemd how we are (sd_notify(3)). Node has no Unix datagram sockets, so either systemd hands us a connected one
// (OpenFile=/run/systemd/notify:notify:graceful, systemd 253 and later) or systemd-notify(1) is run, which costs 4 ms
// and needs NotifyAccess=all. Outside of systemd nothing happens, and nothing that fails here ends the daemon: systemd
// judges by what arrives.
import { spawn } from 'node:child_process';
import fs from 'node:fs';

export interface Notifier {
  /** Sends assignments; a value replaces one of the same name that has not left yet. */
  send(assignments: Readonly<Record<string, string>>): void;
  /** How often the watchdog wants to hear from us; undefined when there is none. */
  readonly watchdogMs: number | undefined;
}

/** systemd's first passed descriptor (SD_LISTEN_FDS_START). */
const listenFdsStart = 3;

/** systemd-notify waits up to 5 s for systemd to have read its message; what takes longer hangs. */
const childMaxMs = 10_000;

/**
 * Opens the way to systemd that the environment names; undefined outside of systemd.
 * @param environment is changed: children must not take passed descriptors for theirs
 */
export function openNotifier(environment: NodeJS.ProcessEnv): Notifier | undefined {
  const watchdogMs = watchdogInterval(environment);
  const fd = takeDescriptor(environment);
  if (fd !== undefined) return { send: (assignments) => writeTo(fd, format(assignments)), watchdogMs };
  return environment['NOTIFY_SOCKET'] ? { send: childSender(environment), watchdogMs } : undefined;
}

/** A third of the limit, so that one lost or late message does not kill a healthy daemon. */
function watchdogInterval(environment: NodeJS.ProcessEnv): number | undefined {
  const limitUsec = Number(environment['WATCHDOG_USEC']);
  const others = (environment['WATCHDOG_PID'] ?? String(process.pid)) !== String(process.pid);
  return limitUsec > 0 && !others ? limitUsec / 1000 / 3 : undefined;
}

/** Only a descriptor that systemd names and addresses to us: a bare fd 3 may be anything. */
function takeDescriptor(environment: NodeJS.ProcessEnv): number | undefined {
  const names = (environment['LISTEN_FDNAMES'] ?? '').split(':');
  const index = names.indexOf('notify');
  const ours = environment['LISTEN_PID'] === String(process.pid);
  if (!ours || index === -1) return undefined;
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete environment[name];
  return listenFdsStart + index;
}

/** One assignment a line: a line break in a value would be another assignment. */
function format(assignments: Readonly<Record<string, string>>): string[] {
  return Object.entries(assignments).map(([name, value]) => `${name}=${value.replaceAll(/\s+/g, ' ')}`);
}

function writeTo(fd: number, lines: readonly string[]): void {
  try {
    fs.writeSync(fd, lines.join('\n'));
  } catch {
    // The socket is full or closed.
  }
}

/**
 * One child at a time, so that messages arrive in order and a systemd that does not answer costs one process. What is
 * said meanwhile leaves together, as one message; what could not be delivered leaves with the next one.
 */
function childSender(environment: NodeJS.ProcessEnv): Notifier['send'] {
  let waiting: Record<string, string> = {};
  let busy = false;
  const deliver = async () => {
    busy = true;
    while (Object.keys(waiting).length > 0) {
      const message = waiting;
      waiting = {};
      if (await runSystemdNotify(format(message), environment)) continue;
      // An old sign of life would be a lie.
      const { WATCHDOG: _, EXTEND_TIMEOUT_USEC: __, ...lasting } = message;
      waiting = { ...lasting, ...waiting };
      break;
    }
    busy = false;
  };
  return (assignments) => {
    waiting = { ...waiting, ...assignments };
    if (!busy) void deliver();
  };
}

/** @returns whether systemd has it */
function runSystemdNotify(lines: readonly string[], environment: NodeJS.ProcessEnv): Promise<boolean> {
  return new Promise((resolve) => {
    try {
      const child = spawn('systemd-notify', lines, {
        env: environment,
        stdio: 'ignore',
        timeout: childMaxMs,
      });
      child.unref();
      child.on('error', () => resolve(false));
      child.on('exit', (code) => resolve(code === 0));
    } catch {
      resolve(false); // No memory to start it.
    }
  });
}

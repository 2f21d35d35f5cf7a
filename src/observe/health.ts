// Health: what systemd is told of us. A sign of life leaves only from a tick that proves it: the event loop turned, the
// journal takes writes, the watch thread answers, and every drain that has work got to it.
import type { Logger } from './log.ts';
import type { Notifier } from './notify.ts';

export interface Patient {
  /** @throws when the daemon is not well */
  proveHealth(): void;
  /** One line that a person reads in `systemctl status`. */
  statusLine(): string;
}

export interface Health {
  /** All folders are watched. */
  ready(): void;
  /** The daemon is about to end. */
  stopping(): void;
}

/** More often nobody reads it. */
const statusEveryMs = 5_000;

/** Counting in a large journal takes its time: at most this part of it is spent on the status line. */
const statusShareMax = 1 / 50;

/** Without a watchdog trouble is still found and told. */
const proveEveryMs = 30_000;

/** How much longer each tick lets the start take: as long as they come, the daemon gets on. */
const extendUsec = '60000000';

/**
 * Tells systemd how the daemon is, until it stops.
 * @param notifier undefined outside of systemd: nobody is told anything
 */
export function startHealth(patient: Patient, notifier: Notifier | undefined, log: Logger): Health {
  if (!notifier) return { ready: () => undefined, stopping: () => undefined };
  let phase: 'starting' | 'ready' | 'stopping' = 'starting';
  let ailment: string | undefined;
  let told = '';

  const isWell = (): boolean => {
    try {
      patient.proveHealth();
      if (ailment !== undefined) log.info('well again');
      ailment = undefined;
      return true;
    } catch (error) {
      const { message } = error as Error;
      if (message !== ailment) log.error({ err: error }, 'not well; if this lasts, the watchdog restarts it');
      ailment = message;
      return false;
    }
  };
  const tell = (assignments: Readonly<Record<string, string>> = {}) => {
    const line = describe(patient, ailment);
    if (line !== told || phase !== 'ready') notifier.send({ STATUS: line, ...assignments });
    told = line;
  };

  let statusTimer = setTimeout(tickStatus, statusEveryMs);
  function tickStatus() {
    const startedMs = performance.now();
    tell(phase === 'starting' && isWell() ? { EXTEND_TIMEOUT_USEC: extendUsec } : {});
    const tookMs = performance.now() - startedMs;
    statusTimer = setTimeout(tickStatus, Math.max(statusEveryMs, tookMs / statusShareMax));
  }
  const proveTimer = setInterval(() => {
    if (isWell()) notifier.send({ WATCHDOG: '1' });
  }, notifier.watchdogMs ?? proveEveryMs);

  return {
    ready() {
      if (phase !== 'starting') return;
      tell({ READY: '1' });
      phase = 'ready';
    },
    stopping() {
      phase = 'stopping';
      clearTimeout(statusTimer);
      clearInterval(proveTimer);
      notifier.send({ STOPPING: '1', STATUS: 'stopping: ending what is in flight' });
    },
  };
}

function describe(patient: Patient, ailment: string | undefined): string {
  if (ailment !== undefined) return `NOT WELL: ${ailment}`;
  try {
    return patient.statusLine();
  } catch (error) {
    return `NOT WELL: ${(error as Error).message}`;
  }
}

// Health: what the watchdog and the status line are told. Told from a tick that proves something: the event loop turned,
// the journal takes writes, and every drain that has work got to it.
import type { Notifier } from './notify.ts';

export interface Patient {
  /** @throws when the daemon is not well */
  proveHealth(): void;
}

/** systemd shows the last STATUS line; more often nobody reads it. */
const statusEveryMs = 5_000;

export function startHealth(patient: Patient, notifier: Notifier, statusLine: () => string): { end(): void } {
  let told = '';
  const tell = () => {
    const line = statusLine();
    if (line !== told) notifier.send([`STATUS=${line}`]);
    told = line;
  };
  const timers = [setInterval(tell, statusEveryMs)];
  if (notifier.watchdogMs !== undefined) {
    const beat = () => {
      patient.proveHealth();
      notifier.send(['WATCHDOG=1']);
    };
    timers.push(setInterval(beat, notifier.watchdogMs));
  }
  return { end: () => timers.forEach((timer) => clearInterval(timer)) };
}

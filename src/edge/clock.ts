// Clock: time and chance, as the program gets them. Handed down by whoever starts a daemon, so that a test can have a
// minute pass at once, and a run come out the same twice.
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';

export interface Clock {
  /** Milliseconds since 1970. Whoever sets the system's clock sets this one: it may jump, in either direction. */
  now(): number;
  /** Milliseconds since some moment, which never jump: for durations. */
  monotonic(): number;
  /** Calls back once, after so long. */
  after(ms: number, callback: () => void): Timer;
  /** Undefined: there was nothing to wait for. */
  cancel(timer: Timer | undefined): void;
  sleep(ms: number): Promise<void>;
  /** Lets everything else that is ready have its turn. */
  turn(): Promise<void>;
  /** For jitter: in [0, 1). */
  random(): number;
}

/** What `after` gives and `cancel` takes. */
export type Timer = NodeJS.Timeout | number;

/** That of the system. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (ms, callback) => setTimeout(callback, ms),
  cancel: (timer) => clearTimeout(timer),
  sleep: (ms) => sleep(ms),
  turn: () => turn(),
  random: () => Math.random(),
};

import type { ExitCode } from './exit.ts';

/** systemd's stop must never run into its kill: what is not finished by then can be gone on with. */
const stopMaxMs = 8_000;

/**
 * While the process ends: a second signal, or a store that does not answer, does not keep it. Claims return at the next
 * start.
 */
export function hurry(exitCode: ExitCode): Disposable {
  const exitNow = () => process.exit(exitCode);
  process.once('SIGINT', exitNow);
  process.once('SIGTERM', exitNow);
  const deadline = setTimeout(exitNow, stopMaxMs);
  return {
    [Symbol.dispose]() {
      clearTimeout(deadline);
      process.off('SIGINT', exitNow);
      process.off('SIGTERM', exitNow);
    },
  };
}

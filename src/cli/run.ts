// `run`: the daemon in the foreground, as systemd wants it.
import { Daemon } from '../daemon.ts';
import { startControlServer } from '../control/server.ts';
import { JournalInUse } from '../journal/journal.ts';
import { openLog } from '../observe/log.ts';
import { openNotifier } from '../observe/notify.ts';
import { startHealth } from '../observe/health.ts';
import { statusLine } from '../observe/status.ts';
import { version } from '../version.ts';
import { readConfig } from './config.ts';
import { exitCodes, type ExitCode } from './exit.ts';
import type { VerbOptions } from './program.ts';
import { Reporter } from './reporter.ts';

/** systemd's stop must never run into its kill: what is not finished by then can be gone on with. */
const stopMaxMs = 8_000;

export async function run(options: VerbOptions): Promise<ExitCode> {
  const config = readConfig(options.config);
  if (!config) return exitCodes.config;
  const log = openLog(config.logLevel, process.env);
  const reporter = new Reporter(log);
  let daemon: Daemon;
  try {
    daemon = new Daemon(config, {
      log,
      mode: 'run',
      onHandled: (route, claim, handled) => reporter.handled(route, claim, handled),
    });
  } catch (error) {
    if (!(error instanceof JournalInUse)) throw error;
    log.error(error.message);
    return exitCodes.temporary;
  }
  const control = await startControlServer(config.stateDir, {
    'GET /status': () => daemon.status(),
    'POST /retry': () => ({ retried: daemon.retry() }),
  });
  const notifier = openNotifier(process.env);
  const health = startHealth(daemon, notifier, () => statusLine(daemon.status()));
  log.info({ version, folders: config.folders.map((folder) => folder.name) }, 's3syncd starts');

  const stopping = new Promise<string>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve(signal));
  });
  void daemon.watching.then(() => {
    notifier.send(['READY=1', `STATUS=${statusLine(daemon.status())}`]);
    log.info('watching for changes');
  });
  const why = await Promise.race([stopping, daemon.ended.then(() => 'end')]);
  notifier.send(['STOPPING=1']);
  log.info({ why }, 's3syncd stops');
  health.end();
  reporter.end();
  await control.close();
  // A second signal, or a store that does not answer, does not keep us: claims return at the next start.
  const exitNow = () => process.exit(exitCodes.ok);
  process.once('SIGINT', exitNow);
  process.once('SIGTERM', exitNow);
  const deadline = setTimeout(exitNow, stopMaxMs);
  await daemon.stop();
  clearTimeout(deadline);
  process.off('SIGINT', exitNow);
  process.off('SIGTERM', exitNow);
  return exitCodes.ok;
}

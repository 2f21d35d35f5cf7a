// `run`: the daemon in the foreground, as systemd wants it.
import type { Answer } from '../deletes.ts';
import type { Decision } from '../conflicts.ts';
import type { Resume } from '../halts.ts';
import { Daemon } from '../daemon.ts';
import type { Retry } from '../failures.ts';
import { startControlServer } from '../control/server.ts';
import { JournalInUse } from '../journal/journal.ts';
import { openLog } from '../observe/log.ts';
import { openNotifier } from '../observe/notify.ts';
import { startHealth } from '../observe/health.ts';
import { version } from '../version.ts';
import { readConfig } from './config.ts';
import { exitCodes, type ExitCode } from './exit.ts';
import { hurry } from './hurry.ts';
import type { VerbOptions } from './verb.ts';
import { Reporter } from './reporter.ts';

/** Opening a journal of many gigabytes after a power cut blocks: no tick can ask for more time meanwhile. */
const openMaxUsec = '600000000';

export async function run(options: VerbOptions): Promise<ExitCode> {
  const warnings: string[] = [];
  const config = readConfig(options.config, { warnings });
  if (!config) return exitCodes.config;
  const log = openLog(config.logLevel, process.env);
  for (const warning of warnings) log.warn(warning);
  // Node prints what it dies of without a priority; this line is found by who looks for errors.
  process.on('uncaughtExceptionMonitor', (err) => log.error({ err }, 's3syncd crashes'));
  const reporter = new Reporter(log);
  const notifier = openNotifier(process.env);
  notifier?.send({ STATUS: 'opening the journal', EXTEND_TIMEOUT_USEC: openMaxUsec });
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
    'POST /apply': (body) => daemon.apply(body as readonly string[]),
    'POST /retry': (body) => daemon.retry(body as Retry),
    'POST /resume': (body) => daemon.resume(body as Resume),
    'POST /deletes': (body) => daemon.answerDeletes(body as Answer),
    'POST /conflicts': (body) => daemon.decideConflicts(body as Decision),
  });
  const health = startHealth(daemon, notifier, log);
  log.info({ version, folders: config.folders.map((folder) => folder.name) }, 's3syncd starts');

  const stopping = new Promise<string>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve(signal));
  });
  void daemon.watching.then(() => {
    health.ready();
    log.info('watching for changes');
  });
  const why = await Promise.race([stopping, daemon.ended.then(() => 'end')]);
  health.stopping();
  log.info({ why }, 's3syncd stops');
  reporter.end();
  await control.close();
  using _hurry = hurry(exitCodes.ok);
  await daemon.stop();
  // Ended by itself: its supervisor starts it again.
  return why === 'end' ? exitCodes.failed : exitCodes.ok;
}

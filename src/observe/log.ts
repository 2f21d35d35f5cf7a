// The log (only importer of pino): JSON lines on stderr, with journald's priorities in front where journald reads them.
import fs from 'node:fs';
import { pino, type DestinationStream, type Logger as PinoLogger, type Level } from 'pino';
import type { LogLevel } from '../config/config.ts';

export type Logger = Pick<PinoLogger, 'trace' | 'debug' | 'info' | 'warn' | 'error'>;

/** syslog's priorities (sd-daemon(3)) for pino's levels. */
const priorities: Readonly<Record<number, number>> = { 10: 7, 20: 7, 30: 6, 40: 4, 50: 3, 60: 2 };

/**
 * Opens the log on stderr. Under systemd: a priority in front, and no time, which journald adds itself. On a terminal:
 * one readable line each. Otherwise JSON.
 */
export function openLog(level: LogLevel, environment: NodeJS.ProcessEnv): Logger {
  const journal = goesToJournal(environment);
  const write = journal ? writePrioritised : process.stderr.isTTY ? writeReadable : writeLine;
  return pino(
    {
      level,
      base: null,
      messageKey: 'msg',
      ...(journal && { timestamp: false }),
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describeError },
    },
    write,
  );
}

/** True when stderr is the journal's socket, which $JOURNAL_STREAM names by device and inode. */
function goesToJournal(environment: NodeJS.ProcessEnv): boolean {
  const { dev, ino } = fs.fstatSync(2);
  return environment['JOURNAL_STREAM'] === `${dev}:${ino}`;
}

/** Only what a person needs of an error: an SDK error holds the request, with its body and credentials. */
function describeError(error: Error) {
  return { type: error.name, message: error.message, stack: error.stack };
}

const writeLine: DestinationStream = { write: (line) => writeAll(line) };

const writePrioritised: DestinationStream = {
  write(line) {
    const level = /"level":"(\w+)"/.exec(line)?.[1] as Level | undefined;
    writeAll(`<${priorities[pino.levels.values[level ?? 'info'] ?? 30]}>${line}`);
  },
};

const writeReadable: DestinationStream = {
  write(line) {
    const { level, time, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
    const details = Object.entries(fields).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
    const clock = new Date(Number(time)).toTimeString().slice(0, 8);
    const mark = level === 'info' ? '' : `${String(level)}: `;
    writeAll(`${clock} ${mark}${String(msg)}${details.length > 0 ? `  ${details.join(' ')}` : ''}\n`);
  },
};

/** Writes at once, so that nothing is lost at exit; a pipe whose reader is slow is waited for. */
function writeAll(text: string): void {
  let bytes = Buffer.from(text);
  while (bytes.length > 0) {
    try {
      bytes = bytes.subarray(fs.writeSync(2, bytes));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
    }
  }
}

// What the log says of handled changes: each one while they are few, sums while they are many.
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { Reporter } from '../../src/cli/reporter.ts';
import type { Handled } from '../../src/drain/handled.ts';
import type { Route } from '../../src/drain/route.ts';
import type { Claim } from '../../src/journal/journal.ts';
import type { Logger } from '../../src/observe/log.ts';

type Line = [level: string, message: string, fields: Record<string, unknown>];

const route = { folder: { name: 'docs' }, destination: { name: 's3' } } as Route;
const uploaded: Handled = { end: { kind: 'settled' }, outcome: 'uploaded', reason: 'new', bytes: 10 };

function failed(code: string): Handled {
  const end = { kind: 'stuck', state: 'failed', code, message: `it is ${code}`, seen: 'absent' } as const;
  return { end, outcome: 'failed', reason: code, bytes: 0 };
}

let lines: Line[] = [];
let reporter: Reporter;

/** Handles this so often. */
function handle(count: number, handled: Handled): void {
  for (let number = 0; number < count; number++)
    reporter.handled(route, { path: `${handled.outcome}/${number}` } as Claim, handled);
}

const told = (message: string | RegExp) =>
  lines.filter(([, text]) => (typeof message === 'string' ? text === message : message.test(text)));

beforeEach(() => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  lines = [];
  const write = (level: string) => (fields: object, message: string) =>
    void lines.push([level, message, fields as Record<string, unknown>]);
  const [info, warn] = [write('info'), write('warn')];
  const quiet = () => undefined;
  reporter = new Reporter({ trace: quiet, debug: quiet, info, warn, error: quiet } as unknown as Logger);
  onTestFinished(() => reporter.end());
});

describe('of what is handled', () => {
  test('each change has its line, with what a person may have to mend as a warning', () => {
    handle(2, uploaded);
    handle(1, failed('AccessDenied'));
    expect(lines).toEqual([
      [
        'info',
        'uploaded',
        {
          folder: 'docs',
          destination: 's3',
          path: 'uploaded/0',
          outcome: 'uploaded',
          reason: 'new',
          bytes: 10,
        },
      ],
      ['info', 'uploaded', expect.objectContaining({ path: 'uploaded/1' })],
      ['warn', 'failed', expect.objectContaining({ path: 'failed/0', message: 'it is AccessDenied' })],
    ]);
  });

  test('ten thousand that fail for one reason are twenty lines and a sum that says where to look', () => {
    handle(10_000, failed('AccessDenied'));
    handle(3, failed('InvalidTag'));
    expect(lines).toHaveLength(20);
    vi.advanceTimersByTime(10_000);
    expect(lines.slice(20)).toEqual([
      [
        'warn',
        'more of the same: `s3syncd failures` lists them',
        { folder: 'docs', destination: 's3', outcome: 'failed', reason: 'AccessDenied', files: 9_980 },
      ],
      [
        'warn',
        expect.stringMatching(/^more of the same/),
        expect.objectContaining({ reason: 'InvalidTag', files: 3 }),
      ],
    ]);
  });

  test('uploads without end leave a failure its line, and the sum its bytes', () => {
    handle(100_000, uploaded);
    handle(1, failed('AccessDenied'));
    expect(told('failed')).toHaveLength(1);
    reporter.end();
    expect(lines.at(-1)).toEqual([
      'info',
      'more of the same',
      { folder: 'docs', destination: 's3', outcome: 'uploaded', files: 99_980, bytes: 999_800 },
    ]);
  });

  test('lines are to be had again ten seconds later, and a quiet time says nothing', () => {
    handle(21, uploaded);
    vi.advanceTimersByTime(10_000);
    expect(lines).toHaveLength(21);
    vi.advanceTimersByTime(60_000);
    expect(lines).toHaveLength(21);
    handle(1, uploaded);
    expect(lines).toHaveLength(22);
  });

  test('an hour of a thousand failures a second stays far below what journald lets through', () => {
    for (let second = 0; second < 3_600; second++) {
      handle(1_000, failed('InternalError'));
      vi.advanceTimersByTime(1_000);
    }
    // RateLimitBurst: 10,000 lines in 30 s.
    expect(lines.length / 120).toBeLessThan(100);
  });

  test('what waits for its destination, or came to nothing, has no line', () => {
    handle(5, {
      end: { kind: 'released', readyAtMs: 0, tried: false },
      outcome: 'retry',
      reason: 'x',
      bytes: 0,
    });
    handle(5, { end: { kind: 'settled' }, outcome: 'unchanged', reason: 'same', bytes: 0 });
    expect(lines).toEqual([]);
  });
});

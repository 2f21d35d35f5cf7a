import { describe, expect, test } from 'vitest';
import { outcomes, type Outcome } from '../../src/core/action.ts';
import { historyOf } from '../../src/core/history.ts';

const first = { attempts: 0, lastCode: undefined };

function entry(outcome: Outcome, reason: string, before: { attempts: number; lastCode: string | undefined }) {
  return historyOf({ outcome, reason, bytes: 7 }, 'request-1', before);
}

describe('history', () => {
  test.each(
    outcomes.filter((outcome) => !['unchanged', 'vanished', 'touched', 'meta-deferred'].includes(outcome)),
  )('remembers %s', (outcome) => {
    expect(entry(outcome, 'new', first)).toMatchObject({ outcome, reason: 'new', bytes: 7, attempts: 1 });
  });

  test.each(['unchanged', 'vanished', 'touched', 'meta-deferred'] as const)('leaves out %s', (outcome) => {
    expect(entry(outcome, 'same', first)).toBeUndefined();
  });

  test.each(['retry', 'failed', 'blocked', 'held', 'conflict'] as const)(
    'remembers %s once, until it is for another reason',
    (outcome) => {
      expect(entry(outcome, 'AccessDenied', { attempts: 0, lastCode: 'AccessDenied' })).toBeUndefined();
      expect(entry(outcome, 'AccessDenied', { attempts: 0, lastCode: 'InternalError' })).toBeDefined();
    },
  );

  test('remembers of tries the first, and how many there were when they end', () => {
    expect(entry('retry', 'SlowDown', first)).toMatchObject({ requestId: 'request-1' });
    expect(entry('retry', 'SlowDown', { attempts: 1, lastCode: 'SlowDown' })).toBeUndefined();
    expect(entry('retry', 'ECONNRESET', { attempts: 2, lastCode: 'SlowDown' }), 'in turns').toBeUndefined();
    expect(entry('uploaded', 'new', { attempts: 3, lastCode: 'ECONNRESET' })).toMatchObject({
      attempts: 4,
      lastCode: 'ECONNRESET',
    });
  });

  test('names no failure that was over before the first try', () => {
    expect(entry('uploaded', 'new', { attempts: 0, lastCode: 'fifo' })?.lastCode).toBeUndefined();
  });

  test('names the request of what was refused only', () => {
    expect(entry('failed', 'AccessDenied', first)?.requestId).toBe('request-1');
    expect(entry('uploaded', 'new', first)?.requestId).toBeUndefined();
  });
});

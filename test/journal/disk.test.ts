// A disk that does not take the journal's writes: which errors say so, when it is tried again, and what waits meanwhile.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Disk, diskTroubleIn, type TriesMax } from '../../src/journal/disk.ts';
import { systemClock } from '../../src/edge/clock.ts';
import { damageIn } from '../../src/journal/soundness.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function sqliteError(code: string): Error {
  return Object.assign(new Error('from SQLite'), { code });
}

/** A disk that answers with `error` for as long as there is one, and what was told of it. */
function given(triesMax?: TriesMax) {
  const told: string[] = [];
  const state: { error: Error | undefined; tries: number } = { error: undefined, tries: 0 };
  const write = () => {
    if (state.error) throw state.error;
  };
  const disk = new Disk('/var/lib/s3syncd', systemClock, () => {
    state.tries += 1;
    write();
  });
  disk.listen(
    {
      began: ({ kind }) => told.push(`began: ${kind}`),
      ended: () => told.push('ended'),
      gaveUp: ({ kind }) => told.push(`gave up: ${kind}`),
    },
    triesMax,
  );
  return { disk, state, told, write };
}

const full = sqliteError('SQLITE_FULL');
const failing = sqliteError('SQLITE_IOERR_FSYNC');

describe('an error', () => {
  test.each([
    ['SQLITE_FULL', 'full'],
    ['SQLITE_IOERR_SHMSIZE', 'full'],
    ['SQLITE_IOERR_WRITE', 'failing'],
    ['SQLITE_IOERR_FSYNC', 'failing'],
    ['SQLITE_READONLY', 'failing'],
    ['SQLITE_READONLY_DBMOVED', 'failing'],
    ['SQLITE_CANTOPEN', 'failing'],
  ])('%s is one of the disk (%s), and never of the file', (code, kind) => {
    expect(diskTroubleIn(sqliteError(code))).toEqual({ kind, code });
    expect(damageIn(sqliteError(code))).toBeUndefined();
  });

  test.each(['SQLITE_CORRUPT', 'SQLITE_BUSY', 'SQLITE_CONSTRAINT_UNIQUE', 'ENOSPC', 'EIO'])(
    '%s is none of the journal’s disk',
    (code) => {
      expect(diskTroubleIn(sqliteError(code))).toBeUndefined();
      expect(given().disk.begin(sqliteError(code))).toBe(false);
    },
  );
});

describe('a full disk', () => {
  test('is tried after 1, 2, 4 … 30 s until there is room, and told of twice', () => {
    const { disk, state, told } = given();
    state.error = full;
    expect(disk.begin(full)).toBe(true);
    expect(disk.begin(full)).toBe(true);
    const triesAt = [1, 2, 4, 8, 16, 30, 30, 30].map((seconds) => {
      vi.advanceTimersByTime(seconds * 1_000 - 1);
      const before = state.tries;
      vi.advanceTimersByTime(1);
      return [before, state.tries];
    });
    expect(triesAt).toEqual([0, 1, 2, 3, 4, 5, 6, 7].map((tries) => [tries, tries + 1]));
    expect(told).toEqual(['began: full']);
    state.error = undefined;
    vi.advanceTimersByTime(30_000);
    expect(told).toEqual(['began: full', 'ended']);
    expect(disk.trouble).toBeUndefined();
    expect(vi.getTimerCount()).toBe(0);
  });

  test('that is full again at once is not tried more often for that, and after a minute it is another trouble', () => {
    const { disk, state } = given();
    for (const seconds of [1, 2, 4]) {
      disk.begin(full);
      const { tries } = state;
      vi.advanceTimersByTime(seconds * 1_000);
      expect(state.tries).toBe(tries + 1);
      expect(disk.trouble).toBeUndefined();
    }
    vi.advanceTimersByTime(60_001);
    disk.begin(full);
    vi.advanceTimersByTime(1_000);
    expect(disk.trouble).toBeUndefined();
  });

  test('holds up writes until there is room, in their order', async () => {
    const { disk, state, write } = given();
    const done: string[] = [];
    state.error = full;
    const first = disk.write(() => (write(), done.push('first')));
    const second = disk.write(() => (write(), done.push('second')));
    await vi.advanceTimersByTimeAsync(3_000);
    expect(done).toEqual([]);
    state.error = undefined;
    await vi.advanceTimersByTimeAsync(4_000);
    await Promise.all([first, second]);
    expect(done).toEqual(['first', 'second']);
  });

  test('keeps of what is only noted the last of each kind, and writes it before it is over', () => {
    const { disk, state, told, write } = given();
    const noted: string[] = [];
    const note = (what: string, value: string) => disk.note(what, () => (write(), void noted.push(value)));
    note('trouble', 'written at once');
    state.error = full;
    note('trouble', 'overtaken');
    note('halt', 'halted');
    note('trouble', 'over');
    expect(noted).toEqual(['written at once']);
    state.error = undefined;
    vi.advanceTimersByTime(1_000);
    expect(noted).toEqual(['written at once', 'over', 'halted']);
    expect(told).toEqual(['began: full', 'ended']);
  });

  test('is no reason to swallow another error', async () => {
    const { disk } = given();
    const wrong = () => {
      throw new Error('a bug');
    };
    await expect(disk.write(wrong)).rejects.toThrow('a bug');
    expect(() => disk.note('halt', wrong)).toThrow('a bug');
  });
});

describe('a failing disk', () => {
  test('is given up after four tries', () => {
    const { disk, state, told } = given();
    state.error = failing;
    disk.begin(failing);
    vi.advanceTimersByTime(14_999);
    expect(told).toEqual(['began: failing']);
    vi.advanceTimersByTime(1);
    expect(told).toEqual(['began: failing', 'gave up: failing']);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('may turn out to be one, when a full one was waited for', () => {
    const { disk, state, told } = given({ full: Infinity, failing: 2 });
    state.error = full;
    disk.begin(full);
    vi.advanceTimersByTime(1_000);
    state.error = failing;
    vi.advanceTimersByTime(2_000);
    expect(told).toEqual(['began: full', 'gave up: failing']);
  });
});

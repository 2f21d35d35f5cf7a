import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { startHealth } from '../../src/observe/health.ts';
import type { Logger } from '../../src/observe/log.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
});

/** A daemon that is as `patient` says, watched over by a systemd that wants to hear from it each 60 s. */
function given(watchdogMs: number | undefined) {
  const patient = {
    line: '1 folder',
    ailment: undefined as string | undefined,
    proveHealth() {
      if (this.ailment !== undefined) throw new Error(this.ailment);
    },
    statusLine() {
      return this.line;
    },
  };
  const sent: Record<string, string>[] = [];
  const logged: string[] = [];
  const log = {
    error: (fields: { err: Error }) => logged.push(`error ${fields.err.message}`),
    info: (message: string) => logged.push(`info ${message}`),
  } as unknown as Logger;
  const notifier = { send: (message: Record<string, string>) => void sent.push(message), watchdogMs };
  const health = startHealth(patient, notifier, log);
  return { patient, health, logged, take: () => sent.splice(0) };
}

test('while it starts it asks for more time, and does not say that it is ready', () => {
  const { take } = given(20_000);
  vi.advanceTimersByTime(10_000);
  expect(take()).toEqual([
    { STATUS: '1 folder', EXTEND_TIMEOUT_USEC: '60000000' },
    { STATUS: '1 folder', EXTEND_TIMEOUT_USEC: '60000000' },
  ]);
});

test('a start that is not well gets no more time', () => {
  const { patient, take } = given(20_000);
  patient.ailment = 'the watch thread has not answered for 75 s';
  vi.advanceTimersByTime(5_000);
  expect(take()).toEqual([{ STATUS: 'NOT WELL: the watch thread has not answered for 75 s' }]);
});

test('it is ready once', () => {
  const { health, take } = given(20_000);
  health.ready();
  health.ready();
  expect(take()).toEqual([{ STATUS: '1 folder', READY: '1' }]);
});

test('the status is told when it changed, at most each 5 s', () => {
  const { patient, health, take } = given(1_000_000);
  health.ready();
  take();
  patient.line = '2 folders';
  vi.advanceTimersByTime(4_999);
  expect(take()).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(take()).toEqual([{ STATUS: '2 folders' }]);
  vi.advanceTimersByTime(60_000);
  expect(take()).toEqual([]);
});

test('a status that takes long to count is counted rarely', () => {
  const { patient, health } = given(1_000_000);
  health.ready();
  const counted = vi.spyOn(patient, 'statusLine').mockImplementation(() => {
    vi.setSystemTime(Date.now() + 1); // A clock that is set must not matter.
    vi.advanceTimersByTime(2_000);
    return '1 folder';
  });
  vi.advanceTimersByTime(5_000);
  expect(counted).toHaveBeenCalledTimes(1);
  vi.advanceTimersByTime(99_000);
  expect(counted).toHaveBeenCalledTimes(1);
  vi.advanceTimersByTime(1_000);
  expect(counted).toHaveBeenCalledTimes(2);
});

test('signs of life come at the pace of the watchdog while it is well', () => {
  const { health, take } = given(20_000);
  health.ready();
  take();
  vi.advanceTimersByTime(60_000);
  expect(take()).toEqual([{ WATCHDOG: '1' }, { WATCHDOG: '1' }, { WATCHDOG: '1' }]);
});

test('there is no sign of life while it is not well, and it says why once', () => {
  const { patient, health, logged, take } = given(20_000);
  health.ready();
  take();
  patient.ailment = 'database or disk is full';
  vi.advanceTimersByTime(100_000);
  expect(take()).toEqual([{ STATUS: 'NOT WELL: database or disk is full' }]);
  expect(logged).toEqual(['error database or disk is full']);
  patient.ailment = undefined;
  vi.advanceTimersByTime(25_000);
  expect(take()).toEqual([{ WATCHDOG: '1' }, { STATUS: '1 folder' }]);
  expect(logged).toEqual(['error database or disk is full', 'info well again']);
});

test('a journal that cannot be read is told and does not end the daemon', () => {
  const { patient, take } = given(20_000);
  vi.spyOn(patient, 'statusLine').mockImplementation(() => {
    throw new Error('database disk image is malformed');
  });
  vi.advanceTimersByTime(5_000);
  expect(take()).toMatchObject([{ STATUS: 'NOT WELL: database disk image is malformed' }]);
});

test('when it stops it says so, and then nothing more', () => {
  const { health, take } = given(20_000);
  health.ready();
  take();
  health.stopping();
  expect(take()).toEqual([{ STOPPING: '1', STATUS: 'stopping: ending what is in flight' }]);
  health.ready();
  vi.advanceTimersByTime(120_000);
  expect(take()).toEqual([]);
});

test('without a watchdog trouble is found all the same', () => {
  const { patient, health, logged } = given(undefined);
  health.ready();
  patient.ailment = 'attempt to write a readonly database';
  vi.advanceTimersByTime(30_000);
  expect(logged).toEqual(['error attempt to write a readonly database']);
});

test('outside of systemd there is no work', () => {
  startHealth(
    { proveHealth: () => expect.fail(), statusLine: () => expect.fail() },
    undefined,
    {} as Logger,
  ).ready();
  expect(vi.getTimerCount()).toBe(0);
});

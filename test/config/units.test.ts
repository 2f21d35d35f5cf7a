import { assert, maxSafeNat, property } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { didYouMean } from '../../src/config/problem.ts';
import { formatDuration, formatSize, parseDuration, parseMoment, parseSize } from '../../src/config/units.ts';

describe('durations', () => {
  test.each([
    ['500ms', 500],
    ['2s', 2_000],
    ['90s', 90_000],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['1h30m', 5_400_000],
    ['2d1ms', 172_800_001],
    ['0s', 0],
  ])('%s', (text, ms) => expect(parseDuration(text)).toBe(ms));

  test.each(['', '5', 's', '1.5s', '-1s', '1 s', '1S', '1m1m', '1s1m', '1sec', '9007199254740993ms'])(
    '%j is none',
    (text) => expect(parseDuration(text)).toBeUndefined(),
  );

  test('are read as they are written', () => {
    assert(property(maxSafeNat(), (ms) => parseDuration(formatDuration(ms)) === ms));
  });
});

describe('sizes', () => {
  test.each([
    ['0B', 0],
    ['64B', 64],
    ['64KiB', 65_536],
    ['8MiB', 8_388_608],
    ['5TiB', 5_497_558_138_880],
  ])('%s', (text, bytes) => expect(parseSize(text)).toBe(bytes));

  test.each(['', '5', 'MiB', '1.5MiB', '-1MiB', '1 MiB', '1MB', '1mib', '99999999TiB'])(
    '%j is none',
    (text) => expect(parseSize(text)).toBeUndefined(),
  );

  test('are read as they are written', () => {
    assert(property(maxSafeNat(), (bytes) => parseSize(formatSize(bytes)) === bytes));
  });
});

describe('times', () => {
  test.each([
    ['2027-01-31', Date.UTC(2027, 0, 31)],
    ['2028-02-29', Date.UTC(2028, 1, 29)],
    ['2027-01-31T12:00Z', Date.UTC(2027, 0, 31, 12)],
    ['2027-01-31T12:00:30Z', Date.UTC(2027, 0, 31, 12, 0, 30)],
    ['2027-01-31T00:30+02:00', Date.UTC(2027, 0, 30, 22, 30)],
  ])('%s', (text, ms) => expect(parseMoment(text)).toBe(ms));

  // Without a zone a time means another moment on every host.
  test.each([
    '',
    '2027',
    '2027-1-31',
    '31.1.2027',
    '2027-02-29',
    '2027-13-01',
    '2027-01-31T12:00',
    '2027-01-31T24:30Z',
  ])('%j is none', (text) => expect(parseMoment(text)).toBeUndefined());
});

describe('did you mean', () => {
  test.each([
    ['polcy', 'policy'],
    ['plocy', 'policy'],
    ['ot', 'to'],
    ['POLICY', 'policy'],
    ['xx', undefined],
    ['', undefined],
  ])('%j: %s', (word, guess) => {
    expect(didYouMean(word, ['policy', 'path', 'to'])).toBe(
      guess === undefined ? '' : `; did you mean "${guess}"?`,
    );
  });
});

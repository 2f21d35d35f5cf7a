// Durations, sizes and times as people write them: a number never comes without its unit.

const durationUnits: readonly (readonly [unit: string, ms: number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
  ['ms', 1],
];

/** `1h30m`: whole numbers with units, largest first, each unit once. */
export const durationPattern = /^(?=\d)(\d+d)?(\d+h)?(\d+m(?!s))?(\d+s)?(\d+ms)?$/;

/** Milliseconds of `500ms`, `2s` or `1h30m`; undefined when the text is not a duration. */
export function parseDuration(text: string): number | undefined {
  if (!durationPattern.test(text)) return undefined;
  const msPerUnit = new Map(durationUnits);
  let ms = 0;
  for (const [, count, unit] of text.matchAll(/(\d+)([a-z]+)/g))
    ms += Number(count) * (msPerUnit.get(unit ?? '') ?? NaN);
  return Number.isSafeInteger(ms) ? ms : undefined;
}

/** The shortest text that `parseDuration` reads as this many milliseconds. */
export function formatDuration(ms: number): string {
  let left = ms;
  let text = '';
  for (const [unit, unitMs] of durationUnits) {
    const count = Math.floor(left / unitMs);
    if (count > 0) text += `${count}${unit}`;
    left -= count * unitMs;
  }
  return text || '0s';
}

const sizeUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** `64MiB`: a whole number and a power of 1024. MB is refused: it means a million bytes to some and 1024² to others. */
export const sizePattern = /^\d+(B|KiB|MiB|GiB|TiB)$/;

/** Bytes of `64MiB`; undefined when the text is not a size. */
export function parseSize(text: string): number | undefined {
  if (!sizePattern.test(text)) return undefined;
  const exponent = sizeUnits.findIndex(
    (unit) => text.endsWith(unit) && /\d$/.test(text.slice(0, -unit.length)),
  );
  const bytes = Number.parseInt(text, 10) * 1024 ** exponent;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** The text with the largest unit that `parseSize` reads as exactly this many bytes. */
export function formatSize(bytes: number): string {
  let count = bytes;
  let exponent = 0;
  while (count > 0 && count % 1024 === 0 && exponent < sizeUnits.length - 1) {
    count /= 1024;
    exponent++;
  }
  return `${count}${sizeUnits[exponent]}`;
}

/** `2027-01-31`, which is midnight in UTC, or a time with its zone: `2027-01-31T12:00:00Z`, `2027-01-31T12:00+02:00`. */
export const momentPattern = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2}))?$/;

/** Milliseconds since 1970 of a time; undefined when the text is none, or names a day that no calendar has. */
export function parseMoment(text: string): number | undefined {
  if (!momentPattern.test(text)) return undefined;
  const day = text.slice(0, 10);
  // Date.parse takes 2027-02-30 for the 2nd of March.
  const midnight = new Date(day);
  if (Number.isNaN(midnight.getTime()) || midnight.toISOString().slice(0, 10) !== day) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}

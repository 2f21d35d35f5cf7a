// How things read on a terminal.
import { stripVTControlCharacters } from 'node:util';

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `1.5 GiB`. */
export function bytesText(bytes: number): string {
  const power = Math.min(units.length - 1, bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 ? value : value.toFixed(value < 10 ? 1 : 0)} ${units[power]}`;
}

/** `1,234`. */
export function countText(count: number): string {
  return count.toLocaleString('en');
}

/** `about $0.02`, `less than $0.01`. */
export function moneyText(usd: number): string {
  return usd > 0 && usd < 0.01 ? 'less than $0.01' : `about $${usd.toFixed(2)}`;
}

/** `3 files`, `1 file`. */
export function plural(count: number, one: string): string {
  return `${countText(count)} ${one}${count === 1 ? '' : 's'}`;
}

/** `12 s`, `3 min`, `5 h`, `2 d`. */
export function durationText(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}

/** A name as one line without control characters, which could write anywhere on the terminal. */
export function nameText(name: string): string {
  return stripVTControlCharacters(name).replace(
    // oxlint-disable-next-line no-control-regex -- they are what is replaced
    /[\u0000-\u001f\u007f-\u009f]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}

/** Columns aligned with two spaces between; the last one is not padded. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, cell.length)));
  }
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
        .join('  '),
    )
    .map((line) => `${line.trimEnd()}\n`)
    .join('');
}

/** Of objects that rules would say something of. */
export function unknownText(count: number): string {
  return `of ${plural(count, 'object')} that somebody else had written before it is not known whether they are as the rules have it\n`;
}

// Values: the kinds of text that the schema is made of. Messages are predicates: the loader puts the value before them,
// `"5" is not a duration: …`.
import * as z from 'zod';
import {
  durationPattern,
  momentPattern,
  parseDuration,
  parseMoment,
  parseSize,
  sizePattern,
} from './units.ts';

export const text = () =>
  z
    .string()
    .min(1, 'is empty; give it a value or remove the key')
    // oxlint-disable-next-line no-control-regex
    .regex(/^[^\u0000-\u001f\u007f]*$/, 'has a control character; remove it');

const durationHelp = 'is not a duration; write a number with a unit, such as 500ms, 2s, 1h or 1h30m';

export const duration = () =>
  unitText(durationHelp)
    .regex(durationPattern, durationHelp)
    .refine((value) => !durationPattern.test(value) || parseDuration(value) !== undefined, 'is too long');

const sizeHelp = 'is not a size; write a whole number with a unit, such as 128KiB, 64MiB or 5GiB';

export const size = () =>
  unitText(sizeHelp)
    .regex(sizePattern, sizeHelp)
    .refine((value) => !sizePattern.test(value) || parseSize(value) !== undefined, 'is too large');

const momentHelp = 'is not a time; write a date such as 2027-01-31, or 2027-01-31T12:00:00Z';

/** A date, or a time with its zone. */
export const moment = () =>
  unitText(momentHelp)
    .regex(momentPattern, momentHelp)
    .refine((value) => !momentPattern.test(value) || parseMoment(value) !== undefined, 'is on no calendar');

const retainHelp = 'is neither a duration such as 30d nor a date such as 2027-01-31';

const retainPattern = new RegExp(`${durationPattern.source}|${momentPattern.source}`);

/** A duration from now on, or a date. */
export const durationOrMoment = () =>
  unitText(retainHelp)
    .regex(retainPattern, retainHelp)
    .refine(
      (value) => !retainPattern.test(value) || (parseDuration(value) ?? parseMoment(value)) !== undefined,
      'is too long, or on no calendar',
    );

/** YAML reads `2` as a number, and it is the unit that is missing. */
function unitText(help: string) {
  return z.string({ error: ({ input }) => (typeof input === 'number' ? help : undefined) });
}

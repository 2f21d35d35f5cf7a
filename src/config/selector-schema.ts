// Schema of `when`: which files of a folder a destination gets.
import * as z from 'zod';
import { givenTagValue, tagKey } from './rule-schema.ts';
import { size, text } from './values.ts';

const oneOrMore = <Item extends z.ZodType>(item: Item) =>
  z.union([item, z.array(item).min(1, 'names nothing; name at least one')]);

/** `when` of an entry of `to`: all that is given must hold. */
export const selectorSchema = z
  .strictObject({
    match: oneOrMore(text())
      .optional()
      .describe('Glob over the path within the folder, as in rules, or a list of which one must match.'),
    'larger-than': size().optional().describe('Only files of more bytes than this.'),
    'smaller-than': size().optional().describe('Only files of fewer bytes than this.'),
    tags: z
      .record(tagKey, oneOrMore(givenTagValue()))
      .refine((tags) => Object.keys(tags).length > 0, 'names no tag; name one or remove the key')
      .optional()
      .describe('Only files to which the rules give each of these tags, with this value or one of a list.'),
  })
  .refine((selector) => Object.keys(selector).length > 0, 'says nothing; add a condition or remove the key');

export type SelectorInput = z.output<typeof selectorSchema>;

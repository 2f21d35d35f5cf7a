// What `config schema` prints.
import * as z from 'zod';
import { configSchema } from './schema.ts';

/** The JSON Schema (draft 2020-12) of the config file, for editors: what an author may write, before expansion. */
export function configJsonSchema(): string {
  return `${JSON.stringify(z.toJSONSchema(configSchema, { io: 'input', target: 'draft-2020-12' }), null, 2)}\n`;
}

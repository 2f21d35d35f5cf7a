import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { configJsonSchema } from '../../src/config/describe.ts';
import { loadConfig } from '../../src/config/load.ts';
import { policies } from '../../src/core/policy.ts';

interface Schema {
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Schema | false;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
}

// oxlint-disable-next-line no-unsafe-type-assertion -- its shape is what is tested
const schema = JSON.parse(configJsonSchema()) as Schema & { readonly $schema: string };
const directory = new URL('../../config', import.meta.url).pathname;
const examples = readdirSync(directory).filter((name) => name.endsWith('.yaml'));

/** Values for which the schema has no place, or a pattern or list that refuses them: enough of JSON Schema for ours. */
function misfits(schema: Schema, value: unknown, at: string): string[] {
  if (schema.anyOf) return schema.anyOf.some((one) => misfits(one, value, at).length === 0) ? [] : [at];
  if (schema.enum && !schema.enum.includes(value)) return [at];
  if (typeof value === 'string') {
    const expanded = value.startsWith('${');
    return schema.pattern !== undefined && !expanded && !new RegExp(schema.pattern, 'u').test(value)
      ? [at]
      : [];
  }
  if (Array.isArray(value)) {
    return value.flatMap((item, index) =>
      schema.items ? misfits(schema.items, item, `${at}[${index}]`) : [at],
    );
  }
  if (typeof value !== 'object' || value === null) return [];
  const missing = (schema.required ?? []).filter((key) => !(key in value)).map((key) => `${at}.${key}`);
  return Object.entries(value).reduce((found, [key, inner]) => {
    const place = schema.properties?.[key] ?? schema.additionalProperties;
    return [...found, ...(place ? misfits(place, inner, `${at}.${key}`) : [`${at}.${key}`])];
  }, missing);
}

function* keysOf(schema: Schema, at = ''): Iterable<[string, Schema]> {
  for (const [key, inner] of Object.entries(schema.properties ?? {})) {
    yield [`${at}.${key}`, inner];
    yield* keysOf(inner, `${at}.${key}`);
  }
  if (schema.additionalProperties) yield* keysOf(schema.additionalProperties, `${at}.*`);
  if (schema.items) yield* keysOf(schema.items, `${at}[]`);
}

describe('the JSON Schema', () => {
  test('is of draft 2020-12', () => {
    expect(schema.$schema).toBe('https://json-schema.org/draft/2020-12/schema');
  });

  test('describes every key in words', () => {
    expect(
      [...keysOf(schema)]
        .filter(([, { description }]) => !description?.endsWith('.') && !description?.endsWith('1'))
        .map(([key]) => key),
    ).toEqual([]);
  });

  test('has the defaults and the closed lists of the program', () => {
    const keys = new Map(keysOf(schema));
    expect(keys.get('.folders.*.policy')).toMatchObject({ default: 'overwrite', enum: policies });
    expect(keys.get('.folders.*.settle')).toMatchObject({ default: '1s' });
    expect(keys.get('.destinations.*.checksum')).toMatchObject({ default: 'crc32' });
  });

  test('refuses a literal secret', () => {
    const secret =
      new Map(keysOf(schema)).get('.destinations.*.credentials.secret-access-key')?.pattern ?? '';
    expect('${cred:aws-secret}').toMatch(new RegExp(secret));
    expect('hunter2').not.toMatch(new RegExp(secret));
    const key = new Map(keysOf(schema)).get('.folders.*.rules[].sse-customer-key')?.pattern ?? '';
    expect('${cred:documents-key}').toMatch(new RegExp(key));
    expect('${env:KEY}').not.toMatch(new RegExp(key));
  });

  test('finds what does not fit', () => {
    const bad = { version: 1, destinations: {}, folders: { a: { path: 'x', polcy: 'y', policy: 'z' } } };
    expect(misfits(schema, bad, '')).toEqual(['.folders.a.to', '.folders.a.polcy', '.folders.a.policy']);
  });
});

describe.each(examples)('config/%s', (name) => {
  test('is a good config without warnings', () => {
    expect(loadConfig(join(directory, name), {})).toMatchObject({ kind: 'config', warnings: [] });
  });

  test('fits the JSON Schema', () => {
    expect(misfits(schema, parse(readFileSync(join(directory, name), 'utf8')), '')).toEqual([]);
  });
});

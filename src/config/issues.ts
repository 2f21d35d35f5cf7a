// From zod's issues to problems that a person can act on: at their place, in plain words, with "did you mean".
import * as z from 'zod';
import type { ConfigDocument, Path } from './document.ts';
import { didYouMean } from './problem.ts';
import type { Problem } from './problem.ts';
import { configSchema } from './schema.ts';

type Issue = z.core.$ZodIssue;

/** Everything in which a document departs from the schema. */
export function schemaProblems(document: ConfigDocument): Problem[] {
  const { error } = configSchema.safeParse(document.value, { error: describeIssue });
  const issues = (error?.issues ?? []).flatMap((issue) => flatten(issue, [], document));
  return issues.flatMap(({ path, issue }) => {
    // The problem of its expansion was reported already.
    if (!document.resolved(path)) return [];
    return problemsOf(document, path, issue);
  });
}

/** Issues of a union are those of the alternative which the author meant, to judge by the kind of the value. */
function flatten(issue: Issue, prefix: Path, document: ConfigDocument): { path: Path; issue: Issue }[] {
  const path = [...prefix, ...issue.path];
  if (issue.code !== 'invalid_union') return [{ path, issue }];
  const meant = issue.errors.find((issues) =>
    issues.some(({ path, code }) => path.length > 0 || code !== 'invalid_type'),
  );
  return meant ? meant.flatMap((inner) => flatten(inner, path, document)) : [{ path, issue }];
}

function problemsOf(document: ConfigDocument, path: Path, issue: Issue): Problem[] {
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(path);
    return issue.keys.map((key) => document.problemAt([...path, key], unknownKey(key, known), 'key'));
  }
  if (issue.code === 'invalid_key') {
    return issue.issues.map(({ message }) => document.problemAt(path, `the key ${message}`, 'key'));
  }
  const value = document.valueAt(path);
  if (value === undefined) return [missingKey(document, path)];
  if (value === null) return [document.problemAt(path, 'no value; give it one or remove the key')];
  const guess =
    issue.code === 'invalid_value' && typeof value === 'string'
      ? didYouMean(value, issue.values.map(String))
      : '';
  return [document.problemAt(path, `${document.quote(path)} ${issue.message}${guess}`)];
}

function unknownKey(key: string, known: readonly string[]): string {
  if (key === '<<') return 'merge keys are not supported; write the keys out';
  return `unknown key${didYouMean(key, known) || `; known are ${known.join(', ')}`}`;
}

function missingKey(document: ConfigDocument, path: Path): Problem {
  const description = descriptionAt(path);
  return document.problemAt(path, `missing${description === undefined ? '' : `. ${description}`}`);
}

/** Words for the issues that the schema has none of its own for. */
function describeIssue(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === 'invalid_type') {
    return `must be ${kinds[issue.expected] ?? issue.expected}${hint(issue.expected, issue.input)}`;
  }
  if (issue.code === 'invalid_union') return 'must be a text or a list of texts';
  if (issue.code === 'invalid_value') {
    return `must be ${issue.values.length === 1 ? '' : 'one of '}${issue.values.map(String).join(', ')}`;
  }
  return undefined;
}

const kinds: Readonly<Record<string, string>> = {
  object: 'a mapping of keys and values',
  record: 'a mapping of keys and values',
  string: 'a text',
  array: 'a list',
  boolean: 'true or false',
  number: 'a number',
};

function hint(expected: string, input: unknown): string {
  if (expected === 'string' && (typeof input === 'number' || typeof input === 'boolean'))
    return '; put it in quotes';
  if (expected === 'string' && typeof input === 'object') return '; quote a value that begins with { or [';
  return '';
}

function keysAt(path: Path): string[] {
  const schema = alternative(schemaAt(path), '');
  return schema instanceof z.core.$ZodObject ? Object.keys(schema._zod.def.shape) : [];
}

function descriptionAt(path: Path): string | undefined {
  const key = String(path.at(-1));
  const owner = alternative(schemaAt(path.slice(0, -1)), key);
  const schema = owner instanceof z.core.$ZodObject ? owner._zod.def.shape[key] : undefined;
  return schema && z.globalRegistry.get(schema)?.description;
}

/** The schema of the value at a path, without what makes it optional. */
function schemaAt(path: Path): z.core.$ZodType | undefined {
  let schema: z.core.$ZodType | undefined = configSchema;
  for (const key of path) {
    schema = alternative(schema, key);
    if (schema instanceof z.core.$ZodObject) schema = unwrapped(schema._zod.def.shape[String(key)]);
    else if (schema instanceof z.core.$ZodRecord) schema = unwrapped(schema._zod.def.valueType);
    else if (schema instanceof z.core.$ZodArray) schema = unwrapped(schema._zod.def.element);
    else return undefined;
  }
  return schema;
}

/** Of a union the alternative that has keys of this kind: an index is one of a list, a name one of a mapping. */
function alternative(schema: z.core.$ZodType | undefined, key: PropertyKey) {
  if (!(schema instanceof z.core.$ZodUnion)) return schema;
  const holder = typeof key === 'number' ? z.core.$ZodArray : z.core.$ZodObject;
  return schema._zod.def.options.find((option) => option instanceof holder);
}

function unwrapped(schema: z.core.$ZodType | undefined): z.core.$ZodType | undefined {
  let inner = schema;
  while (
    inner instanceof z.core.$ZodOptional ||
    inner instanceof z.core.$ZodDefault ||
    inner instanceof z.core.$ZodPrefault
  ) {
    inner = inner._zod.def.innerType;
  }
  return inner;
}

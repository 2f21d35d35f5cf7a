// Rules: what an object is besides its bytes. Every rule that matches applies, later ones win field by field. Tags,
// metadata and object lock are merged key by key; encryption and access are one field each, whatever their keys in the
// config, because half of an earlier rule's would contradict the later one.
import mime from 'mime';
import picomatch from 'picomatch';
import type { ObjectDescription } from './description.ts';
import type { FileState } from './file.ts';
import { directoryOf, nameOf } from './key.ts';
import { fileTemplates, fillTemplate } from './template.ts';
import type { FileTemplate } from './template.ts';
import { isCompressed, type Compression } from './transform.ts';

/** One rule of the config: which files, and what their objects get. What is absent matches every file. */
export interface Rule extends Partial<Omit<ObjectDescription, 'compress'>> {
  /** Glob over the path, picomatch syntax; `*` does not cross `/`. */
  readonly match: string;
  readonly largerThanBytes?: number;
  readonly smallerThanBytes?: number;
  /** By mtime, at the time of the upload. */
  readonly olderThanMs?: number;
  readonly newerThanMs?: number;
  /** Template of what follows the prefix in the key, instead of the path. Never beside an age: keys must not change with it. */
  readonly key?: string;
  /** `none`: an earlier rule's does not apply. */
  readonly compress?: Compression | 'none';
}

/** Where a description is made: the values of `{host}` and `{folder}`. */
export interface RuleContext {
  readonly host: string;
  readonly folder: string;
}

export type DescribedFile = Pick<FileState, 'mtimeNs' | 'size'>;

/**
 * Describes the object of a file. Pure: the same path, file, rules and time give the same description.
 * @param nowMs when the file is uploaded: the age of a file is judged then, and not again when it has grown older
 */
export type Describe = (path: string, file: DescribedFile, nowMs: number) => ObjectDescription;

/** What follows the prefix in the key of a file. Pure: the same path, file and rules give the same tail. */
export type TailOf = (path: string, file: DescribedFile) => string;

/** S3 counts tag values in UTF-16 code units, as JavaScript does. */
const tagValueMax = 256;

// Dot files are files. `s`: a name with a line break is matched as any other. Unbalanced brackets and ranges that are
// out of order are errors, where picomatch would go on with a glob that matches nothing.
const globOptions = { dot: true, flags: 's', strictBrackets: true, debug: true } as const;

/** Why a glob cannot be used, as a predicate (`has …`), or undefined. */
export function globProblem(glob: string): string | undefined {
  if (glob.startsWith('/')) return 'begins with /, but paths are relative to the folder; remove it';
  if (/^\.{1,2}\//.test(glob))
    return 'begins with "." or "..", but paths are relative to the folder; remove it';
  if (glob.endsWith('/')) return `matches no file, because it ends with /; write "${glob}**"`;
  try {
    picomatch(glob, globOptions);
    return undefined;
  } catch (error) {
    return `is not a glob (${error instanceof Error ? error.message : String(error)})`;
  }
}

/** True for paths that match one of the globs. */
export function compileGlobs(globs: readonly string[]): (path: string) => boolean {
  return picomatch([...globs], globOptions);
}

/** False for a pattern that is the path of one file. */
export function isGlob(match: string): boolean {
  return picomatch.scan(match).isGlob;
}

/** True for a rule that says nothing of which files it is for. */
export function matchesAll(rule: Rule): boolean {
  const { match, largerThanBytes, smallerThanBytes, olderThanMs, newerThanMs } = rule;
  const limits = [largerThanBytes, smallerThanBytes, olderThanMs, newerThanMs];
  return (match === '**' || match === '**/*') && limits.every((limit) => limit === undefined);
}

/** Every key of SSE-C that the rules name, each once: an object can only be looked at with its own. */
export function customerKeys(rules: readonly Rule[]): string[] {
  const keys = rules.flatMap(({ encryption }) => (encryption?.sse === 'customer' ? [encryption.key] : []));
  return [...new Set(keys)];
}

/** Compiles rules once, for any number of files. */
export function compileRules(rules: readonly Rule[], context: RuleContext): Describe {
  const compiled = rules.map(compileRule);
  return (path, file, nowMs) => {
    const ageMs = nowMs - Number(file.mtimeNs / 1_000_000n);
    const description: Writable<Described> = { tags: {}, metadata: {} };
    for (const { matches, fields } of compiled) {
      if (!matches(path, file.size, ageMs)) continue;
      const { tags, metadata, objectLock } = description;
      Object.assign(description, fields);
      description.tags = { ...tags, ...fields.tags };
      description.metadata = { ...metadata, ...fields.metadata };
      if (objectLock && fields.objectLock) description.objectLock = { ...objectLock, ...fields.objectLock };
    }
    const tags = Object.entries(description.tags).map(([key, value]): [string, string] => [
      key,
      tagValue(value, path, file, context),
    ]);
    return { ...transformed(path, description), tags: Object.fromEntries(tags) };
  };
}

/** True when rules may give a file another tail than its path: then two files may want the same key. */
export function makesKeys(rules: readonly Rule[]): boolean {
  return rules.some((rule) => rule.key !== undefined);
}

/** Compiles what the rules say of keys. */
export function compileTails(rules: readonly Rule[], context: RuleContext): TailOf {
  const compiled = rules.filter((rule) => rule.key !== undefined).map(compileRule);
  return (path, file) => {
    const rule = compiled.findLast(({ matches }) => matches(path, file.size, 0));
    return rule?.key === undefined ? path : fillTail(rule.key, path, file, context);
  };
}

/**
 * A directory that a template has nothing for is left out: of a file that lies in no directory "{dir}/{name}" makes its
 * name, not a key that begins with a slash.
 */
function fillTail(template: string, path: string, file: DescribedFile, context: RuleContext): string {
  const segments = template
    .split('/')
    .map((segment) =>
      fillTemplate(segment, fileTemplates, (name) => templateValues[name](path, file, context)),
    );
  const last = segments.pop() ?? '';
  return [...segments.filter((segment) => segment !== ''), last].join('/');
}

/** What the rules say together. */
type Described = Omit<ObjectDescription, 'compress'> & Pick<Rule, 'compress'>;

/** Tells in the headers too what is done to the content: HTTP knows compression, and nothing of encryption. */
function transformed(path: string, { compress, ...said }: Described): ObjectDescription {
  if (compress === undefined || compress === 'none' || isCompressed(extensionOf(nameOf(path)))) {
    return { contentType: said.recipients ? unknownType : contentTypeOf(path), ...said };
  }
  if (said.recipients) return { contentType: unknownType, ...said, compress };
  const { contentEncoding: before = 'identity' } = said;
  const contentEncoding = before === 'identity' ? compress : `${before},${compress}`;
  return { contentType: contentTypeOf(path), ...said, compress, contentEncoding };
}

/** A file from the future, by its mtime, is as new as can be. */
function compileRule(rule: Rule) {
  const {
    match,
    largerThanBytes = -1,
    smallerThanBytes = Infinity,
    olderThanMs = -Infinity,
    newerThanMs = Infinity,
    key,
    ...fields
  } = rule;
  const matchesPath = compileGlobs([match]);
  const matches = (path: string, size: number, ageMs: number): boolean =>
    size > largerThanBytes &&
    size < smallerThanBytes &&
    ageMs > olderThanMs &&
    ageMs < newerThanMs &&
    matchesPath(path);
  return { matches, key, fields };
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

/** Content-Type by the name's extension; S3's own default for names that say nothing. */
function contentTypeOf(path: string): string {
  // The slash tells mime that this is a path: it takes the bare name `html` for an extension.
  return mime.getType(`/${nameOf(path)}`) ?? unknownType;
}

/** S3's own default. */
const unknownType = 'application/octet-stream';

/**
 * A tag value with its templates filled in, made fit for S3: characters outside its alphabet become `_`, and what is
 * longer than 256 is cut. A file may be called anything, and its name must not make the upload fail.
 */
function tagValue(
  template: string,
  path: string,
  file: Pick<FileState, 'mtimeNs'>,
  context: RuleContext,
): string {
  const filled = fillTemplate(template, fileTemplates, (name) => templateValues[name](path, file, context));
  const fit = filled.toWellFormed().replaceAll(/[^\p{L}\p{Z}\p{N}+\-=._:/@]/gu, '_');
  return fit.slice(0, tagValueMax).replace(/[\ud800-\udbff]$/, '');
}

const templateValues: Readonly<
  Record<FileTemplate, (path: string, file: Pick<FileState, 'mtimeNs'>, context: RuleContext) => string>
> = {
  path: (path) => path,
  dir: directoryOf,
  'dir:1': (path) => directoryAt(path, 1),
  'dir:2': (path) => directoryAt(path, 2),
  'dir:3': (path) => directoryAt(path, 3),
  name: nameOf,
  stem: (path) => stemOf(nameOf(path)),
  ext: (path) => extensionOf(nameOf(path)),
  host: (_path, _file, context) => context.host,
  folder: (_path, _file, context) => context.folder,
  'mtime:yyyy': (_, file) => utc(file).slice(0, 4),
  'mtime:MM': (_, file) => utc(file).slice(5, 7),
  'mtime:dd': (_, file) => utc(file).slice(8, 10),
  'mtime:HH': (_, file) => utc(file).slice(11, 13),
};

/** The n-th directory of a path, from the folder down; empty when it does not lie that deep. */
function directoryAt(path: string, n: number): string {
  return directoryOf(path).split('/')[n - 1] ?? '';
}

/** `gz` of `a.tar.gz`; empty for `Makefile` and `.profile`. Upper and lower case stay as they are. */
function extensionOf(name: string): string {
  const dot = name.lastIndexOf('.');
  return dot <= 0 ? '' : name.slice(dot + 1);
}

/** What stands before the extension: `a.tar` of `a.tar.gz`. */
function stemOf(name: string): string {
  const dot = name.lastIndexOf('.');
  return dot <= 0 ? name : name.slice(0, dot);
}

/** The file's time as `yyyy-MM-ddTHH…` in UTC, within the years that have four digits. */
function utc(file: Pick<FileState, 'mtimeNs'>): string {
  const ms = Number(file.mtimeNs / 1_000_000n);
  return new Date(Math.min(Math.max(ms, yearOneMs), year9999Ms)).toISOString();
}

const yearOneMs = Date.UTC(1970, 0, 1) - 62_135_596_800_000;
const year9999Ms = Date.UTC(9999, 11, 31, 23);

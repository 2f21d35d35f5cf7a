// Rules: what an object is besides its bytes. Every rule that matches applies, later ones win field by field; tags and
// metadata are merged key by key.
import mime from 'mime';
import picomatch from 'picomatch';
import type { FileState } from './file.ts';
import { directoryOf, nameOf } from './key.ts';
import { fillTemplate, tagTemplates } from './template.ts';
import type { TagTemplate } from './template.ts';

export const storageClasses = [
  'STANDARD',
  'REDUCED_REDUNDANCY',
  'STANDARD_IA',
  'ONEZONE_IA',
  'INTELLIGENT_TIERING',
  'GLACIER',
  'DEEP_ARCHIVE',
  'GLACIER_IR',
  'EXPRESS_ONEZONE',
] as const;
type StorageClass = (typeof storageClasses)[number];

/** One rule of the config: which paths, and what their objects get. */
export interface Rule {
  /** Glob over the path, picomatch syntax; `*` does not cross `/`. */
  readonly match: string;
  readonly storageClass?: StorageClass;
  /** Values may hold the templates of `tagTemplates`. */
  readonly tags?: Readonly<Record<string, string>>;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly contentType?: string;
  readonly contentEncoding?: string;
  readonly contentDisposition?: string;
  readonly contentLanguage?: string;
  readonly cacheControl?: string;
}

/** What a PUT says about the object besides its bytes. */
export interface ObjectDescription {
  readonly storageClass?: StorageClass;
  readonly tags: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly contentType?: string;
  readonly contentEncoding?: string;
  readonly contentDisposition?: string;
  readonly contentLanguage?: string;
  readonly cacheControl?: string;
}

/** Where a description is made: the values of `{host}` and `{folder}`. */
export interface RuleContext {
  readonly host: string;
  readonly folder: string;
}

/** Describes the object of a file. Pure: the same path, file and rules give the same description. */
export type Describe = (path: string, file: Pick<FileState, 'mtimeNs'>) => ObjectDescription;

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

/** Compiles rules once, for any number of files. */
export function compileRules(rules: readonly Rule[], context: RuleContext): Describe {
  const compiled = rules.map((rule) => ({ rule, matches: picomatch(rule.match, globOptions) }));
  return (path, file) => {
    const description: Writable<ObjectDescription> = {
      tags: {},
      metadata: {},
      contentType: contentTypeOf(path),
    };
    const tags: Record<string, string> = {};
    const metadata: Record<string, string> = {};
    for (const { rule, matches } of compiled) {
      if (!matches(path)) continue;
      const { match: _, tags: ruleTags, metadata: ruleMetadata, ...fields } = rule;
      Object.assign(description, fields);
      Object.assign(tags, ruleTags);
      Object.assign(metadata, ruleMetadata);
    }
    for (const [key, value] of Object.entries(tags)) tags[key] = tagValue(value, path, file, context);
    return { ...description, tags, metadata };
  };
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

/** Content-Type by the name's extension; S3's own default for names that say nothing. */
function contentTypeOf(path: string): string {
  // The slash tells mime that this is a path: it takes the bare name `html` for an extension.
  return mime.getType(`/${nameOf(path)}`) ?? 'application/octet-stream';
}

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
  const filled = fillTemplate(template, tagTemplates, (name) => templateValues[name](path, file, context));
  const fit = filled.toWellFormed().replaceAll(/[^\p{L}\p{Z}\p{N}+\-=._:/@]/gu, '_');
  return fit.slice(0, tagValueMax).replace(/[\ud800-\udbff]$/, '');
}

const templateValues: Readonly<
  Record<TagTemplate, (path: string, file: Pick<FileState, 'mtimeNs'>, context: RuleContext) => string>
> = {
  path: (path) => path,
  dir: directoryOf,
  name: nameOf,
  ext: (path) => extensionOf(nameOf(path)),
  host: (_path, _file, context) => context.host,
  folder: (_path, _file, context) => context.folder,
  'mtime:yyyy': (_, file) => utc(file).slice(0, 4),
  'mtime:MM': (_, file) => utc(file).slice(5, 7),
  'mtime:dd': (_, file) => utc(file).slice(8, 10),
  'mtime:HH': (_, file) => utc(file).slice(11, 13),
};

/** `gz` of `a.tar.gz`; empty for `Makefile` and `.profile`. Upper and lower case stay as they are. */
function extensionOf(name: string): string {
  const dot = name.lastIndexOf('.');
  return dot <= 0 ? '' : name.slice(dot + 1);
}

/** The file's time as `yyyy-MM-ddTHH…` in UTC, within the years that have four digits. */
function utc(file: Pick<FileState, 'mtimeNs'>): string {
  const ms = Number(file.mtimeNs / 1_000_000n);
  return new Date(Math.min(Math.max(ms, yearOneMs), year9999Ms)).toISOString();
}

const yearOneMs = Date.UTC(1970, 0, 1) - 62_135_596_800_000;
const year9999Ms = Date.UTC(9999, 11, 31, 23);

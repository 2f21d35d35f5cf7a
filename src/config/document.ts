// The YAML text of a config with the place of every key and value in it, so that whoever finds a problem in the plain
// value can point at the line and column. Aliases and `${…}` are resolved here; nothing else is interpreted.
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type { Document, Node, Scalar } from 'yaml';
import { expand } from './expand.ts';
import type { Environment, Secrecy } from './expand.ts';
import type { Problem } from './problem.ts';

/** Keys and indexes from the top of the file to a value. */
export type Path = readonly PropertyKey[];

/** A config file as it was read. */
export interface ConfigDocument {
  /** Mappings without prototype, lists, texts, numbers, booleans and null. */
  readonly value: unknown;
  /** What is wrong with the YAML itself or with an expansion. */
  readonly problems: readonly Problem[];
  /** The YAML can be read, so that it is worth looking at the value. */
  readonly readable: boolean;
  /** A problem with the value at a path, or with its key; for a key that is missing, at the mapping that lacks it. */
  problemAt(path: Path, message: string, part?: 'key' | 'value'): Problem;
  /** The value at a path as the file has it: what came by an expansion is never shown. */
  quote(path: Path): string;
  /** False where an expansion failed: the value is unknown and its problem reported. */
  resolved(path: Path): boolean;
  /** False when an expansion failed at the path or anywhere below it. */
  resolvedWithin(path: Path): boolean;
  /** The value at a path; undefined when there is none. */
  valueAt(path: Path): unknown;
  /** Where the key of a path stands, to sort by: mappings with numeric keys lose the order of the file. */
  offsetOf(path: Path): number;
}

// A config has a few hundred nodes: these bounds stop aliases of aliases and endless nesting, nothing else.
const nodesMax = 100_000;
const depthMax = 50;

/** `left-out`: who only asks the daemon or the journal need not be able to read them. */
export type Secrets = 'needed' | 'left-out';

interface Place {
  readonly keyOffset: number;
  readonly valueOffset: number;
  readonly quoted: string;
}

/** Reads YAML 1.2: keys unique, no merge keys, no tags of its own, one document. */
export function parseConfig(
  file: string,
  text: string,
  env: Environment,
  secrets: Secrets = 'needed',
): ConfigDocument {
  const lines = new LineCounter();
  const yaml = parseDocument(text, {
    version: '1.2',
    strict: true,
    uniqueKeys: true,
    stringKeys: true,
    merge: false,
    resolveKnownTags: false,
    prettyErrors: false,
    lineCounter: lines,
    logLevel: 'error',
  });
  const places = new Map<string, Place>();
  const unresolved = new Set<string>();
  const problems: Problem[] = [];

  const problemAtOffset = (offset: number, message: string): Problem => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(1, line), column: Math.max(1, col), message };
  };
  const readable = reportSyntax(yaml, text, (offset, message) =>
    problems.push(problemAtOffset(offset, message)),
  );

  let nodes = 0;
  // Nodes are met in the order of the file, so an alias finds the last anchor before it.
  const anchors = new Map<string, Node>();
  const refuse = (path: Path, offset: number, message: string): null => {
    unresolved.add(keyOf(path));
    problems.push(problemAtOffset(offset, `${dotted(path)}${message}`));
    return null;
  };

  /** Plain value of a node, with its place noted. `within` holds the anchors that are being resolved. */
  function toValue(node: Node | null, path: Path, keyOffset: number, within: readonly Node[]): unknown {
    const valueOffset = node?.range?.[0] ?? keyOffset;
    places.set(keyOf(path), {
      keyOffset,
      valueOffset,
      quoted: secrecyOf(path) === 'open' ? quoteNode(node) : 'the value',
    });
    if (++nodes > nodesMax || path.length > depthMax) {
      if (nodes > nodesMax + 1) return null;
      nodes = nodesMax + 1;
      return refuse(path, valueOffset, 'the aliases or the nesting of this file are too large');
    }
    if (isAlias(node)) {
      const target = anchors.get(node.source);
      if (!target)
        return refuse(path, valueOffset, `alias *${node.source} has no anchor &${node.source} before it`);
      if (within.includes(target)) return refuse(path, valueOffset, `alias *${node.source} contains itself`);
      return toValue(target, path, keyOffset, [...within, target]);
    }
    if (node?.anchor) anchors.set(node.anchor, node);
    const inside = node && !isScalar(node) ? [...within, node] : within;
    if (isMap<Scalar<string>, Node>(node)) {
      // Without a prototype, so that a key `__proto__` is a key as any other.
      const result: Record<string, unknown> = { __proto__: null };
      for (const { key, value } of node.items) {
        result[key.value] = toValue(value, [...path, key.value], key.range?.[0] ?? valueOffset, inside);
      }
      return result;
    }
    if (isSeq<Node>(node)) {
      return node.items.map((item, index) =>
        toValue(item, [...path, index], item?.range?.[0] ?? valueOffset, inside),
      );
    }
    if (!isScalar(node)) return null;
    return expanded(node, path, valueOffset);
  }

  function expanded(node: Scalar, path: Path, offset: number): unknown {
    if (typeof node.value !== 'string') return node.value;
    const secrecy = secrecyOf(path);
    if (secrets === 'left-out' && secrecy !== 'open' && node.value.includes('${')) {
      // A text that is no key would be refused; a rule can do without its key.
      return secrecy === 'key' ? undefined : secrets;
    }
    const expansion = expand(node.value, env, secrecy);
    if (expansion.kind === 'literal') return node.value;
    if (expansion.kind === 'problem') return refuse(path, offset, expansion.message);
    // As YAML would have it: a plain `true` is a boolean, a quoted one is text.
    if (node.type === 'PLAIN' && expansion.value === 'true') return true;
    if (node.type === 'PLAIN' && expansion.value === 'false') return false;
    return expansion.value;
  }

  const value = readable ? toValue(yaml.contents, [], 0, []) : null;

  function placeOf(path: Path): { place: Place; missing: boolean } {
    for (let length = path.length; length >= 0; length--) {
      const place = places.get(keyOf(path.slice(0, length)));
      if (place) return { place, missing: length < path.length };
    }
    return { place: { keyOffset: 0, valueOffset: 0, quoted: 'nothing' }, missing: true };
  }

  return {
    value,
    problems,
    readable,
    problemAt(path, message, part = 'value') {
      const { place, missing } = placeOf(path);
      const offset = missing || part === 'key' ? place.keyOffset : place.valueOffset;
      return problemAtOffset(offset, `${dotted(path)}${message}`);
    },
    quote: (path) => places.get(keyOf(path))?.quoted ?? 'nothing',
    resolved: (path) => !unresolved.has(keyOf(path)),
    // The key of a path begins with that of the path above it, without the closing bracket.
    resolvedWithin: (path) => {
      const above = keyOf(path).slice(0, -1);
      return ![...unresolved].some((key) => key === `${above}]` || key.startsWith(`${above},`));
    },
    valueAt: (path) =>
      path.reduce<unknown>(
        (inner, key) => (Array.isArray(inner) ? inner[Number(key)] : asMapping(inner)[String(key)]),
        value,
      ),
    offsetOf: (path) => placeOf(path).place.keyOffset,
  };
}

/** The value as a mapping; an empty one when it is anything else. */
export function asMapping(value: unknown): Readonly<Record<string, unknown>> {
  return isMapping(value) ? value : {};
}

/** True for a mapping of keys and values. */
export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Reports what the YAML parser found; false when the text cannot be used. */
function reportSyntax(
  yaml: Document,
  text: string,
  report: (offset: number, message: string) => void,
): boolean {
  const repeated = yaml.errors.filter((error) => error.code === 'DUPLICATE_KEY');
  for (const error of repeated) {
    const key = /^[^\s:]+/.exec(text.slice(error.pos[0]))?.[0] ?? '';
    report(error.pos[0], `key ${JSON.stringify(key)} stands twice in this mapping; keep one`);
  }
  for (const warning of yaml.warnings)
    report(warning.pos[0], `${warning.message}; tags are not supported, remove it`);
  const version = yaml.directives?.yaml;
  if (version?.explicit && version.version !== '1.2') {
    report(
      0,
      `YAML ${version.version} is not supported; remove the %YAML line, the file is read as YAML 1.2`,
    );
  }
  // After the first syntax error the parser has lost its way, and what it goes on to say misleads.
  const error = yaml.errors.find(({ code }) => code !== 'DUPLICATE_KEY');
  if (error?.code === 'MULTIPLE_DOCS')
    report(error.pos[0], 'a second document begins here; a config file has one');
  else if (error) report(error.pos[0], `not valid YAML: ${error.message}${hintAt(text, error.pos[0])}`);
  return !error;
}

/** The two mistakes that every author makes once: braces begin a mapping unless they are quoted. */
function hintAt(text: string, offset: number): string {
  const start = text.lastIndexOf('\n', offset - 1) + 1;
  const line = text.slice(start, (text.indexOf('\n', offset) + 1 || text.length + 1) - 1);
  if (/\$\{/.test(line)) return ' (quote "${…}" inside { } or [ ])';
  if (/:\s*\{\w+[}:]/.test(line)) return ' (quote a value that begins with { as in "{host}/")';
  return '';
}

/** A value as it stands in the file, cut short, without the password of a URL. */
function quoteNode(node: Node | null): string {
  if (isMap(node)) return 'a mapping';
  if (isSeq(node)) return 'a list';
  if (isAlias(node)) return `*${node.source}`;
  if (!isScalar(node) || node.value === null) return 'nothing';
  const text =
    typeof node.value === 'string' ? JSON.stringify(node.value) : (node.source ?? JSON.stringify(node.value));
  // What should not be there at all is not repeated: a password in a URL, a private key of age.
  return shortened(text.replace(/\/\/[^/@]*@/, '//…@').replace(/(AGE-SECRET-KEY-)[^"]*/i, '$1…'));
}

function shortened(text: string): string {
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

function secrecyOf(path: Path): Secrecy {
  if (path[0] === 'destinations' && path[2] === 'credentials') return 'secret';
  return path[0] === 'folders' && path[2] === 'rules' && path[4] === 'sse-customer-key' ? 'key' : 'open';
}

function keyOf(path: Path): string {
  return JSON.stringify(path);
}

/** `folders.documents.rules[0].match: `, with a key that would be misread in quotes. */
function dotted(path: Path): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else
      text += `${text === '' ? '' : '.'}${/^[\w-]+$/.test(String(part)) ? String(part) : JSON.stringify(String(part))}`;
  }
  return text === '' ? '' : `${text}: `;
}

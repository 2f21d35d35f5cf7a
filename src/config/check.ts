// Checks across the parts of a config, and against the file system as it is now. Problems refuse the config; warnings are
// for what works but is probably not meant.
import { realpathSync, statSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { makeFilter } from '../core/filter.ts';
import { checkCredentials } from './check-credentials.ts';
import { checkRules, checkSelector } from './check-rules.ts';
import { isInTheOpen, routePrefix } from './config.ts';
import type { DestinationConfig, FolderConfig } from './config.ts';
import { asMapping, isMapping } from './document.ts';
import type { ConfigDocument, Path, Secrets } from './document.ts';
import type { ConfigParts } from './effective.ts';
import { problem, warning, type Finding } from './finding.ts';
import { didYouMean } from './problem.ts';
import type { Problem } from './problem.ts';
import { readTextFile } from './text-file.ts';
import { formatDuration } from './units.ts';

/**
 * Everything that is wrong or doubtful about parts that are valid by themselves.
 * @param nowMs what is in the past is refused
 * @param secrets whether files with secrets must be there to be read
 */
export function checkConfig(
  document: ConfigDocument,
  parts: ConfigParts,
  nowMs: number,
  secrets: Secrets,
): { problems: Problem[]; warnings: Problem[] } {
  const findings = [
    ...[...parts.destinations.values()].flatMap((destination) => [
      ...checkDestination(destination),
      ...checkCredentials(destination, secrets),
    ]),
    ...parts.folders.flatMap((folder) => [
      ...checkRoot(folder),
      ...checkPolicies(document, folder),
      ...checkTimes(document, folder),
      ...checkPatterns(document, folder),
      ...checkRules(folder, parts.destinations, nowMs),
      ...folder.to.flatMap(({ when }, index) =>
        when ? [...checkSelector(when, folder, [...entryPath(document, folder, index), 'when'])] : [],
      ),
    ]),
    ...checkDestinationNames(document, parts.destinationNames),
    ...checkStateDir(parts),
    ...checkNesting(parts.folders),
    ...checkSharedKeys(document, parts),
    ...checkArchives(document, parts),
    ...checkUse(document, parts),
  ];
  const at = ({ path, message, part }: Finding) => document.problemAt(path, message, part);
  return {
    problems: findings.filter(({ kind }) => kind === 'problem').map(at),
    warnings: findings.filter(({ kind }) => kind === 'warning').map(at),
  };
}

function* checkDestination(destination: DestinationConfig): Iterable<Finding> {
  const at = (key: string): Path => ['destinations', destination.name, key];
  const { prefix, endpoint } = destination;
  if (prefix !== '' && !prefix.endsWith('/')) {
    yield warning(
      at('prefix'),
      `does not end with /, so the key of a.txt is "${prefix}a.txt"; end it with / if that is not meant`,
    );
  }
  if (endpoint !== undefined) {
    if (isInTheOpen(destination)) {
      yield warning(
        at('endpoint'),
        'is not encrypted: everybody on the way can read the files; use https:// if the store has it',
      );
    }
    for (const key of ['accelerate', 'dualstack', 'fips'] as const) {
      if (destination[key])
        yield problem(
          at(key),
          'chooses an endpoint of Amazon S3, but there is an endpoint already; remove one of them',
          'key',
        );
    }
  }
  if (destination.accelerate && destination.pathStyle && endpoint === undefined) {
    yield problem(at('accelerate'), 'works with host names only; remove path-style or accelerate', 'key');
  }
  if (destination.accelerate && destination.bucket.includes('.')) {
    yield problem(
      at('accelerate'),
      'does not work with a bucket that has a dot in its name; remove it',
      'key',
    );
  }
  if (destination.accelerate && destination.fips) {
    yield problem(at('accelerate'), 'has no FIPS endpoints; remove accelerate or fips', 'key');
  }
  if (destination.caFile !== undefined) {
    const read = readTextFile(destination.caFile, caBytesMax);
    if (read.kind === 'unreadable') {
      yield problem(at('ca-file'), `cannot read ${destination.caFile} (${read.code})`);
    } else if (!read.text.includes('-----BEGIN CERTIFICATE-----')) {
      yield problem(
        at('ca-file'),
        `${destination.caFile} has no certificate in PEM form ("-----BEGIN CERTIFICATE-----")`,
      );
    }
  }
}

// The bundle of all public authorities has 220 KB.
const caBytesMax = 4 * 1024 * 1024;

/** A folder that does not exist is no error: a disk may be mounted later, and status tells of it. */
function* checkRoot(folder: FolderConfig): Iterable<Finding> {
  const at: Path = ['folders', folder.name, 'path'];
  if (folder.path === '/') {
    yield problem(at, 'is the whole file system, devices and secrets included; name a directory in it');
  } else if (typeOf(folder.path) === 'other') {
    yield problem(at, `${folder.path} is not a directory; name the directory that holds the files`);
  }
}

/** `aws s3 sync` compares with the time of the upload, which says nothing of who changed what. */
function* checkPolicies(document: ConfigDocument, folder: FolderConfig): Iterable<Finding> {
  const seen = new Set<string>();
  for (const [index, { policy, compare }] of folder.to.entries()) {
    if (compare !== 'aws' || (policy !== 'if-unchanged' && policy !== 'newer-wins')) continue;
    const own = ['compare', 'policy'].map((key): Path => [...entryPath(document, folder, index), key]);
    const at = own.find((path) => document.valueAt(path) !== undefined) ?? [
      'folders',
      folder.name,
      'compare',
    ];
    if (seen.has(at.join())) continue;
    seen.add(at.join());
    yield problem(
      at,
      `compare: aws knows only when an object was uploaded, by which policy: ${policy} cannot tell who changed what; compare by content or size-and-time, or use policy: overwrite`,
    );
  }
}

// A scan of a large folder takes seconds: below a minute the daemon would do little else.
const rescanWarnMs = 60_000;
const rescanMinMs = 1_000;
const graceWarnMs = 1_000;

function* checkTimes(document: ConfigDocument, folder: FolderConfig): Iterable<Finding> {
  const at = (key: string): Path => ['folders', folder.name, key];
  if (folder.settleMs > folder.settleMaxMs) {
    yield problem(
      at(document.valueAt(at('settle')) === undefined ? 'settle-max' : 'settle'),
      `settle, ${formatDuration(folder.settleMs)}, is longer than settle-max, ${formatDuration(folder.settleMaxMs)}; make settle-max the longer one`,
    );
  }
  if (folder.to.some(({ delete: mode }) => mode !== 'keep') && folder.deleteGraceMs < graceWarnMs) {
    yield warning(
      at('delete-grace'),
      'is less than 1s: a program that saves a file by deleting it first may take longer to write it anew; 5s is usual',
    );
  }
  if (folder.rescanMs < rescanMinMs) {
    yield problem(at('rescan'), 'is less than 1s, and the folder would be scanned all the time; 1h is usual');
  } else if (folder.rescanMs < rescanWarnMs) {
    yield warning(
      at('rescan'),
      'is less than a minute, which keeps a large folder scanning all the time; 1h is usual',
    );
  }
}

function* checkPatterns(document: ConfigDocument, folder: FolderConfig): Iterable<Finding> {
  for (const key of ['include', 'exclude'] as const) {
    const isList = Array.isArray(document.valueAt(['folders', folder.name, key]));
    for (const [index, pattern] of folder[key].entries()) {
      const fault = patternProblem(pattern, folder);
      if (fault)
        yield problem(
          ['folders', folder.name, key, ...(isList ? [index] : [])],
          `${JSON.stringify(pattern)} ${fault}`,
        );
    }
  }
}

/** Patterns that gitignore takes without a word and that never match anything. */
function patternProblem(pattern: string, folder: FolderConfig): string | undefined {
  const body = pattern.replace(/^!/, '');
  if (body.trim() === '') return 'is empty; remove it';
  if (pattern.startsWith('#')) return String.raw`is a comment; write \# for a name that begins with #`;
  if (body === folder.path || body.startsWith(`${folder.path}/`)) {
    return `is never matched, for patterns are relative to the folder; remove ${folder.path} from it`;
  }
  if (/^\.{1,2}\//.test(body))
    return 'is never matched, for paths do not begin with "." or ".."; begin with / for the folder itself';
  if (/(?<!\\)(\\\\)*\\$/.test(body))
    return 'ends with a backslash that escapes nothing; remove it or write two';
  return undefined;
}

function* checkDestinationNames(document: ConfigDocument, known: readonly string[]): Iterable<Finding> {
  const seen = new Set<string>();
  for (const { folder, name, path } of namedDestinations(document)) {
    const route = JSON.stringify([folder, name]);
    if (!known.includes(name)) {
      const guess = known.length === 0 ? '' : didYouMean(name, known) || `; known are ${known.join(', ')}`;
      yield problem(path, `${JSON.stringify(name)} is not under destinations${guess}`);
    } else if (seen.has(route)) {
      yield problem(path, `${JSON.stringify(name)} stands in this list already; remove one`);
    }
    seen.add(route);
  }
}

/** Every destination that a folder names, also a folder that is wrong in other ways. */
function* namedDestinations(
  document: ConfigDocument,
): Iterable<{ folder: string; name: string; path: Path }> {
  for (const folder of Object.keys(asMapping(document.valueAt(['folders'])))) {
    const path = ['folders', folder, 'to'];
    const to = document.valueAt(path);
    const entries = Array.isArray(to) ? to.map((_, index) => [...path, index]) : [path];
    for (const entry of entries) {
      const at = namePath(document, entry);
      const name = document.valueAt(at);
      if (typeof name === 'string' && document.resolved(at)) yield { folder, name, path: at };
    }
  }
}

/** Where an entry of `to` stands: it is a list or a single entry. */
function entryPath(document: ConfigDocument, folder: FolderConfig, index: number): Path {
  const to: Path = ['folders', folder.name, 'to'];
  return Array.isArray(document.valueAt(to)) ? [...to, index] : to;
}

/** Where an entry names its destination: it is the name, or a mapping with it. */
function namePath(document: ConfigDocument, entry: Path): Path {
  return isMapping(document.valueAt(entry)) ? [...entry, 'destination'] : entry;
}

function* checkStateDir({ stateDir, folders }: ConfigParts): Iterable<Finding> {
  if (stateDir === undefined) return;
  if (typeOf(stateDir) === 'other')
    yield problem(
      ['state-dir'],
      `${stateDir} is not a directory; name one, or a path that does not exist yet`,
    );
  for (const folder of folders) {
    // Refused already, and everything lies within it.
    if (folder.path === '/') continue;
    const at: Path = ['folders', folder.name, 'path'];
    if (isWithin(stateDir, folder.path)) {
      yield problem(
        at,
        `${folder.path} holds the state directory ${stateDir}, whose journal would be synced for ever; put state-dir elsewhere`,
      );
    } else if (isWithin(folder.path, stateDir)) {
      yield problem(
        at,
        `${folder.path} is within the state directory ${stateDir}, which is the daemon's own; put the folder elsewhere`,
      );
    }
  }
}

/** A file in two folders of one destination is uploaded twice, and deleted by one while the other still has it. */
function* checkNesting(folders: readonly FolderConfig[]): Iterable<Finding> {
  for (const [index, folder] of folders.entries()) {
    for (const other of folders.slice(0, index)) {
      const shared = folder.to
        .map(({ destination }) => destination)
        .find((name) => other.to.some(({ destination }) => destination === name));
      if (shared === undefined || folder.path === '/' || other.path === '/') continue;
      const at: Path = ['folders', folder.name, 'path'];
      const [inner, outer] = isWithin(folder.path, other.path) ? [folder, other] : [other, folder];
      const below = pathWithin(inner.path, outer.path);
      if (below === undefined) continue;
      if (below === '') {
        yield problem(
          at,
          `is the path of folder "${other.name}" too, and both go to "${shared}"; keep one of them`,
        );
      } else if (!makeFilter(outer).excludesDirectory(below)) {
        yield problem(
          at,
          `folder "${inner.name}" lies within folder "${outer.name}" and both go to "${shared}", so its files would be uploaded twice; add "/${below}/" to exclude of "${outer.name}"`,
        );
      }
    }
  }
}

/** Files of one path in folders whose keys begin alike have the same key: one of them is a conflict. */
function* checkSharedKeys(
  document: ConfigDocument,
  { folders, destinations }: ConfigParts,
): Iterable<Finding> {
  const first = new Map<string, { folder: string; destination: string }>();
  for (const folder of folders) {
    for (const [index, { destination: name }] of folder.to.entries()) {
      const destination = destinations.get(name);
      if (!destination || folder.to.findIndex((route) => route.destination === name) < index) continue;
      const prefix = routePrefix(destination, folder);
      const place = JSON.stringify([storeOf(destination), prefix]);
      const other = first.get(place);
      if (other) {
        yield warning(
          namePath(document, entryPath(document, folder, index)),
          other.folder === folder.name
            ? `"${name}" and "${other.destination}" are the same bucket and prefix; keep one of them`
            : `folders "${other.folder}" and "${folder.name}" have the same keys in bucket ${destination.bucket}, and files of the same path would conflict; put {folder}/ into the prefix of "${name}"`,
        );
      } else {
        first.set(place, { folder: folder.name, destination: name });
      }
    }
  }
}

/** An archived object within a prefix that is synced would be taken for a file's; it could be replaced, or pruned. */
function* checkArchives(document: ConfigDocument, { folders, destinations }: ConfigParts): Iterable<Finding> {
  const places = folders.flatMap((folder) =>
    folder.to.flatMap(({ destination: name }) => {
      const destination = destinations.get(name);
      return destination
        ? [{ folder, store: storeOf(destination), prefix: routePrefix(destination, folder) }]
        : [];
    }),
  );
  for (const folder of folders) {
    const { archivePrefix } = folder;
    for (const [index, { delete: mode, destination: name }] of folder.to.entries()) {
      const destination = destinations.get(name);
      if (mode !== 'archive' || !destination) continue;
      const place = places.find(
        ({ store, prefix }) =>
          store === storeOf(destination) &&
          (archivePrefix.startsWith(prefix) || prefix.startsWith(archivePrefix)),
      );
      if (!place) continue;
      const own: Path = [...entryPath(document, folder, index), 'delete'];
      const at = [['folders', folder.name, 'archive-prefix'], own].find(
        (path) => document.valueAt(path) !== undefined,
      );
      const where = place.prefix === '' ? 'the whole bucket' : JSON.stringify(place.prefix);
      yield problem(
        at ?? ['folders', folder.name, 'delete'],
        `what is archived, to ${JSON.stringify(archivePrefix)} in bucket ${destination.bucket}, would lie where folder ` +
          `"${place.folder.name}" is synced to, ${where}; ` +
          (place.prefix === '' ? `give destination "${name}" a prefix` : 'name another archive-prefix'),
      );
      break;
    }
  }
}

function storeOf({ endpoint, bucket }: DestinationConfig): string {
  return JSON.stringify([endpoint?.replace(/\/$/, ''), bucket]);
}

function* checkUse(document: ConfigDocument, { destinationNames }: ConfigParts): Iterable<Finding> {
  const used = new Set([...namedDestinations(document)].map(({ name }) => name));
  for (const name of destinationNames) {
    if (!used.has(name))
      yield warning(
        ['destinations', name],
        'is used by no folder; name it in "to" of one or remove it',
        'key',
      );
  }
}

function typeOf(path: string): 'directory' | 'other' | 'absent' {
  try {
    return statSync(path).isDirectory() ? 'directory' : 'other';
  } catch {
    // Not there, or not to be seen from here: what that means is found out at run time.
    return 'absent';
  }
}

function isWithin(inner: string, outer: string): boolean {
  return pathWithin(inner, outer) !== undefined;
}

/** The path of one directory within another, symbolic links resolved; '' when they are the same. */
function pathWithin(inner: string, outer: string): string | undefined {
  const path = relative(realPath(outer), realPath(inner));
  return path === '..' || path.startsWith(`..${sep}`) ? undefined : path;
}

/** The path without symbolic links, as far as it exists. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    const parent = dirname(path);
    return parent === path ? path : join(realPath(parent), path.slice(parent.length));
  }
}

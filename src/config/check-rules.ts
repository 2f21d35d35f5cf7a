// Checks of a folder's rules: together, with its destinations, and with what S3 charges.
import { metadataBytes, metadataBytesMax, tagsMax, type StorageClass } from '../core/description.ts';
import { globProblem, isGlob, matchesAll, type Rule } from '../core/rules.ts';
import type { Selector } from '../core/selector.ts';
import { isInTheOpen } from './config.ts';
import type { DestinationConfig, FolderConfig } from './config.ts';
import type { Path } from './document.ts';
import { problem, warning, type Finding } from './finding.ts';
import { formatDuration, formatSize } from './units.ts';

/**
 * What the daemon itself writes beside the rules' metadata: mtime, mode, uid, gid and s3syncd-write need up to 140 bytes, what
 * a transformed object says of its content up to 144 more.
 */
const ruleMetadataBytesMax = metadataBytesMax - 284;

/** @param nowMs a retention that ends before is refused */
export function* checkRules(
  folder: FolderConfig,
  destinations: ReadonlyMap<string, DestinationConfig>,
  nowMs: number,
): Iterable<Finding> {
  const used = folder.to.flatMap(({ destination }) => destinations.get(destination) ?? []);
  for (const [index, rule] of folder.rules.entries()) {
    const at = (key: string): Path => ['folders', folder.name, 'rules', index, key];
    yield* checkMatch(rule, at);
    yield* checkKey(rule, at);
    yield* checkAmounts(rule, at);
    yield* checkStorageClass(rule, folder, used, at);
    yield* checkProtection(rule, used, nowMs, at);
  }
  yield* checkTagsTogether(folder);
}

/** A destination that would never get a file is a mistake, and one that is noticed late. */
export function* checkSelector(selector: Selector, { rules }: FolderConfig, path: Path): Iterable<Finding> {
  const at: At = (key) => [...path, key];
  for (const glob of selector.match ?? []) {
    const fault = globProblem(glob);
    if (fault) yield problem(at('match'), `${JSON.stringify(glob)} ${fault}`);
  }
  yield* checkSizes(selector, at);
  for (const [tag, values] of Object.entries(selector.tags ?? {})) {
    const given = rules.flatMap(({ tags = {} }) => (Object.hasOwn(tags, tag) ? [tags[tag]!] : []));
    const may = given.some((value) => value.includes('{') || values.includes(value));
    if (given.length === 0) {
      yield problem(
        [...at('tags'), tag],
        'no rule of this folder gives a file this tag, so none would go there; add a rule, or correct the name',
        'key',
      );
    } else if (!may) {
      const known = given.map((value) => JSON.stringify(value)).join(', ');
      yield problem(
        [...at('tags'), tag],
        `the rules of this folder give this tag other values (${known}), so no file would go there; correct one of them`,
      );
    }
  }
}

type At = (key: string) => Path;

function* checkMatch(rule: Rule, at: At): Iterable<Finding> {
  const fault = globProblem(rule.match);
  if (fault) yield problem(at('match'), `${JSON.stringify(rule.match)} ${fault}`);
  yield* checkSizes(rule, at);
  const { olderThanMs, newerThanMs } = rule;
  if (olderThanMs !== undefined && newerThanMs !== undefined && newerThanMs <= olderThanMs) {
    yield problem(
      at('older-than'),
      `no file is older than ${formatDuration(olderThanMs)} and newer than ${formatDuration(newerThanMs)}; make newer-than the longer one`,
    );
  }
}

function* checkSizes(
  { largerThanBytes, smallerThanBytes }: Pick<Rule, 'largerThanBytes' | 'smallerThanBytes'>,
  at: At,
): Iterable<Finding> {
  if (
    largerThanBytes !== undefined &&
    smallerThanBytes !== undefined &&
    smallerThanBytes - largerThanBytes < 2
  ) {
    yield problem(
      at('larger-than'),
      `no file is larger than ${formatSize(largerThanBytes)} and smaller than ${formatSize(smallerThanBytes)}; make smaller-than the larger one`,
    );
  }
}

function* checkKey({ match, key }: Rule, at: At): Iterable<Finding> {
  if (key === undefined || /\{(path|name|stem)\}/.test(key) || !isGlob(match)) return;
  yield warning(
    at('key'),
    'has neither {path}, {name} nor {stem} in it: of all files that get the same key only the first is uploaded; add one of them',
  );
}

function* checkAmounts({ tags = {}, metadata = {} }: Rule, at: At): Iterable<Finding> {
  const count = Object.keys(tags).length;
  if (count > tagsMax) {
    yield problem(
      at('tags'),
      `has ${count} tags; S3 allows ${tagsMax} for an object, remove ${count - tagsMax}`,
      'key',
    );
  }
  const bytes = metadataBytes(metadata);
  if (bytes > ruleMetadataBytesMax) {
    yield problem(
      at('metadata'),
      `has ${bytes} bytes of names and values; S3 leaves room for ${ruleMetadataBytesMax}, shorten it`,
      'key',
    );
  }
}

const KiB = 1024;

/** What classes charge at least. Amazon S3 user guide, "Understanding and managing Amazon S3 storage classes". */
const charges: Readonly<Partial<Record<StorageClass, { readonly small?: string; readonly days: number }>>> = {
  STANDARD_IA: { small: 'bills a smaller object as 128KiB', days: 30 },
  ONEZONE_IA: { small: 'bills a smaller object as 128KiB', days: 30 },
  GLACIER_IR: { small: 'bills a smaller object as 128KiB', days: 90 },
  GLACIER: {
    small: 'bills every object for 40KiB more, and for a request that costs many times the usual',
    days: 90,
  },
  DEEP_ARCHIVE: {
    small: 'bills every object for 40KiB more, and for a request that costs many times the usual',
    days: 180,
  },
};
const smallBytes = 128 * KiB;
/** Files that change within a month are so usual in what is kept in these classes that there is nothing to warn of. */
const daysWarn = 90;

function* checkStorageClass(
  { storageClass, largerThanBytes = 0, olderThanMs }: Rule,
  { to }: FolderConfig,
  used: readonly DestinationConfig[],
  at: At,
): Iterable<Finding> {
  if (storageClass === undefined) return;
  const replaces = to.some(({ policy }) => policy !== 'skip-existing');
  const charge = charges[storageClass];
  if (charge?.small !== undefined && largerThanBytes < smallBytes - 1) {
    yield warning(
      at('storage-class'),
      `${storageClass} ${charge.small}; add "larger-than: ${formatSize(smallBytes)}" to leave small files out`,
    );
  }
  if (charge && charge.days >= daysWarn && olderThanMs === undefined && replaces) {
    yield warning(
      at('storage-class'),
      `${storageClass} bills every object for ${charge.days} days, also one that is replaced before; add older-than to leave out files that still change, or let a lifecycle rule of the bucket move them`,
    );
  }
  if (storageClass === 'REDUCED_REDUNDANCY')
    yield warning(at('storage-class'), 'REDUCED_REDUNDANCY costs more than STANDARD and keeps less safely');
  if (storageClass === 'EXPRESS_ONEZONE') {
    const other = used.find(({ bucket, endpoint }) => endpoint === undefined && !bucket.endsWith('--x-s3'));
    if (other) {
      yield problem(
        at('storage-class'),
        `EXPRESS_ONEZONE is for directory buckets, whose names end in --x-s3, and ${other.bucket} is none; choose another class`,
      );
    }
  }
}

function* checkProtection(
  { encryption, objectLock, checksum }: Rule,
  used: readonly DestinationConfig[],
  nowMs: number,
  at: At,
): Iterable<Finding> {
  const open = used.find(isInTheOpen);
  if (encryption?.sse === 'customer' && open) {
    yield problem(
      at('sse-customer-key'),
      `the key would be sent to "${open.name}" for everybody on the way to read; use https:// for its endpoint`,
      'key',
    );
  }
  if (!objectLock) return;
  const until = objectLock.retention?.until;
  if (until?.kind === 'at' ? until.atMs <= nowMs : until?.durationMs === 0) {
    yield problem([...at('object-lock'), 'retain'], 'ends in the past; name a duration or a date to come');
  }
  const without = used.find((destination) => (checksum ?? destination.checksum) === 'none');
  if (without) {
    yield problem(
      at('object-lock'),
      checksum === 'none'
        ? 'needs a checksum: S3 locks nothing that comes without; remove "checksum: none"'
        : `needs a checksum: S3 locks nothing that comes without, and "${without.name}" has "checksum: none"; add "checksum: crc32" here`,
      'key',
    );
  }
}

/** A rule without limits is for every file: with its tags, those of another are too many for each file it is for. */
function* checkTagsTogether({ name, rules }: FolderConfig): Iterable<Finding> {
  const common = new Set<string>();
  const all = new Set<string>();
  let found = false;
  for (const [index, rule] of rules.entries()) {
    const tags = Object.keys(rule.tags ?? {});
    const together = new Set([...common, ...tags]);
    if (tags.length <= tagsMax && tags.length > 0 && together.size > tagsMax) {
      found = true;
      yield problem(
        ['folders', name, 'rules', index, 'tags'],
        `has ${together.size} tags with those of the rules above that are for every file; S3 allows ${tagsMax} for an object, remove ${together.size - tagsMax}`,
        'key',
      );
    }
    found ||= tags.length > tagsMax;
    for (const tag of tags) {
      all.add(tag);
      if (matchesAll(rule)) common.add(tag);
    }
  }
  if (all.size > tagsMax && !found) {
    yield warning(
      ['folders', name, 'rules'],
      `have ${all.size} tags in all; S3 refuses an object with more than ${tagsMax}, and a file that gets that many fails`,
      'key',
    );
  }
}

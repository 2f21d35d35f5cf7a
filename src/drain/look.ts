// Look: gathers the facts that `decide` asks for, and no others. An unchanged path costs an lstat and no request.
import { decide, type Content, type Facts } from '../core/decide.ts';
import type { Action } from '../core/action.ts';
import type { OpenConflict } from '../core/conflict.ts';
import type { Baseline } from '../core/baseline.ts';
import { sameFingerprint, type FileState, type Local } from '../core/file.ts';
import { keyFor, type KeyResult } from '../core/key.ts';
import { comparableChecksum, type Checksum, type Remote } from '../core/object.ts';
import type { Origin } from '../core/origin.ts';
import { transformName } from '../core/transform.ts';
import type { ListedObject } from '../journal/journal.ts';
import { checksumLike } from '../transfer/checksum.ts';
import { look, openFile, pieces } from '../transfer/open.ts';
import { likelyPartSize } from '../transfer/part-size.ts';
import { keyOfFile, keyOfObject, tailIn } from './keys.ts';
import type { Route } from './route.ts';

/** What the facts are about. */
export interface Subject {
  readonly path: string;
  readonly key: string;
}

/** The facts to begin with, and which object they are about. */
export interface FirstLook {
  readonly facts: Facts;
  readonly keyed: KeyResult;
}

/** What the journal knows of it. */
export interface Remembered {
  readonly path: string;
  readonly baseline: Baseline | undefined;
  /** An event told of it. */
  readonly noticed: boolean;
  /** What the first contact's listing found at the key that ends so. */
  readonly listed: (tail: string) => ListedObject | undefined;
  /** As in `Facts`. */
  readonly writeId: string | undefined;
  /** Under which other path it knows the file. */
  readonly origin: Origin | undefined;
  readonly conflict: OpenConflict | undefined;
}

/** An action that can be carried out, with the facts that led to it; or the file would not stand still. */
export type Resolved =
  | { readonly kind: 'resolved'; readonly facts: Facts; readonly action: Exclude<Action, { kind: 'look' }> }
  | { readonly kind: 'changed' };

/**
 * Looks at the file. One whose rules give it another key than its object has is a new file at that key: of the object there
 * nothing is known yet.
 * @throws the system's error when the file's state cannot be read
 */
export function firstLook(route: Route, remembered: Remembered): FirstLook {
  const { path, baseline, noticed, listed, writeId, origin } = remembered;
  const local = lookFor(route, remembered);
  const keyed =
    local.kind === 'file' ? keyOfFile(route, path, local.file) : keyFor(route.prefix, baseline?.tail ?? path);
  const isThere = keyed.kind === 'key' && keyed.key === keyOfObject(route, path, baseline);
  const known = isThere ? baseline : undefined;
  const conflict = about(remembered.conflict, keyed);
  // Whoever found a conflict has looked since the listing was taken.
  const isNew = keyed.kind === 'key' && !known && !conflict;
  const remote = isNew ? remoteFromListing(listed(tailIn(route, keyed.key))) : undefined;
  // Where nothing was listed nobody asks.
  const transforms =
    remote !== undefined &&
    local.kind === 'file' &&
    transformName(route.describe(path, local.file)) !== undefined;
  return {
    keyed,
    facts: {
      local,
      baseline: known,
      remote,
      content: undefined,
      transforms,
      noticed,
      writeId,
      origin,
      originContent: undefined,
      copyRefused: false,
      conflict,
    },
  };
}

/** A conflict at another key, which the rules gave the file before, is none of this look. */
function about(conflict: OpenConflict | undefined, keyed: KeyResult): OpenConflict | undefined {
  return keyed.kind === 'key' && conflict?.key === keyed.key ? conflict : undefined;
}

/**
 * What stands at the path for this route. A file that is gone is judged as it last was: whose object the route would no
 * longer write, it does not take away either.
 */
function lookFor(route: Route, { path, baseline }: Remembered): Local {
  const local = look(route.root, path);
  const file = local.kind === 'file' ? local.file : baseline?.file;
  const described = file ?? (local.kind === 'other' ? local.fingerprint : undefined);
  return described && !route.selects(path, described) ? { kind: 'unselected' } : local;
}

/** Decides, looking at whatever is asked for, until there is something to do. */
export async function resolve(route: Route, subject: Subject, first: Facts): Promise<Resolved> {
  let facts = first;
  for (;;) {
    const action = decide(facts, route.judgement);
    if (action.kind !== 'look') return { kind: 'resolved', facts, action };
    if (action.at === 'remote') {
      facts = { ...facts, remote: await route.destination.head(subject.key), content: undefined };
      continue;
    }
    const isOrigin = action.at === 'origin';
    const expected = isOrigin ? facts.origin?.baseline.checksum : expectedChecksum(facts);
    const content = await compareContent(route, subject, facts, expected);
    if (content === 'changed') return { kind: 'changed' };
    facts = { ...facts, ...(isOrigin ? { originContent: content } : { content }) };
  }
}

function remoteFromListing(listed: ListedObject | undefined): Remote | undefined {
  if (!listed) return undefined;
  const { size, etag, lastModifiedMs } = listed;
  return { kind: 'object', object: { size, etag, lastModifiedMs, source: 'listing' } };
}

/** Reads the file and compares it with what is expected. */
async function compareContent(
  route: Route,
  subject: Subject,
  { local }: Facts,
  expected: Checksum | undefined,
): Promise<Content | 'changed'> {
  if (!expected || local.kind !== 'file') return 'incomparable';
  const actual = await fileChecksum(route, subject.path, local.file, expected);
  if (!actual) return 'changed';
  return actual.value === expected.value ? 'same' : 'different';
}

/** That of the object, or of the baseline where the object was not looked at. */
function expectedChecksum(facts: Facts): Checksum | undefined {
  if (facts.remote?.kind === 'object') return comparableChecksum(facts.remote.object, likelyPartSize);
  return facts.baseline?.checksum;
}

/** The file's checksum in the form of another. Undefined when the file is not, or did not stay, what was looked at. */
async function fileChecksum(
  route: Route,
  path: string,
  expectedFile: FileState,
  like: Checksum,
): Promise<Checksum | undefined> {
  using file = openFile(route.root, path);
  if (!file || !sameFingerprint(file.state, expectedFile)) return undefined;
  const checksum = await checksumLike(like, pieces(file));
  return file.unchanged() ? checksum : undefined;
}

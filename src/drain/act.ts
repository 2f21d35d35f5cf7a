// Act: handles one claimed change from the first look to the way it ended. Never throws for what can be expected of
// files and stores; what it throws is a bug.
import type { Action } from '../core/action.ts';
import type { Facts } from '../core/decide.ts';
import { unlessDenied } from '../core/failure.ts';
import type { FileState, Local } from '../core/file.ts';
import type { Origin } from '../core/origin.ts';
import type { Clock } from '../edge/clock.ts';
import type { Claim, Journal } from '../journal/journal.ts';
import type { ByteBudget } from '../transfer/limits.ts';
import { singlePutMax } from '../transfer/part-size.ts';
import type { UploadResult } from '../transfer/request.ts';
import { upload } from '../transfer/upload.ts';
import { applyRules, driftOf } from './apply.ts';
import { keyBeside } from './conflicts.ts';
import { copy, type CopyAction } from './copy.ts';
import { deleteFile } from './delete-file.ts';
import type { FolderDeletes } from './deletes.ts';
import {
  blocked,
  blockMessage,
  busy,
  copied,
  excluded,
  failed,
  finish,
  inConflict,
  interrupted,
  lookAgain,
  retry,
  settledBaseline,
  stuck,
  uploaded,
  wasAsked,
  type Handled,
} from './handled.ts';
import { occupantOf, tailIn } from './keys.ts';
import { firstLook, resolve, type Remembered, type Subject } from './look.ts';
import type { Route } from './route.ts';
import { uploadMemory, type ClaimUploads } from './upload-memory.ts';

export interface Tools {
  readonly journal: Journal;
  readonly budget: ByteBudget;
  readonly partBudget: ByteBudget;
  readonly deletes: FolderDeletes;
  /** Another change is to be copied from the path's object and is not done yet. */
  readonly isNeeded: boolean;
  readonly signal: AbortSignal;
  readonly onBytes: (bytes: number) => void;
}

/** A file whose last write is younger than this may be written again within the same tick of the kernel's clock, unseen. */
const clockTickMs = 20;

/** When a file is looked at again whose key another one is just being sent to. */
const keyInFlightMs = 100;

/** Ends after which nothing goes on with an upload. A delete may wait for weeks until a person answers. */
const endsUpload: ReadonlySet<Handled['end']['kind']> = new Set(['settled', 'absent', 'held']);

/** How often a refused precondition may lead to another decision before the change waits. */
const roundsMax = 4;

/** @param origin under which other path the file is known */
export async function handle(
  route: Route,
  claim: Claim,
  origin: Origin | undefined,
  tools: Tools,
): Promise<Handled> {
  try {
    const { facts, keyed } = firstLook(route, remembered(claim, origin, tools.journal));
    if (facts.local.kind === 'file') {
      if (keyed.kind === 'blocked') return blocked(keyed.reason, facts.local);
      const refused = facts.baseline
        ? undefined
        : refuseKey(route, claim, keyed.key, facts.local, tools.journal);
      if (refused) return refused;
    }
    await untilTickPassed(facts.local, route.clock);
    const key = keyed.kind === 'key' ? keyed.key : '';
    const uploads = uploadMemory(route, claim, tools.journal);
    const handled = isExcluded(route, claim.path, facts.local)
      ? excluded
      : await bringInLine(route, claim, { path: claim.path, key }, facts, { ...tools, uploads });
    if (endsUpload.has(handled.end.kind)) await uploads.endLeft();
    const ended = withTail(handled, claim.path, tailIn(route, key));
    return facts.local.kind === 'file' ? { ...ended, isBack: true } : ended;
  } catch (error) {
    return failed(route, claim, error);
  }
}

/** Excluded after it was noticed: by an ignore file that came later, or by another config. */
function isExcluded(route: Route, path: string, local: Local): boolean {
  return local.kind === 'file' && route.selection.excludesNow(route.root.path, path);
}

function remembered(claim: Claim, origin: Origin | undefined, journal: Journal): Remembered {
  const { routeId, path, baseline, noticed, tried, writeId, conflict } = claim;
  return {
    path,
    baseline,
    noticed,
    origin,
    listed: (tail) => (tail === path ? claim.listed : journal.listed(routeId, tail)),
    writeId: tried ? writeId : undefined,
    conflict,
  };
}

/** Undefined when the file may have the key, which it then has while it is handled. */
function refuseKey(
  route: Route,
  claim: Claim,
  key: string,
  local: Local,
  journal: Journal,
): Handled | undefined {
  if (route.sharing.length === 0) return undefined;
  if (!route.keysInFlight.take(key, claim)) {
    const readyAtMs = route.clock.now() + keyInFlightMs;
    return {
      end: { kind: 'released', readyAtMs, tried: false },
      outcome: 'retry',
      reason: 'key-in-flight',
      bytes: 0,
    };
  }
  const occupant = occupantOf(route, claim.path, key, journal);
  if (occupant === undefined) return undefined;
  const message = `its key is that of ${JSON.stringify(occupant)} already: ${blockMessage['key-collision']}`;
  return stuck('blocked', 'key-collision', local, message);
}

/** Whoever settles a path says which object that is about. */
function withTail(handled: Handled, path: string, tail: string): Handled {
  const { end } = handled;
  if (tail === path || end.kind !== 'settled' || !end.baseline) return handled;
  return { ...handled, end: { ...end, baseline: { ...end.baseline, tail } } };
}

interface ClaimTools extends Tools {
  readonly uploads: ClaimUploads;
}

/** Decides and performs until there is an end; what an action finds out on its way is decided upon anew. */
async function bringInLine(
  route: Route,
  claim: Claim,
  subject: Subject,
  first: Facts,
  tools: ClaimTools,
): Promise<Handled> {
  let facts = first;
  for (let round = 1; round <= roundsMax; round++) {
    const resolved = await resolve(route, subject, facts);
    if (resolved.kind === 'changed') return lookAgain(route, claim, 'changed while it was read');
    const performed = await perform(route, claim, subject, resolved.action, resolved.facts, tools);
    if ('end' in performed) return performed;
    facts = { ...resolved.facts, ...performed };
  }
  return retry(route, claim, 'PreconditionFailed', 'the object kept changing while it was looked at');
}

async function perform(
  route: Route,
  claim: Claim,
  subject: Subject,
  action: Exclude<Action, { kind: 'look' }>,
  facts: Facts,
  tools: ClaimTools,
): Promise<Handled | Partial<Facts>> {
  switch (action.kind) {
    case 'upload':
      return uploadFile(route, claim, subject, action, facts, tools);
    case 'copy':
    case 'describe':
      return copyObject(route, claim, subject, action, facts, tools);
    case 'delete':
      return deleteFile(route, claim, subject, action, facts, tools);
    case 'keep-both':
      return keepBoth(route, claim, subject, facts, tools);
    case 'settle':
    case 'forget':
    case 'drop':
    case 'conflict':
    case 'block': {
      if (action.reason === 'own-lost-answer') await supplement(route, subject, facts);
      const handled = finish(route, subject, action, facts);
      return claim.apply ? bringRulesToBear(route, claim, subject, facts, handled, tools) : handled;
    }
  }
}

async function uploadFile(
  route: Route,
  claim: Claim,
  subject: Subject,
  action: Extract<Action, { kind: 'upload' }>,
  facts: Facts,
  tools: ClaimTools,
): Promise<Handled | Partial<Facts>> {
  if (route.emulates && !wasAsked(facts.remote)) {
    return { remote: await route.destination.head(subject.key), content: undefined };
  }
  const beganMs = route.clock.now();
  const result = await send(route, claim, subject, action, tools);
  switch (result.kind) {
    case 'written':
      tools.uploads.completed();
      return uploaded(route, action, result, beganMs);
    case 'changed':
    case 'vanished':
      return lookAgain(route, claim, 'changed while it was read');
    case 'interrupted':
      return interrupted(route);
    case 'too-large':
      return blocked('too-large', facts.local);
    case 'unfit':
      return stuck('failed', result.reason, facts.local, result.message);
    case 'cannot-enforce':
      return blocked('store-cannot-enforce', facts.local);
    case 'busy':
      return busy(route, claim);
    case 'uncertain':
    case 'precondition-failed':
    case 'missing': {
      const mayDoWithout =
        route.judgement.policy === 'skip-existing' && result.kind === 'precondition-failed';
      const head = route.destination.head(subject.key);
      const remote = mayDoWithout ? await unlessDenied(head) : await head;
      // Without the right to look, S3's refusal says all that skip-existing needs to know.
      if (!remote) return { ...finish(route, subject, existsUnseen, facts), answered: true };
      // Whatever was refused now: a try before it, of ours or of the SDK, may have landed.
      return { remote, content: undefined, writeId: claim.writeId };
    }
  }
}

const existsUnseen = { kind: 'settle', outcome: 'skipped-existing', reason: 'exists', owned: false } as const;

function send(
  route: Route,
  { writeId }: Claim,
  subject: Subject,
  action: Extract<Action, { kind: 'upload' }>,
  tools: ClaimTools,
): Promise<UploadResult> {
  return upload({
    destination: route.destination,
    clock: route.clock,
    root: route.root,
    path: subject.path,
    key: subject.key,
    describe: (file) => route.describe(subject.path, file),
    writeId,
    precondition: route.emulates ? { kind: 'none' } : action.precondition,
    checksum: route.checksum,
    capabilities: route.capabilities,
    memory: tools.uploads,
    budget: tools.budget,
    partBudget: tools.partBudget,
    signal: tools.signal,
    onBytes: tools.onBytes,
  });
}

async function copyObject(
  route: Route,
  claim: Claim,
  subject: Subject,
  action: CopyAction,
  facts: Facts,
  { journal }: ClaimTools,
): Promise<Handled | Partial<Facts>> {
  const result = await copy(route, claim, subject, action, facts, journal);
  switch (result.kind) {
    case 'written':
      return copied(route, action, result, facts);
    case 'busy':
      return busy(route, claim);
    case 'not-copied':
      return result.facts;
  }
}

/** The file is as it was settled: whether the object is as the rules have it is the question now. */
async function bringRulesToBear(
  route: Route,
  claim: Claim,
  { path, key }: Subject,
  facts: Facts,
  handled: Handled,
  tools: ClaimTools,
): Promise<Handled> {
  if (facts.local.kind !== 'file' || handled.end.kind !== 'settled') return handled;
  const baseline = handled.end.baseline ?? facts.baseline;
  const drift = baseline && driftOf(route, path, baseline, route.clock.now());
  if (!drift) return handled;
  const applied = await applyRules(route, key, baseline, drift, tools.journal);
  const reason = drift.fields.join(', ');
  switch (applied.kind) {
    case 'applied': {
      const end = { kind: 'settled', baseline: applied.baseline } as const;
      return { end, outcome: 'meta-updated', reason, bytes: 0, answered: true };
    }
    case 'remote-changed': {
      const remote = await route.destination.head(key);
      // One that is gone is written anew, as the rules have it.
      return remote.kind === 'absent'
        ? bringInLine(route, claim, { path, key }, { ...facts, remote, content: undefined }, tools)
        : inConflict(route, key, 'remote-changed', { ...facts, remote });
    }
    case 'busy':
      return retry(route, claim, 'ConditionalRequestConflict', 'another write to the key was under way');
    case 'left':
      return handled;
  }
}

/** The file goes beside the object that it is in conflict with, as a new one would: it replaces nothing there either. */
async function keepBoth(
  route: Route,
  claim: Claim,
  { path }: Subject,
  facts: Facts,
  tools: ClaimTools,
): Promise<Handled> {
  const beside = keyBeside(route, facts.conflict!);
  if (beside.kind === 'blocked') return blocked(beside.reason, facts.local);
  const judgement = { ...route.judgement, policy: 'if-unchanged' } as const;
  const alone = { ...facts, baseline: undefined, remote: undefined, content: undefined, conflict: undefined };
  const kept = await bringInLine({ ...route, judgement }, claim, { path, key: beside.key }, alone, tools);
  if (kept.end.kind !== 'settled' || !kept.end.baseline) return kept;
  // What went up is what the object was left alone for.
  const local = { kind: 'file', file: kept.end.baseline.file } as const;
  const baseline = settledBaseline(leftAlone, { ...facts, local });
  return { ...kept, end: { kind: 'settled', baseline }, reason: 'resolved' };
}

const leftAlone = { kind: 'settle', outcome: 'skipped-existing', reason: 'resolved', owned: false } as const;

/** Our upload landed, but perhaps we never got to what follows it where a store forgets tags and locks of multipart uploads. */
async function supplement(route: Route, { path, key }: Subject, { local, remote }: Facts): Promise<void> {
  if (local.kind !== 'file' || local.file.size <= singlePutMax || remote?.kind !== 'object') return;
  const description = route.describe(path, local.file);
  await route.destination.supplement('parts', key, description, remote.object.versionId);
}

/**
 * Waits until a write that comes now would get another timestamp than the last one: the fence around reading compares
 * timestamps, and on kernels before 6.13 two writes within a tick (4 to 10 ms) have the same.
 */
async function untilTickPassed(local: Local, clock: Clock): Promise<void> {
  if (local.kind !== 'file') return;
  const ageMs = clock.now() - lastWriteMs(local.file);
  if (ageMs >= 0 && ageMs < clockTickMs) await clock.sleep(clockTickMs - ageMs);
}

function lastWriteMs(file: FileState): number {
  return Number((file.ctimeNs > file.mtimeNs ? file.ctimeNs : file.mtimeNs) / 1_000_000n);
}

// The heart of the program: facts + policy → action. Pure: the same facts give the same action, so `plan` and the
// drain cannot disagree, and the tables in docs/semantics.md are its tests.
//
// The action carries its precondition, so what was decided is what S3 is asked to enforce. A failed precondition is
// not an error: it is new facts (`remote`), and the question is put again.
import { agreed, type Baseline } from './baseline.ts';
import type { OpenConflict, Resolution } from './conflict.ts';
import type { Action, Reason, SettledOutcome } from './action.ts';
import { sameFingerprint, type FileState, type Local } from './file.ts';
import { contentSize, type ObjectState, type Precondition, type Remote } from './object.ts';
import { isCopyable, kinship, type Origin } from './origin.ts';
import type { Compare, DeleteMode, Policy, Preservable, PreserveChanges } from './policy.ts';

/**
 * How the file's content compares: with the object where `remote` is known, else with the baseline.
 * `incomparable`: there is no checksum that both sides have.
 */
export type Content = 'same' | 'different' | 'incomparable';

export interface Facts {
  readonly local: Local;
  readonly baseline: Baseline | undefined;
  /** Undefined: not looked at. Where a baseline agreed, the object is then assumed to be as it was. */
  readonly remote: Remote | undefined;
  /** Undefined: not compared. */
  readonly content: Content | undefined;
  /** The rules have the file's content transformed for its object, so that the sizes in a listing say nothing. */
  readonly transforms: boolean;
  /** An event told of the path, not a scan that compared what can be seen of it. */
  readonly noticed: boolean;
  /** What an object carries that an earlier try of this change wrote, whose answer never came. Undefined: it is the first. */
  readonly writeId: string | undefined;
  /** Where the file was before, if the journal knows it under another path. */
  readonly origin: Origin | undefined;
  /** How the file's content compares with what its origin's object has; undefined: not compared. */
  readonly originContent: Content | undefined;
  /** The store would not copy, or not as safely as the policy wants it. */
  readonly copyRefused: boolean;
  /** Found by an earlier look, with the decision if there is one. */
  readonly conflict: OpenConflict | undefined;
}

export interface Judgement {
  readonly policy: Policy;
  readonly compare: Compare;
  readonly delete: DeleteMode;
  readonly preserve: readonly Preservable[];
  readonly preserveChanges: PreserveChanges;
  /** How far clocks may differ before a time says anything. */
  readonly toleranceMs: number;
}

/** Decides what brings the object in line with the file. */
export function decide(facts: Facts, judgement: Judgement): Action {
  if (facts.local.kind === 'file') {
    const fileFacts = { ...facts, file: facts.local.file };
    const action = decideFile(fileFacts, judgement);
    return action.kind === 'upload' ? copyIfRenamed(action, fileFacts) : action;
  }
  if (facts.local.kind === 'unselected') return decideUnselected(facts.baseline);
  if (facts.local.kind === 'other' && blockedTypes.has(facts.local.type) && !facts.baseline) {
    return { kind: 'block', reason: facts.local.type as 'fifo' | 'socket' | 'device' };
  }
  return decideAbsence(facts, judgement);
}

const blockedTypes: ReadonlySet<string> = new Set(['fifo', 'socket', 'device']);

/**
 * The route does not select the path, or no longer: the file grew, or the config says otherwise. It is not a deletion,
 * so the object stays whatever `delete` says, and the baseline that the route was done with it.
 */
function decideUnselected(baseline: Baseline | undefined): Action {
  if (!baseline || baseline.gone) return { kind: 'drop', outcome: 'unchanged', reason: 'not-selected' };
  if (!agreed(baseline)) return { kind: 'forget', outcome: 'kept-remote', reason: 'not-selected' };
  return settle('kept-remote', 'not-selected', baseline.owned);
}

/** No regular file stands at the path. */
function decideAbsence(facts: Facts, judgement: Judgement): Action {
  const { baseline, local, remote, conflict } = facts;
  if (!baseline) return { kind: 'drop', outcome: 'vanished', reason: 'never-synced' };
  if (baseline.gone) return { kind: 'drop', outcome: 'unchanged', reason: 'identical' };
  const isDeleted = local.kind === 'absent' || (local.kind === 'other' && local.type === 'directory');
  if (isDeleted && judgement.delete !== 'keep' && mayDelete(baseline, judgement.policy)) {
    return conflict?.decision && (!remote || isShown(remote, conflict))
      ? carryOutAbsence(
          conflict.decision.resolution,
          facts,
          { ...baseline, etag: conflict.object.etag },
          judgement,
        )
      : decideDelete(facts, baseline, judgement);
  }
  const reason = isDeleted ? 'deleted-locally' : 'not-a-file';
  // An object that was only left alone is not ours to remember, and neither is one that nobody has decided about: should
  // the file return, S3 is asked anew.
  if (!agreed(baseline) || conflict) return { kind: 'forget', outcome: 'kept-remote', reason };
  return settle('kept-remote', reason, baseline.owned);
}

/** Where the file is gone the object that was shown follows it, or stays: there is nothing to keep beside it. */
function carryOutAbsence(
  resolution: Resolution,
  facts: Facts,
  shown: Baseline,
  judgement: Judgement,
): Action {
  return resolution === 'overwrite'
    ? decideDelete(facts, shown, judgement)
    : { kind: 'forget', outcome: 'kept-remote', reason: 'resolved' };
}

/** What we neither wrote nor took over is nobody's to delete but its owner's; `overwrite` says that the prefix is the folder's. */
function mayDelete(baseline: Baseline, policy: Policy): boolean {
  if (policy === 'overwrite') return agreed(baseline);
  const isKnown = agreed(baseline) || baseline.outcome === 'skipped-existing';
  return isKnown && baseline.owned && baseline.etag !== undefined;
}

/** The object of a deleted file: what is deleted is the object that is known, under every policy but `overwrite`. */
function decideDelete({ remote, writeId }: Facts, baseline: Baseline, judgement: Judgement): Action {
  const reason = 'deleted-locally';
  if (remote?.kind === 'absent') return { kind: 'forget', outcome: 'deleted', reason: 'remote-deleted' };
  const object = remote?.object;
  const isOwnWrite = writeId !== undefined && object?.writeId === writeId;
  if (object && object.etag !== baseline.etag && !isOwnWrite) {
    switch (judgement.policy) {
      case 'overwrite':
        break;
      case 'skip-existing':
        return settle('kept-remote', 'remote-changed', false);
      case 'if-unchanged':
        return { kind: 'conflict', reason: 'remote-changed' };
      case 'newer-wins':
        return settle('remote-newer', 'remote-changed', false);
    }
  }
  const etag = object?.etag ?? baseline.etag;
  if (judgement.delete !== 'archive') {
    const precondition = judgement.policy === 'overwrite' || etag === undefined ? anything : ifMatch(etag);
    return { kind: 'delete', precondition, outcome: 'deleted', reason };
  }
  // What is deleted is what was archived, under overwrite too.
  if (etag === undefined) return { kind: 'look', at: 'remote' };
  if (!isCopyable({ size: object?.size ?? baseline.file.size }))
    return { kind: 'block', reason: 'too-large-to-archive' };
  return { kind: 'delete', precondition: ifMatch(etag), outcome: 'archived', reason };
}

type FileFacts = Facts & { readonly file: FileState };

function decideFile(facts: FileFacts, judgement: Judgement): Action {
  const { baseline, remote, conflict } = facts;
  if (conflict?.decision && (!remote || isShown(remote, conflict))) {
    return carryOut(conflict.decision.resolution, conflict);
  }
  if (remote) return reconcile(facts, remote, judgement);
  if (!baseline) return conflict ? { kind: 'look', at: 'remote' } : create(judgement.policy);
  const action = judgeByBaseline(facts, baseline, judgement);
  // A write is refused where an earlier try has replaced what the baseline names; what needs none must not rely on that.
  const reliesOnBaseline = action.kind === 'drop' || action.kind === 'settle';
  return reliesOnBaseline && facts.writeId !== undefined ? { kind: 'look', at: 'remote' } : action;
}

/** The object is assumed to be the one that the baseline names. */
function judgeByBaseline(facts: FileFacts, baseline: Baseline, judgement: Judgement): Action {
  const { file, conflict } = facts;
  const identical =
    !baseline.gone && sameFingerprint(baseline.file, file) && baseline.file.mode === file.mode;
  if (identical && !(facts.noticed && contentDecides(baseline, judgement))) {
    return { kind: 'drop', outcome: 'unchanged', reason: 'identical' };
  }
  // Nothing is sent in vain while somebody else's object is in the way: it may be gone by now, or the same.
  if (conflict) return { kind: 'look', at: 'remote' };
  if (!agreed(baseline)) {
    // The object was left alone by decision. Only skip-existing stays with that whatever the file does.
    return judgement.policy === 'skip-existing'
      ? settle('skipped-existing', 'exists', baseline.owned)
      : { kind: 'look', at: 'remote' };
  }
  return steady(facts, baseline, judgement);
}

/** A decision is about the object that was shown. Where another one stands by now, it is void. */
function isShown(remote: Remote, { object }: OpenConflict): boolean {
  return remote.kind === 'object' && remote.object.etag === object.etag;
}

function carryOut(resolution: Resolution, { object }: OpenConflict): Action {
  switch (resolution) {
    case 'overwrite':
      return upload(ifMatch(object.etag), 'resolved');
    case 'skip':
      return settle('skipped-existing', 'resolved', false);
    case 'keep-both':
      return { kind: 'keep-both', reason: 'resolved' };
  }
}

/**
 * One long write() sets the times when it begins and changes the content until it ends. Who reads amid it gets a mixture
 * under times that never change again; the event at its end is all that tells. So an event about a file that looks
 * untouched has its content compared.
 */
function contentDecides(baseline: Baseline, { compare, policy }: Judgement): boolean {
  return (
    compare === 'content' && policy !== 'skip-existing' && agreed(baseline) && baseline.checksum !== undefined
  );
}

/** Bytes that are in the store under the file's former path are copied there, under the precondition of the upload that is spared. */
function copyIfRenamed(upload: Extract<Action, { kind: 'upload' }>, facts: FileFacts): Action {
  const { origin, originContent, copyRefused, file } = facts;
  if (!origin?.baseline.etag || copyRefused) return upload;
  const related = kinship(origin, file);
  if (related === 'none') return upload;
  if (related === 'unproven' && originContent !== 'same') {
    return originContent === undefined ? { kind: 'look', at: 'origin' } : upload;
  }
  return {
    kind: 'copy',
    from: origin.path,
    etag: origin.baseline.etag,
    precondition: upload.precondition,
    reason: 'renamed',
  };
}

/** No baseline and nothing known of the object: assume there is none, and have S3 refuse the write if there is. */
function create(policy: Policy): Action {
  return upload(policy === 'overwrite' ? anything : nothing, 'new');
}

/** The file changed since file and object agreed, and the object is assumed to be as it was. */
function steady(facts: FileFacts, baseline: Baseline, judgement: Judgement): Action {
  const { file } = facts;
  if (file.size !== baseline.file.size) return modify(baseline, judgement.policy, 'size-differs');
  switch (judgement.compare) {
    case 'size':
      return touch(facts, baseline, judgement, 'same');
    case 'size-and-time':
      return file.mtimeNs === baseline.file.mtimeNs
        ? touch(facts, baseline, judgement, 'same')
        : modify(baseline, judgement.policy, 'changed');
    case 'aws':
      return file.mtimeNs === baseline.file.mtimeNs
        ? touch(facts, baseline, judgement, 'same')
        : modify(baseline, judgement.policy, 'newer');
    case 'content':
      if (facts.content === undefined && baseline.checksum) return { kind: 'look', at: 'content' };
      if (facts.content === 'same') {
        return sameFingerprint(baseline.file, file) && !baseline.gone
          ? { kind: 'drop', outcome: 'unchanged', reason: 'identical' }
          : touch(facts, baseline, judgement, 'times-only');
      }
      return modify(baseline, judgement.policy, 'changed');
  }
}

/** The content is in S3. What `preserve` keeps beside it may have changed: that goes with the next bytes, or at once. */
function touch(facts: FileFacts, baseline: Baseline, judgement: Judgement, reason: Reason): Action {
  const { policy, preserve } = judgement;
  if (policy === 'skip-existing' || !preserve.some((what) => differs[what](baseline.file, facts.file))) {
    return settle('touched', reason, baseline.owned);
  }
  const isDeferred =
    judgement.preserveChanges === 'lazy' ||
    facts.copyRefused ||
    baseline.etag === undefined ||
    !isCopyable(facts.file);
  return isDeferred
    ? settle('meta-deferred', reason, baseline.owned)
    : { kind: 'describe', etag: baseline.etag, reason };
}

const differs: Readonly<Record<Preservable, (before: FileState, now: FileState) => boolean>> = {
  mtime: (before, now) => before.mtimeNs !== now.mtimeNs,
  mode: (before, now) => before.mode !== now.mode,
  owner: (before, now) => before.uid !== now.uid || before.gid !== now.gid,
};

function modify(known: Pick<Baseline, 'etag' | 'owned'>, policy: Policy, reason: Reason): Action {
  switch (policy) {
    case 'overwrite':
      return upload(anything, reason);
    case 'skip-existing':
      return settle('skipped-existing', 'exists', known.owned);
    case 'if-unchanged':
    case 'newer-wins':
      return known.etag === undefined ? { kind: 'look', at: 'remote' } : upload(ifMatch(known.etag), reason);
  }
}

/** The object was looked at: first contact, or S3 refused a precondition. */
function reconcile(facts: FileFacts, remote: Remote, judgement: Judgement): Action {
  const known = facts.baseline && agreed(facts.baseline) ? facts.baseline : undefined;
  if (remote.kind === 'absent') {
    const precondition = judgement.policy === 'overwrite' ? anything : nothing;
    return known
      ? { kind: 'upload', precondition, outcome: 'recreated', reason: 'remote-deleted' }
      : upload(precondition, 'missing');
  }
  const { object } = remote;
  if (facts.writeId !== undefined) {
    // A listing does not tell who wrote it.
    if (object.source === 'listing') return { kind: 'look', at: 'remote' };
    if (object.writeId === facts.writeId) return recover(facts, object, judgement);
  }
  const relation = relate(facts, object, judgement);
  switch (relation) {
    case 'unknown-content':
      return { kind: 'look', at: 'content' };
    case 'unknown-object':
      return { kind: 'look', at: 'remote' };
    case 'same':
      return settle('adopted', 'same', judgement.policy === 'overwrite' || isOurs(object, known));
    case 'size':
    case 'newer':
    case 'older':
    case 'tie':
      return settleDifference(relation, object, facts, known, judgement);
  }
}

/**
 * The object is what an earlier try of this change wrote. If the file changed since, that is a change against an object of
 * our own, whatever the policy says of those of others.
 */
function recover(facts: FileFacts, object: ObjectState, { policy, compare }: Judgement): Action {
  const { file, content } = facts;
  if (file.size !== contentSize(object))
    return modify({ etag: object.etag, owned: true }, policy, 'size-differs');
  if (compare === 'content' && content === undefined) return { kind: 'look', at: 'content' };
  // The times are those of one clock here: without a tolerance, and all the same where there is nothing to compare.
  const same = content === 'same' || (content !== 'different' && file.mtimeNs === object.mtimeNs);
  return same || compare === 'size'
    ? settle('uploaded', 'own-lost-answer', true)
    : modify({ etag: object.etag, owned: true }, policy, 'changed');
}

function settleDifference(
  relation: 'size' | 'newer' | 'older' | 'tie',
  object: ObjectState,
  facts: FileFacts,
  known: Baseline | undefined,
  judgement: Judgement,
): Action {
  const reason = reasonOf[relation];
  switch (judgement.policy) {
    case 'overwrite':
      return judgement.compare === 'aws' && relation === 'older'
        ? settle('skipped-not-newer', 'older', true)
        : upload(anything, reason);
    case 'skip-existing':
      return settle('skipped-existing', 'exists', isOurs(object, known));
    case 'if-unchanged':
      // The object is still the one that we know: nobody else wrote, so the change is ours alone.
      return known?.etag === object.etag
        ? upload(ifMatch(object.etag), reason)
        : { kind: 'conflict', reason: known ? 'remote-changed' : 'foreign' };
    case 'newer-wins':
      switch (relation === 'size' ? compareTimes(facts.file, object, judgement.toleranceMs) : relation) {
        case 'newer':
          return upload(ifMatch(object.etag), 'newer');
        case 'older':
          return settle('remote-newer', 'older', isOurs(object, known));
        case 'tie':
          return { kind: 'conflict', reason: 'ambiguous' };
        case 'unknown-object':
          return { kind: 'look', at: 'remote' };
      }
  }
}

/** Still the object that we wrote or took over. */
function isOurs(object: ObjectState, known: Baseline | undefined): boolean {
  return known?.owned === true && known.etag === object.etag;
}

type Relation = 'same' | 'size' | 'newer' | 'older' | 'tie' | 'unknown-content' | 'unknown-object';

const reasonOf = { size: 'size-differs', newer: 'newer', older: 'older', tie: 'content-differs' } as const;

/** How file and object relate, or what must be looked at before that can be said. */
function relate(facts: FileFacts, object: ObjectState, judgement: Judgement): Relation {
  const { file, content } = facts;
  // A listing has the size of the body; only HEAD tells that of the content.
  if (object.source === 'listing' && facts.transforms) return 'unknown-object';
  if (file.size !== contentSize(object)) return 'size';
  switch (judgement.compare) {
    case 'size':
      return 'same';
    case 'aws':
      // aws-cli: upload if the file's mtime is later than LastModified; never looks at metadata or content.
      return microsecondsAsAws(file.mtimeNs) > object.lastModifiedMs * 1_000 ? 'newer' : 'older';
    case 'size-and-time':
      return sameIfTied(compareTimes(file, object, judgement.toleranceMs));
    case 'content':
      if (content === undefined) return 'unknown-content';
      if (content === 'same') return 'same';
      // A listing tells neither stored checksum, nor encryption, nor mtime: its ETag can prove equality, not difference.
      if (object.source === 'listing') return 'unknown-object';
      return content === 'different'
        ? compareTimes(file, object, judgement.toleranceMs)
        : sameIfTied(compareTimes(file, object, object.content ? 0 : judgement.toleranceMs));
  }
}

/**
 * A time as aws-cli has it: Python's st_mtime is a double of seconds, and its datetime rounds that to microseconds. A
 * file that is 400 ns younger than its object is as old to it.
 */
function microsecondsAsAws(ns: bigint): number {
  const fraction = ((ns % second) + second) % second;
  const seconds = Number((ns - fraction) / second) + 1e-9 * Number(fraction);
  const whole = Math.trunc(seconds);
  return whole * 1e6 + Math.round((seconds - whole) * 1e6);
}

const second = 1_000_000_000n;

type Times = 'newer' | 'older' | 'tie' | 'unknown-object';

function sameIfTied(times: Times): Exclude<Times, 'tie'> | 'same' {
  return times === 'tie' ? 'same' : times;
}

/**
 * Compares mtimes where the object carries its file's, else with LastModified. An upload is always later than the
 * mtime of what it uploads, so against LastModified "older" says nothing: it counts as a tie, once HEAD has told that
 * there is no mtime.
 */
function compareTimes(file: FileState, object: ObjectState, toleranceMs: number): Times {
  const tolerance = BigInt(toleranceMs) * 1_000_000n;
  const other = object.mtimeNs ?? BigInt(object.lastModifiedMs) * 1_000_000n;
  if (file.mtimeNs > other + tolerance) return 'newer';
  if (object.source === 'listing') return 'unknown-object';
  return object.mtimeNs !== undefined && file.mtimeNs < other - tolerance ? 'older' : 'tie';
}

const anything = { kind: 'none' } as const satisfies Precondition;
const nothing: Precondition = { kind: 'absent' };

function ifMatch(etag: string) {
  return { kind: 'etag', etag } as const satisfies Precondition;
}

function upload(precondition: Precondition, reason: Reason): Action {
  return { kind: 'upload', precondition, outcome: 'uploaded', reason };
}

function settle(outcome: SettledOutcome, reason: Reason, owned: boolean): Action {
  return { kind: 'settle', outcome, reason, owned };
}

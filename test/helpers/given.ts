// Small builders, so that a row of a table says only what matters in it. Times are seconds after `noon`.
import type { Action, ConflictReason, Reason, SettledOutcome } from '../../src/core/action.ts';
import type { Completion } from '../../src/journal/journal.ts';
import type { Conflict, OpenConflict } from '../../src/core/conflict.ts';
import type { Baseline } from '../../src/core/baseline.ts';
import type { Content, Facts, Judgement } from '../../src/core/decide.ts';
import type { FileState, Local, OtherType } from '../../src/core/file.ts';
import type { ObjectState, Precondition } from '../../src/core/object.ts';

export const noonMs = Date.UTC(2026, 2, 9, 12);

/** Nanoseconds of a moment, given in seconds after noon. */
function at(seconds: number): bigint {
  return BigInt(noonMs) * 1_000_000n + BigInt(Math.round(seconds * 1e9));
}

/** A regular file of so many bytes. */
export function file(
  size: number,
  { mtime = 0, ctime = mtime, ino = 1n, dev = 1n, mode = 0o100644 }: Partial<Touched> = {},
): FileState {
  return { size, mtimeNs: at(mtime), ctimeNs: at(ctime), ino, dev, mode, uid: 1000, gid: 1000 };
}

interface Touched {
  mtime: number;
  ctime: number;
  ino: bigint;
  dev: bigint;
  mode: number;
}

/** An object as HEAD describes it; without `mtime` its uploader left none. */
export function object(
  size: number,
  {
    mtime,
    modified = mtime ?? 0,
    etag = '"theirs"',
    ...rest
  }: { mtime?: number; modified?: number } & Partial<
    Pick<ObjectState, 'etag' | 'source' | 'checksum' | 'writeId' | 'content'>
  > = {},
): ObjectState {
  return {
    size,
    etag,
    lastModifiedMs: noonMs + modified * 1000,
    ...(mtime !== undefined && { mtimeNs: at(mtime) }),
    source: 'head',
    ...rest,
  };
}

/** An object as a listing describes it: no metadata, no checksum. */
export function listed(size: number, more: { modified?: number; etag?: string } = {}): ObjectState {
  return object(size, { ...more, source: 'listing' });
}

/** What both sides were when they last agreed, or were left alone. */
export function baseline(
  outcome: SettledOutcome,
  state: FileState,
  more: Partial<Omit<Baseline, 'outcome' | 'file'>> = {},
): Baseline {
  return {
    outcome,
    owned: true,
    gone: false,
    file: state,
    etag: '"ours"',
    checksum: { algorithm: 'crc32', value: 'AAAAAA==' },
    ...more,
  };
}

/** The facts about a path; what is not given was not looked at. */
export function given({
  local,
  remote,
  baseline,
  content,
  transforms = false,
  noticed = false,
  writeId,
  origin,
  originContent,
  copyRefused = false,
  conflict,
}: {
  local: FileState | OtherType | 'absent' | 'unselected';
  remote?: ObjectState | 'absent';
  baseline?: Baseline;
  content?: Content;
  transforms?: boolean;
  noticed?: boolean;
  /** Of the tries before. */
  writeId?: string;
  /** What the journal knows of the file under another path, `before`. */
  origin?: Baseline;
  originContent?: Content;
  copyRefused?: boolean;
  conflict?: OpenConflict;
}): Facts {
  return {
    local: localOf(local),
    baseline,
    remote:
      remote === undefined || remote === 'absent'
        ? remote && { kind: 'absent' }
        : { kind: 'object', object: remote },
    content,
    transforms,
    noticed,
    writeId,
    origin: origin && { path: 'before', baseline: origin },
    originContent,
    copyRefused,
    conflict,
  };
}

function localOf(local: FileState | OtherType | 'absent' | 'unselected'): Local {
  if (local === 'absent' || local === 'unselected') return { kind: local };
  if (typeof local !== 'string') return { kind: 'file', file: local };
  const { size, mtimeNs, ctimeNs, ino } = file(0);
  return { kind: 'other', type: local, fingerprint: { size, mtimeNs, ctimeNs, ino } };
}

export function judgement(
  policy: Judgement['policy'],
  compare: Judgement['compare'] = 'content',
  more: Partial<Judgement> = {},
): Judgement {
  return {
    policy,
    compare,
    delete: 'keep',
    preserve: [],
    preserveChanges: 'lazy',
    toleranceMs: 2_000,
    ...more,
  };
}

export const none = { kind: 'none' } as const satisfies Precondition;
export const absent = { kind: 'absent' } as const satisfies Precondition;
export function ifMatch(etag: string) {
  return { kind: 'etag', etag } as const satisfies Precondition;
}

export function upload(precondition: Precondition, reason: Reason): Action {
  return { kind: 'upload', precondition, outcome: 'uploaded', reason };
}

export function recreate(precondition: Precondition): Action {
  return { kind: 'upload', precondition, outcome: 'recreated', reason: 'remote-deleted' };
}

/** No request; `owned` says whether we may ever delete the object. */
export function settle(outcome: SettledOutcome, reason: Reason, owned: 'owned' | 'not owned'): Action {
  return { kind: 'settle', outcome, reason, owned: owned === 'owned' };
}

export function conflict(reason: ConflictReason): Action {
  return { kind: 'conflict', reason };
}

/** The object is deleted. */
export function remove(
  precondition: Exclude<Precondition, { kind: 'absent' }>,
  outcome: 'deleted' | 'archived' = 'deleted',
): Action {
  return { kind: 'delete', precondition, outcome, reason: 'deleted-locally' };
}

export function forget(outcome: 'kept-remote' | 'deleted', reason: Reason): Action {
  return { kind: 'forget', outcome, reason };
}

export function copy(precondition: Precondition): Action {
  return { kind: 'copy', from: 'before', etag: '"ours"', precondition, reason: 'renamed' };
}

export function describeAnew(reason: Reason): Action {
  return { kind: 'describe', etag: '"ours"', reason };
}

/** What a conflict is recorded with. */
export function shown(reason: ConflictReason, more: Partial<Conflict> = {}): Conflict {
  return {
    reason,
    policy: 'if-unchanged',
    key: 'files/a',
    file: file(10),
    object: object(11, { mtime: 0 }),
    ...more,
  };
}

/** How a claim ends in a conflict. */
export function inConflict(more: Partial<Conflict> = {}): Completion['end'] {
  return { kind: 'conflict', conflict: shown('foreign', more), seen: file(10) };
}

export function look(where: 'remote' | 'content' | 'origin'): Action {
  return { kind: 'look', at: where };
}

export function drop(outcome: 'unchanged' | 'vanished', reason: Reason): Action {
  return { kind: 'drop', outcome, reason };
}

/** An action as words, for the name of a test. */
export function words(action: Action): string {
  switch (action.kind) {
    case 'look':
      return `look at ${action.at}`;
    case 'upload':
    case 'copy': {
      const { precondition, reason } = action;
      const condition = { none: '', absent: ' if absent', etag: ' if it is the same' }[precondition.kind];
      return `${action.kind === 'copy' ? 'copied' : action.outcome}${condition} (${reason})`;
    }
    case 'describe':
      return `described anew (${action.reason})`;
    case 'delete':
      return `${action.outcome}${action.precondition.kind === 'etag' ? ' if it is the same' : ''} (${action.reason})`;
    case 'settle':
    case 'forget':
    case 'drop':
      return `${action.outcome} (${action.reason})`;
    case 'conflict':
    case 'block':
    case 'keep-both':
      return `${action.kind} (${action.reason})`;
  }
}

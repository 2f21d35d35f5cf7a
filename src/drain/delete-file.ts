// The object of a file that is gone: whether it may follow, and what came of it.
import type { BlockReason } from '../core/action.ts';
import { agreed, type Baseline } from '../core/baseline.ts';
import type { Facts } from '../core/decide.ts';
import type { Claim, Journal } from '../journal/journal.ts';
import { deleteObject, type DeleteAction, type DeleteResult, type FolderDeletes } from './deletes.ts';
import { blocked, busy, excluded, lookAgain, retry, type Handled } from './handled.ts';
import { occupantOf } from './keys.ts';
import type { Subject } from './look.ts';
import type { Route } from './route.ts';

interface DeleteTools {
  readonly journal: Journal;
  readonly deletes: FolderDeletes;
  /** Another change is to be copied from the path's object and is not done yet. */
  readonly isNeeded: boolean;
}

/** The file is gone, and its object is to follow. @returns new facts where the object is not what was decided about */
export async function deleteFile(
  route: Route,
  claim: Claim,
  subject: Subject,
  action: DeleteAction,
  { local, remote }: Facts,
  { deletes, journal, isNeeded }: DeleteTools,
): Promise<Handled | Partial<Facts>> {
  if (subject.key === '') return blocked('key-too-long', local);
  if (route.selection.excludesNow(route.root.path, subject.path)) return excluded;
  if (occupantOf(route, subject.path, subject.key, journal) !== undefined) return keptFor('key-collision');
  // A file that has another name by now is not gone: its object goes when it is in S3 under that.
  if (isNeeded)
    return retry(
      route,
      claim,
      'rename-pending',
      'its file was renamed and is not in S3 under its new name yet',
    );
  const heir = journal.origins.heir(claim.routeId, { path: subject.path, file: claim.baseline!.file });
  if (heir === 'unsynced') return keptAsGone(claim.baseline!);
  const result = await deleteObject(route, claim, subject, action, remote, deletes);
  switch (result.kind) {
    case 'removed':
      return {
        end: { kind: 'settled', baseline: null, isDelete: heir !== 'synced' },
        outcome: action.outcome,
        reason: action.reason,
        bytes: 0,
        answered: true,
      };
    case 'looked':
      return { remote: result.remote };
    case 'busy':
      return busy(route, claim);
    case 'archive-key-too-long':
      return blocked('archive-key-too-long', local);
    case 'stopped':
      return stopped(route, claim, result.verdict, deletes);
  }
}

/** The guards stopped a delete. */
function stopped(
  route: Route,
  claim: Claim,
  verdict: Extract<DeleteResult, { kind: 'stopped' }>['verdict'],
  deletes: FolderDeletes,
): Handled {
  switch (verdict.kind) {
    case 'wait': {
      const end = { kind: 'absent', readyAtMs: verdict.untilMs } as const;
      return { end, outcome: 'unchanged', reason: 'delete-grace', bytes: 0 };
    }
    case 'back':
      return { ...lookAgain(route, claim, 'it came back'), isBack: true };
    case 'hold': {
      const { reason } = verdict;
      const end = { kind: 'held', reason, message: deletes.hold(route, reason) } as const;
      return { end, outcome: 'held', reason, bytes: 0 };
    }
  }
}

/** Under its new name the file did not get to S3, so the object of the old one may be all that there is of it. */
function keptAsGone(baseline: Baseline): Handled {
  const kept: Baseline = { ...baseline, outcome: 'kept-remote', gone: true };
  const end = { kind: 'settled', baseline: agreed(baseline) ? kept : null } as const;
  return { end, outcome: 'kept-remote', reason: 'renamed', bytes: 0 };
}

/** The object is not this path's alone. */
function keptFor(reason: BlockReason): Handled {
  return { end: { kind: 'settled', baseline: null }, outcome: 'kept-remote', reason, bytes: 0 };
}

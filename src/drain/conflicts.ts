// What the drain finds of a conflict, and where a file goes that is kept beside the object.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import { keptKey, type Conflict, type OpenConflict } from '../core/conflict.ts';
import type { ConflictReason } from '../core/action.ts';
import type { Facts } from '../core/decide.ts';
import { keyFor, type KeyResult } from '../core/key.ts';
import { tailIn } from './keys.ts';
import type { Route } from './route.ts';

/** Both sides, for a person to judge. Whoever finds a conflict has looked at the object. */
export function conflictOf(
  route: Pick<Route, 'judgement'>,
  key: string,
  reason: ConflictReason,
  { local, remote }: Facts,
): Conflict {
  assert(remote?.kind === 'object', 'there is no object to be in conflict with');
  return {
    reason,
    policy: route.judgement.policy,
    key,
    file: local.kind === 'file' ? local.file : undefined,
    object: remote.object,
  };
}

/** The key beside an object for the file that is in conflict with it. */
export function keyBeside(
  route: Pick<Route, 'prefix'>,
  { key, file, object, decision }: OpenConflict,
): KeyResult {
  assert(decision, 'nobody decided to keep both');
  const shown = JSON.stringify([key, file?.size, String(file?.mtimeNs), object.etag]);
  const digest = createHash('sha256').update(shown).digest('hex');
  return keyFor(route.prefix, tailIn(route, keptKey(key, hostname(), decision.atMs, digest)));
}

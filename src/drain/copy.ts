// Copy: lets the store make an object of one that it has. Whatever it will not do, or not as safely as the policy wants
// it, are new facts, with which it is decided again; in the end the file is uploaded.
import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import type { Action } from '../core/action.ts';
import type { Facts } from '../core/decide.ts';
import type { Baseline } from '../core/baseline.ts';
import { unfitness, type ObjectDescription } from '../core/description.ts';
import { unlessDenied, unlessForbidden } from '../core/failure.ts';
import type { FileState } from '../core/file.ts';
import { holds, type Precondition } from '../core/object.ts';
import { transformName } from '../core/transform.ts';
import type { Claim, Journal } from '../journal/journal.ts';
import type { CopySource } from '../transfer/destination.ts';
import { describeBody, describeWrite } from '../transfer/metadata.ts';
import { keyOfObject } from './keys.ts';
import type { Subject } from './look.ts';
import { learnStore } from './prepare.ts';
import type { Route } from './route.ts';

export type CopyAction = Extract<Action, { kind: 'copy' | 'describe' }>;

export function isCopy(action: Action): action is CopyAction {
  return action.kind === 'copy' || action.kind === 'describe';
}

/** What came of it. */
export type Copied =
  | {
      readonly kind: 'written';
      readonly etag: string;
      readonly versionId?: string;
      readonly file: FileState;
      readonly description: ObjectDescription;
    }
  | { readonly kind: 'busy' }
  /** Nothing that is known to be the file was written: what is known now. */
  | { readonly kind: 'not-copied'; readonly facts: Partial<Facts> };

/** @throws Failure that time may mend, or that concerns more than this copy */
export async function copy(
  route: Route,
  { writeId }: Claim,
  subject: Subject,
  action: CopyAction,
  facts: Facts,
  journal: Journal,
): Promise<Copied> {
  assert(facts.local.kind === 'file', 'only a file has an object that can be copied for it');
  const { file } = facts.local;
  const precondition = preconditionOf(action);
  const from = sourceOf(route, subject, action, facts);
  const wanted = route.describe(subject.path, file);
  if (action.kind === 'copy' && !hasBodyFor(wanted, from)) return notCopied({ copyRefused: true });
  const plain = describeBody(wanted, from.baseline);
  const description = precondition.kind === 'none' ? plain : describeWrite(plain, writeId);
  // What S3 would refuse of the object is said by the upload.
  const isUnfit = unfitness(description, description.checksum ?? route.checksum) !== undefined;
  if (isUnfit || !mayCopy(route, action)) return notCopied({ copyRefused: true });

  // What it will not copy may be archived, or under a key that nobody names; or it copies nothing, or not for us.
  const { source } = from;
  const result = await unlessForbidden(
    route.destination.copy(source, subject.key, description, precondition),
  );
  switch (result?.kind) {
    case undefined:
    case 'source-changed':
      return notCopied({ copyRefused: true });
    case 'busy':
      return result;
    case 'written': {
      // An ETag that stays the same is the MD5 of the same bytes. That of parts, or of something encrypted, does not stay:
      // then the store must be one that holds copies to the source that was named.
      const isOurs = result.etag === source.etag || (await holdsToSource(route, journal));
      if (isOurs) return { ...result, file, description };
      const remote = await route.destination.head(subject.key);
      return notCopied({ remote, content: undefined, copyRefused: true });
    }
    case 'precondition-failed':
    case 'missing': {
      const remote = await unlessDenied(route.destination.head(subject.key));
      // S3 answers the same for the source as for the object to be written: if that one is as it should be, it was the source.
      if (!remote || holds(precondition, remote)) return notCopied({ copyRefused: true });
      return notCopied({ remote, content: undefined, writeId });
    }
  }
}

function notCopied(facts: Partial<Facts>): Copied {
  return { kind: 'not-copied', facts };
}

/** Whether the store can be held to the policy when it copies; overwrite replaces whatever is there. */
export function mayCopy({ judgement, emulates, capabilities }: Route, action: CopyAction): boolean {
  if (judgement.policy === 'overwrite') return true;
  if (emulates || !capabilities?.copySourceIfMatch) return false;
  return preconditionOf(action).kind === 'etag' ? capabilities.copyIfMatch : capabilities.copyIfAbsent;
}

function preconditionOf(action: CopyAction): Precondition {
  return action.kind === 'copy' ? action.precondition : { kind: 'etag', etag: action.etag };
}

/** Whether the store copies nothing but the source that was named. */
export async function holdsToSource(route: Route, journal: Journal): Promise<boolean> {
  return (await unlessForbidden(learnStore(route, journal)))?.copySourceIfMatch === true;
}

interface From {
  /** The object to copy, with the key of SSE-C that the rules have for it. */
  readonly source: CopySource;
  readonly baseline: Baseline;
  /** To whom the rules encrypt it. */
  readonly recipients: readonly string[] | undefined;
}

function sourceOf(route: Route, subject: Subject, action: CopyAction, facts: Facts): From {
  const { path, baseline } =
    action.kind === 'copy' ? facts.origin! : { path: subject.path, baseline: facts.baseline! };
  const { encryption, recipients } = route.describe(path, baseline.file);
  const source = {
    key: keyOfObject(route, path, baseline),
    etag: action.etag,
    ...(encryption?.sse === 'customer' && { customerKey: encryption.key }),
  };
  return { source, baseline, recipients };
}

/** False where the file is to become another body than its object is: compressed otherwise, or for others to decrypt. */
function hasBodyFor(wanted: ObjectDescription, { baseline, recipients }: From): boolean {
  return transformName(wanted) === baseline.transform && isDeepStrictEqual(wanted.recipients, recipients);
}

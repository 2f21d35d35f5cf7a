// Apply: brings the object of an unchanged file in line with the rules where it is, without sending the file again.
import { createHash } from 'node:crypto';
import { agreed, type Baseline } from '../core/baseline.ts';
import { unfitness, type ObjectDescription, type Unfit } from '../core/description.ts';
import {
  differingFields,
  recordedKeyDigest,
  recordedText,
  remedyFor,
  type DriftField,
  type InPlaceField,
  type Recorded,
  type Refusal,
  type Remedy,
} from '../core/drift.ts';
import { Failure } from '../core/failure.ts';
import { customerKeys } from '../core/rules.ts';
import type { Journal, KnownBaseline } from '../journal/journal.ts';
import { describeBody } from '../transfer/metadata.ts';
import { holdsToSource } from './copy.ts';
import { keyOfFile, keyOfObject } from './keys.ts';
import type { Route } from './route.ts';

/** What differs between an object and the rules, and what is to be done about it. */
export interface Drift {
  readonly fields: readonly DriftField[];
  readonly remedy: Remedy | { readonly kind: 'refused'; readonly reason: Refusal | Unfit['reason'] };
  readonly wanted: ObjectDescription;
  /** To be remembered once the object is in line. */
  readonly recorded: Recorded;
}

/** What is remembered of a description with which an object was written. */
export function recordedOf(route: Route, description: ObjectDescription, atMs: number): Recorded {
  return { text: recordedText(description, description.checksum ?? route.checksum, digest), atMs };
}

/** A key of SSE-C is told from another one by this; from the digest nobody finds the key. */
function digest(key: string): string {
  return createHash('sha256').update(key).digest('base64');
}

/** True for objects that the rules speak of: ours, and not left behind by a file that is gone. */
function isGoverned(baseline: Baseline): boolean {
  return baseline.owned && agreed(baseline) && !baseline.gone && baseline.etag !== undefined;
}

/**
 * Undefined where the object is as the rules have it, or is not ours, or was there before us: what it is besides its bytes is
 * not known then. Ages are judged as of the upload: nothing differs because a file grew older.
 */
export function driftOf(route: Route, path: string, baseline: Baseline, nowMs: number): Drift | undefined {
  const { recorded, file } = baseline;
  if (!recorded || !isGoverned(baseline)) return undefined;
  const wanted = route.describe(path, file, recorded.atMs);
  const now = recordedOf(route, wanted, recorded.atMs);
  const keyed = keyOfFile(route, path, file);
  const moves = keyed.kind === 'key' && keyed.key !== keyOfObject(route, path, baseline);
  const fields: DriftField[] = [
    ...(moves ? ['key' as const] : []),
    ...differingFields(recorded.text, now.text),
  ];
  if (fields.length === 0) return undefined;
  return { fields, remedy: remedyOf(), wanted, recorded: now };

  function remedyOf(): Drift['remedy'] {
    const unfit = unfitness(wanted, wanted.checksum ?? route.checksum);
    if (unfit) return { kind: 'refused', reason: unfit.reason };
    const remedy = remedyFor(fields, recorded!, wanted, file.size, nowMs);
    const isUnreadable =
      remedy.kind === 'copy' &&
      recordedKeyDigest(recorded!.text) !== undefined &&
      !customerKeyOf(route, baseline);
    return isUnreadable ? { kind: 'refused', reason: 'encryption-key-unknown' } : remedy;
  }
}

export interface DriftedObject {
  readonly known: KnownBaseline;
  readonly drift: Drift;
}

export interface DriftPage {
  readonly drifted: readonly DriftedObject[];
  /** Ours, but written by somebody else before: whether they are as the rules have it only the store can tell. */
  readonly unknown: readonly KnownBaseline[];
}

/** What of a route differs from the rules, in pages, so that whoever asks can do something else in between. */
export function* driftPages(route: Route, journal: Journal, nowMs: number): Generator<DriftPage> {
  for (const page of journal.baselines(route.routeId)) {
    const synced = page.filter(
      ({ baseline, path }) => isGoverned(baseline) && isSynced(route, path, baseline),
    );
    yield {
      drifted: synced.flatMap((known) => {
        const drift = driftOf(route, known.path, known.baseline, nowMs);
        return drift ? [{ known, drift }] : [];
      }),
      unknown: synced.filter(
        ({ baseline, path }) => !baseline.recorded && saysSomething(route, path, baseline, nowMs),
      ),
    };
  }
}

function isSynced(route: Route, path: string, { file }: Baseline): boolean {
  return route.selects(path, file) && !route.selection.excludesNow(route.root.path, path);
}

/** False where no rule is for the file. */
function saysSomething(route: Route, path: string, { file }: Baseline, nowMs: number): boolean {
  const wanted = route.describe(path, file, nowMs);
  const { contentType } = wanted;
  const plain = { tags: {}, metadata: {}, ...(contentType !== undefined && { contentType }) };
  return recordedOf(route, wanted, nowMs).text !== recordedOf(route, plain, nowMs).text;
}

/** What bringing an object in line asks for. */
export function operationsOf(remedy: Drift['remedy']): string[] {
  if (remedy.kind === 'put') return remedy.fields.map((field) => operations[field]);
  return remedy.kind === 'copy' ? ['CopyObject'] : [];
}

const operations: Readonly<Record<InPlaceField, string>> = {
  tags: 'PutObjectTagging',
  acl: 'PutObjectAcl',
  'object-lock': 'PutObjectRetention',
};

export type Applied =
  | { readonly kind: 'applied'; readonly baseline: Baseline }
  /** The object is no longer the one that we know: nothing was done to it. */
  | { readonly kind: 'remote-changed' }
  | { readonly kind: 'busy' }
  /** Not by requests to the object: it was said before, and is left. */
  | { readonly kind: 'left' };

/** @throws Failure from the destination */
export async function applyRules(
  route: Route,
  key: string,
  baseline: Baseline,
  drift: Drift,
  journal: Journal,
): Promise<Applied> {
  const { remedy, recorded } = drift;
  const inLine: Baseline = { ...baseline, outcome: 'meta-updated', recorded };
  switch (remedy.kind) {
    case 'upload':
    case 'refused':
      return { kind: 'left' };
    case 'put': {
      // S3 has no conditions on these. Under overwrite the key is ours whoever wrote to it; otherwise it is looked at first.
      if (route.judgement.policy !== 'overwrite' && !(await isStill(route, key, baseline)))
        return { kind: 'remote-changed' };
      const isThere = await putInPlace(route, key, baseline, drift, remedy.fields);
      return isThere ? { kind: 'applied', baseline: inLine } : { kind: 'remote-changed' };
    }
    case 'copy': {
      const mayBeAnother = route.judgement.policy !== 'overwrite' && !route.capabilities?.copySourceIfMatch;
      if (mayBeAnother && !(await isStill(route, key, baseline))) return { kind: 'remote-changed' };
      const customerKey = customerKeyOf(route, baseline);
      const source = { key, etag: baseline.etag!, ...(customerKey !== undefined && { customerKey }) };
      // Source and target are one object: the condition on the source is the one on the target.
      const description = describeBody(drift.wanted, baseline);
      const result = await route.destination.copy(source, key, description, { kind: 'none' });
      if (result.kind === 'busy') return { kind: 'busy' };
      if (result.kind !== 'written') return { kind: 'remote-changed' };
      // As for every copy: what has another ETag than its source is known to be of it only where the store holds to that.
      const isOurs = result.etag === source.etag || (await holdsToSource(route, journal));
      if (!isOurs) return { kind: 'remote-changed' };
      const { versionId: _former, ...rest } = inLine;
      const { etag, versionId } = result;
      return { kind: 'applied', baseline: { ...rest, etag, ...(versionId !== undefined && { versionId }) } };
    }
  }
}

async function isStill(route: Route, key: string, { etag }: Baseline): Promise<boolean> {
  const remote = await route.destination.head(key);
  return remote.kind === 'object' && remote.object.etag === etag;
}

/** @returns false when there is no such object */
async function putInPlace(
  { destination }: Route,
  key: string,
  { versionId, recorded }: Baseline,
  { wanted }: Drift,
  fields: readonly InPlaceField[],
): Promise<boolean> {
  try {
    if (fields.includes('tags')) await destination.putTags(key, wanted.tags, versionId);
    if (fields.includes('acl')) await destination.putAcl(key, wanted.access, versionId);
    if (fields.includes('object-lock'))
      await destination.putLock(key, wanted.objectLock, recorded!.atMs, versionId);
    return true;
  } catch (error) {
    const isGone = error instanceof Failure && (error.code === 'NoSuchKey' || error.code === 'NoSuchVersion');
    if (isGone) return false;
    throw error;
  }
}

/** The key with which the object is encrypted, among those of the rules. */
function customerKeyOf(route: Route, { recorded }: Baseline): string | undefined {
  const wanted = recordedKeyDigest(recorded!.text);
  return customerKeys(route.folder.rules).find((key) => digest(key) === wanted);
}

/** An object that differs from the rules and is left as it is. */
export interface LeftObject {
  readonly folder: string;
  readonly destination: string;
  readonly path: string;
  readonly key: string;
  readonly fields: readonly DriftField[];
  /** `upload`: only by sending the file again. */
  readonly reason: 'upload' | Extract<Drift['remedy'], { kind: 'refused' }>['reason'];
}

export function leftObject(route: Route, { known, drift }: DriftedObject): LeftObject {
  return {
    folder: route.folder.name,
    destination: route.destination.name,
    path: known.path,
    key: keyOfObject(route, known.path, known.baseline),
    fields: drift.fields,
    reason: drift.remedy.kind === 'refused' ? drift.remedy.reason : 'upload',
  };
}

// Recognition: is the store still the one that holds what the journal says? A bucket that was emptied, or deleted and created
// anew, or a disk that is not mounted below a server, answers as if nothing had happened, and unchanged files would count as
// synced for ever. It is known by the objects that it was given: no marker stands in the bucket, and the question costs one
// HEAD a day.
import type { Baseline } from '../core/baseline.ts';
import { scratchName } from '../core/capabilities.ts';
import { unlessDenied, unlessForbidden } from '../core/failure.ts';
import type { Halt, HaltReason } from '../core/halt.ts';
import type { KnownObject } from '../journal/halts.ts';
import type { Journal } from '../journal/journal.ts';
import { keyOfObject, tailIn } from './keys.ts';
import type { Route } from './route.ts';

/** Less than a day: who runs `once` every night asks every night. */
const proofLastsMs = 20 * 3_600_000;

/** An object that is missed so soon after a proof was deleted by somebody; the store is the same. */
const beyondDoubtMs = 60_000;

export class Recognition {
  readonly #route: Route;
  readonly #journal: Journal;
  #provedAtMs: number;

  constructor(route: Route, journal: Journal) {
    this.#route = route;
    this.#journal = journal;
    this.#provedAtMs = journal.halts.provedAtMs(route.routeId) ?? -Infinity;
  }

  get isDue(): boolean {
    const nowMs = this.#route.clock.now();
    return nowMs - this.#provedAtMs >= proofLastsMs || this.#route.endpoint.doubtedAtMs > this.#provedAtMs;
  }

  /** An object that should be there is not: it, or all of them. */
  missed(): void {
    const nowMs = this.#route.clock.now();
    if (nowMs - this.#provedAtMs >= beyondDoubtMs) this.#route.endpoint.doubt(nowMs);
  }

  /** Nothing is known of the store any more. */
  forget(): void {
    this.#provedAtMs = -Infinity;
  }

  /**
   * Asks for one object that is known from before the last proof, and if it is not there, for any of them.
   * @returns why nothing is to be sent to this store; or that it is the same, as far as that can be told
   * @throws Failure when it cannot be asked
   */
  async look(signal: AbortSignal): Promise<Halt | 'same' | 'nothing-asked'> {
    const nowMs = this.#route.clock.now();
    const { disk, halts } = this.#journal;
    const { routeId } = this.#route;
    // What came since may have been written into another store already, and says nothing of what was there before.
    const older = halts.objectBefore(routeId, this.#provedAtMs);
    const known = older ?? halts.objectBefore(routeId, nowMs);
    const reason = known && (await this.#ask(known, older ? this.#provedAtMs : nowMs, signal));
    if (reason) {
      // Others may be about to write to the same.
      this.#route.endpoint.doubt(nowMs);
      return { reason, message: this.#messageOf(reason), sinceMs: nowMs };
    }
    this.#provedAtMs = nowMs;
    disk.note(`proof of route ${routeId}`, () => halts.recordProof(routeId, nowMs));
    return known ? 'same' : 'nothing-asked';
  }

  async #ask(known: KnownObject, beforeMs: number, signal: AbortSignal): Promise<HaltReason | undefined> {
    const { destination } = this.#route;
    const remote = await unlessForbidden(
      destination.head(keyOfObject(this.#route, known.path, known.baseline)),
    );
    if (remote?.kind === 'object' && isAsKnown(remote.object, known.baseline)) return undefined;
    return unlessDenied(this.#searchListing(beforeMs, signal));
  }

  /** Ends at the first object that is as it is known. */
  async #searchListing(beforeMs: number, signal: AbortSignal): Promise<HaltReason | undefined> {
    const { routeId, destination, prefix } = this.#route;
    let isEmpty = true;
    for await (const page of destination.list(prefix, signal)) {
      for (const object of page) {
        const tail = tailIn(this.#route, object.key);
        if (tail === scratchName) continue;
        isEmpty = false;
        const path = this.#journal.occupant(routeId, tail);
        const known =
          path === undefined ? undefined : this.#journal.halts.knownBefore(routeId, path, beforeMs);
        if (known && isAsKnown(object, known)) return undefined;
      }
    }
    return isEmpty ? 'store-emptied' : 'store-replaced';
  }

  #messageOf(reason: HaltReason): string {
    const { destination, folder, prefix } = this.#route;
    const found = reason === 'store-emptied' ? 'it is empty' : 'there are only others';
    return (
      `folder "${folder.name}": of the objects that were put to destination "${destination.name}" none is there any more` +
      `${prefix === '' ? '' : ` below ${prefix}`}, ${found}. Was the bucket emptied, or is it another one of the same name? ` +
      `Nothing is sent to it. If it is meant to be this one: \`s3syncd resume --folder ${folder.name} --destination ` +
      `${destination.name}\` compares everything anew and uploads what is missing`
    );
  }
}

/** A copy of it made in place has another ETag, and its key and size still. */
function isAsKnown(
  { etag, size }: { readonly etag: string; readonly size: number },
  { etag: knownEtag, transform, file }: Baseline,
): boolean {
  return etag === knownEtag || (transform === undefined && size === file.size);
}

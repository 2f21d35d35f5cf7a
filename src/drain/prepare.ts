// Before a route's first change: can the store enforce the policy, and what does it hold already?
import type { Capabilities } from '../core/capabilities.ts';
import { Failure } from '../core/failure.ts';
import { keyFor } from '../core/key.ts';
import type { Journal } from '../journal/journal.ts';
import { probe } from '../transfer/probe.ts';
import { tailIn } from './keys.ts';
import type { Route } from './route.ts';

/** The store ignores what the policy depends on. The message says what to do. */
export class Unenforceable extends Error {
  override readonly name = 'Unenforceable';
}

/**
 * Learns what the store enforces, from the journal or by a probe, and refuses a policy that it cannot keep.
 * @throws Unenforceable; Failure when the store cannot be asked
 */
export async function prepareStore(route: Route, journal: Journal): Promise<void> {
  if (!route.needsConditions) return;
  const capabilities = await learnStore(route, journal);
  prepareDeletes(route, capabilities);
  if (route.judgement.policy === 'overwrite') return;
  if (needsIfMatch(route) && capabilities.putIfMatch === 'denied') {
    throw new Failure(
      `folder "${route.folder.name}": policy ${route.judgement.policy} replaces only what it has seen, for which ` +
        `destination "${route.destination.name}" needs the right s3:GetObject. Grant it, or use policy skip-existing.`,
      { class: 'denied', code: 'AccessDenied' },
    );
  }
  const lacking = lack(route, capabilities);
  route.emulates = lacking !== undefined;
  if (lacking && !route.unsafeEmulation) {
    throw new Unenforceable(
      `folder "${route.folder.name}": policy ${route.judgement.policy} needs a store that enforces ${lacking}, and ` +
        `destination "${route.destination.name}" was found to ignore it: an object of somebody else could be replaced. ` +
        'Use another store, or policy overwrite, or accept the race with `unsafe-emulation: true` at the destination.',
    );
  }
}

/**
 * What the store was found to do, by the journal or by a probe. Whoever asks meanwhile waits for the same probe: it has one
 * scratch key.
 * @throws Failure when the store cannot be asked
 */
export function learnStore(route: Route, journal: Journal): Promise<Capabilities> {
  route.learning ??= learn(route, journal).finally(() => (route.learning = undefined));
  return route.learning;
}

async function learn(route: Route, journal: Journal): Promise<Capabilities> {
  const remembered = route.capabilities ?? rememberedCapabilities(journal, route.destinationId);
  const isKnown = remembered && suffices(route, remembered);
  const capabilities = isKnown ? remembered : await probe(route.destination, route.prefix);
  if (!isKnown)
    journal.recordCapabilities(route.destinationId, JSON.stringify(capabilities), route.clock.now());
  route.destination.ifMatchQuoted = capabilities.putIfMatch !== 'unquoted';
  route.destination.keeps.parts.tags = capabilities.multipartTags;
  route.capabilities = capabilities;
  return capabilities;
}

/** What kept the route from its work may be mended by now: rights that were granted, a store that is another version. */
function suffices(route: Route, found: Capabilities): boolean {
  if (found.putIfMatch === 'denied' || (deletes(route) && found.deleteIfMatch === 'denied')) return false;
  if (route.unsafeEmulation || route.judgement.policy === 'overwrite') return true;
  return lack(route, found) === undefined && (!deletes(route) || found.deleteIfMatch === true);
}

/** What an earlier probe found; not that of a version which did not ask about copies or deletes. */
export function rememberedCapabilities(journal: Journal, destinationId: number): Capabilities | undefined {
  const json = journal.capabilities(destinationId)?.json;
  const found = json === undefined ? undefined : (JSON.parse(json) as Partial<Capabilities>);
  const isWhole = found?.copyIfMatch !== undefined && found.deleteIfMatch !== undefined;
  return isWhole ? (found as Capabilities) : undefined;
}

/** What is deleted must be what is known, under every policy but overwrite, which has no conditions by design. */
function prepareDeletes(route: Route, { deleteIfMatch }: Capabilities): void {
  if (!deletes(route)) return;
  const { policy, delete: mode } = route.judgement;
  const setting = `folder "${route.folder.name}": delete: ${mode}`;
  if (deleteIfMatch === 'denied') {
    throw new Failure(
      `${setting} needs the rights s3:DeleteObject and s3:GetObject at destination "${route.destination.name}". Grant ` +
        'them, or use delete: keep.',
      { class: 'denied', code: 'AccessDenied' },
    );
  }
  route.looksBeforeDelete = !deleteIfMatch;
  if (deleteIfMatch || policy === 'overwrite' || route.unsafeEmulation) return;
  throw new Unenforceable(
    `${setting} under policy ${policy} needs a store that enforces If-Match on DeleteObject, and destination ` +
      `"${route.destination.name}" was found to ignore it: an object of somebody else could be deleted. Use delete: keep, ` +
      'or policy overwrite, or accept the race with `unsafe-emulation: true` at the destination.',
  );
}

function deletes({ judgement }: Route): boolean {
  return judgement.delete !== 'keep';
}

function lack(route: Route, capabilities: Capabilities): string | undefined {
  if (!capabilities.putIfAbsent) return 'If-None-Match on PutObject';
  return needsIfMatch(route) && capabilities.putIfMatch === 'no' ? 'If-Match on PutObject' : undefined;
}

function needsIfMatch({ judgement: { policy } }: Route): boolean {
  return policy === 'if-unchanged' || policy === 'newer-wins';
}

/**
 * First contact: one listing of the prefix, 1,000 objects a request, instead of a HEAD for every file.
 * @throws Failure; an interrupted listing is taken anew. Where listing is denied, skip-existing does without: S3 refuses
 * every write to a key that exists.
 */
export async function takeListing(route: Route, journal: Journal, signal: AbortSignal): Promise<void> {
  const { routeId, prefix, judgement, clock } = route;
  if (journal.isListed(routeId)) return;
  journal.clearListing(routeId);
  try {
    for await (const page of route.destination.list(prefix, signal)) {
      const objects = page.map(({ key, ...object }) => ({ ...object, tail: tailIn(route, key) }));
      journal.recordListing(
        routeId,
        // Keys that no file can have ("dir/" markers of consoles) are nobody's business here.
        objects.filter(({ tail }) => keyFor(prefix, tail).kind === 'key'),
      );
    }
  } catch (error) {
    if (judgement.policy !== 'skip-existing' || !(error instanceof Failure) || error.class !== 'denied')
      throw error;
    return;
  }
  journal.finishListing(routeId, clock.now());
}

// Drain: works one route's journal until nothing is ready, and waits for more. Claim, look, decide, act, record; ends of
// changes and the next claims share a transaction.
import type { Logger } from '../observe/log.ts';
import { Failure, isTemporary } from '../core/failure.ts';
import type { Outcome } from '../core/action.ts';
import type { Halt } from '../core/halt.ts';
import type { Clock, Timer } from '../edge/clock.ts';
import type { Usage } from '../core/usage.ts';
import type { Claim, Completion, Journal, RouteTrouble } from '../journal/journal.ts';
import type { ByteBudget } from '../transfer/limits.ts';
import { handle } from './act.ts';
import type { FolderDeletes } from './deletes.ts';
import { Trouble } from './endpoint.ts';
import { Recognition } from './recognition.ts';
import { entryOf, type Handled } from './handled.ts';
import { prepareStore, takeListing, Unenforceable } from './prepare.ts';
import { findOrigins, PendingOrigins } from './renames.ts';
import type { Route } from './route.ts';
import { endLeftUploads } from './upload-memory.ts';

/** Ended changes wait at most this long to be recorded together: one fsync for all of them. */
const recordAfterMs = 20;

/**
 * Denials in a row after which they are taken to concern the route, not the files. Once something was allowed they are
 * about a part of the folder: each of its files fails by itself, and nothing else waits.
 */
const deniedInRowMax = 3;

/** Work that was due for so long, and could have been begun, was forgotten: the drain turns every minute. */
const overdueMs = 300_000;

/** Tries that `once` gives a change, or an endpoint where nobody answers, before it leaves them for later. */
const onceTriesMax = 3;

export interface DrainOptions {
  readonly journal: Journal;
  /** Memory for the bodies of small files, over all routes. */
  readonly budget: ByteBudget;
  /** Memory for parts of large files, over all routes. */
  readonly partBudget: ByteBudget;
  /** Of the folder, shared by its routes. */
  readonly deletes: FolderDeletes;
  readonly log: Logger;
  /** Called for each change when it was handled. */
  readonly onHandled: (route: Route, claim: Claim, handled: Handled) => void;
}

/** What the journal does not know of a route. */
export interface DrainStatus {
  readonly inFlight: readonly string[];
  /** When a route or an endpoint in trouble is tried next. */
  readonly nextTryMs: number | undefined;
}

export class Drain {
  readonly route: Route;
  readonly outcomes = new Map<Outcome, number>();
  #bytes = 0;
  #sentBytes = 0;
  readonly #options: DrainOptions;
  readonly #stop = new AbortController();
  /** Uploads in parts end: we stop, or nothing more is to be sent there. */
  #interrupt = new AbortController();
  readonly #recognition: Recognition;
  /** Lasts until a person ends it. */
  #halt: Halt | undefined;
  #resuming: PromiseWithResolvers<void> | undefined;
  readonly #queue: Claim[] = [];
  readonly #origins = new PendingOrigins();
  readonly #inFlight = new Map<number, Claim>();
  readonly #completions: Completion[] = [];
  readonly #usages: Usage[] = [];
  readonly #trouble = new Trouble();
  readonly #startedMs: number;
  #oldestCompletionMs = Infinity;
  #prepared = false;
  #preparing = false;
  #refused: string | undefined;
  #deniedInRow = 0;
  /** The store has answered since the start, other than with a refusal. */
  #hasWorked = false;
  /** Code of the trouble that was reported last and has not ended. */
  #reported: string | undefined;
  #halted = false;
  #finishing = false;
  #wake: () => void = () => undefined;

  constructor(route: Route, options: DrainOptions) {
    this.route = route;
    this.#options = options;
    this.#startedMs = route.clock.now();
    route.endpoint.join(route.routeId);
    // What kept the route from working before the restart may be mended: it is found out anew.
    this.#reported = options.journal.trouble(route.routeId)?.code;
    this.#halt = options.journal.halts.ofRoute(route.routeId);
    this.#recognition = new Recognition(route, options.journal);
  }

  /** Bytes of files that were uploaded. */
  get bytes(): number {
    return this.#bytes;
  }

  get status(): DrainStatus {
    return {
      inFlight: [...this.#inFlight.values()].map((claim) => claim.path),
      nextTryMs: (this.#trouble.current ?? this.route.endpoint.trouble.current)?.nextTryMs,
    };
  }

  /** There may be something ready: the journal was written to. */
  poke(): void {
    this.#wake();
  }

  /** While a folder's root is not what it was, its changes wait: a vanished disk must not look like deleted files. */
  halt(halted: boolean): void {
    this.#halted = halted;
    this.#wake();
  }

  /** Bytes that were sent, those of unfinished uploads included. */
  get sentBytes(): number {
    return this.#sentBytes;
  }

  /** Handled changes, retries included. */
  get handled(): number {
    return [...this.outcomes.values()].reduce((sum, count) => sum + count, 0);
  }

  /** A person mended something: do not wait for the end of a pause. */
  retryNow(): void {
    this.#trouble.end();
    this.route.endpoint.trouble.end();
    this.#refused = undefined;
    this.#wake();
  }

  /** Ends a halt: what is known of the store is forgotten, once nothing is under way. A scan of the folder is to follow. */
  resume(): Promise<void> {
    this.#resuming ??= Promise.withResolvers();
    this.#wake();
    return this.#resuming.promise;
  }

  /** Ends `run` once nothing more can be done now: for `once`, after the scans. */
  finish(): void {
    this.#finishing = true;
    this.#wake();
  }

  /** Starts nothing more; uploads in parts stop where they can go on later, single requests are waited for. */
  stop(): void {
    this.#stop.abort();
    this.#interrupt.abort();
    this.#wake();
  }

  /**
   * Whoever waits for an answer is not judged here: every socket has its timeout.
   * @throws when nothing is under way although it should be
   */
  proveProgress(nowMs: number): void {
    const { endpoint, routeId } = this.route;
    if (this.#stopping || this.#preparing || !this.#mayStart || endpoint.inFlight > 0) return;
    const dueMs = this.#options.journal.nextReadyAtMs(routeId);
    if (nowMs - dueMs < overdueMs) return;
    const { folder, destination } = this.#subject;
    const seconds = Math.round((nowMs - dueMs) / 1000);
    throw new Error(
      `folder "${folder}": nothing goes to "${destination}", although changes wait for ${seconds} s`,
    );
  }

  /** Runs until `stop`, or after `finish` until there is nothing left to do. */
  async run(): Promise<void> {
    const { disk } = this.#options.journal;
    for (;;) {
      const wake = new Promise<void>((resolve) => (this.#wake = resolve));
      try {
        await this.#advance();
      } catch (error) {
        if (!disk.begin(error)) throw error;
      }
      if (this.#finished || (this.#stopping && this.#inFlight.size === 0)) break;
      await this.#sleep(wake);
      // A change that needs no answer of anybody ends before the event loop turns, and wakes the drain. A thousand of those
      // would be handled again and again while the answers that they wait for are not let in.
      await this.#clock.turn();
    }
    this.#releaseQueue();
    // What cannot be recorded is claimed still, and looked at again by the next start.
    if (!disk.trouble) this.#record(0);
  }

  async #advance(): Promise<void> {
    if (this.#othersAsk) this.route.endpoint.onRelease(() => this.#wake());
    else await this.#prepareAll();
    this.#turn();
    this.#start();
    if (this.#resuming && this.#isIdle && this.#completions.length === 0) this.#beginAnew(this.#resuming);
  }

  async #prepareAll(): Promise<void> {
    this.#preparing = true;
    try {
      await this.#step(() => this.#recognise());
      await this.#step(() => this.#endLeft());
      await this.#step(() => this.#prepare());
    } finally {
      this.#preparing = false;
    }
  }

  /** Nobody answers, and a request is under way that asks whether somebody does: of this route or of another. */
  get #othersAsk(): boolean {
    const { endpoint } = this.route;
    return endpoint.isSilent && endpoint.inFlight > 0;
  }

  /** As one of the endpoint's requests under way: in trouble there is one of them, whatever it is for. */
  async #ask<T>(ask: () => Promise<T>): Promise<T> {
    const { endpoint, routeId } = this.route;
    endpoint.take(routeId);
    try {
      return await ask();
    } finally {
      endpoint.release(routeId);
    }
  }

  #beginAnew(resuming: PromiseWithResolvers<void>): void {
    this.#options.journal.beginAnew(this.route.routeId);
    this.#resuming = undefined;
    this.#halt = undefined;
    this.#interrupt = new AbortController();
    this.#prepared = false;
    this.route.leftUploadsDueMs = 0;
    this.route.capabilities = undefined;
    this.#recognition.forget();
    this.#reported = undefined;
    this.#options.log.info(this.#subject, 'resumed: everything is compared anew');
    resuming.resolve();
  }

  get #clock(): Clock {
    return this.route.clock;
  }

  get #stopping(): boolean {
    return this.#stop.signal.aborted;
  }

  get #mayStart(): boolean {
    if (this.#halted || this.#halt || this.#refused !== undefined) return false;
    if (this.#options.journal.disk.trouble) return false;
    return this.#clock.now() >= this.#pausedUntilMs;
  }

  get #pausedUntilMs(): number {
    const { endpoint } = this.route;
    return Math.max(
      this.#trouble.current?.nextTryMs ?? 0,
      endpoint.trouble.current?.nextTryMs ?? 0,
      endpoint.requestBudget?.nextStartMs(this.#clock.now()) ?? 0,
    );
  }

  /** The day's budget of requests nears its end. */
  get #isSlowed(): boolean {
    return this.route.endpoint.requestBudget?.slowed(this.#clock.now()) ?? false;
  }

  get #inTrouble(): boolean {
    return (this.#trouble.current ?? this.route.endpoint.trouble.current) !== undefined;
  }

  /** One of those that come before any change; in trouble it is taken again. */
  async #step(take: () => Promise<void>): Promise<void> {
    if (this.#stopping || !this.#mayStart) return;
    try {
      await take();
    } catch (error) {
      if (this.#stopping) return;
      if (error instanceof Unenforceable) this.#refuse(error.message);
      else if (error instanceof Failure) this.#beginTrouble(error);
      else throw error;
    }
  }

  /** Is it the store still that holds what we know? */
  async #recognise(): Promise<void> {
    if (!this.#recognition.isDue) return;
    const found = await this.#ask(() => this.#recognition.look(this.#stop.signal));
    if (found !== 'nothing-asked') this.#endTrouble();
    if (typeof found === 'object') this.#haltFor(found);
  }

  async #endLeft(): Promise<void> {
    if (this.#clock.now() < this.route.leftUploadsDueMs) return;
    await this.#ask(() => endLeftUploads(this.route, this.#options.journal));
  }

  #haltFor(halt: Halt): void {
    const { journal, log } = this.#options;
    const { routeId } = this.route;
    this.#halt = halt;
    this.#interrupt.abort();
    journal.disk.note(`halt of route ${routeId}`, () => journal.halts.recordRoute(routeId, halt));
    log.error({ ...this.#subject, reason: halt.reason }, halt.message);
  }

  /** Before the first change: what does the store enforce, and what does it hold already? */
  async #prepare(): Promise<void> {
    if (this.#prepared || this.#options.journal.nextReadyAtMs(this.route.routeId) > this.#clock.now()) return;
    await this.#ask(async () => {
      await prepareStore(this.route, this.#options.journal);
      await takeListing(this.route, this.#options.journal, this.#stop.signal);
    });
    this.#prepared = true;
    this.#endTrouble();
  }

  /** How many more changes may be claimed: twice of what may be in flight, so that a free place never waits for a transaction. */
  get #room(): number {
    const capacity = this.#inTrouble || this.#isSlowed ? 1 : 2 * this.route.endpoint.concurrency.limit;
    return capacity - this.#queue.length - this.#inFlight.size;
  }

  /** Records what ended and claims what is ready, in one transaction. */
  #turn(): void {
    if (this.#options.journal.disk.trouble) return;
    const mayClaim = this.#prepared && this.#mayStart && !this.#stopping;
    const want = mayClaim ? Math.max(0, this.#room) : 0;
    const due =
      this.#completions.length >= this.route.endpoint.concurrency.limit / 2 ||
      this.#queue.length === 0 ||
      this.#clock.now() - this.#oldestCompletionMs >= recordAfterMs;
    if (due) this.#record(want);
  }

  #record(want: number): void {
    const completions = [...this.#completions];
    const { journal } = this.#options;
    const { routeId } = this.route;
    // In trouble another one is tried each time, not one that waits since it failed: it may be the only one to fail.
    const order = this.#inTrouble ? 'newest' : 'oldest';
    // With the ends of changes, so that it takes no transaction of its own; or when nothing ends for now.
    if (completions.length > 0 || this.#isIdle) this.#usages.push(...this.route.destination.takeUsage());
    const usages = this.#usages;
    const claims = journal.turn({ completions, usages, routeId, want, order, nowMs: this.#clock.now() });
    // Kept until the journal has them.
    this.#completions.length = 0;
    this.#usages.length = 0;
    this.#oldestCompletionMs = Infinity;
    this.#origins.add(claims, findOrigins(this.route, claims, journal));
    this.#queue.push(...claims);
    for (const { claim } of completions) this.route.keysInFlight.release(claim);
    if (this.#isIdle && journal.hasListing(routeId)) this.#whenQuiet();
  }

  get #isIdle(): boolean {
    return this.#queue.length + this.#inFlight.size === 0;
  }

  /** The first contact is over when every file was found, and nothing is left that the listing could tell about. */
  #whenQuiet(): void {
    const { journal } = this.#options;
    const { routeId, folderId } = this.route;
    const scanned = (journal.scannedAtMs(folderId) ?? 0) >= this.#startedMs;
    if (scanned && journal.nextReadyAtMs(routeId) === Infinity) journal.clearListing(routeId);
  }

  #start(): void {
    const { endpoint, routeId } = this.route;
    while (this.#queue.length > 0 && this.#mayStart && !this.#stopping) {
      const oneByOne =
        (this.#trouble.current && this.#inFlight.size > 0) ||
        ((endpoint.trouble.current || this.#isSlowed) && endpoint.inFlight > 0);
      if (oneByOne || !endpoint.hasPlaceFor(routeId)) {
        endpoint.onRelease(() => this.#wake());
        return;
      }
      const claim = this.#takeNext();
      if (!claim) return;
      void this.#handle(claim);
    }
    if (!this.#mayStart || this.#stopping) this.#releaseQueue();
  }

  /** The first that may begin. Where each waits for another (two files that exchanged their names), the first of all. */
  #takeNext(): Claim | undefined {
    const index = this.#queue.findIndex((claim) => this.#origins.mayBegin(claim));
    if (index === -1 && this.#inFlight.size > 0) return undefined;
    return this.#queue.splice(Math.max(index, 0), 1)[0];
  }

  async #handle(claim: Claim): Promise<void> {
    const { endpoint, routeId } = this.route;
    const { journal, budget, partBudget, deletes } = this.#options;
    this.#inFlight.set(claim.changeId, claim);
    endpoint.take(routeId);
    try {
      const found = await handle(this.route, claim, this.#origins.of(claim), {
        journal,
        budget,
        partBudget,
        deletes,
        isNeeded: this.#origins.isNeeded(claim),
        signal: this.#interrupt.signal,
        onBytes: (bytes) => (this.#sentBytes += bytes),
      });
      this.#learn(found);
      const handled = this.#excuse(found);
      this.#origins.ended(claim, handled.end.kind !== 'retry' && handled.end.kind !== 'released');
      const isBack = claim.absentSinceMs !== undefined && handled.isBack === true;
      this.#complete({ claim, end: handled.end, isBack, entry: entryOf(claim, handled) });
      this.outcomes.set(handled.outcome, (this.outcomes.get(handled.outcome) ?? 0) + 1);
      this.#bytes += handled.bytes;
      this.#options.onHandled(this.route, claim, handled);
    } finally {
      this.#inFlight.delete(claim.changeId);
      endpoint.release(routeId);
      this.#wake();
    }
  }

  /** Where nobody answers anything a change has not failed: it goes on with the others, not after a pause of its own. */
  #excuse(handled: Handled): Handled {
    const { end, failure } = handled;
    if (end.kind !== 'retry' || !isUnanswered(failure) || !this.route.endpoint.isSilent) return handled;
    const { mayHaveLanded: tried } = failure;
    return { ...handled, end: { kind: 'released', readyAtMs: this.#clock.now(), tried } };
  }

  /** What one answer says about the route and the endpoint. */
  #learn({ failure, answered, outcome }: Handled): void {
    const { endpoint } = this.route;
    if (outcome === 'recreated') this.#recognition.missed();
    if (!failure) {
      if (!answered) return;
      this.#deniedInRow = 0;
      endpoint.concurrency.succeeded();
      this.#endTrouble();
      this.#hasWorked = true;
      return;
    }
    switch (failure.class) {
      case 'throttled':
        endpoint.concurrency.throttled(this.#clock.monotonic());
        return;
      case 'unreachable':
      case 'refused':
        this.#beginTrouble(failure);
        return;
      case 'denied':
        this.#deniedInRow += 1;
        if (!this.#hasWorked && this.#deniedInRow >= deniedInRowMax) this.#beginTrouble(failure);
        return;
      case 'transient':
        if (isUnanswered(failure) && endpoint.unanswered()) this.#beginTrouble(failure, endpoint.trouble);
        return;
      case 'permanent':
        return;
    }
  }

  #beginTrouble(failure: Failure, trouble = this.#troubleOf(failure)): void {
    // A bucket that is created anew is another one.
    if (failure.code === 'NoSuchBucket') this.route.endpoint.doubt(this.#clock.now());
    trouble.begin(failure, this.#clock.now(), this.#clock.random());
    this.#report({ class: failure.class, code: failure.code, message: failure.message });
  }

  #troubleOf(failure: Failure): Trouble {
    return failure.class === 'unreachable' ? this.route.endpoint.trouble : this.#trouble;
  }

  #refuse(message: string): void {
    this.#refused = message;
    this.#report({ class: 'unenforceable', code: 'unenforceable', message });
  }

  /** Says once what is wrong, in the log and to `status`. */
  #report(trouble: Omit<RouteTrouble, 'sinceMs'>): void {
    if (this.#reported === trouble.code) return;
    this.#reported = trouble.code;
    this.#remember({ ...trouble, sinceMs: this.#clock.now() });
    this.#options.log.error({ ...this.#subject, code: trouble.code }, trouble.message);
  }

  #endTrouble(): void {
    this.#trouble.end();
    this.route.endpoint.trouble.end();
    if (this.#reported === undefined) return;
    this.#reported = undefined;
    this.#remember(undefined, !this.#hasWorked);
    this.#options.log.info(this.#subject, 'destination works again');
  }

  /** @param retries what failed one by one before it was seen to concern all */
  #remember(trouble: RouteTrouble | undefined, retries = false): void {
    const { journal } = this.#options;
    const { routeId } = this.route;
    journal.disk.note(`trouble of route ${routeId}`, () => {
      journal.recordTrouble(routeId, trouble);
      if (retries) journal.retry(routeId, this.#clock.now());
    });
  }

  get #subject() {
    return { folder: this.route.folder.name, destination: this.route.destination.name };
  }

  #complete(completion: Completion): void {
    this.#completions.push(completion);
    this.#oldestCompletionMs = Math.min(this.#oldestCompletionMs, this.#clock.now());
  }

  #releaseQueue(): void {
    for (const claim of this.#queue.splice(0)) {
      this.#origins.ended(claim, false);
      this.#complete({ claim, end: { kind: 'released', readyAtMs: 0, tried: false } });
    }
  }

  /** For `once`: everything is done, or what is left will not be mended by waiting. */
  get #finished(): boolean {
    if (!this.#finishing || !this.#isIdle || this.#options.journal.disk.trouble) return false;
    // What has ended may have made others ready.
    if (this.#completions.length > 0) return false;
    if (this.#halted || this.#halt || this.#refused !== undefined || this.#isSlowed) return true;
    if (this.#options.journal.nextReadyAtMs(this.route.routeId, onceTriesMax) === Infinity) return true;
    const trouble = this.#trouble.current ?? this.route.endpoint.trouble.current;
    return trouble !== undefined && (!isTemporary(trouble.failure.class) || trouble.tries >= onceTriesMax);
  }

  async #sleep(wake: Promise<void>): Promise<void> {
    const dueMs = this.#nextDueMs() - this.#clock.now();
    if (dueMs <= 0) return;
    let timer: Timer | undefined;
    const timeout = new Promise<void>((resolve) => {
      // Longer waits than a minute are cut: a wall clock that was set does not make the drain oversleep.
      timer = this.#clock.after(Math.min(dueMs, 60_000), resolve);
    });
    await Promise.race([wake, timeout]);
    this.#clock.cancel(timer);
  }

  #nextDueMs(): number {
    // The journal wakes the drain when it takes writes again.
    if (this.#options.journal.disk.trouble) return Infinity;
    const recordMs = this.#oldestCompletionMs + recordAfterMs;
    if (this.#stopping || this.#halted || this.#halt || this.#refused !== undefined) return recordMs;
    // What is ready cannot be claimed now: the end of something in flight wakes the drain.
    if (this.#queue.length > 0 || this.#room <= 0 || this.#othersAsk) return recordMs;
    const readyMs = this.#options.journal.nextReadyAtMs(this.route.routeId);
    const dueMs = Math.min(readyMs, this.route.leftUploadsDueMs);
    return Math.min(recordMs, Math.max(dueMs, this.#pausedUntilMs));
  }
}

/** Nothing came back, not even an error. */
function isUnanswered(failure: Failure | undefined): failure is Failure {
  return failure?.class === 'transient' && failure.status === undefined;
}

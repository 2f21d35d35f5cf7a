// What the log says of handled changes: each one while they are few, sums while they are many. journald drops what
// comes faster than 10,000 lines in 30 s, and nobody reads that many.
import type { Route } from '../drain/route.ts';
import type { Handled } from '../drain/handled.ts';
import type { Claim } from '../journal/journal.ts';
import type { Logger } from '../observe/log.ts';
import type { Outcome } from '../core/action.ts';
import { conflictMessages } from '../core/conflict.ts';

const windowMs = 10_000;
const linesPerWindow = 20;

interface Sum {
  readonly folder: string;
  readonly destination: string;
  readonly counts: Map<Outcome, number>;
  bytes: number;
}

export class Reporter {
  readonly #log: Logger;
  readonly #sums = new Map<Route, Sum>();
  readonly #timer: NodeJS.Timeout;
  #lines = 0;

  constructor(log: Logger) {
    this.#log = log;
    this.#timer = setInterval(() => this.#closeWindow(), windowMs);
    this.#timer.unref();
  }

  handled(route: Route, claim: Claim, { outcome, reason, bytes, end }: Handled): void {
    const message = messageOf(end);
    const fields = {
      folder: route.folder.name,
      destination: route.destination.name,
      path: claim.path,
      outcome,
      reason,
      ...(message !== undefined && { message }),
    };
    this.#log.debug(fields, 'change handled');
    if (outcome === 'unchanged' || outcome === 'vanished') return;
    // A destination in trouble is reported once, as a whole.
    if (end.kind === 'released') return;
    if (this.#lines < linesPerWindow) {
      this.#lines += 1;
      if (message !== undefined) this.#log.warn(fields, outcome);
      else this.#log.info({ ...fields, ...(bytes > 0 && { bytes }) }, outcome);
      return;
    }
    const sum = this.#sumOf(route);
    sum.counts.set(outcome, (sum.counts.get(outcome) ?? 0) + 1);
    sum.bytes += bytes;
  }

  end(): void {
    clearInterval(this.#timer);
    this.#closeWindow();
  }

  #closeWindow(): void {
    this.#lines = 0;
    for (const { folder, destination, counts, bytes } of this.#sums.values()) {
      this.#log.info({ folder, destination, ...Object.fromEntries(counts), bytes }, 'more changes handled');
    }
    this.#sums.clear();
  }

  #sumOf(route: Route): Sum {
    const found = this.#sums.get(route);
    if (found) return found;
    const sum = {
      folder: route.folder.name,
      destination: route.destination.name,
      counts: new Map<Outcome, number>(),
      bytes: 0,
    };
    this.#sums.set(route, sum);
    return sum;
  }
}

/** Of what a person may have to mend. */
function messageOf(end: Handled['end']): string | undefined {
  switch (end.kind) {
    case 'stuck':
    case 'retry':
    case 'held':
      return end.message;
    case 'conflict':
      return conflictMessages[end.conflict.reason];
    case 'settled':
    case 'released':
    case 'absent':
      return undefined;
  }
}

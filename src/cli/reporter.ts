// What the log says of handled changes: each one while they are few, sums while they are many. journald drops what
// comes faster than 10,000 lines in 30 s, and nobody reads that many.
import type { Route } from '../drain/route.ts';
import type { Handled } from '../drain/handled.ts';
import type { Claim } from '../journal/journal.ts';
import type { Logger } from '../observe/log.ts';
import { conflictMessages } from '../core/conflict.ts';

const windowMs = 10_000;
/** Of what went well, and of what did not: ten thousand uploads must not leave the one failure without its line. */
const linesPerWindow = 20;

/** What happened more often than there were lines for. */
interface Sum {
  readonly fields: Readonly<Record<string, string>>;
  readonly isTrouble: boolean;
  files: number;
  bytes: number;
}

export class Reporter {
  readonly #log: Logger;
  /** By route, outcome, and of what went wrong its reason. */
  readonly #sums = new Map<string, Sum>();
  readonly #timer: NodeJS.Timeout;
  #lines = { good: 0, trouble: 0 };

  constructor(log: Logger) {
    this.#log = log;
    this.#timer = setInterval(() => this.#closeWindow(), windowMs);
    this.#timer.unref();
  }

  handled(route: Route, claim: Claim, { outcome, reason, bytes, end }: Handled): void {
    const message = messageOf(end);
    const place = { folder: route.folder.name, destination: route.destination.name };
    const fields = { ...place, path: claim.path, outcome, reason, ...(message !== undefined && { message }) };
    this.#log.debug(fields, 'change handled');
    if (outcome === 'unchanged' || outcome === 'vanished') return;
    // A destination in trouble is reported once, as a whole.
    if (end.kind === 'released') return;
    const kind = message === undefined ? 'good' : 'trouble';
    if (this.#lines[kind] < linesPerWindow) {
      this.#lines[kind] += 1;
      if (kind === 'trouble') this.#log.warn(fields, outcome);
      else this.#log.info({ ...fields, ...(bytes > 0 && { bytes }) }, outcome);
      return;
    }
    this.#add({ ...place, outcome, ...(kind === 'trouble' && { reason }) }, kind === 'trouble', bytes);
  }

  end(): void {
    clearInterval(this.#timer);
    this.#closeWindow();
  }

  #closeWindow(): void {
    this.#lines = { good: 0, trouble: 0 };
    for (const { fields, isTrouble, files, bytes } of this.#sums.values()) {
      if (isTrouble) this.#log.warn({ ...fields, files }, 'more of the same: `s3syncd failures` lists them');
      else this.#log.info({ ...fields, files, bytes }, 'more of the same');
    }
    this.#sums.clear();
  }

  #add(fields: Sum['fields'], isTrouble: boolean, bytes: number): void {
    const key = Object.values(fields).join('\0');
    const sum = this.#sums.get(key) ?? { fields, isTrouble, files: 0, bytes: 0 };
    sum.files += 1;
    sum.bytes += bytes;
    this.#sums.set(key, sum);
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

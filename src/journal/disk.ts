// Disk: what it does to the journal's writes. A full one is waited for, and everything goes on by itself; a failing or
// read-only one is tried a few times. Meanwhile nothing is claimed, because what could not be recorded would be done twice,
// and nothing that waits grows: ends of what was under way are as many as had a place, and what is seen becomes a scan.

import type { Clock, Timer } from '../edge/clock.ts';

/**
 * - `full`: it has no space left, which somebody may make
 * - `failing`: it answers with errors, or is read-only: a program that goes on without its memory would lie
 */
export type DiskTroubleKind = 'full' | 'failing';

export interface DiskTrouble {
  readonly kind: DiskTroubleKind;
  /** SQLite's. */
  readonly code: string;
  readonly message: string;
  readonly sinceMs: number;
}

/** The journal cannot be opened, for want of a disk that takes it. */
export class JournalUnusable extends Error {
  override readonly name = 'JournalUnusable';
  readonly kind: DiskTroubleKind;

  constructor(kind: DiskTroubleKind, message: string, cause: unknown) {
    super(message, { cause });
    this.kind = kind;
  }
}

/** Undefined where the error says nothing of the disk. None of these is ever taken for damage (soundness.ts). */
export function diskTroubleIn(error: unknown): { kind: DiskTroubleKind; code: string } | undefined {
  const { code } = error as { code?: unknown };
  if (typeof code !== 'string') return undefined;
  // The second: the index of the write-ahead log could not grow.
  if (code === 'SQLITE_FULL' || code === 'SQLITE_IOERR_SHMSIZE') return { kind: 'full', code };
  return /^SQLITE_(IOERR|READONLY|CANTOPEN)/.test(code) ? { kind: 'failing', code } : undefined;
}

const tryAfterMs = 1_000;
const tryAfterMaxMs = 30_000;

/** A trouble that is back so soon was never over: it is not tried more often for that. */
const sameTroubleMs = 60_000;

/** What is told of the disk. */
export interface DiskListener {
  began(trouble: DiskTrouble): void;
  /** Everything that was put off has been written. */
  ended(): void;
  /** It was tried often enough. */
  gaveUp(trouble: DiskTrouble): void;
}

/** How often a write is tried again before it is given up: after 1, 2, 4 … 30 s. */
export type TriesMax = Readonly<Record<DiskTroubleKind, number>>;

const usualTries: TriesMax = { full: Infinity, failing: 4 };

export class Disk {
  readonly #stateDir: string;
  readonly #clock: Clock;
  readonly #proveRoom: () => void;
  #listener: DiskListener | undefined;
  #triesMax = usualTries;
  #trouble: DiskTrouble | undefined;
  #tries = 0;
  #endedMs = -Infinity;
  #timer: Timer | undefined;
  readonly #putOff = new Map<string, () => void>();
  #waiting: (() => void)[] = [];

  /** @param proveRoom throws as long as there is no room for what a few changes take */
  constructor(stateDir: string, clock: Clock, proveRoom: () => void) {
    this.#stateDir = stateDir;
    this.#clock = clock;
    this.#proveRoom = proveRoom;
  }

  /** Undefined while the journal takes writes. */
  get trouble(): DiskTrouble | undefined {
    return this.#trouble;
  }

  listen(listener: DiskListener, triesMax: TriesMax = usualTries): void {
    this.#listener = listener;
    this.#triesMax = triesMax;
  }

  /** @returns false when the error is none of the disk's, and still to be thrown */
  begin(error: unknown): boolean {
    const found = diskTroubleIn(error);
    if (!found) return false;
    if (this.#trouble) return true;
    if (this.#clock.monotonic() - this.#endedMs > sameTroubleMs) this.#tries = 0;
    this.#trouble = { ...found, message: this.#messageOf(found), sinceMs: this.#clock.now() };
    this.#listener?.began(this.#trouble);
    this.#tryLater();
    return true;
  }

  /** Writes, as soon as that can be done. */
  async write(work: () => void): Promise<void> {
    for (;;) {
      if (!this.#trouble) {
        try {
          return work();
        } catch (error) {
          if (!this.begin(error)) throw error;
        }
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Writes what is only read later: now, or when that can be done. @param what a later write of the same replaces it */
  note(what: string, work: () => void): void {
    this.#putOff.set(what, work);
    if (!this.#trouble) this.#catchUp();
  }

  /** Tries no more. */
  stop(): void {
    this.#clock.cancel(this.#timer);
    this.#listener = undefined;
  }

  #tryLater(): void {
    const delayMs = Math.min(tryAfterMaxMs, tryAfterMs * 2 ** this.#tries);
    this.#timer = this.#clock.after(delayMs, () => this.#tryAgain());
  }

  #tryAgain(): void {
    this.#tries += 1;
    try {
      this.#proveRoom();
    } catch (error) {
      const found = diskTroubleIn(error);
      if (!found) throw error;
      this.#trouble = { ...this.#trouble!, ...found, message: this.#messageOf(found) };
      if (this.#tries < this.#triesMax[found.kind]) this.#tryLater();
      else this.#listener?.gaveUp(this.#trouble);
      return;
    }
    this.#end();
  }

  #end(): void {
    this.#trouble = undefined;
    this.#endedMs = this.#clock.monotonic();
    this.#catchUp();
    // The same trouble again.
    if (this.#trouble) return;
    for (const resolve of this.#waiting.splice(0)) resolve();
    this.#listener?.ended();
  }

  #catchUp(): void {
    for (const [what, work] of this.#putOff) {
      try {
        work();
        this.#putOff.delete(what);
      } catch (error) {
        if (!this.begin(error)) throw error;
        return;
      }
    }
  }

  #messageOf({ kind, code }: { kind: DiskTroubleKind; code: string }): string {
    return kind === 'full'
      ? `the disk of the journal in ${this.#stateDir} is full (${code}): nothing new is sent before there is space; free some, and s3syncd goes on by itself`
      : `the journal in ${this.#stateDir} cannot be written (${code}): is the disk failing, or mounted read-only?`;
  }
}

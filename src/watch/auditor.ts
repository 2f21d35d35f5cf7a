// Auditor: decides when a folder's directories are audited, and says when the watcher is not to be trusted.
import type { Timer } from '../edge/clock.ts';
import { isWatched, unwatchedDirectories, type AuditedFolder } from './audit.ts';

export interface AuditPace {
  /** After directories changed: until then chokidar has caught up. */
  readonly auditMs: number;
}

const delayMaxMs = 60_000;
/**
 * So many changes of directories between two audits are a storm: while it lasts, events may be told under a path that
 * the directory had a moment ago. With 10 random operations no file was missed in 120 runs, with 100 in 4 of 60.
 */
const stormMin = 8;

export class Auditor {
  readonly #folder: AuditedFolder;
  readonly #watchedInodes: () => ReadonlySet<bigint> | undefined;
  readonly #usualDelayMs: number;
  readonly #onTrouble: (unwatchedInSuccession: number) => void;
  #delayMs: number;
  #timer: Timer | undefined;
  /** False until an audit found the root among the watched: some file systems number their inodes twice. */
  #understands = false;
  #inSuccession = 0;
  #changes = 0;
  #isRunning = false;
  #isStopped = false;

  /** @param onTrouble told how many audits in succession found unwatched directories; 0 after a mere storm */
  constructor(
    folder: AuditedFolder,
    watchedInodes: () => ReadonlySet<bigint> | undefined,
    pace: AuditPace,
    onTrouble: (unwatchedInSuccession: number) => void,
  ) {
    this.#folder = folder;
    this.#watchedInodes = watchedInodes;
    this.#usualDelayMs = this.#delayMs = pace.auditMs;
    this.#onTrouble = onTrouble;
  }

  /** A directory came, went or changed its name. */
  directoryChanged(): void {
    this.#changes += 1;
    this.#arm();
  }

  /** A scan of the whole folder ended, which took so much work. */
  scanned(workMs: number): void {
    this.#rest(workMs);
    this.#arm();
  }

  stop(): void {
    this.#isStopped = true;
    this.#folder.clock.cancel(this.#timer);
  }

  #arm(): void {
    if (!this.#isStopped && !this.#isRunning)
      this.#timer ??= this.#folder.clock.after(this.#delayMs, () => void this.#run());
  }

  /** At most a tenth of the time, however busy the folder is. */
  #rest(workMs: number): void {
    this.#delayMs = Math.min(delayMaxMs, Math.max(this.#usualDelayMs, 10 * workMs));
  }

  async #run(): Promise<void> {
    this.#timer = undefined;
    this.#isRunning = true;
    const wasStorm = this.#changes >= stormMin;
    this.#changes = 0;
    const { isClean, workMs } = await this.#audit();
    this.#isRunning = false;
    if (this.#isStopped) return;
    if (isClean) this.#rest(workMs);
    else this.#delayMs = Math.min(delayMaxMs, 2 * this.#delayMs);
    this.#inSuccession = isClean ? 0 : this.#inSuccession + 1;
    if (!isClean || wasStorm) this.#onTrouble(this.#inSuccession);
    if (this.#changes > 0) this.#arm();
  }

  async #audit(): Promise<{ isClean: boolean; workMs: number }> {
    const { clock } = this.#folder;
    const startedAt = clock.monotonic();
    const watched = this.#watchedInodes();
    if (watched === undefined) return { isClean: true, workMs: 0 };
    this.#understands ||= isWatched(this.#folder, '', watched);
    if (!this.#understands) return { isClean: true, workMs: 0 };
    let workMs = clock.monotonic() - startedAt;
    const steps = unwatchedDirectories(this.#folder, watched);
    for (;;) {
      const sliceAt = clock.monotonic();
      const step = steps.next();
      workMs += clock.monotonic() - sliceAt;
      if (this.#isStopped) return { isClean: true, workMs };
      if (!step.done) await clock.turn();
      else if (step.value.length === 0) return { isClean: true, workMs };
      else {
        // Perhaps they are so new that chokidar is about to watch them.
        await new Promise<void>((resolve) => {
          this.#timer = clock.after(this.#usualDelayMs, resolve);
        });
        this.#timer = undefined;
        const watchedNow = this.#watchedInodes() ?? watched;
        return { isClean: step.value.every((path) => isWatched(this.#folder, path, watchedNow)), workMs };
      }
    }
  }
}

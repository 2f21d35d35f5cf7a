// Auditor: decides when a folder's directories are audited, and says when the watcher is not to be trusted.
import { isWatched, unwatchedDirectories, watchedInodes } from './audit.ts';
import type { Selection } from './selection.ts';

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
  readonly #root: string;
  readonly #selection: Selection;
  readonly #usualDelayMs: number;
  readonly #onTrouble: (unwatchedInSuccession: number) => void;
  #delayMs: number;
  #timer: NodeJS.Timeout | undefined;
  /** False until an audit found the root among the watched: some file systems number their inodes twice. */
  #understands = false;
  #inSuccession = 0;
  #changes = 0;
  #isRunning = false;
  #isStopped = false;

  /** @param onTrouble told how many audits in succession found unwatched directories; 0 after a mere storm */
  constructor(
    folder: { readonly root: string; readonly selection: Selection },
    pace: AuditPace,
    onTrouble: (unwatchedInSuccession: number) => void,
  ) {
    this.#root = folder.root;
    this.#selection = folder.selection;
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
    clearTimeout(this.#timer);
  }

  #arm(): void {
    if (!this.#isStopped && !this.#isRunning)
      this.#timer ??= setTimeout(() => void this.#run(), this.#delayMs);
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
    const startedAt = performance.now();
    const watched = watchedInodes();
    if (watched === undefined) return { isClean: true, workMs: 0 };
    this.#understands ||= isWatched(this.#root, '', watched);
    if (!this.#understands) return { isClean: true, workMs: 0 };
    let workMs = performance.now() - startedAt;
    const steps = unwatchedDirectories(this.#root, this.#selection, watched);
    for (;;) {
      const sliceAt = performance.now();
      const step = steps.next();
      workMs += performance.now() - sliceAt;
      if (this.#isStopped) return { isClean: true, workMs };
      if (!step.done) await new Promise<void>((resolve) => setImmediate(resolve));
      else if (step.value.length === 0) return { isClean: true, workMs };
      else {
        // Perhaps they are so new that chokidar is about to watch them.
        await new Promise<void>((resolve) => {
          this.#timer = setTimeout(resolve, this.#usualDelayMs);
        });
        this.#timer = undefined;
        const watchedNow = watchedInodes() ?? watched;
        return { isClean: step.value.every((path) => isWatched(this.#root, path, watchedNow)), workMs };
      }
    }
  }
}

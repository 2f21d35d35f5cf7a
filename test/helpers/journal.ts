// A journal with one folder and one route, and short words for what is done to it.
import { onTestFinished } from 'vitest';
import type { RouteIdentity } from '../../src/config/config.ts';
import type { Baseline } from '../../src/core/baseline.ts';
import type { Sighting } from '../../src/core/file.ts';
import { directoryOf, nameOf } from '../../src/core/key.ts';
import { Journal, type Claim, type Completion } from '../../src/journal/journal.ts';
import { temporaryDirectory } from './temporary.ts';

export const atOnce = { settleMs: 0, settleMaxMs: 0 };

export function identity(more: Partial<RouteIdentity> = {}): RouteIdentity {
  return {
    folder: 'documents',
    folderPath: '/srv/documents',
    destination: 'backup',
    store: 'aws/acme-backup',
    identity: '["aws/acme-backup","web-1/"]',
    judgement: 'overwrite, content',
    ...more,
  };
}

/** A journal under test. The clock stands unless it is moved. */
export class TestJournal {
  readonly stateDir: string;
  readonly settle: { settleMs: number; settleMaxMs: number };
  journal: Journal;
  routeId: number;
  folderId: number;
  nowMs = 1_000_000;

  constructor(stateDir: string, settle = atOnce) {
    this.stateDir = stateDir;
    this.settle = settle;
    this.journal = Journal.open(stateDir);
    ({ routeId: this.routeId, folderId: this.folderId } = this.journal.registerRoute(identity()));
  }

  observe(...paths: readonly string[]): void {
    this.observeAs(undefined, ...paths);
  }

  /** As a scan does, which says what it saw. */
  observeAs(seen: Sighting | undefined, ...paths: readonly string[]): void {
    const observations = paths.map((path) => ({
      directory: directoryOf(path),
      name: nameOf(path),
      ...(seen !== undefined && { seen }),
    }));
    this.journal.observe(this.folderId, [this.routeId], observations, this.settle, this.nowMs);
  }

  claim(want = 100): Claim[] {
    return this.turn([], want);
  }

  claimOne(path: string): Claim {
    const claims = this.claim();
    const claim = claims.find((each) => each.path === path);
    if (!claim) throw new Error(`${path} is not among the claims: ${claims.map((each) => each.path).join()}`);
    return claim;
  }

  end(claim: Claim, end: Completion['end']): void {
    this.turn([{ claim, end }], 0);
  }

  settled(claim: Claim, baseline?: Baseline | null): void {
    this.end(claim, { kind: 'settled', ...(baseline !== undefined && { baseline }) });
  }

  turn(completions: readonly Completion[], want: number, order: 'oldest' | 'newest' = 'oldest'): Claim[] {
    const { routeId, nowMs } = this;
    return this.journal.turn({ completions, routeId, want, order, nowMs });
  }

  get counts() {
    return this.journal.counts(this.routeId, this.nowMs);
  }

  /** When the next change is ready, in milliseconds from now. */
  get readyInMs(): number {
    return this.journal.nextReadyAtMs(this.routeId) - this.nowMs;
  }

  reopen(): void {
    this.journal.close();
    this.journal = Journal.open(this.stateDir);
    this.journal.registerRoute(identity());
  }
}

/** A journal that is closed and gone after the test. */
export function testJournal(settle = atOnce): TestJournal {
  const opened = new TestJournal(temporaryDirectory(), settle);
  onTestFinished(() => opened.journal.close());
  return opened;
}

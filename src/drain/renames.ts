// Renames among the changes that were claimed: which of them has its bytes in the store under another path already, and
// in which order they are begun, so that every copy finds its source as it was.
import type { FileState } from '../core/file.ts';
import type { Origin } from '../core/origin.ts';
import type { Claim, Journal } from '../journal/journal.ts';
import type { Newcomer } from '../journal/origins.ts';
import { look } from '../transfer/open.ts';
import type { Route } from './route.ts';

/** Where files that came to a path were before; undefined for every other change. */
export function findOrigins(
  route: Route,
  changes: readonly Pick<Claim, 'path' | 'baseline'>[],
  journal: Journal,
): (Origin | undefined)[] {
  const newcomers = changes.map((change) => newcomer(route, change));
  const found = journal.origins.of(
    route.routeId,
    newcomers.filter((each) => each !== undefined),
  );
  return newcomers.map((each) => each && found.shift());
}

/** The file at a path where none was, or another one. */
function newcomer(route: Route, { path, baseline }: Pick<Claim, 'path' | 'baseline'>): Newcomer | undefined {
  const file = fileAt(route, path);
  const isKnown = baseline && file && baseline.file.ino === file.ino && baseline.file.dev === file.dev;
  return file && !isKnown ? { path, file } : undefined;
}

function fileAt(route: Route, path: string): FileState | undefined {
  try {
    const local = look(route.root, path);
    return local.kind === 'file' ? local.file : undefined;
  } catch {
    // Whoever handles the change finds out why.
    return undefined;
  }
}

/**
 * The origins of changes that are not done. A claim whose path is another's origin waits while that is queued or in flight:
 * what it does would take away what the other is copied from. So a chain of renames (x.1 → x.2, x → x.1, a new x) is worked
 * from its end. A delete also waits for what is to be tried again.
 */
export class PendingOrigins {
  readonly #byChange = new Map<number, Origin>();
  /** Changes that are copied from a path. */
  readonly #needing = new Map<string, Set<number>>();
  /** Those that are queued or in flight. */
  readonly #claimed = new Set<number>();

  add(claims: readonly Claim[], origins: readonly (Origin | undefined)[]): void {
    claims.forEach(({ changeId }, index) => {
      this.#forget(changeId);
      const origin = origins[index];
      if (!origin) return;
      this.#byChange.set(changeId, origin);
      this.#claimed.add(changeId);
      const needing = this.#needing.get(origin.path);
      if (needing) needing.add(changeId);
      else this.#needing.set(origin.path, new Set([changeId]));
    });
  }

  of({ changeId }: Claim): Origin | undefined {
    return this.#byChange.get(changeId);
  }

  /** @param isOver false: it will be tried again */
  ended({ changeId }: Claim, isOver: boolean): void {
    this.#claimed.delete(changeId);
    if (isOver) this.#forget(changeId);
  }

  /** Nothing that is queued or in flight is copied from its path. */
  mayBegin({ path }: Claim): boolean {
    return ![...(this.#needing.get(path) ?? [])].some((changeId) => this.#claimed.has(changeId));
  }

  /** What is not done yet is copied from its path. */
  isNeeded({ path }: Claim): boolean {
    return this.#needing.has(path);
  }

  #forget(changeId: number): void {
    this.#claimed.delete(changeId);
    const origin = this.#byChange.get(changeId);
    if (!origin) return;
    this.#byChange.delete(changeId);
    const needing = this.#needing.get(origin.path)!;
    needing.delete(changeId);
    if (needing.size === 0) this.#needing.delete(origin.path);
  }
}

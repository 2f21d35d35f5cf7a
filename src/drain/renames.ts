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
 * The origins of claims that are not done. A claim whose path is another's origin waits: what it does would take away
 * what the other is copied from. So a chain of renames (x.1 → x.2, x → x.1, a new x) is worked from its end.
 */
export class PendingOrigins {
  readonly #byChange = new Map<number, Origin>();
  /** How many claims are copied from a path. */
  readonly #needed = new Map<string, number>();

  add(claims: readonly Claim[], origins: readonly (Origin | undefined)[]): void {
    claims.forEach(({ changeId }, index) => {
      const origin = origins[index];
      if (!origin) return;
      this.#byChange.set(changeId, origin);
      this.#needed.set(origin.path, (this.#needed.get(origin.path) ?? 0) + 1);
    });
  }

  of({ changeId }: Claim): Origin | undefined {
    return this.#byChange.get(changeId);
  }

  /** The claim was handled, or given back. */
  done({ changeId }: Claim): void {
    const origin = this.#byChange.get(changeId);
    if (!origin) return;
    this.#byChange.delete(changeId);
    const rest = this.#needed.get(origin.path)! - 1;
    if (rest > 0) this.#needed.set(origin.path, rest);
    else this.#needed.delete(origin.path);
  }

  /** Nothing that is not done is copied from its path. */
  mayBegin({ path }: Claim): boolean {
    return !this.#needed.has(path);
  }
}

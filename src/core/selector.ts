// Selectors: which files of a folder a destination gets. What a route does not select is no business of this route: it
// is neither uploaded nor, once it was, taken away.
import { compileGlobs, compileRules, type DescribedFile, type Rule, type RuleContext } from './rules.ts';

/** The conditions of one route; all that are given must hold. */
export interface Selector {
  /** Globs over the path, as rules have them; one of them must match. */
  readonly match?: readonly string[];
  readonly largerThanBytes?: number;
  readonly smallerThanBytes?: number;
  /** Tags as the folder's rules give them to the file; by name the values of which it must have one. */
  readonly tags?: Readonly<Record<string, readonly string[]>>;
}

/** Pure: the same path, file and time give the same answer. The time counts where rules for tags ask for an age. */
export type Selects = (path: string, file: DescribedFile, nowMs: number) => boolean;

const everything: Selects = () => true;

/** Compiles a selector once, for any number of files. */
export function compileSelector(
  selector: Selector | undefined,
  rules: readonly Rule[],
  context: RuleContext,
): Selects {
  if (!selector) return everything;
  const { match, largerThanBytes = -1, smallerThanBytes = Infinity, tags = {} } = selector;
  const matchesPath = match ? compileGlobs(match) : () => true;
  const wanted = Object.entries(tags);
  const describe = compileRules(rules, context);
  const isTagged: Selects = (path, file, nowMs) => {
    const has = describe(path, file, nowMs).tags;
    return wanted.every(([name, values]) => Object.hasOwn(has, name) && values.includes(has[name]!));
  };
  return (path, file, nowMs) =>
    file.size > largerThanBytes &&
    file.size < smallerThanBytes &&
    matchesPath(path) &&
    (wanted.length === 0 || isTagged(path, file, nowMs));
}

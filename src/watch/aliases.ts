// Aliases: where symlinks are followed, a file has more paths than the one that events name.
import { directoryOf } from '../core/key.ts';

export class Aliases {
  readonly #linksByTarget = new Map<string, Set<string>>();

  /** Both are paths in the folder. */
  add(link: string, target: string): void {
    const links = this.#linksByTarget.get(target);
    if (links) links.add(link);
    else this.#linksByTarget.set(target, new Set([link]));
  }

  /** The other paths of a path: through symlinks to it, and to directories above it. */
  of(path: string): string[] {
    if (this.#linksByTarget.size === 0) return [];
    const aliases: string[] = [];
    for (let target = path; target !== ''; target = directoryOf(target)) {
      for (const link of this.#linksByTarget.get(target) ?? [])
        aliases.push(link + path.slice(target.length));
    }
    return aliases;
  }
}

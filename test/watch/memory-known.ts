// A journal's knowledge of a folder, in memory.
import { directoryOf, joinPath } from '../../src/core/key.ts';
import type { Sighting } from '../../src/core/file.ts';
import type { Known, KnownDirectory } from '../../src/journal/known.ts';
import type { Findings } from '../../src/watch/scan.ts';

/** Does with a scan's findings what journal and drain would, when every file is uploaded and every absence settled. */
export class MemoryKnown implements Known {
  readonly #directories = new Map<
    string,
    { names: Map<string, (Sighting | undefined)[]>; bytes: Set<string> }
  >();
  readonly #routeIds: readonly number[];
  /** Called when a directory is asked for: things happen between a listing and a comparison. */
  onAsked: (path: string) => void = () => undefined;

  constructor(routeIds: readonly number[] = [1]) {
    this.#routeIds = routeIds;
  }

  directory(_folderId: number, path: string): KnownDirectory {
    this.onAsked(path);
    const known = this.#directories.get(path);
    const isChild = (other: string) => other !== '' && other !== path && directoryOf(other) === path;
    return {
      names: new Map(known?.names),
      blockedBytes: new Set(known?.bytes),
      directories: known ? [...this.#directories.keys()].filter(isChild) : [],
    };
  }

  settle(findings: Findings): void {
    for (const { directory, name, seen, routeIds } of findings.observations) {
      const row = this.#enter(directory).names.get(name) ?? this.#routeIds.map(() => undefined);
      const wasFile = row.some((sighting) => sighting !== undefined);
      for (const routeId of routeIds ?? this.#routeIds) row[this.#routeIds.indexOf(routeId)] = seen;
      if (seen === 'absent' && !wasFile) this.#enter(directory).names.delete(name);
      else this.#enter(directory).names.set(name, row);
    }
    for (const { directory, name } of findings.obstacles) {
      if (typeof name === 'string')
        this.#enter(directory).names.set(
          name,
          this.#routeIds.map(() => undefined),
        );
      else this.#enter(directory).bytes.add(Buffer.from(name).toString('hex'));
    }
    for (const { directory, name } of findings.cleared) {
      this.#enter(directory).bytes.delete(Buffer.from(name).toString('hex'));
    }
  }

  /** Fingerprints of the files that are known, by path. */
  files(): Map<string, string> {
    const files = new Map<string, string>();
    for (const [directory, { names }] of this.#directories) {
      for (const [name, [seen]] of names) {
        if (seen === undefined || seen === 'absent') continue;
        files.set(joinPath(directory, name), [seen.size, seen.mtimeNs, seen.ctimeNs, seen.ino].join(' '));
      }
    }
    return files;
  }

  close(): void {}

  #enter(path: string) {
    const known = this.#directories.get(path);
    if (known) return known;
    if (path !== '') this.#enter(directoryOf(path));
    const fresh = { names: new Map<string, (Sighting | undefined)[]>(), bytes: new Set<string>() };
    this.#directories.set(path, fresh);
    return fresh;
  }
}

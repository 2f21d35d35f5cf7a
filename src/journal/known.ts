// What the journal knows of a directory: the other side of a scan's comparison. Read-only, so that the watch thread
// can ask while the main thread writes; each question is one short read, never a cursor held over I/O.
import Database from 'better-sqlite3';
import { fingerprintFromRow, type FingerprintRow } from './rows.ts';
import type { Sighting } from '../core/file.ts';

export interface KnownDirectory {
  /** Per name, in the order of `routeIds`; undefined where that route knows nothing of the name. */
  readonly names: ReadonlyMap<string, readonly (Sighting | undefined)[]>;
  /** Names that are not UTF-8 and stand as blocked, as hex. */
  readonly blockedBytes: ReadonlySet<string>;
  /** Paths of directories directly below that hold names, or did. */
  readonly directories: readonly string[];
}

export interface Known {
  directory(folderId: number, path: string): KnownDirectory;
  close(): void;
}

interface ChangeRow {
  route_id: bigint;
  name: string | Buffer;
  seen_size: bigint | null;
  seen_mtime_ns: bigint;
  seen_ctime_ns: bigint;
  seen_ino: bigint;
}

/**
 * Opens the journal for a scan.
 * @param routeIds the folder's routes, in the order in which `KnownDirectory.names` answers
 */
export function openKnown(file: string, routeIds: readonly number[]): Known {
  const database = new Database(file, { readonly: true, fileMustExist: true });
  database.pragma('cache_size = -2000'); // a scan reads each page once: 2 MB do as well as the default 16
  const findDirectory = database
    .prepare<[number, string], number>('SELECT dir_id FROM directory WHERE folder_id = ? AND path = ?')
    .pluck();
  const childDirectories = database
    .prepare<[number], string>('SELECT path FROM directory WHERE parent_id = ?')
    .pluck();
  const baselines = database
    .prepare<[number, number], FingerprintRow & { name: string; gone: bigint }>(
      'SELECT name, gone, size, mtime_ns, ctime_ns, ino FROM baseline WHERE route_id = ? AND dir_id = ?',
    )
    .safeIntegers();
  const changes = database
    .prepare<[number], ChangeRow>(
      `SELECT route_id, name, seen_size, seen_mtime_ns, seen_ctime_ns, seen_ino FROM change WHERE dir_id = ?`,
    )
    .safeIntegers();

  return {
    directory(folderId, path) {
      const names = new Map<string, (Sighting | undefined)[]>();
      const blockedBytes = new Set<string>();
      const dirId = findDirectory.get(folderId, path);
      if (dirId === undefined) return { names, blockedBytes, directories: [] };
      const set = (name: string, index: number, sighting: Sighting | undefined) => {
        const row = names.get(name) ?? routeIds.map(() => undefined);
        row[index] = sighting;
        names.set(name, row);
      };
      routeIds.forEach((routeId, index) => {
        for (const row of baselines.all(routeId, dirId)) {
          set(row.name, index, row.gone === 1n ? 'absent' : fingerprintFromRow(row));
        }
      });
      // A change is newer than the baseline: what it was recorded for is what is known, or nothing where it was an event.
      for (const row of changes.all(dirId)) {
        if (typeof row.name !== 'string') blockedBytes.add(row.name.toString('hex'));
        else {
          const index = routeIds.indexOf(Number(row.route_id));
          if (index !== -1) set(row.name, index, sightingOf(row));
        }
      }
      return { names, blockedBytes, directories: childDirectories.all(dirId) };
    },
    close: () => database.close(),
  };
}

function sightingOf(row: ChangeRow): Sighting | undefined {
  if (row.seen_size === null) return undefined;
  if (row.seen_size === -1n) return 'absent';
  return fingerprintFromRow({
    size: row.seen_size,
    mtime_ns: row.seen_mtime_ns,
    ctime_ns: row.seen_ctime_ns,
    ino: row.seen_ino,
  });
}

/** Before the first run. */
export const nothingKnown: Known = {
  directory: () => ({ names: new Map(), blockedBytes: new Set(), directories: [] }),
  close: () => undefined,
};

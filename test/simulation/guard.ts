// Guard: watches a simulated daemon, and says what it must not do. The letters are those of docs/architecture.md.
import { routePrefix, type Config, type FolderConfig, type RouteConfig } from '../../src/config/config.ts';
import { scratchName } from '../../src/core/capabilities.ts';
import type { Resolution } from '../../src/core/conflict.ts';
import type { Precondition } from '../../src/core/object.ts';
import type { Daemon } from '../../src/daemon.ts';
import type { HeldReport } from '../../src/deletes.ts';
import { digestOf, type Disk } from './disk.ts';
import type { Deed, Store, Version } from './store.ts';
import type { Time } from './time.ts';

interface Place {
  readonly folder: FolderConfig;
  readonly to: RouteConfig;
  readonly prefix: string;
}

const writes: readonly string[] = [
  'PutObject',
  'CopyObject',
  'CreateMultipartUpload',
  'UploadPart',
  'CompleteMultipartUpload',
  'DeleteObject',
];
const conditionalWrites: readonly string[] = ['PutObject', 'CopyObject', 'CompleteMultipartUpload'];
const hourMs = 3_600_000;

export class Guard {
  onViolation: (violation: string) => void = () => undefined;
  readonly #places: readonly Place[];
  #knowsUploads = true;
  readonly #disk: Disk;
  readonly #time: Time;
  /** No event was lost or late of late: a file that came and went would have been looked at. */
  readonly #seesAll: () => boolean;
  /** Keys whose delete a person let go. */
  readonly #approved = new Set<string>();
  /** Keys of which a person said that they may be replaced or deleted. */
  readonly #overruled = new Set<string>();
  /** Keys whose object a person left alone to what their file then was. */
  readonly #leftTo = new Map<string, string>();
  /** Folder and destination to key to when it was deleted, as far as the journal knows. */
  readonly #deletedMs = new Map<Place, Map<string, number>>();

  constructor(config: Config, disk: Disk, time: Time, seesAll: () => boolean) {
    this.#seesAll = seesAll;
    this.#places = config.folders.flatMap((folder) =>
      folder.to.map((to) => ({
        ...{ folder, to },
        prefix: routePrefix(config.destinations.get(to.destination)!, folder),
      })),
    );
    this.#disk = disk;
    this.#time = time;
  }

  answered(answer: 'approve' | 'discard', held: readonly HeldReport[]): void {
    if (answer === 'discard') return;
    for (const { destination, key } of held) this.#approved.add(`${destination} ${key}`);
  }

  /** What a person says of a path is said of it at all destinations; here its keys are the same at each. */
  resolved(key: string, resolution: Resolution): void {
    if (resolution === 'overwrite') this.#overruled.add(key);
    else {
      const place = this.#places.find(({ prefix }) => key.startsWith(prefix))!;
      const content = this.#disk.content(fileOf(place, key));
      this.#leftTo.set(key, content ? digestOf(content) : 'no file');
    }
  }

  /** An older journal, and one that begins anew, know nothing of the deletes and the uploads that there were. */
  restored(): void {
    this.#deletedMs.clear();
    this.#knowsUploads = false;
  }

  /** Before the network has a request. */
  asked(store: Store, operation: string, key: string, precondition: Precondition): void {
    if (!writes.includes(operation) || key.endsWith(scratchName)) return;
    const place = this.#placeOf(store, key);
    if (!place) {
      if (!this.#isArchive(store, key)) this.onViolation(`S7: ${operation} outside of every prefix: ${key}`);
      return;
    }
    const { policy } = place.to;
    if (policy !== 'overwrite' && conditionalWrites.includes(operation) && precondition.kind === 'none')
      this.onViolation(`S4: ${operation} of ${key} without a condition under ${policy}`);
    if (operation === 'DeleteObject') this.#askedToDelete(place, store, key);
  }

  /** S5 and S6, at the last moment at which the daemon could have looked. */
  #askedToDelete(place: Place, store: Store, key: string): void {
    const { folder, to } = place;
    const violated = (what: string) => this.onViolation(`S5: deletes ${key} in ${store.name}: ${what}`);
    if (to.delete === 'keep') return this.onViolation(`S6: deletes ${key} although deletes are kept`);
    const absolute = fileOf(place, key);
    if (this.#disk.content(absolute)) return violated('its file is there');
    const absentSinceMs = this.#disk.absentSinceMs.get(absolute);
    if (absentSinceMs === undefined) return violated('there never was a file');
    const absentMs = this.#time.elapsedMs - absentSinceMs;
    if (absentMs < folder.deleteGraceMs && this.#seesAll()) violated(`its file was there ${absentMs} ms ago`);
    if (this.#approved.has(`${store.name} ${key}`)) return;
    if (this.#disk.unmounted.has(absolute)) violated('its file went with the root, or with its file system');
    const deleted = this.#deletesOf(place);
    if (this.#isRenamed(place, store, key)) return;
    const recent =
      1 + [...deleted].filter(([each, ms]) => each !== key && this.#time.elapsedMs - ms < hourMs).length;
    if (recent > folder.maxDelete.count) violated(`it is the ${recent}th within an hour`);
  }

  #deletesOf(place: Place): Map<string, number> {
    const deleted = this.#deletedMs.get(place) ?? new Map<string, number>();
    this.#deletedMs.set(place, deleted);
    return deleted;
  }

  /** When a request is carried out. */
  done(store: Store, deed: Deed): void {
    const { key, before, after, operation } = deed;
    if (key.endsWith(scratchName)) return;
    const place = this.#placeOf(store, key);
    if (!place) {
      if (before) this.onViolation(`S3: ${operation} replaces what was archived at ${key}`);
      return;
    }
    const { policy } = place.to;
    if (after) this.#checkState(place, key, after.bytes);
    if (!before) return;
    const isForeign = this.#isForeign(store, key, before) && !this.#overruled.has(key);
    if (after && policy === 'skip-existing') this.onViolation(`S3: ${operation} replaces ${key}`);
    if (isForeign && policy === 'if-unchanged' && !this.#states(place, key).has(digestOf(before.bytes)))
      this.onViolation(`S4: ${operation} to ${key}, where somebody else wrote`);
    if (after) return;
    if (!this.#isRenamed(place, store, key) && !this.#approved.has(`${store.name} ${key}`))
      this.#deletesOf(place).set(key, this.#time.elapsedMs);
    if (policy === 'overwrite') return;
    if (isForeign) this.onViolation(`S5: deletes ${key}, which somebody else wrote`);
    if (place.to.delete === 'archive' && !this.#isArchived(store, before.bytes))
      this.onViolation(`S5: deletes ${key}, of which nothing was archived`);
  }

  /** S2. */
  #checkState(place: Place, key: string, bytes: Buffer): void {
    if (!this.#states(place, key).has(digestOf(bytes)))
      this.onViolation(`S2: ${key} is written with ${bytes.length} bytes that its file never had`);
  }

  /** L1 and S8, when all is quiet. */
  checkEquality({ journal, drains }: Daemon, stores: ReadonlyMap<string, Store>): void {
    for (const { route } of drains) {
      const place = this.#places.find(({ folder, to }) => folder === route.folder && to === route.to)!;
      const store = stores.get(place.to.destination)!;
      const { path: root } = place.folder;
      const paths = this.#disk.filesBelow(root).map((file) => file.slice(root.length + 1));
      for (const path of paths) {
        if (route.selection.excludesNow(root, path)) continue;
        this.#checkEqual(place, store, path);
        const baseline = journal.baseline(route.routeId, path);
        if (!baseline || baseline.gone)
          this.onViolation(`L1: the journal does not know ${place.folder.name}/${path}`);
        else if (baseline.owned && baseline.etag !== undefined)
          this.#checkRecorded(store, place.prefix + path, baseline.etag);
      }
      if (place.to.delete !== 'keep') {
        for (const key of store.current.keys()) {
          const path = key.slice(place.prefix.length);
          if (!key.startsWith(place.prefix) || paths.includes(path)) continue;
          const baseline = journal.baseline(route.routeId, path);
          if (baseline?.owned && !baseline.gone) this.onViolation(`L1: ${key} is there, and its file is not`);
        }
      }
    }
    if (!this.#knowsUploads) return;
    for (const store of stores.values())
      for (const { key } of store.uploads.values())
        if (!key.endsWith(scratchName)) this.onViolation(`L6: an upload to ${key} is left`);
  }

  #checkEqual({ to, prefix, folder }: Place, store: Store, path: string): void {
    const key = prefix + path;
    const content = this.#disk.content(`${folder.path}/${path}`)!;
    const object = store.current.get(key);
    if (store.changedUnseen.has(key) || this.#leftTo.get(key) === digestOf(content)) return;
    if (!object) {
      this.onViolation(`L1: ${key} is not in ${store.name} under ${to.policy}`);
      return;
    }
    if (to.policy === 'skip-existing' || object.bytes.equals(content)) return;
    this.onViolation(`L1: ${key} in ${store.name} is not its file under ${to.policy}`);
  }

  #checkRecorded(store: Store, key: string, etag: string): void {
    if (!store.history.get(key)?.some((version) => version.etag === etag))
      this.onViolation(`S8: ${key} never had the ETag that the journal has`);
  }

  /**
   * The file has another name by now, or is in S3 under one, or was: its delete does not count, whatever somebody else has
   * put in its object's place since.
   */
  #isRenamed(place: Place, store: Store, key: string): boolean {
    if (this.#disk.renamed.has(fileOf(place, key))) return true;
    const versions = store.history.get(key) ?? [];
    return [...store.history].some(
      ([other, others]) =>
        other !== key &&
        others.some(
          ({ bytes, by }) => by === 'us' && versions.some((version) => version.bytes.equals(bytes)),
        ),
    );
  }

  #isArchived(store: Store, bytes: Buffer): boolean {
    return [...store.current].some(
      ([key, version]) => key.startsWith('archive/') && version.bytes.equals(bytes),
    );
  }

  /** The same bytes by somebody else are no other object: S3's conditions cannot tell. */
  #isForeign(store: Store, key: string, { by, etag }: Version): boolean {
    return by === 'other' && !store.history.get(key)?.some((each) => each.by === 'us' && each.etag === etag);
  }

  /** Everything that a key's file ever was. */
  #states(place: Place, key: string): ReadonlySet<string> {
    return this.#disk.states.get(fileOf(place, key).replace(/\.conflict-.*$/, '')) ?? new Set();
  }

  #placeOf(store: Store, key: string): Place | undefined {
    return this.#places.find(({ to, prefix }) => to.destination === store.name && key.startsWith(prefix));
  }

  #isArchive(store: Store, key: string): boolean {
    return this.#places.some(
      ({ folder, to }) =>
        to.destination === store.name && to.delete === 'archive' && key.startsWith(folder.archivePrefix),
    );
  }
}

/** The path of the file that a key stands for. */
function fileOf({ folder, prefix }: Place, key: string): string {
  return `${folder.path}/${key.slice(prefix.length)}`;
}

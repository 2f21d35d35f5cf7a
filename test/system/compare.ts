// Compares a folder with a bucket by what both really hold: names, bytes and times. Knows nothing of s3syncd's own ways.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { Store } from './store.ts';

export interface Difference {
  readonly key: string;
  readonly what: string;
}

/** What the bucket must hold besides the files of the folder. */
export interface Expected {
  readonly folder?: string;
  readonly store?: Store;
  readonly prefix?: string;
  /** Keys of files that are gone, and of which only that is asked that they are there. */
  readonly kept?: readonly string[];
  /** Paths that are not synced. */
  readonly without?: (path: string) => boolean;
  /** False where a file was touched after its upload: times follow lazily. */
  readonly times?: boolean;
}

/** Multipart ETags are digests of digests of parts of this size. */
const partSize = 16 * 1024 ** 2;

/** Times are compared where everything else is equal, because each costs a request on a server that is not ours. */
export async function differences(store: Store, folder: string, expected: Expected): Promise<Difference[]> {
  const { prefix = '', kept = [], without = () => false, times = true } = expected;
  const objects = await store.objects(prefix);
  const files = filesIn(folder).filter((name) => !without(name));
  const found: Difference[] = [];
  for (const name of files) {
    const key = prefix + name;
    const object = objects.get(key);
    objects.delete(key);
    const what = object ? contentDifference(path.join(folder, name), object) : 'missing';
    if (what !== undefined) found.push({ key, what });
  }
  for (const key of kept) if (!objects.delete(key)) found.push({ key, what: 'kept object missing' });
  for (const key of objects.keys()) found.push({ key, what: 'not a file' });
  if (found.length > 0 || !times) return found;

  for (const name of files) {
    const { mtimeNs } = fs.lstatSync(path.join(folder, name), { bigint: true });
    const stored = await store.mtimeNs(prefix + name);
    if (stored !== mtimeNs) found.push({ key: prefix + name, what: `mtime ${stored} instead of ${mtimeNs}` });
  }
  return found;
}

/** Regular files below a folder, as paths with `/`. */
function filesIn(folder: string): string[] {
  return fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)));
}

function contentDifference(file: string, object: { size: number; etag: string }): string | undefined {
  const stats = fs.lstatSync(file, { throwIfNoEntry: false });
  if (!stats) return 'vanished while it was compared';
  if (stats.size !== object.size) return `size ${object.size} instead of ${stats.size}`;
  const parts = object.etag.includes('-');
  const etag = parts ? multipartEtag(file, stats.size) : md5(fs.readFileSync(file));
  return etag === object.etag ? undefined : 'other bytes';
}

export function md5(bytes: Buffer | string): string {
  return createHash('md5').update(bytes).digest('hex');
}

/** What S3 calls an object that was uploaded in parts. */
export function multipartEtag(file: string, size: number): string {
  const fd = fs.openSync(file, 'r');
  const whole = createHash('md5');
  const buffer = Buffer.alloc(partSize);
  const count = Math.ceil(size / partSize);
  for (let part = 0; part < count; part++) {
    const read = fs.readSync(fd, buffer, 0, partSize, part * partSize);
    whole.update(createHash('md5').update(buffer.subarray(0, read)).digest());
  }
  fs.closeSync(fd);
  return `${whole.digest('hex')}-${count}`;
}

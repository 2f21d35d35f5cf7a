// Origins: where the bytes of a file lie in the store already, because the file had another path before. Its object is then
// copied by the store instead of being sent again.
import type { Baseline } from './baseline.ts';
import { sameFingerprint, type FileState } from './file.ts';

/** A path whose file, when it was settled, was the one that now stands at another path. */
export interface Origin {
  readonly path: string;
  readonly baseline: Baseline;
}

/** S3's limit for CopyObject (API reference): beyond it a copy takes a multipart upload. */
const copyBytesMax = 5 * 1024 ** 3;

/** What kinship tells of a file and the object of its origin. */
export type Kinship =
  /** The object has the file's content: nothing about the file has changed since both were seen to agree. */
  | 'same'
  /** It may: the same inode, size and mtime, but a rename of the file itself sets its ctime, as a write does. */
  | 'unproven'
  /** It is another file, or its object cannot be copied. */
  | 'none';

/** How a file is related to the object of its origin. */
export function kinship({ baseline }: Origin, file: FileState): Kinship {
  const { file: before, etag, checksum } = baseline;
  const isSameFile =
    before.dev === file.dev &&
    before.ino === file.ino &&
    before.size === file.size &&
    before.mtimeNs === file.mtimeNs;
  // A checksum stands in a baseline only where both sides were known to have that content.
  if (!isSameFile || etag === undefined || checksum === undefined || !isCopyable(file)) return 'none';
  return sameFingerprint(before, file) ? 'same' : 'unproven';
}

/** True when S3 copies an object of this size in one request. */
export function isCopyable({ size }: Pick<FileState, 'size'>): boolean {
  return size <= copyBytesMax;
}

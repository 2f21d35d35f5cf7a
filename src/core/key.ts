// Paths and keys. A path is relative to its folder, with `/`, never empty; a key is prefix + tail, and the tail is the
// path unless a rule gives it another. Byte for byte: no Unicode normalisation, no case folding, because both are distinct
// files on Linux and distinct keys in S3.
import type { BlockReason } from './action.ts';

/** S3's limit for a key, in bytes of UTF-8 (Amazon S3 user guide, "Naming Amazon S3 objects"). */
const keyBytesMax = 1024;

export type KeyResult =
  | { readonly kind: 'key'; readonly key: string }
  | { readonly kind: 'blocked'; readonly reason: BlockReason };

/** The key that ends in a tail, or why there can be none. */
export function keyFor(prefix: string, tail: string): KeyResult {
  const key = prefix + tail;
  if (utf8Length(key) > keyBytesMax) return { kind: 'blocked', reason: 'key-too-long' };
  // A lone surrogate cannot be sent as UTF-8: the SDK throws URIError on it.
  if (!key.isWellFormed()) return { kind: 'blocked', reason: 'name-not-utf8' };
  // No path has such names, but what a template makes of one may: S3 clients take them for a way out of the prefix.
  if (hasOddSegment(tail)) return { kind: 'blocked', reason: 'key-not-portable' };
  return { kind: 'key', key };
}

/** True when a tail has an empty name, "." or ".." between its slashes. */
export function hasOddSegment(tail: string): boolean {
  return /(^|\/)\.{0,2}(\/|$)/.test(tail);
}

/** Where an object is archived: no two at one key, for the time is in it; those of one key beside each other, oldest first. */
export function archiveKeyFor(prefix: string, tail: string, nowMs: number): KeyResult {
  const time = new Date(nowMs).toISOString().replaceAll(/[-:.]/g, '');
  return keyFor(prefix, `${tail}.${time}`);
}

/** Directory part of a path: '' for the folder itself. */
export function directoryOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash === -1 ? '' : path.slice(0, slash);
}

/** Last segment of a path. */
export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Path of a name in a directory; the inverse of `directoryOf` and `nameOf`. */
export function joinPath(directory: string, name: string): string {
  return directory === '' ? name : `${directory}/${name}`;
}

/** A name that is not UTF-8 as a person can read and a shell's $'…' can take: `caf\xE9.txt`. */
export function bytesName(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) =>
    byte >= 0x20 && byte < 0x7f
      ? String.fromCharCode(byte)
      : `\\x${byte.toString(16).toUpperCase().padStart(2, '0')}`,
  ).join('');
}

function utf8Length(text: string): number {
  let bytes = 0;
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0;
    bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  }
  return bytes;
}

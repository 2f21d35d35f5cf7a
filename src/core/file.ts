// Files: what lstat says about a path in a folder. Nanoseconds come from bigint stat only: microseconds taken from
// the double `mtimeMs` disagree with `mtimeNs / 1000n` on most files and would re-upload everything once.

/** A regular file as lstat or fstat saw it. */
export interface FileState {
  readonly size: number;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly ino: bigint;
  readonly dev: bigint;
  /** Permission bits and file type, as in `st_mode`. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** The part of a file's state that changes whenever its content may have changed. */
export type Fingerprint = Pick<FileState, 'size' | 'mtimeNs' | 'ctimeNs' | 'ino'>;

export const otherTypes = ['directory', 'symlink', 'fifo', 'socket', 'device'] as const;
export type OtherType = (typeof otherTypes)[number];

/** What stands at a path now. */
export type Local =
  | { readonly kind: 'absent' }
  | { readonly kind: 'file'; readonly file: FileState }
  /** Something that the route does not select, whatever it is. */
  | { readonly kind: 'unselected' }
  | { readonly kind: 'other'; readonly type: OtherType; readonly fingerprint: Fingerprint };

/** True when nothing suggests that the file was touched between two looks. */
export function sameFingerprint(a: Fingerprint, b: Fingerprint): boolean {
  return a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs && a.ino === b.ino;
}

/** What was last seen or known at a path, as far as a scan compares it. */
export type Sighting = Fingerprint | 'absent';

// Reading a small text file whole, where everything that can be wrong with it is expected.
import { readFileSync, statSync } from 'node:fs';

export type TextFile =
  | { readonly kind: 'text'; readonly text: string; readonly mode: number; readonly gid: number }
  /** `ENOENT`, `EACCES` … as the system says, else one of ours. */
  | {
      readonly kind: 'unreadable';
      readonly code: 'directory' | 'not-a-file' | 'too-large' | 'not-utf8' | (string & {});
    };

/** The text of a regular file of at most `bytesMax` bytes, without a byte order mark. */
export function readTextFile(file: string, bytesMax: number): TextFile {
  try {
    const state = statSync(file);
    if (state.isDirectory()) return { kind: 'unreadable', code: 'directory' };
    // A named pipe would block for ever.
    if (!state.isFile()) return { kind: 'unreadable', code: 'not-a-file' };
    if (state.size > bytesMax) return { kind: 'unreadable', code: 'too-large' };
    const text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file));
    return { kind: 'text', text, mode: state.mode, gid: state.gid };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    return { kind: 'unreadable', code: code === 'ERR_ENCODING_INVALID_ENCODED_DATA' ? 'not-utf8' : code };
  }
}

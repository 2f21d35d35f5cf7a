// Reading: a file's content on its way out, fenced and summed up. The last piece comes only when the file is still what it
// was when it was opened: who gets to the end has one state of the file, and who does not has no whole body.
import type { Checksum, ChecksumAlgorithm } from '../core/object.ts';
import { digester } from './checksum.ts';
import { pieces, type OpenFile } from './open.ts';

class Torn extends Error {
  override readonly name = 'Torn';
}

export class Reading {
  readonly #file: OpenFile;
  readonly #algorithm: ChecksumAlgorithm;
  readonly #abandoned = new AbortController();
  #digest;
  #failure: unknown;

  constructor(file: OpenFile, algorithm: ChecksumAlgorithm) {
    this.#file = file;
    this.#algorithm = algorithm;
    this.#digest = digester(algorithm);
  }

  /** Of the file when it was opened: that of the content, if all of it comes. */
  get size(): number {
    return this.#file.state.size;
  }

  /** Aborted when the rest will not come: after the error of a body alone its request waits for the socket's timeout. */
  get abandoned(): AbortSignal {
    return this.#abandoned.signal;
  }

  /** The content from its beginning, in pieces of 1 MiB to keep. */
  async *pieces(onBytes: (bytes: number) => void = () => undefined): AsyncGenerator<Buffer> {
    const { size } = this;
    this.#digest = digester(this.#algorithm);
    let read = 0;
    let isOut = false;
    try {
      for await (const piece of pieces(this.#file)) {
        this.#digest.update(piece);
        read += piece.length;
        if (read > size || (read === size && !this.#file.unchanged()))
          throw new Torn('the file changed while it was read');
        onBytes(piece.length);
        isOut = true;
        yield Buffer.from(piece);
        isOut = false;
      }
      if (read < size) throw new Torn('the file became shorter while it was read');
    } catch (error) {
      // While a piece is out, a stream that was given up throws its own error in here.
      if (!isOut) {
        this.#failure = error;
        this.#abandoned.abort();
      }
      throw error;
    }
  }

  /** Of what was read since the beginning. */
  async checksum(): Promise<Checksum> {
    const digest = await this.#digest.digest();
    return { algorithm: this.#algorithm, value: digest.toString('base64') };
  }

  /** What a write of this content comes to that failed with an error. @throws that, unless the file is the cause */
  changedOr(error: unknown): { readonly kind: 'changed' } {
    if (this.#failure instanceof Torn) return { kind: 'changed' };
    throw this.#failure ?? error;
  }
}

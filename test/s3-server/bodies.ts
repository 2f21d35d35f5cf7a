// Bodies: where the bytes of objects and parts are. A body is written once under an opaque id, never changed,
// and referred to by the index only after it is complete, so a crash leaves at most an unreferenced body
// (swept at start). Writes are synchronous: they go to the page cache, and the server needs no back-pressure
// of its own.
import { randomUUID } from 'node:crypto';
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

/** A piece of an object: a whole PutObject body, or one part of a multipart upload. */
export interface Segment {
  id: string;
  size: number;
}

export interface BodySink {
  write(chunk: Buffer): void;
  finish(): Segment;
  discard(): void;
}

export interface Bodies {
  sink(): BodySink;
  read(id: string, start: number, end: number): Iterable<Buffer>;
  /** The same bytes under a new id. */
  duplicate(segment: Segment): Segment;
  remove(id: string): void;
  /** Removes every body that is not in `live`. */
  sweep(live: ReadonlySet<string>): void;
}

/** The bytes from `start` up to, not including, `end` of an object that consists of `segments`. */
export function* readSegments(
  bodies: Bodies,
  segments: readonly Segment[],
  start: number,
  end: number,
): Generator<Buffer> {
  let offset = 0;
  for (const segment of segments) {
    const from = Math.max(start - offset, 0);
    const to = Math.min(end - offset, segment.size);
    if (from < to) yield* bodies.read(segment.id, from, to);
    offset += segment.size;
  }
}

/** Keeps the very buffers that came from the socket: gigabytes of parts cost their size, and no copy. */
export function memoryBodies(): Bodies {
  const bodies = new Map<string, Buffer[]>();
  return {
    sink() {
      const chunks: Buffer[] = [];
      let size = 0;
      return {
        write(chunk) {
          chunks.push(chunk);
          size += chunk.length;
        },
        finish() {
          const id = randomUUID();
          bodies.set(id, chunks);
          return { id, size };
        },
        discard() {
          chunks.length = 0;
        },
      };
    },
    *read(id, start, end) {
      let offset = 0;
      for (const chunk of bodies.get(id) ?? []) {
        const from = Math.max(start - offset, 0);
        const to = Math.min(end - offset, chunk.length);
        if (from < to) yield chunk.subarray(from, to);
        offset += chunk.length;
      }
    },
    duplicate(segment) {
      const id = randomUUID();
      bodies.set(id, bodies.get(segment.id) ?? []);
      return { id, size: segment.size };
    },
    remove: (id) => bodies.delete(id),
    sweep() {},
  };
}

/** Keeps sizes only, for benchmarks and 5 GiB objects: a GET answers zeros. */
export function discardedBodies(): Bodies {
  const zeros = Buffer.alloc(64 * 1024);
  return {
    sink() {
      let size = 0;
      return {
        write(chunk) {
          size += chunk.length;
        },
        finish: () => ({ id: '', size }),
        discard() {},
      };
    },
    *read(_id, start, end) {
      for (let rest = end - start; rest > 0; rest -= zeros.length) yield zeros.subarray(0, rest);
    },
    duplicate: (segment) => segment,
    remove() {},
    sweep() {},
  };
}

export function directoryBodies(directory: string): Bodies {
  const incoming = join(directory, 'incoming');
  const complete = join(directory, 'complete');
  mkdirSync(incoming, { recursive: true });
  mkdirSync(complete, { recursive: true });
  const readBytes = 256 * 1024;
  return {
    sink() {
      const id = randomUUID();
      const temporary = join(incoming, id);
      const fd = openSync(temporary, 'wx');
      let size = 0;
      return {
        write(chunk) {
          for (let written = 0; written < chunk.length;) written += writeSync(fd, chunk, written);
          size += chunk.length;
        },
        finish() {
          closeSync(fd);
          renameSync(temporary, join(complete, id));
          return { id, size };
        },
        discard() {
          closeSync(fd);
          rmSync(temporary);
        },
      };
    },
    *read(id, start, end) {
      const fd = openSync(join(complete, id), 'r');
      try {
        for (let offset = start; offset < end;) {
          const buffer = Buffer.allocUnsafe(Math.min(readBytes, end - offset));
          const count = readSync(fd, buffer, 0, buffer.length, offset);
          if (count === 0) throw new Error(`Body ${id} ends at ${offset}, expected ${end} bytes`);
          yield buffer.subarray(0, count);
          offset += count;
        }
      } finally {
        closeSync(fd);
      }
    },
    duplicate(segment) {
      const id = randomUUID();
      copyFileSync(join(complete, segment.id), join(complete, id));
      return { id, size: segment.size };
    },
    remove: (id) => rmSync(join(complete, id), { force: true }),
    sweep(live) {
      for (const name of readdirSync(incoming)) rmSync(join(incoming, name));
      for (const name of readdirSync(complete)) if (!live.has(name)) rmSync(join(complete, name));
    },
  };
}

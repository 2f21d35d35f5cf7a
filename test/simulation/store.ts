// Store: S3 as it is documented, in memory, with every version that a key ever had; and the network before it, which
// delays, reorders and loses requests and answers, and has some carried out long after the client gave up.
import type { ObjectDescription } from '../../src/core/description.ts';
import { Failure, type FailureClass } from '../../src/core/failure.ts';
import type { Checksum, ObjectState, Precondition, Remote } from '../../src/core/object.ts';
import { checksumOf } from '../../src/transfer/checksum.ts';
import type {
  BegunUpload,
  Body,
  CopyResult,
  CopySource,
  Destination,
  ListedKey,
  RemoveResult,
  StoredPart,
  UploadHandle,
  WriteResult,
  WrittenPart,
} from '../../src/transfer/destination.ts';
import { mtimeFromMetadata, writeIdFromMetadata } from '../../src/transfer/metadata.ts';
import type { Meter } from '../../src/transfer/meter.ts';
import type { Chance } from './chance.ts';
import { digestOf } from './disk.ts';
import type { Life, Time } from './time.ts';

export interface Version {
  readonly bytes: Buffer;
  readonly etag: string;
  readonly versionId: string;
  readonly lastModifiedMs: number;
  readonly metadata: Readonly<Record<string, string>>;
  readonly checksum: Checksum | undefined;
  readonly by: 'us' | 'other';
}

interface Upload {
  readonly uploadId: string;
  readonly key: string;
  readonly initiatedMs: number;
  readonly description: ObjectDescription;
  readonly parts: Map<number, StoredPart & { readonly bytes: Buffer }>;
}

/** What is wrong between a daemon and a store, as probabilities for each request. */
export interface Weather {
  readonly unreachable: boolean;
  /** 503 SlowDown. */
  readonly throttled: number;
  /** 500, half of them after the work was done. */
  readonly broken: number;
  /** The request never arrives. */
  readonly lostBefore: number;
  /** The answer never arrives. */
  readonly lostAfter: number;
  /** A conditional request is carried out long after the client gave up. */
  readonly late: number;
  /** 409: another write to the key is under way. */
  readonly busy: number;
  readonly delayMaxMs: number;
}

export const fine: Weather = {
  unreachable: false,
  throttled: 0,
  broken: 0,
  lostBefore: 0,
  lostAfter: 0,
  late: 0,
  busy: 0,
  delayMaxMs: 40,
};

/** What was done to a key. */
export interface Deed {
  readonly operation: string;
  readonly key: string;
  readonly precondition: Precondition;
  readonly before: Version | undefined;
  /** Undefined: it was deleted. */
  readonly after: Version | undefined;
  /** Where it was copied from. */
  readonly source?: string;
}

export class Store {
  readonly name: string;
  readonly current = new Map<string, Version>();
  /** All that a key ever held, oldest first. */
  readonly history = new Map<string, Version[]>();
  readonly uploads = new Map<string, Upload>();
  /**
   * Keys at which what was done last is nothing that the daemon could know of: by somebody else, or by a request of its own
   * that was given up minutes before. Its condition held still, so what it was decided upon was true still.
   */
  readonly changedUnseen = new Set<string>();
  arrivesLate = false;
  weather: Weather = fine;
  /** Of the network: attempts to send something, by when. */
  readonly attemptsMs: number[] = [];
  /** By us, as it is carried out. */
  onDeed: (deed: Deed) => void = () => undefined;
  /** By us, as it is asked for. */
  onAsk: (operation: string, key: string, precondition: Precondition) => void = () => undefined;
  readonly time: Time;
  readonly chance: Chance;
  #lastId = 0;

  constructor(name: string, time: Time, chance: Chance) {
    this.name = name;
    this.time = time;
    this.chance = chance;
  }

  newId(kind: string): string {
    this.#lastId += 1;
    return `${kind}-${this.#lastId}`;
  }

  /** As somebody else does it. */
  putByOther(key: string, bytes: Buffer, metadata: Readonly<Record<string, string>> = {}): void {
    this.keep(key, { bytes, etag: `"${digestOf(bytes)}"`, metadata, checksum: undefined, by: 'other' });
  }

  deleteByOther(key: string): void {
    if (this.current.delete(key)) this.changedUnseen.add(key);
  }

  changed(key: string, by: Version['by']): void {
    if (by === 'other' || this.arrivesLate) this.changedUnseen.add(key);
    else this.changedUnseen.delete(key);
  }

  keep(key: string, content: Omit<Version, 'versionId' | 'lastModifiedMs'>): Version {
    // S3 has whole seconds.
    const lastModifiedMs = Math.floor(this.time.nowMs / 1000) * 1000;
    const version = { ...content, versionId: this.newId('version'), lastModifiedMs };
    this.current.set(key, version);
    this.changed(key, content.by);
    this.history.set(key, [...(this.history.get(key) ?? []), version]);
    return version;
  }
}

/** Attempts of the SDK at one request. */
const attemptsMax = 3;

/** A route's connection to a store, in one life of the daemon. */
export class StoreDestination implements Destination {
  readonly name: string;
  readonly keeps = { parts: {}, copy: {} };
  ifMatchQuoted = true;
  readonly #store: Store;
  readonly #life: Life;
  readonly #meter: Meter;

  constructor(store: Store, life: Life, meter: Meter) {
    this.name = store.name;
    this.#store = store;
    this.#life = life;
    this.#meter = meter;
  }

  get requests() {
    return this.#meter.requests;
  }

  takeUsage() {
    return this.#meter.take();
  }

  async put(
    key: string,
    body: Body,
    description: ObjectDescription,
    checksum: Checksum | undefined,
    precondition: Precondition,
  ): Promise<WriteResult> {
    if (body.kind !== 'bytes') throw new Error('no store here needs streams');
    const bytes = Buffer.from(body.bytes);
    if (checksum && (await checksumOf(checksum.algorithm, bytes)).value !== checksum.value)
      throw new Error('a body that is not what its checksum says');
    const content = { bytes, etag: `"${digestOf(bytes)}"`, metadata: description.metadata, checksum };
    const { answer } = await this.#write('PutObject', key, precondition, () => content);
    return answer;
  }

  putStream(): Promise<WriteResult> {
    throw new Error('nothing here is transformed');
  }

  async head(key: string): Promise<Remote> {
    const { answer } = await this.#ask('HeadObject', key, () => this.#store.current.get(key));
    return answer ? { kind: 'object', object: stateOf(answer) } : { kind: 'absent' };
  }

  async *list(prefix: string, signal: AbortSignal): AsyncIterable<readonly ListedKey[]> {
    const pageMax = 5;
    let after = '';
    for (;;) {
      const { answer: page } = await this.#ask('ListObjectsV2', prefix, () =>
        [...this.#store.current]
          .filter(([key]) => key.startsWith(prefix) && key > after)
          .toSorted(([one], [other]) => (one < other ? -1 : 1))
          .slice(0, pageMax),
      );
      if (signal.aborted) throw failureOf('transient', 'AbortError', 'ListObjectsV2');
      yield page.map(([key, { bytes, etag, lastModifiedMs }]) => ({
        ...{ key, size: bytes.length, etag, lastModifiedMs },
      }));
      if (page.length < pageMax) return;
      after = page.at(-1)![0];
    }
  }

  async createUpload(key: string, description: ObjectDescription) {
    const { answer, attempts } = await this.#ask('CreateMultipartUpload', key, () => {
      const uploadId = this.#store.newId('upload');
      const initiatedMs = this.#store.time.nowMs;
      this.#store.uploads.set(uploadId, { uploadId, key, initiatedMs, description, parts: new Map() });
      return uploadId;
    });
    return { uploadId: answer, retried: attempts > 1 };
  }

  async listUploads(key: string): Promise<BegunUpload[]> {
    const { answer } = await this.#ask('ListMultipartUploads', key, () =>
      [...this.#store.uploads.values()].filter((upload) => upload.key === key),
    );
    return answer.map(({ uploadId, initiatedMs }) => ({ key, uploadId, initiatedMs }));
  }

  async uploadPart(
    upload: UploadHandle,
    partNumber: number,
    bytes: Buffer,
    checksum: Checksum | undefined,
    signal: AbortSignal,
  ): Promise<WrittenPart> {
    const body = Buffer.from(bytes);
    const etag = `"${digestOf(body)}"`;
    const stored = { partNumber, etag, size: body.length, ...(checksum && { checksum: checksum.value }) };
    const { answer } = await this.#ask('UploadPart', upload.key, () => {
      const begun = this.#store.uploads.get(upload.uploadId);
      begun?.parts.set(partNumber, { ...stored, bytes: body });
      return begun !== undefined;
    });
    if (signal.aborted) throw failureOf('transient', 'AbortError', 'UploadPart');
    if (!answer) throw failureOf('permanent', 'NoSuchUpload', 'UploadPart');
    return stored;
  }

  async listParts(upload: UploadHandle): Promise<StoredPart[] | undefined> {
    const { answer } = await this.#ask('ListParts', upload.key, () => {
      const parts = this.#store.uploads.get(upload.uploadId)?.parts.values();
      return (
        parts &&
        [...parts].map(({ partNumber, etag, size, checksum }) => ({
          ...{ partNumber, etag, size },
          ...(checksum !== undefined && { checksum }),
        }))
      );
    });
    return answer;
  }

  async completeUpload(
    upload: UploadHandle,
    parts: readonly WrittenPart[],
    precondition: Precondition,
  ): Promise<WriteResult> {
    const { answer } = await this.#write('CompleteMultipartUpload', upload.key, precondition, () => {
      const begun = this.#store.uploads.get(upload.uploadId);
      if (!begun) return undefined;
      const bodies = parts.map(({ partNumber, etag }) => {
        const part = begun.parts.get(partNumber);
        if (part?.etag !== etag) throw new Error(`part ${partNumber} was never stored so`);
        return part.bytes;
      });
      const digests = Buffer.concat(bodies.map((bytes) => Buffer.from(digestOf(bytes), 'hex')));
      return {
        bytes: Buffer.concat(bodies),
        etag: `"${digestOf(digests)}-${bodies.length}"`,
        metadata: begun.description.metadata,
        checksum: undefined,
        whenKept: () => this.#store.uploads.delete(upload.uploadId),
      };
    });
    return answer;
  }

  async abortUpload(upload: UploadHandle): Promise<void> {
    await this.#ask(
      'AbortMultipartUpload',
      upload.key,
      () => void this.#store.uploads.delete(upload.uploadId),
    );
  }

  async copy(
    source: CopySource,
    key: string,
    { metadata }: ObjectDescription,
    precondition: Precondition,
  ): Promise<CopyResult> {
    let isSource = true;
    const { answer } = await this.#write(
      'CopyObject',
      key,
      precondition,
      () => {
        const from = this.#store.current.get(source.key);
        isSource = from?.etag === source.etag;
        if (!from || !isSource) return from ? 'precondition-failed' : undefined;
        const { bytes, checksum } = from;
        return { bytes, etag: `"${digestOf(bytes)}"`, metadata, checksum };
      },
      source.key,
    );
    if (answer.kind === 'written') return answer;
    const isOfSource =
      (answer.kind === 'precondition-failed' && precondition.kind === 'none') ||
      (answer.kind === 'missing' && precondition.kind !== 'etag');
    return isOfSource ? { kind: 'source-changed' } : answer;
  }

  async remove(key: string, precondition: Exclude<Precondition, { kind: 'absent' }>): Promise<RemoveResult> {
    const { answer } = await this.#ask(
      'DeleteObject',
      key,
      (): RemoveResult => {
        const before = this.#store.current.get(key);
        if (precondition.kind === 'etag') {
          if (!before) return { kind: 'missing' };
          if (before.etag !== precondition.etag) return { kind: 'precondition-failed' };
        }
        this.#store.current.delete(key);
        this.#store.changed(key, 'us');
        this.#store.onDeed({ operation: 'DeleteObject', key, precondition, before, after: undefined });
        return { kind: 'removed' };
      },
      precondition,
    );
    return answer;
  }

  async tagCount(key: string): Promise<number> {
    await this.#ask('GetObjectTagging', key, () => undefined);
    return 1;
  }

  async putTags(key: string): Promise<void> {
    await this.#ask('PutObjectTagging', key, () => undefined);
  }

  async putAcl(key: string): Promise<void> {
    await this.#ask('PutObjectAcl', key, () => undefined);
  }

  async putLock(key: string): Promise<void> {
    await this.#ask('PutObjectRetention', key, () => undefined);
  }

  supplement(): Promise<void> {
    return Promise.resolve();
  }

  /** @param contentOf undefined: there is nothing of that name any more, an upload or a source */
  #write(
    operation: string,
    key: string,
    precondition: Precondition,
    contentOf: () =>
      | (Omit<Version, 'versionId' | 'lastModifiedMs' | 'by'> & { readonly whenKept?: () => unknown })
      | 'precondition-failed'
      | undefined,
    source?: string,
  ) {
    return this.#ask(
      operation,
      key,
      (): WriteResult => {
        const before = this.#store.current.get(key);
        const content = contentOf();
        if (content === undefined) return { kind: 'missing' };
        if (content === 'precondition-failed') return { kind: 'precondition-failed' };
        if (precondition.kind === 'absent' && before) return { kind: 'precondition-failed' };
        if (precondition.kind === 'etag') {
          if (!before) return { kind: 'missing' };
          if (before.etag !== precondition.etag) return { kind: 'precondition-failed' };
        }
        const { whenKept, ...kept } = content;
        const after = this.#store.keep(key, { ...kept, by: 'us' });
        whenKept?.();
        this.#store.onDeed({ operation, key, precondition, before, after, ...(source && { source }) });
        return { kind: 'written', etag: after.etag, versionId: after.versionId };
      },
      precondition,
    );
  }

  /** One request, and what the SDK makes of it: up to three attempts, each of which may be carried out. */
  async #ask<T>(
    operation: string,
    key: string,
    act: () => T,
    precondition: Precondition = { kind: 'none' },
  ): Promise<{ answer: T; attempts: number }> {
    const { time, chance } = this.#store;
    this.#store.onAsk(operation, key, precondition);
    for (let attempts = 1; ; attempts++) {
      this.#meter.count(operation);
      try {
        return { answer: await this.#attempt(operation, act, precondition), attempts };
      } catch (error) {
        if (!(error instanceof Failure) || error.class === 'unreachable') throw error;
        if (attempts >= attemptsMax || chance.is(0.5)) throw error;
        await new Promise<void>((resolve) => void time.after(this.#life, 100 * 2 ** attempts, resolve));
      }
    }
  }

  #attempt<T>(operation: string, act: () => T, precondition: Precondition): Promise<T> {
    const { time, chance, weather } = this.#store;
    this.#store.attemptsMs.push(time.elapsedMs);
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const delay = () => chance.between(1, weather.delayMaxMs);
    const answer = (tell: () => void, ms = delay()) => void time.after(this.#life, ms, tell);
    const fail = (failureClass: FailureClass, code: string, ms?: number) =>
      answer(() => reject(failureOf(failureClass, code, operation)), ms);
    // In the network a request has left the daemon: it arrives although nobody waits for the answer any more.
    const arrive = (tell: (result: T) => void, ms = delay(), isLate = false) =>
      void time.after(time.world, ms, () => {
        if (this.#store.weather.unreachable) return fail('transient', 'ECONNRESET');
        this.#store.arrivesLate = isLate;
        const acted = act();
        this.#store.arrivesLate = false;
        tell(acted);
      });
    const patienceMs = 60_000;
    const isConditional = precondition.kind !== 'none';
    const fate = chance.weighted([
      [weather.throttled, 'throttled'],
      [weather.broken, 'broken'],
      [weather.lostBefore, 'lost before'],
      [weather.lostAfter, 'lost after'],
      [isConditional ? weather.late : 0, 'late'],
      [isConditional ? weather.busy : 0, 'busy'],
      [1, 'well'],
    ] as const);
    if (weather.unreachable) fail('unreachable', 'ECONNREFUSED');
    else if (fate === 'well') arrive((result) => answer(() => resolve(result)));
    else if (fate === 'throttled') fail('throttled', 'SlowDown');
    else if (fate === 'broken') {
      if (chance.is(0.5)) fail('transient', 'InternalError');
      else arrive(() => fail('transient', 'InternalError'));
    } else if (fate === 'lost before') fail('transient', 'TimeoutError', patienceMs);
    else if (fate === 'lost after') {
      arrive(() => undefined);
      fail('transient', chance.is(0.5) ? 'ECONNRESET' : 'TimeoutError', chance.oneOf([200, patienceMs]));
    } else if (fate === 'late') {
      fail('transient', 'TimeoutError', patienceMs);
      const isLate = true;
      arrive(() => undefined, patienceMs + chance.between(1, 120_000), isLate);
    } else answer(() => resolve({ kind: 'busy' } as T));
    return promise;
  }
}

function stateOf({ bytes, etag, lastModifiedMs, versionId, metadata, checksum }: Version): ObjectState {
  const mtimeNs = mtimeFromMetadata(metadata['mtime']);
  const writeId = writeIdFromMetadata(metadata);
  return {
    ...{ etag, size: bytes.length, lastModifiedMs, versionId, source: 'head' },
    ...(mtimeNs !== undefined && { mtimeNs }),
    ...(writeId !== undefined && { writeId }),
    ...(checksum && { checksum }),
  };
}

function failureOf(failureClass: FailureClass, code: string, operation: string): Failure {
  const mayHaveLanded = failureClass !== 'permanent';
  return new Failure(`${operation}: ${code}`, { class: failureClass, code, mayHaveLanded });
}

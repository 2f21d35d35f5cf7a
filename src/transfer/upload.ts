// Uploading one file as one object, so that the object is one state of the file or nothing: one PutObject for a small
// file, resumable multipart for a large one, one streamed PutObject where a store enforces conditions only there.
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Capabilities } from '../core/capabilities.ts';
import { unfitness, type ObjectDescription, type Unfit } from '../core/description.ts';
import { Failure, unlessDenied, unlessForbidden } from '../core/failure.ts';
import { sameFingerprint, type FileState } from '../core/file.ts';
import { holds, type Checksum, type ChecksumAlgorithm, type Precondition } from '../core/object.ts';
import { checksumLike, checksumOf, compositeOf, digester } from './checksum.ts';
import type { Destination, UploadHandle, WriteResult, WrittenPart } from './destination.ts';
import type { ByteBudget } from './limits.ts';
import { describeWrite } from './metadata.ts';
import { openFile, pieces, readAll, readFully, type OpenFile, type Root } from './open.ts';
import { objectSizeMax, partSizeFor, singlePutLimit, singlePutMax } from './part-size.ts';

/** Where multipart uploads under way are remembered; the journal, seen from here. */
export interface UploadMemory {
  find(): (BegunRecord & UploadIdentity & { readonly parts: readonly WrittenPart[] }) | undefined;
  /** Before the store is asked for an upload: so that one which nobody heard of can be found and ended. */
  begin(upload: { readonly key: string } & UploadIdentity): void;
  created(uploadId: string): void;
  recordParts(parts: readonly WrittenPart[]): void;
  end(): void;
}

interface BegunRecord extends UploadHandle {
  readonly beganMs: number;
}

/** What must be the same for an upload to be continued. */
interface UploadIdentity {
  readonly file: Pick<FileState, 'size' | 'mtimeNs' | 'ctimeNs' | 'ino'>;
  readonly partSize: number;
  readonly description: string;
}

export interface UploadRequest {
  readonly destination: Destination;
  readonly root: Root;
  readonly path: string;
  readonly key: string;
  readonly describe: (file: FileState) => ObjectDescription;
  readonly precondition: Precondition;
  /** By which the object is known for ours when the answer is lost. */
  readonly writeId: string;
  readonly checksum: ChecksumAlgorithm | 'none';
  readonly capabilities: Capabilities | undefined;
  readonly memory: UploadMemory;
  /** Memory for the bodies of small files. */
  readonly budget: ByteBudget;
  /** Memory for parts; apart, so that large files never keep small ones waiting. */
  readonly partBudget: ByteBudget;
  /** Stops a multipart upload between parts, to be continued later. */
  readonly signal: AbortSignal;
  readonly onBytes: (bytes: number) => void;
}

export type UploadResult =
  | {
      readonly kind: 'written';
      readonly etag: string;
      readonly versionId?: string;
      /** The state whose bytes the object has. */
      readonly file: FileState;
      readonly checksum: Checksum;
    }
  | Exclude<WriteResult, { kind: 'written' }>
  /** The file is not what it was when it was opened: look again. */
  | { readonly kind: 'changed' }
  | { readonly kind: 'vanished' }
  /** The store no longer knows the upload: perhaps our own earlier try completed it. */
  | { readonly kind: 'uncertain' }
  | { readonly kind: 'interrupted' }
  | { readonly kind: 'too-large' }
  | ({ readonly kind: 'unfit' } & Unfit)
  /** The store would ignore the precondition for a file of this size. */
  | { readonly kind: 'cannot-enforce' };

/** @throws Failure from the destination; the system's error when the file cannot be read */
export async function upload(request: UploadRequest): Promise<UploadResult> {
  using file = openFile(request.root, request.path);
  if (!file) return { kind: 'vanished' };
  const { size } = file.state;
  if (size > objectSizeMax) return { kind: 'too-large' };
  // Where a lost answer could be mistaken, because S3 then refuses the next try. A plain PutObject is just sent again.
  const isKnown = request.precondition.kind !== 'none' || size > singlePutMax;
  const plain = request.describe(file.state);
  const description = isKnown ? describeWrite(plain, request.writeId) : plain;
  const checksum = description.checksum ?? request.checksum;
  const unfit = unfitness(description, checksum);
  if (unfit) return { kind: 'unfit', ...unfit };
  const described = { ...request, description, checksum };
  // Awaited here, because the file is closed when this function ends.
  if (size <= singlePutMax) return await putSmall(described, file);
  if (request.precondition.kind === 'none' || request.capabilities?.completeIfAbsent !== false) {
    return await putInParts(described, file);
  }
  return size <= singlePutLimit ? await putStreamed(described, file) : { kind: 'cannot-enforce' };
}

/** A request for what has become one object: `checksum` is what the rules have it. */
interface DescribedRequest extends UploadRequest {
  readonly description: ObjectDescription;
}

async function putSmall(request: DescribedRequest, file: OpenFile): Promise<UploadResult> {
  using _budget = await request.budget.acquire(file.state.size);
  const bytes = await readAll(file);
  if (!bytes || !file.unchanged()) return { kind: 'changed' };
  const checksum = await checksumOf(algorithmOf(request), bytes);
  const result = await request.destination.put(
    request.key,
    { kind: 'bytes', bytes },
    request.description,
    request.checksum === 'none' ? undefined : checksum,
    request.precondition,
  );
  if (result.kind === 'written') request.onBytes(bytes.length);
  return result.kind === 'written' ? { ...result, file: file.state, checksum } : result;
}

/** The last piece leaves only after the fence, so that a torn read ends as an incomplete body, which S3 drops. */
async function putStreamed(request: DescribedRequest, file: OpenFile): Promise<UploadResult> {
  const { size } = file.state;
  const algorithm = algorithmOf(request);
  const digest = digester(algorithm);
  const torn = new AbortController();
  // An error of the stream alone leaves the request waiting for the rest, until the socket's timeout.
  const tear = (message: string) => {
    torn.abort();
    return new Error(message);
  };
  async function* fenced() {
    let sent = 0;
    for await (const piece of pieces(file)) {
      digest.update(piece);
      sent += piece.length;
      if (sent > size || (sent === size && !file.unchanged()))
        throw tear('the file changed while it was read');
      request.onBytes(piece.length);
      yield Buffer.from(piece);
    }
    if (sent < size) throw tear('the file became shorter while it was read');
  }
  using _budget = await request.budget.acquire(4 * 1024 ** 2);
  // Its errors come to light as those of the request; without a listener they would end the process.
  const open = () => Readable.from(fenced(), { objectMode: false }).on('error', () => undefined);
  const body = { kind: 'stream' as const, size, open, abandoned: torn.signal };
  try {
    const { destination, key, precondition, description } = request;
    // S3 locks only what comes with a checksum, and it comes before the body: that file is read twice.
    const sent = description.objectLock && (await checksumLike({ algorithm, value: '' }, pieces(file)));
    const result = await destination.put(key, body, description, sent, precondition);
    if (result.kind !== 'written') return result;
    const checksum = { algorithm, value: (await digest.digest()).toString('base64') };
    return { ...result, file: file.state, checksum };
  } catch (error) {
    if (torn.signal.aborted) return { kind: 'changed' };
    throw error;
  }
}

/** Parts of one file in flight at once. */
const partsInFlight = 4;

/** How long confirmed parts may wait to be recorded: a crash repeats at most what this second confirmed. */
const recordPartsEveryMs = 1_000;

async function putInParts(request: DescribedRequest, file: OpenFile): Promise<UploadResult> {
  const { destination, key, memory, precondition, description } = request;
  const identity: UploadIdentity = {
    file: file.state,
    partSize: partSizeFor(file.state.size),
    description: digestOf({ ...description, checksum: request.checksum }),
  };
  const begun = await resume(request, identity);
  if (begun === 'uncertain') return { kind: 'uncertain' };
  if (!begun && precondition.kind !== 'none') {
    // S3 checks conditions at Complete only, after the whole body was sent: ask before.
    const remote = await unlessDenied(destination.head(key));
    if (remote && !holds(precondition, remote)) return { kind: 'precondition-failed' };
  }
  const handle = begun?.handle ?? (await create(request, identity));
  const abandon = async () => {
    await endUpload(destination, handle);
    memory.end();
  };

  const sent = await sendParts(request, file, handle, identity.partSize, begun?.parts ?? []);
  if (sent.kind === 'interrupted') return sent;
  if (sent.kind === 'gone') {
    // Aborted by a lifecycle rule or a person, or completed by an earlier try of ours.
    memory.end();
    return { kind: 'uncertain' };
  }
  if (sent.kind === 'changed' || !file.unchanged()) {
    await abandon();
    return { kind: 'changed' };
  }
  const result = await destination.completeUpload(handle, sent.parts, precondition);
  switch (result.kind) {
    case 'written': {
      const checksums = sent.parts.map((part) => part.checksum ?? '');
      const checksum = await compositeOf(algorithmOf(request), checksums, identity.partSize);
      await destination.supplement('parts', key, description, result.versionId);
      // The journal forgets the upload together with the change: a crash in between finds it completed.
      return { ...result, file: file.state, checksum };
    }
    case 'missing':
      // The upload, or with If-Match the object: then the upload is still there.
      await abandon();
      return { kind: 'uncertain' };
    case 'precondition-failed':
    case 'busy':
      await abandon();
      return result;
  }
}

/** Has the store make an upload, and remembers it: that it will be asked first, then which one it is. */
async function create(
  { destination, key, memory, description, checksum }: DescribedRequest,
  identity: UploadIdentity,
): Promise<UploadHandle> {
  const beganMs = Date.now();
  memory.begin({ key, ...identity });
  try {
    const { uploadId, retried } = await destination.createUpload(key, description, checksum);
    memory.created(uploadId);
    if (retried) await endUnknownUploads(destination, { key, uploadId, beganMs });
    return { key, uploadId, ...begunWith(description, checksum) };
  } catch (error) {
    if (error instanceof Failure && !error.mayHaveLanded) memory.end();
    throw error;
  }
}

/**
 * Ends an upload that will not be completed: its parts would be paid for as long as it is there. Without the rights, or on
 * a store that cannot do it, a lifecycle rule of the bucket has to clear uploads away.
 */
export async function endUpload(
  destination: Destination,
  upload: UploadHandle & { readonly beganMs?: number },
): Promise<void> {
  const { key, uploadId, beganMs = 0 } = upload;
  if (uploadId === '') await endUnknownUploads(destination, { key, beganMs });
  else await unlessForbidden(destination.abortUpload(upload));
}

/** How far the clocks of a store and of this machine may differ here. */
const clocksDifferMs = 60_000;

/**
 * Ends the uploads that we asked for and never heard of. They are to this key, not older than our asking, and empty: the
 * same may be true of one that somebody else began this moment, who loses nothing but the time to begin again.
 */
async function endUnknownUploads(
  destination: Destination,
  known: { readonly key: string; readonly uploadId?: string; readonly beganMs: number },
): Promise<void> {
  for (const upload of (await unlessForbidden(destination.listUploads(known.key))) ?? []) {
    if (upload.uploadId === known.uploadId || upload.initiatedMs < known.beganMs - clocksDifferMs) continue;
    const parts = await unlessForbidden(destination.listParts(upload));
    if (parts?.length === 0) await unlessForbidden(destination.abortUpload(upload));
  }
}

/** Finds the upload to go on with, and which of its parts the store has confirmed. */
async function resume(
  request: DescribedRequest,
  identity: UploadIdentity,
): Promise<{ handle: UploadHandle; parts: WrittenPart[] } | 'uncertain' | undefined> {
  const { memory, destination, key } = request;
  const begun = memory.find();
  if (!begun) return undefined;
  const same =
    begun.uploadId !== '' &&
    begun.key === key &&
    begun.partSize === identity.partSize &&
    begun.description === identity.description &&
    sameFingerprint(begun.file, identity.file);
  if (!same) {
    await endUpload(destination, begun);
    memory.end();
    return undefined;
  }
  const stored = await destination.listParts(begun);
  if (!stored) {
    memory.end();
    return 'uncertain';
  }
  // The store's list is the authority; our record adds the checksums of stores that keep none. A part that was stored
  // but never recorded is sent again unless the store can tell its checksum.
  const recorded = new Map(begun.parts.map((part) => [part.partNumber, part]));
  const parts = stored.flatMap(({ partNumber, etag, checksum, size }) => {
    const record = recorded.get(partNumber);
    const known = record?.etag === etag ? record.checksum : checksum;
    const whole = size === partLength(identity.file.size, identity.partSize, partNumber);
    return whole && known !== undefined ? [{ partNumber, etag, checksum: known }] : [];
  });
  return { handle: { ...begun, ...begunWith(request.description, request.checksum) }, parts };
}

async function sendParts(
  request: UploadRequest,
  file: OpenFile,
  handle: UploadHandle,
  partSize: number,
  confirmed: readonly WrittenPart[],
): Promise<
  { kind: 'sent'; parts: WrittenPart[] } | { kind: 'changed' } | { kind: 'interrupted' } | { kind: 'gone' }
> {
  const { size } = file.state;
  const parts = new Map(confirmed.map((part) => [part.partNumber, part]));
  const missing = Array.from({ length: Math.ceil(size / partSize) }, (_, index) => index + 1).filter(
    (partNumber) => !parts.has(partNumber),
  );
  const unrecorded: WrittenPart[] = [];
  let recordedAtMs = performance.now();
  const record = () => {
    request.memory.recordParts(unrecorded.splice(0));
    recordedAtMs = performance.now();
  };
  let changed = false;
  // One failure ends all: the other lanes must not send what can never be completed.
  const failed = new AbortController();
  const signal = AbortSignal.any([request.signal, failed.signal]);

  const sendMissing = async (buffer: Buffer) => {
    for (let partNumber = missing.shift(); partNumber !== undefined; partNumber = missing.shift()) {
      if (signal.aborted || changed) return;
      const length = partLength(size, partSize, partNumber);
      const read = await readFully(file.fd, buffer, (partNumber - 1) * partSize, length);
      if (read < length) changed = true;
      if (signal.aborted || changed) return;
      const bytes = buffer.subarray(0, length);
      const checksum = await checksumOf(algorithmOf(request), bytes);
      const sent = request.checksum === 'none' ? undefined : checksum;
      const part = await request.destination.uploadPart(handle, partNumber, bytes, sent, signal);
      request.onBytes(length);
      parts.set(partNumber, { ...part, checksum: checksum.value });
      unrecorded.push({ ...part, checksum: checksum.value });
      if (performance.now() - recordedAtMs >= recordPartsEveryMs) record();
      widen();
    }
  };
  // A lane is one part in flight, with a buffer that is used for one part after the other. The first one waits for its
  // memory; others are added as long as there is some to spare, so that no file waits for more lanes than it needs.
  const lanes: Promise<void>[] = [];
  let open = 0;
  // Kept where it happens: a promise that is rejected before it is waited for would end the process.
  let failure: unknown;
  const openLane = async (memory: Disposable) => {
    using _memory = memory;
    open += 1;
    try {
      await sendMissing(Buffer.allocUnsafeSlow(Math.min(partSize, size)));
    } catch (error) {
      failure ??= error;
      failed.abort();
    } finally {
      open -= 1;
    }
  };
  const widen = () => {
    while (open < partsInFlight && missing.length > 0) {
      const memory = request.partBudget.tryAcquire(partSize);
      if (!memory) return;
      lanes.push(openLane(memory));
    }
  };
  lanes.push(openLane(await request.partBudget.acquire(partSize)));
  widen();
  // Lanes that are opened meanwhile are waited for too.
  for (const lane of lanes) await lane;
  record();
  if (request.signal.aborted) return { kind: 'interrupted' };
  if (failure instanceof Failure && failure.code === 'NoSuchUpload') return { kind: 'gone' };
  if (failure !== undefined) throw failure;
  if (changed) return { kind: 'changed' };
  return { kind: 'sent', parts: [...parts.values()].toSorted((a, b) => a.partNumber - b.partNumber) };
}

function partLength(size: number, partSize: number, partNumber: number): number {
  return Math.min(partSize, size - (partNumber - 1) * partSize);
}

/** A checksum is always computed: where none is sent it still tells a touched file from a changed one. */
function algorithmOf(request: UploadRequest): ChecksumAlgorithm {
  return request.checksum === 'none' ? 'crc32' : request.checksum;
}

/** What every part has to bring. */
function begunWith(
  { encryption }: ObjectDescription,
  checksum: ChecksumAlgorithm | 'none',
): Pick<UploadHandle, 'customerKey' | 'checksum'> {
  return {
    ...(encryption?.sse === 'customer' && { customerKey: encryption.key }),
    ...(checksum !== 'none' && { checksum }),
  };
}

function digestOf(description: ObjectDescription): string {
  return createHash('sha256').update(JSON.stringify(description)).digest('base64');
}

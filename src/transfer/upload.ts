// Uploading one file as one object, so that the object is one state of the file or nothing: one PutObject for a small
// file, resumable multipart for a large one, one streamed PutObject where a store enforces conditions only there.
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { unfitness } from '../core/description.ts';
import { Failure } from '../core/failure.ts';
import { sameFingerprint } from '../core/file.ts';
import { transformName } from '../core/transform.ts';
import { beginUpload, begunWith, endBegun, endUpload, identityOf, isRefusedAhead } from './begun.ts';
import { algorithmFor, checksumLike, checksumOf, compositeOf } from './checksum.ts';
import type { UploadHandle, WrittenPart } from './destination.ts';
import { describeContent, describeWrite } from './metadata.ts';
import { openFile, pieces, readAll, readFully, type OpenFile } from './open.ts';
import { objectSizeMax, partSizeFor, singlePutLimit, singlePutMax } from './part-size.ts';
import { putTransformed } from './put-transformed.ts';
import { Reading } from './reading.ts';
import type { DescribedRequest, PutResult, UploadIdentity, UploadRequest, UploadResult } from './request.ts';
import { transformed } from './transform.ts';

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
  // Awaited here, because the file is closed when this function ends.
  const result = await put({ ...request, description, checksum }, file);
  const transform = transformName(description);
  if (result.kind !== 'written') return result;
  return { ...result, description, ...(transform !== undefined && { transform }) };
}

async function put(request: DescribedRequest, file: OpenFile): Promise<PutResult> {
  const { size } = file.state;
  if (size <= singlePutMax) return putSmall(request, file);
  if (transformName(request.description) !== undefined) return putTransformed(request, file);
  if (request.precondition.kind === 'none' || request.capabilities?.completeIfAbsent !== false) {
    return putInParts(request, file);
  }
  return size <= singlePutLimit ? putStreamed(request, file) : { kind: 'cannot-enforce' };
}

async function putSmall(request: DescribedRequest, file: OpenFile): Promise<PutResult> {
  const { destination, key, description, precondition } = request;
  const isTransformed = transformName(description) !== undefined;
  // The content, its body, and the pieces that one is made of.
  using _budget = await request.budget.acquire(file.state.size * (isTransformed ? 3 : 1));
  const content = await readAll(file);
  if (!content || !file.unchanged()) return { kind: 'changed' };
  const algorithm = algorithmFor(request.checksum);
  const checksum = await checksumOf(algorithm, content);
  const bytes = isTransformed
    ? await buffer(await transformed([content], description, content.length))
    : content;
  const sent = isTransformed ? await checksumOf(algorithm, bytes) : checksum;
  const result = await destination.put(
    key,
    { kind: 'bytes', bytes },
    isTransformed ? describeContent(description, checksum) : description,
    request.checksum === 'none' ? undefined : sent,
    precondition,
  );
  if (result.kind === 'written') request.onBytes(content.length);
  return result.kind === 'written' ? { ...result, file: file.state, checksum } : result;
}

/** A torn read ends as an incomplete body, which S3 drops. */
async function putStreamed(request: DescribedRequest, file: OpenFile): Promise<PutResult> {
  const { destination, key, precondition, description } = request;
  const { size } = file.state;
  const reading = new Reading(file, algorithmFor(request.checksum));
  using _budget = await request.budget.acquire(4 * 1024 ** 2);
  // Its errors come to light as those of the request; without a listener they would end the process.
  const open = () =>
    Readable.from(reading.pieces(request.onBytes), { objectMode: false }).on('error', () => undefined);
  const body = { kind: 'stream' as const, size, open, abandoned: reading.abandoned };
  try {
    // S3 locks only what comes with a checksum, and it comes before the body: that file is read twice.
    const like = { algorithm: algorithmFor(request.checksum), value: '' };
    const sent = description.objectLock && (await checksumLike(like, pieces(file)));
    const result = await destination.put(key, body, description, sent, precondition);
    if (result.kind !== 'written') return result;
    return { ...result, file: file.state, checksum: await reading.checksum() };
  } catch (error) {
    return reading.changedOr(error);
  }
}

/** Parts of one file in flight at once. */
const partsInFlight = 4;

/** How long confirmed parts may wait to be recorded: a crash repeats at most what this second confirmed. */
const recordPartsEveryMs = 1_000;

async function putInParts(request: DescribedRequest, file: OpenFile): Promise<PutResult> {
  const { destination, key, memory, precondition, description } = request;
  const identity = identityOf(request, file.state, partSizeFor(file.state.size));
  const begun = await resume(request, identity);
  if (begun === 'uncertain') return { kind: 'uncertain' };
  if (!begun && (await isRefusedAhead(request, precondition))) {
    return { kind: 'precondition-failed' };
  }
  const handle = begun?.handle ?? (await beginUpload(request, identity));
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
      const checksum = await compositeOf(algorithmFor(request.checksum), checksums, identity.partSize);
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
    await endBegun(destination, begun, memory);
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
  let recordedAtMs = request.clock.monotonic();
  const record = () => {
    request.memory.recordParts(unrecorded.splice(0));
    recordedAtMs = request.clock.monotonic();
  };
  let changed = false;
  // One failure ends all: the other lanes must not send what can never be completed.
  const failed = new AbortController();
  const signal = AbortSignal.any([request.signal, failed.signal]);

  const sendMissing = async (buffer: Buffer) => {
    for (let partNumber = missing.shift(); partNumber !== undefined; partNumber = missing.shift()) {
      if (signal.aborted || changed) return;
      const length = partLength(size, partSize, partNumber);
      const read = await readFully(file, buffer, (partNumber - 1) * partSize, length);
      if (read < length) changed = true;
      if (signal.aborted || changed) return;
      const bytes = buffer.subarray(0, length);
      const checksum = await checksumOf(algorithmFor(request.checksum), bytes);
      const sent = request.checksum === 'none' ? undefined : checksum;
      const part = await request.destination.uploadPart(handle, partNumber, bytes, sent, signal);
      request.onBytes(length);
      parts.set(partNumber, { ...part, checksum: checksum.value });
      unrecorded.push({ ...part, checksum: checksum.value });
      if (request.clock.monotonic() - recordedAtMs >= recordPartsEveryMs) record();
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

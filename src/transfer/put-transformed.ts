// Uploading a large file whose content is transformed: a body of which nobody knows the length before its end. It cannot
// be continued, for nothing tells how far in the file a part of it reaches: what was begun is ended, and begun anew.
import { addAbortSignal } from 'node:stream';
import { Failure } from '../core/failure.ts';
import type { Transform } from '../core/transform.ts';
import { beginUpload, endBegun, endUpload, identityOf, isRefusedAhead } from './begun.ts';
import { algorithmFor } from './checksum.ts';
import type { UploadHandle, WriteResult } from './destination.ts';
import { describeContent } from './metadata.ts';
import type { OpenFile } from './open.ts';
import { singlePutLimit, streamPartSizeFor } from './part-size.ts';
import { Reading } from './reading.ts';
import type { DescribedRequest, PutResult } from './request.ts';
import { transformed, transformedSizeMax } from './transform.ts';

type Written = WriteResult | Extract<PutResult, { kind: 'uncertain' | 'cannot-enforce' }>;

export async function putTransformed(request: DescribedRequest, file: OpenFile): Promise<PutResult> {
  const { precondition, checksum, signal } = request;
  await endEarlier(request);
  if (await isRefusedAhead(request, precondition)) {
    return { kind: 'precondition-failed' };
  }
  const reading = new Reading(file, algorithmFor(checksum));
  try {
    const enforces = precondition.kind === 'none' || request.capabilities?.completeIfAbsent !== false;
    const result = await (enforces ? putAsItComes(request, file, reading) : putMeasured(request, reading));
    if (result.kind !== 'written') return result;
    return { ...result, file: file.state, checksum: await reading.checksum() };
  } catch (error) {
    if (signal.aborted) return { kind: 'interrupted' };
    return reading.changedOr(error);
  }
}

async function endEarlier({ destination, memory }: DescribedRequest): Promise<void> {
  const begun = memory.find();
  if (begun) await endBegun(destination, begun, memory);
}

/**
 * Memory for one body on its way, measured: two parts that are sent, the next one, the pieces of which it is made, and what
 * compression and encryption leave to the garbage collector.
 */
const bodyBytes = 64 * 1024 ** 2;
const partsHeld = 4;

async function putAsItComes(request: DescribedRequest, file: OpenFile, reading: Reading): Promise<Written> {
  const { destination, key, memory, checksum, precondition, signal } = request;
  const partSize = streamPartSizeFor(transformedSizeMax(file.state.size));
  using _memory = await request.partBudget.acquire(Math.max(bodyBytes, partsHeld * partSize));
  const description = await withChecksum(request, reading);
  const begun: { handle?: UploadHandle } = {};
  const abandon = async () => {
    if (!begun.handle) return;
    await endUpload(destination, begun.handle);
    memory.end();
  };
  const body = addAbortSignal(
    signal,
    await transformed(reading.pieces(request.onBytes), description, reading.size),
  );
  const write = { body, partSize, checksum, precondition, signal };
  const begin = async () => {
    const described = { ...request, description };
    begun.handle = await beginUpload(described, identityOf(described, file.state, partSize));
    return begun.handle;
  };
  let result: WriteResult;
  try {
    result = await destination.putStream(key, description, write, begin);
  } catch (error) {
    await abandon();
    if (error instanceof Failure && error.code === 'NoSuchUpload') return { kind: 'uncertain' };
    throw error;
  }
  if (result.kind !== 'written') {
    await abandon();
    // The upload, or with If-Match the object.
    return begun.handle && result.kind === 'missing' ? { kind: 'uncertain' } : result;
  }
  if (begun.handle) await destination.supplement('parts', key, description, result.versionId);
  return result;
}

/** Where conditions are enforced on PutObject only, the length must be known before it: what is sent is made twice. */
async function putMeasured(request: DescribedRequest, reading: Reading): Promise<Written> {
  const { destination, key, precondition, signal } = request;
  using _memory = await request.budget.acquire(4 * 1024 ** 2);
  const size = await readThrough(reading, request.description, signal);
  if (size > singlePutLimit) return { kind: 'cannot-enforce' };
  const description = await withChecksum(request, reading);
  const stream = addAbortSignal(
    signal,
    await transformed(reading.pieces(request.onBytes), description, reading.size),
  );
  const { abandoned } = reading;
  const body = { kind: 'stream', size, open: () => stream, abandoned } as const;
  return destination.put(key, body, description, undefined, precondition);
}

/** Metadata is sent before the body: for a checksum in it the file is read before. */
async function withChecksum({ description, signal }: DescribedRequest, reading: Reading) {
  if (description.recipients) return description;
  await readThrough(reading, {}, signal);
  return describeContent(description, await reading.checksum());
}

/** @returns how many bytes the body has */
async function readThrough(reading: Reading, transform: Transform, signal: AbortSignal): Promise<number> {
  let size = 0;
  for await (const piece of addAbortSignal(
    signal,
    await transformed(reading.pieces(), transform, reading.size),
  ))
    size += (piece as Buffer).length;
  return size;
}

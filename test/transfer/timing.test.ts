// Every request has an end: a peer that goes silent at any point of it, or trickles, is given up, and the failure says that
// it may have been heard.
import { describe, expect, onTestFinished, test } from 'vitest';
import { connect } from '../../src/transfer/connect.ts';
import { S3Destination } from '../../src/transfer/s3.ts';
import { deadlineMs, patient } from '../../src/transfer/timing.ts';
import { startFaultProxy } from '../fault-proxy/proxy.ts';
import { testBucket } from '../helpers/bucket.ts';
import { bytes, listedKeys, never, plain, put, written } from '../helpers/destination-suite.ts';
import { none } from '../helpers/given.ts';
import type { Fault } from '../s3-server/faults.ts';

const MiB = 1024 ** 2;

/** So that what takes a minute takes a moment; the silence is shorter than the deadline, as it is in earnest. */
const impatient = { connectMs: 200, silenceMs: 200, answerMs: 400, bytesPerSecond: 100 * MiB };

async function open() {
  const bucket = await testBucket();
  const proxy = await startFaultProxy(bucket.server.endpoint);
  const config = bucket.destination({ endpoint: proxy.endpoint });
  const client = connect(config, impatient);
  onTestFinished(async () => {
    client.destroy();
    await proxy[Symbol.asyncDispose]();
  });
  return { bucket, proxy, destination: new S3Destination(config, client, [], undefined, impatient) };
}

const silences: Readonly<Record<string, Fault>> = {
  'takes the request and reads nothing': { kind: 'stall' },
  'stops reading in the middle of the body': { kind: 'stall', afterBytes: 2 * MiB },
  'does it and never answers': { kind: 'commit-then-stall' },
  'answers up to the middle': { kind: 'stall-answer', afterBytes: 0 },
  // Never silent for long, and with the headers of its answer not done for half a minute.
  'trickles its answer': { kind: 'slow-answer', bytesPerSecond: 20 },
};

const upload = { key: 'big', uploadId: 'none' };
const operations: readonly (readonly [
  NonNullable<Fault['operation']>,
  (destination: S3Destination) => Promise<unknown>,
])[] = [
  ['PutObject', (destination) => put(destination, 'a', 'small')],
  ['HeadObject', (destination) => destination.head('a')],
  ['ListObjectsV2', (destination) => listedKeys(destination, '')],
  ['CreateMultipartUpload', (destination) => destination.createUpload('big', plain, 'crc32')],
  [
    'UploadPart',
    (destination) => destination.uploadPart(upload, 1, Buffer.alloc(16 * MiB), undefined, never),
  ],
  ['CompleteMultipartUpload', (destination) => destination.completeUpload(upload, [], none)],
  ['ListParts', (destination) => destination.listParts(upload)],
  ['AbortMultipartUpload', (destination) => destination.abortUpload(upload)],
];

describe.each(Object.entries(silences))('a peer that %s', (_, fault) => {
  // The answer to a HEAD ends with its headers: nothing of it can be missing.
  const met = operations.filter(([name]) => name !== 'HeadObject' || fault.kind !== 'stall-answer');
  test.each(met)('is given up at %s', async (operation, ask) => {
    const { proxy, destination } = await open();
    const handle = proxy.faults.add({ ...fault, operation });
    await expect(ask(destination)).rejects.toMatchObject({ name: 'Failure', class: 'transient' });
    expect(handle.hits).toBeGreaterThan(0);
  });
});

test('a small PUT past the SDK is given up as well', async () => {
  const { proxy, destination } = await open();
  await written(destination, 'first', '');
  const handle = proxy.faults.add({ kind: 'slow-answer', bytesPerSecond: 1 });
  const sent = destination.put('a', bytes('content'), plain, undefined, none);
  await expect(sent).rejects.toMatchObject({ name: 'Failure', class: 'transient', mayHaveLanded: true });
  // Who said nothing for so long is not asked again at once, and not three times.
  expect(handle.hits).toBe(1);
});

test('a large body has the time that it takes on a slow line', () => {
  expect(deadlineMs(patient, 0)).toBe(300_000);
  expect(deadlineMs(patient, 16 * MiB) / 3_600_000).toBeCloseTo(2.36);
});

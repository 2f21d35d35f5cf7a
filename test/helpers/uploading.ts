// One file on its way to one key of the local S3 server, without a journal and a drain.
import fs from 'node:fs';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import { systemClock } from '../../src/edge/clock.ts';
import { systemFiles } from '../../src/edge/files.ts';
import type { Capabilities } from '../../src/core/capabilities.ts';
import type { Precondition } from '../../src/core/object.ts';
import type { Transform } from '../../src/core/transform.ts';
import { ByteBudget } from '../../src/transfer/limits.ts';
import { describeFile } from '../../src/transfer/metadata.ts';
import type { UploadMemory, UploadRequest } from '../../src/transfer/request.ts';
import { connect } from '../../src/transfer/connect.ts';
import { S3Destination } from '../../src/transfer/s3.ts';
import { upload } from '../../src/transfer/upload.ts';
import { Bucket, testBucket } from './bucket.ts';
import { plain } from './destination-suite.ts';
import { none } from './given.ts';
import { temporaryDirectory } from './temporary.ts';

const MiB = 1024 ** 2;
export const enforcesAll: Capabilities = {
  putIfAbsent: true,
  putIfMatch: 'quoted',
  completeIfAbsent: true,
  copySourceIfMatch: true,
  copyIfAbsent: true,
  copyIfMatch: true,
  checksums: true,
  multipartTags: true,
  deleteIfMatch: true,
};

/** Remembers one upload, as the journal does. */
export function memoryOfOne(): UploadMemory {
  type Record = NonNullable<ReturnType<UploadMemory['find']>>;
  let record: Record | undefined;
  const change = (more: Partial<Record>) => {
    if (record) record = { ...record, ...more };
  };
  return {
    find: () => record,
    begin: (begun) => (record = { ...begun, uploadId: '', beganMs: Date.now(), parts: [] }),
    created: (uploadId) => change({ uploadId }),
    recordParts: (parts) => change({ parts: [...(record?.parts ?? []), ...parts] }),
    end: () => (record = undefined),
    doubt: () => undefined,
  };
}

export class Subject {
  readonly bucket: Bucket;
  readonly root = { path: temporaryDirectory(), symlinks: 'skip' as const, files: systemFiles };
  readonly file = path.join(this.root.path, 'a');
  readonly budget = new ByteBudget(16 * MiB);
  readonly partBudget = new ByteBudget(64 * MiB);
  readonly stop = new AbortController();
  readonly destination: S3Destination;
  memory = memoryOfOne();
  transform: Transform = {};

  constructor(bucket: Bucket) {
    this.bucket = bucket;
    const config = bucket.destination();
    const client = connect(config);
    onTestFinished(() => client.destroy());
    this.destination = new S3Destination(config, client);
  }

  write(content: string | Buffer): void {
    fs.writeFileSync(this.file, content);
  }

  upload(precondition: Precondition = none, more: Partial<UploadRequest> = {}) {
    return upload({
      destination: this.destination,
      clock: systemClock,
      root: this.root,
      path: 'a',
      key: 'k',
      describe: (file) => describeFile({ ...plain, ...this.transform }, file, []),
      precondition,
      writeId: 'ours',
      checksum: 'crc32',
      capabilities: enforcesAll,
      memory: this.memory,
      budget: this.budget,
      partBudget: this.partBudget,
      signal: this.stop.signal,
      onBytes: () => undefined,
      ...more,
    });
  }

  /** Part numbers in the order in which they arrived. */
  get partsSent(): string[] {
    return this.bucket.server.requests
      .filter(({ operation }) => operation === 'UploadPart')
      .map(({ query }) => query['partNumber'] ?? '')
      .toSorted();
  }
}

export async function subject(options: Parameters<typeof testBucket>[0] = {}): Promise<Subject> {
  return new Subject(await testBucket(options));
}

/** Content of which every piece can be told from every other. */
export function content(size: number, seed = 0): Buffer {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at + 4 <= size; at += 1024) bytes.writeUInt32BE(at + seed, at);
  return bytes;
}

/** True while the program has the file open. */
export function isOpen(file: string): boolean {
  return fs.readdirSync('/proc/self/fd').some((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`) === file;
    } catch {
      return false;
    }
  });
}

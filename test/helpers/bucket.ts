// A bucket on the local S3 server in this process. What the test does to it goes past HTTP, at once, by somebody else's
// hand, so that it can happen between two steps of a request.
import { createHash } from 'node:crypto';
import { onTestFinished } from 'vitest';
import type { DestinationConfig } from '../../src/config/config.ts';
import { mtimeToMetadata } from '../../src/transfer/metadata.ts';
import type { OperationName } from '../s3-server/operations.ts';
import { startS3Server, type S3Server, type S3ServerOptions } from '../s3-server/server.ts';

const somebodyElse = 'somebody-else';

interface ObjectFacts {
  readonly mtimeNs?: bigint;
  readonly encrypted?: boolean;
  /** As if a process of ours that has ended since had written it. */
  readonly writeId?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export class Bucket {
  readonly server: S3Server;
  readonly name = 'acme-backup';

  constructor(server: S3Server) {
    this.server = server;
  }

  destination(more: Partial<DestinationConfig> = {}): DestinationConfig {
    const { endpoint, region, accessKey, secretKey } = this.server;
    return {
      name: 'backup',
      bucket: this.name,
      prefix: '',
      region,
      endpoint,
      pathStyle: true,
      credentials: { accessKeyId: accessKey, secretAccessKey: secretKey },
      requestPayer: false,
      accelerate: false,
      dualstack: false,
      fips: false,
      checksum: 'crc32',
      unsafeEmulation: false,
      allowPublic: false,
      ...more,
    };
  }

  /** Somebody else writes an object. @returns its ETag */
  put(key: string, content: string | Buffer, more: ObjectFacts = {}): string {
    const bytes = Buffer.from(content);
    const sink = this.server.store.bodies.sink();
    sink.write(bytes);
    const etag = createHash('md5').update(bytes).digest('hex');
    const mtime = more.mtimeNs === undefined ? undefined : mtimeToMetadata(more.mtimeNs);
    const headers: Record<string, string> = {
      ...(mtime !== undefined && { 'x-amz-meta-mtime': mtime }),
      ...(more.writeId !== undefined && { 'x-amz-meta-s3syncd-write': `${more.writeId} ${mtime ?? ''}` }),
      ...more.headers,
    };
    this.server.store.write(
      {
        bucket: this.name,
        key,
        etag,
        body: [sink.finish()],
        headers,
        encryption: more.encrypted ? { 'x-amz-server-side-encryption': 'aws:kms' } : {},
        tags: [],
        storageClass: 'STANDARD',
      },
      { accessKey: somebodyElse, nowMs: Date.now() },
    );
    return `"${etag}"`;
  }

  /** Somebody else deletes an object. */
  remove(key: string): void {
    this.server.store.remove(this.name, key, { accessKey: somebodyElse, nowMs: Date.now() });
  }

  /** Undefined when there is no object. */
  content(key: string): string | undefined {
    const version = this.server.store.current(this.name, key);
    return version && this.server.store.body(version).toString();
  }

  /** Response headers, tags and storage class of an object. */
  attributes(key: string) {
    return this.server.store.current(this.name, key);
  }

  get keys(): string[] {
    return [...this.server.store.objects(this.name).keys()];
  }

  /** Every change of a key by the program: `write`, `overwrite`, `delete`. */
  ourChanges(key: string): string[] {
    return this.server.store
      .history({ bucket: this.name, key })
      .filter(({ accessKey }) => accessKey !== somebodyElse)
      .map(({ kind }) => kind);
  }

  /** Multipart uploads that were begun and neither completed nor aborted. */
  get uploads(): string[] {
    return this.server.store.uploads(this.name).map(({ key }) => key);
  }

  /** How often an operation was asked for. */
  count(operation: OperationName): number {
    return this.server.counts()[operation] ?? 0;
  }

  /** Resolves when the n-th request of an operation arrives, before it is served. */
  async arrival(operation: OperationName, n = 1): Promise<void> {
    await this.server.until(() => this.count(operation) >= n);
  }
}

/** A bucket that is gone after the test. */
export async function testBucket(options: S3ServerOptions = {}): Promise<Bucket> {
  const server = await startS3Server({ buckets: ['acme-backup'], ...options });
  onTestFinished(() => server.close());
  return new Bucket(server);
}

// The store of a test: the local S3 server in this process with its log and history, or any server that the environment
// names. What the tests do themselves goes by other credentials, so that the log tells it from what s3syncd did.
import { randomBytes } from 'node:crypto';
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
  ListObjectsV2Command,
  PutBucketVersioningCommand,
  PutObjectCommand,
  S3Client,
  type HeadObjectCommandOutput,
  type PutObjectCommandInput,
} from '@aws-sdk/client-s3';
import { onTestFinished } from 'vitest';
import { scratchName } from '../../src/core/capabilities.ts';
import type { PolicyDocument } from '../s3-server/iam.ts';
import type { LegacySwitch } from '../s3-server/legacy.ts';
import type { LoggedRequest } from '../s3-server/log.ts';
import { startS3Server, type S3Server } from '../s3-server/server.ts';

const endpoint = process.env['S3SYNCD_TEST_ENDPOINT'];
const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION } = process.env;

/** True when the tests run against a server that is not ours. */
export const external = endpoint !== undefined;

// Nowhere else, so that they are found wherever they are told (secrets.ts).
const daemonKey = 'AKIACANARY7F3D9E2B61';
const testKey = 'the-test';
const localSecret = 'canary-secret-9f2b61/d04+7c';

export interface StoreOptions {
  readonly versioning?: boolean;
  /** Keep no bodies: for much data. */
  readonly discardBodies?: boolean;
  readonly legacy?: LegacySwitch[];
  /** Of another account, with credentials of its own. */
  readonly account?: { readonly id: string; readonly accessKey: string };
}

export interface StoredObject {
  readonly size: number;
  /** Without quotes. */
  readonly etag: string;
}

export async function startStore(options: StoreOptions = {}): Promise<Store> {
  const bucket = `s3syncd-test-${randomBytes(6).toString('hex')}`;
  const store =
    endpoint === undefined ? await startLocal(bucket, options) : await useExternal(bucket, endpoint);
  onTestFinished(() => store.close());
  if (options.versioning) {
    const VersioningConfiguration = { Status: 'Enabled' } as const;
    await store.client.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration }));
  }
  return store;
}

async function startLocal(
  bucket: string,
  { discardBodies = false, legacy = [], account }: StoreOptions,
): Promise<Store> {
  const accessKey = account?.accessKey ?? daemonKey;
  const server = await startS3Server({
    buckets: [bucket],
    accessKey,
    ...(account && { accountId: account.id }),
    secretKey: localSecret,
    credentials: [{ accessKey: testKey, secretKey: localSecret }],
    discardBodies,
    legacy,
  });
  const place = { endpoint: server.endpoint, region: server.region, bucket };
  return new Store({ ...place, accessKey, secretKey: localSecret, testKey }, server);
}

async function useExternal(bucket: string, address: string): Promise<Store> {
  const accessKey = AWS_ACCESS_KEY_ID ?? '';
  const store = new Store(
    {
      endpoint: address,
      region: AWS_REGION ?? 'us-east-1',
      bucket,
      accessKey,
      secretKey: AWS_SECRET_ACCESS_KEY ?? '',
      testKey: accessKey,
    },
    undefined,
  );
  await store.client.send(new CreateBucketCommand({ Bucket: bucket }));
  return store;
}

interface Place {
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  /** The program's. */
  readonly accessKey: string;
  readonly secretKey: string;
  /** The test's own. */
  readonly testKey: string;
}

export class Store {
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** The test's own connection: somebody else, as far as s3syncd is concerned. */
  readonly client: S3Client;
  readonly #server: S3Server | undefined;
  readonly #policies = new Map<object, PolicyDocument>();

  constructor(place: Place, server: S3Server | undefined) {
    ({
      endpoint: this.endpoint,
      region: this.region,
      bucket: this.bucket,
      accessKey: this.accessKey,
      secretKey: this.secretKey,
    } = place);
    this.#server = server;
    this.client = new S3Client({
      endpoint: place.endpoint,
      region: place.region,
      forcePathStyle: true,
      credentials: { accessKeyId: place.testKey, secretAccessKey: place.secretKey },
    });
  }

  /** The local server, for tests that are `localTest`. */
  get server(): S3Server {
    if (!this.#server) throw new Error('this test needs the local S3 server: make it a localTest');
    return this.#server;
  }

  /** From now on the program may do no more than these policies allow, one for each that runs it. */
  limit(runner: object, policy: PolicyDocument): void {
    this.#policies.set(runner, policy);
    const Statement = [...this.#policies.values()].flatMap(({ Statement }) => Statement);
    const { accessKey, secretKey } = this;
    const credential = { accessKey, secretKey, policy: { ...policy, Statement } };
    this.server.credentials.set(accessKey, credential);
  }

  /** Every object, in key order. */
  async objects(prefix = ''): Promise<Map<string, StoredObject>> {
    const objects = new Map<string, StoredObject>();
    let token: string | undefined;
    do {
      const page = await this.client.send(
        new ListObjectsV2Command({
          Bucket: this.bucket,
          Prefix: prefix,
          EncodingType: 'url',
          ContinuationToken: token,
        }),
      );
      for (const { Key = '', Size = 0, ETag = '' } of page.Contents ?? []) {
        const key = decodeURIComponent(Key.replaceAll('+', ' '));
        objects.set(key, { size: Size, etag: ETag.replaceAll('"', '') });
      }
      token = page.NextContinuationToken;
    } while (token !== undefined);
    return objects;
  }

  async keys(prefix = ''): Promise<string[]> {
    return [...(await this.objects(prefix)).keys()];
  }

  async get(key: string): Promise<Buffer> {
    const { Body } = await this.client.send(new GetObjectCommand({ Bucket: this.bucket, Key: key }));
    return Buffer.from(await Body!.transformToByteArray());
  }

  async head(key: string): Promise<HeadObjectCommandOutput> {
    return this.client.send(
      new HeadObjectCommand({ Bucket: this.bucket, Key: key, ChecksumMode: 'ENABLED' }),
    );
  }

  async tags(key: string): Promise<Record<string, string>> {
    const { TagSet = [] } = await this.client.send(
      new GetObjectTaggingCommand({ Bucket: this.bucket, Key: key }),
    );
    return Object.fromEntries(TagSet.map(({ Key = '', Value = '' }) => [Key, Value]));
  }

  /** Writes as somebody else. */
  async put(key: string, body: string | Buffer, rest: Partial<PutObjectCommandInput> = {}): Promise<string> {
    const { ETag = '' } = await this.client.send(
      new PutObjectCommand({ Bucket: this.bucket, Key: key, Body: body, ...rest }),
    );
    return ETag.replaceAll('"', '');
  }

  /** The mtime that the object remembers of its file. */
  async mtimeNs(key: string): Promise<bigint | undefined> {
    const metadata = this.#server
      ? this.#server.store.current(this.bucket, key)?.headers['x-amz-meta-mtime']
      : (await this.head(key)).Metadata?.['mtime'];
    if (metadata === undefined) return undefined;
    const [, sign, seconds, fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(metadata)!;
    const absolute = BigInt(seconds!) * 1_000_000_000n + BigInt(fraction.padEnd(9, '0'));
    return sign === '-' ? -absolute : absolute;
  }

  /** Multipart uploads that were begun and neither completed nor aborted. */
  async uploads(): Promise<string[]> {
    const { Uploads = [] } = await this.client.send(new ListMultipartUploadsCommand({ Bucket: this.bucket }));
    return Uploads.map(({ Key = '' }) => Key);
  }

  /** What s3syncd asked for since the start or `forget()`. */
  get requests(): LoggedRequest[] {
    return this.server.requests.filter(({ accessKey }) => accessKey !== testKey);
  }

  /** s3syncd's requests by operation. */
  get counts(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { operation } of this.requests) counts[operation] = (counts[operation] ?? 0) + 1;
    return counts;
  }

  /**
   * Without the search for an upload that a killed daemon may have asked for: it goes on for the quarter of an hour in which S3
   * would not refuse the request.
   */
  get countsButSearches(): Record<string, number> {
    const { ListMultipartUploads: _searches, ...others } = this.counts;
    return others;
  }

  forget(): void {
    this.server.clearRequests();
  }

  async close(): Promise<void> {
    if (!this.#server) await this.#empty();
    this.client.destroy();
    const denied = this.#denied();
    await this.#server?.close();
    if (denied.length > 0) throw new Error(`what iam-policy prints does not allow ${denied.join(', ')}`);
  }

  /** What was refused by the policies, also where the program goes on without. A probe tries what it may, and learns from a no. */
  #denied(): string[] {
    if (this.#policies.size === 0) return [];
    const denied = this.requests.filter(
      ({ code, faults, key }) => code === 'AccessDenied' && faults.length === 0 && !key.endsWith(scratchName),
    );
    return denied.map(({ operation, key }) => `${operation} of ${JSON.stringify(key)}`);
  }

  async #empty(): Promise<void> {
    const Bucket = this.bucket;
    for (;;) {
      const { Versions = [], DeleteMarkers = [] } = await this.client.send(
        new ListObjectVersionsCommand({ Bucket, EncodingType: 'url' }),
      );
      const versions = [...Versions, ...DeleteMarkers];
      if (versions.length === 0) break;
      // One by one: Ceph RGW 16 cannot read a DeleteObjects with control characters in its keys.
      const remove = ({
        Key = '',
        VersionId,
      }: {
        Key?: string | undefined;
        VersionId?: string | undefined;
      }) =>
        this.client.send(
          new DeleteObjectCommand({
            Bucket,
            Key: decodeURIComponent(Key.replaceAll('+', ' ')),
            ...(VersionId !== undefined && { VersionId }),
          }),
        );
      await Promise.all(versions.map(remove));
    }
    await this.client.send(new DeleteBucketCommand({ Bucket }));
  }
}

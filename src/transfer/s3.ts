// The S3 destination. Translates between the program's words and S3's, and
// classifies every failure; it decides nothing.
import assert from 'node:assert/strict';
import {
  AbortMultipartUploadCommand,
  ChecksumMode,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectAclCommand,
  PutObjectCommand,
  PutObjectLegalHoldCommand,
  PutObjectRetentionCommand,
  PutObjectTaggingCommand,
  UploadPartCommand,
  type HeadObjectCommandOutput,
  type PutObjectCommandInput,
  type S3Client,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import type { Usage } from '../core/usage.ts';
import type { DestinationConfig } from '../config/config.ts';
import type { Access, ObjectDescription, ObjectLock } from '../core/description.ts';
import { Failure, unlessDenied } from '../core/failure.ts';
import {
  checksumAlgorithms,
  type Checksum,
  type ChecksumAlgorithm,
  type Precondition,
  type Remote,
} from '../core/object.ts';
import type {
  BegunUpload,
  Body,
  CopyResult,
  CopySource,
  Destination,
  IndirectWrite,
  ListedKey,
  RemoveResult,
  StoredPart,
  StreamedWrite,
  UploadHandle,
  WriteResult,
  WrittenPart,
} from './destination.ts';
import { classify, codeOf, statusOf } from './classify.ts';
import { copySourceKeyInput, customerKeyInput, describe, retainUntilDate } from './describe.ts';
import { leanPutOf } from './lean-put.ts';
import { contentFromMetadata, mtimeFromMetadata, writeIdFromMetadata } from './metadata.ts';
import { Meter, metered } from './meter.ts';
import { deadlineMs, patient, type Timing } from './timing.ts';

interface Answer {
  readonly $metadata: {
    readonly attempts?: number | undefined;
    readonly httpStatusCode?: number | undefined;
    readonly requestId?: string | undefined;
  };
}

export class S3Destination implements Destination {
  readonly name: string;
  readonly #client: S3Client;
  readonly #meter: Meter;
  readonly #common: {
    Bucket: string;
    ExpectedBucketOwner?: string;
    RequestPayer?: 'requester';
    [metered]: Meter;
  };
  readonly #endpoint: string;
  readonly #timing: Timing;
  /** With which an object can be looked at: the keys of SSE-C in the order to try, then none. */
  readonly #customerKeys: readonly (string | undefined)[];
  readonly keeps: Record<IndirectWrite, { tags?: boolean; locks?: boolean }> = { parts: {}, copy: {} };
  ifMatchQuoted = true;

  /** @param customerKeys every key of SSE-C that the objects may be encrypted with */
  constructor(
    config: DestinationConfig,
    client: S3Client,
    customerKeys: readonly string[] = [],
    meter = new Meter(),
    timing = patient,
  ) {
    this.name = config.name;
    this.#meter = meter;
    this.#client = client;
    this.#timing = timing;
    this.#customerKeys = [...customerKeys, undefined];
    this.#endpoint = config.endpoint ?? `AWS ${config.region ?? ''}`.trim();
    this.#common = {
      Bucket: config.bucket,
      ...(config.expectedBucketOwner && { ExpectedBucketOwner: config.expectedBucketOwner }),
      ...(config.requestPayer && { RequestPayer: 'requester' }),
      [metered]: meter,
    };
  }

  get requests(): ReadonlyMap<string, number> {
    return this.#meter.requests;
  }

  takeUsage(): Usage[] {
    return this.#meter.take();
  }

  async put(
    key: string,
    body: Body,
    description: ObjectDescription,
    checksum: Checksum | undefined,
    precondition: Precondition,
  ): Promise<WriteResult> {
    const command = new PutObjectCommand({
      ...this.#common,
      Key: key,
      Body: body.kind === 'bytes' ? body.bytes : body.open(),
      ContentLength: body.kind === 'bytes' ? body.bytes.length : body.size,
      ...describe(description, Date.now()),
      ...checksumInput(checksum),
      ...this.#condition(precondition),
    });
    const lean = body.kind === 'bytes' ? await this.#putLean(key, body.bytes, command.input) : undefined;
    if (lean && lean !== 'handed-back') return lean;
    const requestTimeout = deadlineMs(this.#timing, command.input.ContentLength ?? 0);
    const abort = body.kind === 'stream' ? { abortSignal: body.abandoned } : {};
    return this.#write('PutObject', key, () => this.#client.send(command, { ...abort, requestTimeout }));
  }

  async putStream(
    key: string,
    description: ObjectDescription,
    { body, partSize, checksum, precondition, signal }: StreamedWrite,
    begin: () => Promise<UploadHandle>,
  ): Promise<WriteResult> {
    const requestTimeout = deadlineMs(this.#timing, partSize);
    let result: WriteResult | undefined;
    // lib-storage cuts the body into parts and says what to send; sent it is as everything else.
    const send = async (command: object) => {
      if (command instanceof CreateMultipartUploadCommand) return { UploadId: (await begin()).uploadId };
      if (command instanceof UploadPartCommand) {
        const part = await this.#send('UploadPart', key, () =>
          this.#client.send(command, { abortSignal: signal, requestTimeout }),
        );
        if (!part.ETag) throw this.#unusable('UploadPart', key, 'no ETag');
        return part;
      }
      if (command instanceof PutObjectCommand) {
        result = await this.#write('PutObject', key, () => this.#client.send(command, { requestTimeout }));
      } else if (command instanceof CompleteMultipartUploadCommand) {
        result = await this.#write('CompleteMultipartUpload', key, () => this.#client.send(command));
      }
      return {};
    };
    const upload = new Upload({
      client: Object.create(this.#client, { send: { value: send } }) as S3Client,
      params: {
        ...this.#common,
        Key: key,
        Body: body,
        ...describe(description, Date.now()),
        ...(checksum !== 'none' && { ChecksumAlgorithm: algorithmName(checksum) }),
        ...this.#condition(precondition),
      },
      partSize,
      // One is sent while the next one is made.
      queueSize: 2,
      leavePartsOnError: true,
    });
    await upload.done();
    assert(result, 'an upload ends with a PutObject or a CompleteMultipartUpload');
    return result;
  }

  async #putLean(key: string, bytes: Buffer, input: PutObjectCommandInput) {
    const lean = leanPutOf(this.#client);
    if (!lean?.isReady) return undefined;
    this.#meter.count('PutObject', input.StorageClass, bytes.length);
    return this.#send('PutObject', key, () => lean.send(key, bytes, input));
  }

  async head(key: string): Promise<Remote> {
    const head = await this.#head(key);
    if (!head) return { kind: 'absent' };
    if (!head.ETag) throw this.#unusable('HeadObject', key, 'no ETag');
    return { kind: 'object', object: objectFromHead(head) };
  }

  /** Undefined when there is no object. */
  async #head(key: string): Promise<HeadObjectCommandOutput | undefined> {
    const command = (customerKey: string | undefined) =>
      new HeadObjectCommand({
        ...this.#common,
        Key: key,
        ChecksumMode: ChecksumMode.ENABLED,
        ...(customerKey !== undefined && customerKeyInput(customerKey)),
      });
    for (const [index, customerKey] of this.#customerKeys.entries()) {
      try {
        return await this.#client.send(command(customerKey));
      } catch (error) {
        const status = statusOf(error);
        if (status === 404 && codeOf(error) !== 'NoSuchBucket') return undefined;
        // 400: it has no key, or needs one. 403: it has another one.
        const isLast = index === this.#customerKeys.length - 1;
        if (isLast && status === 400) throw await this.#headFailure(key);
        if (isLast || (status !== 400 && status !== 403)) throw this.#failure('HeadObject', key, error);
      }
    }
    assert.fail('the last try returns or throws');
  }

  /**
   * The answer to a HEAD has no body, and a 400 no code: an expired token and an object under a key of SSE-C look the
   * same. The same question as a GET is answered with the code.
   */
  async #headFailure(key: string): Promise<Failure> {
    const command = new GetObjectCommand({ ...this.#common, Key: key, Range: 'bytes=0-0' });
    try {
      const { Body } = await this.#client.send(command);
      await Body?.transformToByteArray();
    } catch (error) {
      // 404, and 416 of an empty object, are answers too.
      if (statusOf(error) !== 404 && statusOf(error) !== 416) return this.#failure('HeadObject', key, error);
    }
    return this.#unusable('HeadObject', key, 'status 400, where a GET is answered well');
  }

  async *list(prefix: string, signal: AbortSignal): AsyncIterable<readonly ListedKey[]> {
    let token: string | undefined;
    do {
      const command = new ListObjectsV2Command({
        ...this.#common,
        Prefix: prefix,
        // Keys may hold characters that XML cannot carry.
        EncodingType: 'url',
        ...(token !== undefined && { ContinuationToken: token }),
      });
      const page = await this.#send('ListObjectsV2', prefix, () =>
        this.#client.send(command, { abortSignal: signal }),
      );
      // A page of something else, say of a captive portal, is no listing, least of all an empty one.
      if (page.IsTruncated === undefined) throw this.#unusable('ListObjectsV2', prefix, 'no listing');
      yield (page.Contents ?? []).map((object) => ({
        key: page.EncodingType === 'url' ? decodeKey(object.Key ?? '') : (object.Key ?? ''),
        size: object.Size ?? 0,
        etag: object.ETag ?? '',
        lastModifiedMs: object.LastModified?.getTime() ?? 0,
      }));
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
      if (page.IsTruncated && token === undefined) {
        throw this.#unusable('ListObjectsV2', prefix, 'no token for the rest of the listing');
      }
    } while (token !== undefined);
  }

  async createUpload(key: string, description: ObjectDescription, checksum: ChecksumAlgorithm | 'none') {
    const command = new CreateMultipartUploadCommand({
      ...this.#common,
      Key: key,
      // Announced, the parts' checksums are kept for the object, and not every S3 takes them unannounced ("expected
      // checksum Type: null").
      ...(checksum !== 'none' && { ChecksumAlgorithm: algorithmName(checksum) }),
      ...describe(description, Date.now()),
    });
    const { UploadId, $metadata } = await this.#send('CreateMultipartUpload', key, () =>
      this.#client.send(command),
    );
    if (!UploadId) throw this.#unusable('CreateMultipartUpload', key, 'no upload id');
    return { uploadId: UploadId, retried: ($metadata.attempts ?? 1) > 1 };
  }

  async listUploads(key: string): Promise<BegunUpload[]> {
    // Keys come in order and this one is the first of all that begin with it: a thousand uploads to it are enough.
    const command = new ListMultipartUploadsCommand({ ...this.#common, Prefix: key, EncodingType: 'url' });
    const page = await this.#send('ListMultipartUploads', key, () => this.#client.send(command));
    if (page.IsTruncated === undefined) throw this.#unusable('ListMultipartUploads', key, 'no listing');
    return (page.Uploads ?? []).flatMap(({ Key = '', UploadId, Initiated }) =>
      (page.EncodingType === 'url' ? decodeKey(Key) : Key) === key && UploadId
        ? [{ key, uploadId: UploadId, initiatedMs: Initiated?.getTime() ?? 0 }]
        : [],
    );
  }

  async uploadPart(
    upload: UploadHandle,
    partNumber: number,
    bytes: Buffer,
    checksum: Checksum | undefined,
    signal: AbortSignal,
  ): Promise<WrittenPart> {
    const command = new UploadPartCommand({
      ...this.#common,
      Key: upload.key,
      UploadId: upload.uploadId,
      PartNumber: partNumber,
      Body: bytes,
      ContentLength: bytes.length,
      ...(upload.customerKey !== undefined && customerKeyInput(upload.customerKey)),
      ...checksumInput(checksum),
    });
    const requestTimeout = deadlineMs(this.#timing, bytes.length);
    const { ETag } = await this.#send('UploadPart', upload.key, () =>
      this.#client.send(command, { abortSignal: signal, requestTimeout }),
    );
    if (!ETag) throw this.#unusable('UploadPart', upload.key, 'no ETag');
    return { partNumber, etag: ETag, ...(checksum && { checksum: checksum.value }) };
  }

  async listParts(upload: UploadHandle): Promise<StoredPart[] | undefined> {
    const parts: StoredPart[] = [];
    let marker: string | undefined;
    try {
      do {
        const command = new ListPartsCommand({
          ...this.#common,
          Key: upload.key,
          UploadId: upload.uploadId,
          ...(marker !== undefined && { PartNumberMarker: marker }),
        });
        const page = await this.#client.send(command);
        if (page.IsTruncated === undefined) throw this.#unusable('ListParts', upload.key, 'no list of parts');
        for (const part of page.Parts ?? []) {
          const checksum = part.ChecksumCRC32 ?? part.ChecksumSHA256 ?? part.ChecksumCRC64NVME;
          parts.push({
            partNumber: part.PartNumber ?? 0,
            etag: part.ETag ?? '',
            size: part.Size ?? -1,
            ...(checksum !== undefined && { checksum }),
          });
        }
        marker = page.IsTruncated ? page.NextPartNumberMarker : undefined;
      } while (marker !== undefined);
      return parts;
    } catch (error) {
      if (error instanceof Failure) throw error;
      if (codeOf(error) === 'NoSuchUpload') return undefined;
      throw this.#failure('ListParts', upload.key, error);
    }
  }

  async completeUpload(
    upload: UploadHandle,
    parts: readonly WrittenPart[],
    precondition: Precondition,
  ): Promise<WriteResult> {
    const command = new CompleteMultipartUploadCommand({
      ...this.#common,
      Key: upload.key,
      UploadId: upload.uploadId,
      MultipartUpload: {
        Parts: parts.map(({ partNumber, etag, checksum = '' }) => ({
          PartNumber: partNumber,
          ETag: etag,
          ...checksumInput(upload.checksum && { algorithm: upload.checksum, value: checksum }),
        })),
      },
      ...this.#condition(precondition),
    });
    return this.#write('CompleteMultipartUpload', upload.key, () => this.#client.send(command));
  }

  async abortUpload(upload: UploadHandle): Promise<void> {
    const command = new AbortMultipartUploadCommand({
      ...this.#common,
      Key: upload.key,
      UploadId: upload.uploadId,
    });
    try {
      await this.#sendForNothing('AbortMultipartUpload', upload.key, () => this.#client.send(command));
    } catch (error) {
      if (!(error instanceof Failure) || error.code !== 'NoSuchUpload') throw error;
    }
  }

  async copy(
    source: CopySource,
    key: string,
    description: ObjectDescription,
    precondition: Precondition,
  ): Promise<CopyResult> {
    const { Bucket, ExpectedBucketOwner } = this.#common;
    const command = new CopyObjectCommand({
      ...this.#common,
      Key: key,
      CopySource: `${Bucket}/${source.key.split('/').map(encodeURIComponent).join('/')}`,
      CopySourceIfMatch: this.#etag(source.etag),
      ...(ExpectedBucketOwner !== undefined && { ExpectedSourceBucketOwner: ExpectedBucketOwner }),
      ...(source.customerKey !== undefined && copySourceKeyInput(source.customerKey)),
      MetadataDirective: 'REPLACE',
      TaggingDirective: 'REPLACE',
      ...describe(description, Date.now()),
      ...this.#condition(precondition),
    });
    const result = await this.#write('CopyObject', key, async () => {
      const { CopyObjectResult, VersionId, $metadata } = await this.#client.send(command);
      return { ETag: quoted(CopyObjectResult?.ETag), VersionId, $metadata };
    });
    if (result.kind === 'written') await this.supplement('copy', key, description, result.versionId);
    const isOfSource =
      (result.kind === 'precondition-failed' && precondition.kind === 'none') ||
      (result.kind === 'missing' && precondition.kind !== 'etag');
    return isOfSource ? { kind: 'source-changed' } : result;
  }

  async remove(key: string, precondition: Exclude<Precondition, { kind: 'absent' }>): Promise<RemoveResult> {
    const command = new DeleteObjectCommand({ ...this.#common, Key: key, ...this.#condition(precondition) });
    try {
      this.#expectS3('DeleteObject', key, await this.#client.send(command));
      return { kind: 'removed' };
    } catch (error) {
      if (error instanceof Failure) throw error;
      const refusal = refusalOf(error);
      if (!refusal) throw this.#failure('DeleteObject', key, error);
      return { kind: refusal };
    }
  }

  /** As `Encryption` calls it. */
  async encryptionOf(key: string): Promise<string | undefined> {
    const head = await this.#head(key);
    return head?.SSECustomerAlgorithm === undefined ? head?.ServerSideEncryption : 'customer';
  }

  async tagCount(key: string): Promise<number> {
    return (await this.#head(key))?.TagCount ?? 0;
  }

  async supplement(
    how: IndirectWrite,
    key: string,
    description: ObjectDescription,
    versionId: string | undefined,
  ): Promise<void> {
    const { tags, objectLock } = description;
    const tagCount = Object.keys(tags).length;
    const isLocked = objectLock?.retention !== undefined || objectLock?.legalHold === true;
    const keeps = this.keeps[how];
    const isUnknown = (tagCount > 0 && keeps.tags === undefined) || (isLocked && keeps.locks === undefined);
    const head = isUnknown ? await unlessDenied(this.#head(key)) : undefined;
    if (tagCount > 0) {
      keeps.tags ??= head?.TagCount === tagCount;
      if (!keeps.tags) await this.putTags(key, tags, versionId);
    }
    if (isLocked) {
      keeps.locks ??= head?.ObjectLockMode !== undefined || head?.ObjectLockLegalHoldStatus === 'ON';
      if (!keeps.locks) await this.putLock(key, objectLock, Date.now(), versionId);
    }
  }

  async putTags(key: string, tags: ObjectDescription['tags'], versionId: string | undefined): Promise<void> {
    const command = new PutObjectTaggingCommand({
      ...this.#version(key, versionId),
      Tagging: { TagSet: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })) },
    });
    await this.#sendForNothing('PutObjectTagging', key, () => this.#client.send(command));
  }

  async putAcl(key: string, access: Access | undefined, versionId: string | undefined): Promise<void> {
    const { ACL, GrantRead, GrantReadACP, GrantWriteACP, GrantFullControl } = describe(
      { tags: {}, metadata: {}, access: access ?? { kind: 'canned', acl: 'private' } },
      Date.now(),
    );
    const command = new PutObjectAclCommand({
      ...this.#version(key, versionId),
      ...(ACL && { ACL }),
      ...(GrantRead && { GrantRead }),
      ...(GrantReadACP && { GrantReadACP }),
      ...(GrantWriteACP && { GrantWriteACP }),
      ...(GrantFullControl && { GrantFullControl }),
    });
    await this.#sendForNothing('PutObjectAcl', key, () => this.#client.send(command));
  }

  async putLock(
    key: string,
    objectLock: ObjectLock | undefined,
    writtenMs: number,
    versionId: string | undefined,
  ): Promise<void> {
    const version = this.#version(key, versionId);
    if (objectLock?.retention) {
      const { mode: Mode, until } = objectLock.retention;
      const RetainUntilDate = retainUntilDate(until, writtenMs);
      if (RetainUntilDate.getTime() > Date.now()) {
        const command = new PutObjectRetentionCommand({ ...version, Retention: { Mode, RetainUntilDate } });
        await this.#sendForNothing('PutObjectRetention', key, () => this.#client.send(command));
      }
    }
    if (objectLock?.legalHold !== undefined) {
      const Status = objectLock.legalHold ? 'ON' : 'OFF';
      const command = new PutObjectLegalHoldCommand({ ...version, LegalHold: { Status } });
      await this.#sendForNothing('PutObjectLegalHold', key, () => this.#client.send(command));
    }
  }

  #version(key: string, versionId: string | undefined) {
    return { ...this.#common, Key: key, ...(versionId !== undefined && { VersionId: versionId }) };
  }

  #condition(precondition: Precondition): { IfNoneMatch?: '*'; IfMatch?: string } {
    switch (precondition.kind) {
      case 'none':
        return {};
      case 'absent':
        return { IfNoneMatch: '*' };
      case 'etag':
        return { IfMatch: this.#etag(precondition.etag) };
    }
  }

  /** In the form in which the store takes it in a condition. */
  #etag(etag: string): string {
    return this.ifMatchQuoted ? etag : etag.replaceAll('"', '');
  }

  /** Sends a write whose refusals are outcomes. Success needs an ETag: a proxy's 200 with a page in it is none. */
  async #write(
    operation: string,
    key: string,
    send: () => Promise<Answer & { ETag?: string | undefined; VersionId?: string | undefined }>,
  ): Promise<WriteResult> {
    try {
      const output = await send();
      const etag = output.ETag || (await this.#etagAfter(operation, key));
      return { kind: 'written', etag, ...(output.VersionId && { versionId: output.VersionId }) };
    } catch (error) {
      const refusal = refusalOf(error);
      if (!refusal) throw this.#failure(operation, key, error);
      return { kind: refusal };
    }
  }

  /** Ceph RGW 16 answers CompleteMultipartUpload with an empty ETag: the object has one. */
  async #etagAfter(operation: string, key: string): Promise<string> {
    if (operation === 'CompleteMultipartUpload') {
      const remote = await this.head(key);
      if (remote.kind === 'object' && remote.object.etag !== '') return remote.object.etag;
    }
    throw this.#unusable(operation, key, 'no ETag');
  }

  async #send<T>(operation: string, key: string, send: () => Promise<T>): Promise<T> {
    try {
      return await send();
    } catch (error) {
      throw this.#failure(operation, key, error);
    }
  }

  /** Sends what is answered with no more than that it was done. */
  async #sendForNothing(operation: string, key: string, send: () => Promise<Answer>): Promise<void> {
    this.#expectS3(operation, key, await this.#send(operation, key, send));
  }

  /** A captive portal's page is a 200 as well; it has no number of S3's. */
  #expectS3(operation: string, key: string, { $metadata }: Answer): void {
    if ($metadata.httpStatusCode === 204 || $metadata.requestId !== undefined) return;
    throw this.#unusable(operation, key, 'no request id');
  }

  #failure(operation: string, key: string, error: unknown) {
    return classify(error, {
      operation,
      key,
      bucket: this.#common.Bucket,
      endpoint: this.#endpoint,
      destination: this.name,
    });
  }

  /** A 200 that does not come from S3: a captive portal, a proxy's error page. */
  #unusable(operation: string, key: string, lack: string) {
    const error = Object.assign(new Error(`the answer has ${lack}; is ${this.#endpoint} an S3 endpoint?`), {
      name: 'UnusableAnswer',
    });
    return this.#failure(operation, key, error);
  }
}

/** Ceph RGW 16 sends the ETag of a copy, and only that, without quotes. */
function quoted(etag: string | undefined): string | undefined {
  return etag && !etag.startsWith('"') ? `"${etag}"` : etag;
}

/** Which of the expected refusals of a write an answer is. */
function refusalOf(error: unknown): 'precondition-failed' | 'busy' | 'missing' | undefined {
  const code = codeOf(error);
  const status = statusOf(error);
  if (code === 'PreconditionFailed' || status === 412) return 'precondition-failed';
  if (code === 'ConditionalRequestConflict' || (status === 409 && code !== 'NoSuchBucket')) return 'busy';
  return code === 'NoSuchUpload' || code === 'NoSuchKey' ? 'missing' : undefined;
}

/** The SDK does not decode what it asked the store to encode. */
function decodeKey(encoded: string): string {
  return decodeURIComponent(encoded.replaceAll('+', ' '));
}

/** As S3 writes it. */
function algorithmName(algorithm: ChecksumAlgorithm) {
  if (algorithm === 'crc32') return 'CRC32';
  if (algorithm === 'sha256') return 'SHA256';
  assert(algorithm === 'crc64nvme', `${algorithm} is never sent`);
  return 'CRC64NVME';
}

function checksumInput(checksum: Checksum | undefined) {
  return checksum && { [`Checksum${algorithmName(checksum.algorithm)}` as const]: checksum.value };
}

function objectFromHead(head: HeadObjectCommandOutput) {
  const values = {
    md5: undefined,
    crc32: head.ChecksumCRC32,
    crc32c: head.ChecksumCRC32C,
    crc64nvme: head.ChecksumCRC64NVME,
    sha1: head.ChecksumSHA1,
    sha256: head.ChecksumSHA256,
  };
  const algorithm = checksumAlgorithms.find((name) => values[name] !== undefined);
  const encrypted =
    head.ServerSideEncryption?.startsWith('aws:kms') === true || head.SSECustomerAlgorithm !== undefined;
  const mtimeNs = mtimeFromMetadata(head.Metadata?.['mtime']);
  const writeId = writeIdFromMetadata(head.Metadata);
  const content = contentFromMetadata(head.Metadata ?? {});
  return {
    etag: head.ETag ?? '',
    size: head.ContentLength ?? 0,
    lastModifiedMs: head.LastModified?.getTime() ?? 0,
    ...(head.VersionId && { versionId: head.VersionId }),
    ...(mtimeNs !== undefined && { mtimeNs }),
    ...(writeId !== undefined && { writeId }),
    ...(algorithm && { checksum: { algorithm, value: values[algorithm]! } }),
    ...(encrypted && { opaqueEtag: true }),
    ...(content && { content }),
    source: 'head' as const,
  };
}

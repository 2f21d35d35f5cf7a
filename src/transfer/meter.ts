// Meter: counts what a route asks of its store, each request as it leaves, the SDK's own retries included. A request
// carries its meter in its input, because the connection is shared by the routes to a destination.
import type { S3Client } from '@aws-sdk/client-s3';
import type { Usage } from '../core/usage.ts';

/** Member of a request's input with the meter that counts it. The SDK serialises only members that it knows. */
export const metered: unique symbol = Symbol('meter');

/** Requests whose body is content; others bring a list of parts or tags. */
const contentOperations: readonly string[] = ['PutObject', 'UploadPart'];

export class Meter {
  /** Since the start, by operation. */
  readonly requests = new Map<string, number>();
  readonly #onRequest: () => void;
  #untaken = new Map<string, Usage>();

  /** @param onRequest called for every request, when it leaves */
  constructor(onRequest: () => void = () => undefined) {
    this.#onRequest = onRequest;
  }

  count(operation: string, storageClass = '', bytes = 0): void {
    this.requests.set(operation, (this.requests.get(operation) ?? 0) + 1);
    const kind = `${operation} ${storageClass}`;
    const before = this.#untaken.get(kind);
    this.#untaken.set(kind, {
      operation,
      storageClass,
      requests: (before?.requests ?? 0) + 1,
      bytes: (before?.bytes ?? 0) + bytes,
    });
    this.#onRequest();
  }

  /** What was counted since the last call. */
  take(): Usage[] {
    const taken = [...this.#untaken.values()];
    this.#untaken = new Map();
    return taken;
  }
}

/** Has a client count its requests, each by the meter in its input. */
export function installMeters(client: S3Client): void {
  client.middlewareStack.add(
    (next, { commandName = '' }) =>
      (args) => {
        const { [metered]: meter, StorageClass } = args.input as { [metered]?: Meter; StorageClass?: string };
        const operation = commandName.replace(/Command$/, '');
        const { headers } = args.request as { headers: Record<string, string> };
        const bytes = contentOperations.includes(operation) ? Number(headers['content-length'] ?? 0) : 0;
        meter?.count(operation, StorageClass, bytes);
        return next(args);
      },
    // Behind the middleware that retries: passed by each attempt.
    { step: 'finalizeRequest', priority: 'low', name: 'meter' },
  );
}

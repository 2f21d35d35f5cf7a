// Session tokens end. What the SDK was given without a date it takes to be good for ever, and reads no file twice: so a
// store that calls a token expired is the news that there are others by now, in a file that a person or a program has
// written anew or from a role.
import { Readable } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';
import { codeOf } from './classify.ts';

const staleCodes: ReadonlySet<string> = new Set([
  'ExpiredToken',
  'ExpiredTokenException',
  'TokenRefreshRequired',
  'InvalidToken',
  // A key that was rotated.
  'InvalidAccessKeyId',
]);

/** A request that the store refuses for stale credentials is sent again, once, if there are other ones. */
export function installRenewal(client: S3Client): void {
  /** Counts the credentials: a request may be refused for some that were replaced while it was under way. */
  let generation = 0;
  let renewing: Promise<void> | undefined;
  /** Many requests are refused at once; they wait for the same renewal. */
  const renewed = (): Promise<void> =>
    (renewing ??= renew(client)
      .then((isOther) => {
        if (isOther) generation += 1;
      })
      .finally(() => {
        renewing = undefined;
      }));

  client.middlewareStack.add(
    (next) => async (args) => {
      const sentWith = generation;
      try {
        return await next(args);
      } catch (error) {
        if (!staleCodes.has(codeOf(error))) throw error;
        if (generation === sentWith) await renewed();
        // A stream cannot be sent twice: its file is read again at the next try.
        const isStream = (args.input as { Body?: unknown }).Body instanceof Readable;
        if (generation === sentWith || isStream) throw error;
        return next(args);
      }
    },
    { step: 'initialize', priority: 'high', name: 'renewCredentials' },
  );
}

/** True when there are other credentials than before. */
async function renew(client: S3Client): Promise<boolean> {
  const { credentials } = client.config;
  try {
    const before = await credentials();
    await rereadFiles();
    const after = await credentials({ forceRefresh: true });
    return after.accessKeyId !== before.accessKeyId || after.sessionToken !== before.sessionToken;
  } catch {
    // What the store said is the better message.
    return false;
  }
}

/** The SDK keeps what it read of ~/.aws; asked for a profile without its memory, it forgets that for all. */
async function rereadFiles(): Promise<void> {
  // Loaded only when it is needed: it brings the STS client.
  const { fromIni } = await import('@aws-sdk/credential-providers');
  await fromIni({ profile: 's3syncd reads the files again', ignoreCache: true })().catch(() => undefined);
}

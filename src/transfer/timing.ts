// How long a request may take. Every request has an end: a peer that went silent, stopped reading or trickles would
// otherwise hold a place among those in flight, and its file, for ever. The SDK has no time limit of its own.

export interface Timing {
  /** A host that takes no connection is given up after this. */
  readonly connectMs: number;
  /** A connection on which nothing moves is given up after this. */
  readonly silenceMs: number;
  /** An answer may take this long, from the end of the body: to complete a large upload takes S3 minutes. */
  readonly answerMs: number;
  /** A body is given the time that it takes at this rate: 128 requests at once on a line of 2 Mbit/s. */
  readonly bytesPerSecond: number;
}

export const patient: Timing = {
  connectMs: 5_000,
  silenceMs: 60_000,
  answerMs: 300_000,
  bytesPerSecond: 2_048,
};

/** When a request with so many bytes of body is given up, however much still moves. */
export function deadlineMs({ answerMs, bytesPerSecond }: Timing, bodyBytes: number): number {
  return answerMs + Math.ceil((1000 * bodyBytes) / bytesPerSecond);
}

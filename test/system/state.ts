// Files that tell which of their states they are in.

/** How a file comes to its next state; the last two leave it empty for a moment. */
export const ways = ['replaced', 'rewritten in place', 'truncated and rewritten', 'appended to'] as const;
export type Way = (typeof ways)[number];

/** Writes by which a state that is appended to becomes whole; each before is one, too. */
export const recordsPerState = 8;

/** A file's content in its n-th state: every byte depends on n, so that no mixture of two states looks like one. */
export function stateOf(number: number, size: number): Buffer {
  const bytes = Buffer.alloc(size, `state ${number}; `);
  if (size >= 4) bytes.writeUInt32BE(number);
  return bytes;
}

/** What is truncated has another length in each state. */
export function sizeOfState(number: number, size: number, way: Way): number {
  return way === 'truncated and rewritten' ? 4 + ((number * 7_919) % size) : size;
}

/** Which state a content is; undefined for a mixture. */
export function numberOf(body: Buffer, size: number, way: Way): number | undefined {
  const isCut = way === 'truncated and rewritten' || way === 'appended to';
  if (body.length === 0) return isCut ? 0 : undefined;
  const number = body.length < 4 ? 0 : body.readUInt32BE();
  const isLength =
    way === 'appended to'
      ? body.length % (size / recordsPerState) === 0
      : body.length === sizeOfState(number, size, way);
  return isLength && body.equals(stateOf(number, body.length)) ? number : undefined;
}

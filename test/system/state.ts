/** A file's content in its n-th state: every byte depends on n, so that no mixture of two states looks like one. */
export function stateOf(number: number, size: number): Buffer {
  const bytes = Buffer.alloc(size, `state ${number}; `);
  bytes.writeUInt32BE(number);
  return bytes;
}

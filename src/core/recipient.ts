// Recipients of age: public keys in bech32. Whoever mistypes one learns it when the config is loaded, not when a file is
// to be restored; the library that encrypts is loaded only where something is encrypted.

/** Kinds of keys that can be encrypted to, with how many bytes each has (age's specification, C2SP). */
const keyBytes: Readonly<Record<string, number>> = {
  age: 32,
  age1pq: 1216,
  age1tag: 33,
  age1tagpq: 1249,
};

/** Why nothing can be encrypted to this, as a predicate, or undefined. */
export function recipientProblem(text: string): string | undefined {
  if (/^AGE-SECRET-KEY-/i.test(text))
    return 'is a private key, which belongs to who restores and never here; write its public key, as age-keygen -y prints it';
  if (text.startsWith('ssh-'))
    return 'is a key of SSH, to which s3syncd cannot encrypt; make one with age-keygen';
  if (!text.startsWith('age1'))
    return 'is no recipient of age; write a public key as age-keygen prints it: age1…';
  const key = decodeBech32(text);
  if (!key) return 'is mistyped or cut off: its checksum is wrong; copy it again';
  const bytes = keyBytes[key.kind];
  if (bytes === undefined)
    return `needs the plugin "${key.kind.replace(/^age1/, '')}" of age, which s3syncd does not run; make a key with age-keygen`;
  return key.bytes === bytes
    ? undefined
    : `has ${key.bytes} bytes, and such a key has ${bytes}; copy it again`;
}

const alphabet = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l';

/** BIP 173, without its limit of 90 characters, as age has it. Undefined where the checksum is wrong. */
function decodeBech32(text: string): { kind: string; bytes: number } | undefined {
  const separator = text.lastIndexOf('1');
  const kind = text.slice(0, separator);
  const values = Array.from(text.slice(separator + 1), (character) => alphabet.indexOf(character));
  if (values.length < 6 || values.includes(-1)) return undefined;
  const codes = Array.from(kind, (character) => character.codePointAt(0)!);
  const high = codes.map((code) => code >> 5);
  const low = codes.map((code) => code & 31);
  if (checksumOf([...high, 0, ...low, ...values]) !== 1) return undefined;
  return { kind, bytes: Math.floor(((values.length - 6) * 5) / 8) };
}

const generator = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3];

function checksumOf(values: readonly number[]): number {
  let checksum = 1;
  for (const value of values) {
    const top = checksum >>> 25;
    checksum = ((checksum & 0x1ffffff) << 5) ^ value;
    for (const [bit, term] of generator.entries()) if ((top >>> bit) & 1) checksum ^= term;
  }
  return checksum;
}

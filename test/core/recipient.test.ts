// Recipients of age as people type them: what the library takes is taken, and whatever it refuses is refused in words.
import {
  Encrypter,
  generateHybridIdentity,
  generateX25519Identity,
  identityToRecipient,
} from 'age-encryption';
import { constantFrom, integer, tuple } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { recipientProblem } from '../../src/core/recipient.ts';
import { law } from '../helpers/law.ts';

const x25519 = await identityToRecipient(await generateX25519Identity());
const hybrid = await identityToRecipient(await generateHybridIdentity());

function libraryTakes(recipient: string): boolean {
  try {
    new Encrypter().addRecipient(recipient);
    return true;
  } catch {
    return false;
  }
}

describe('a recipient', () => {
  test.each([
    ['of X25519', x25519],
    ['of X25519 and ML-KEM', hybrid],
  ])('%s is taken', (_what, recipient) => {
    expect(recipientProblem(recipient)).toBeUndefined();
    expect(libraryTakes(recipient)).toBe(true);
  });

  test.each([
    ['', 'is no recipient of age'],
    ['alice', 'is no recipient of age'],
    [x25519.toUpperCase(), 'is no recipient of age'],
    ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN', 'is a key of SSH'],
    ['AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX', 'is a private key'],
    ['AGE-SECRET-KEY-PQ-1GFPYYSJZG', 'is a private key'],
    ['age1', 'is mistyped or cut off'],
    [x25519.slice(0, -1), 'is mistyped or cut off'],
    [`${x25519}q`, 'is mistyped or cut off'],
    [hybrid.slice(0, 500), 'is mistyped or cut off'],
    ['age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t', 'needs the plugin "yubikey"'],
  ])('%s %s', (text, problem) => {
    expect(recipientProblem(text)).toContain(problem);
    expect(libraryTakes(text)).toBe(false);
  });

  law(
    'with one character typed wrong is never taken',
    tuple(
      integer({ min: 4, max: x25519.length - 1 }),
      constantFrom(...Array.from('qpzry9x8gf2tvdw0s3jn54khce6mua7lbio1')),
    ),
    ([at, character]) => {
      const typed = x25519.slice(0, at) + character + x25519.slice(at + 1);
      const isRight = typed === x25519;
      return (recipientProblem(typed) === undefined) === isRight && libraryTakes(typed) === isRight;
    },
  );
});

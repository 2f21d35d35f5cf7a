// Laws: what holds for all values of a kind, tried with random ones by fast-check.
import { asyncProperty, check, property, type Arbitrary, type Parameters, type RunDetails } from 'fast-check';
import { expect, test } from 'vitest';

/** A test that no value breaks the law. A failure shows the smallest that does, and the seed to get it again. */
export function law<T>(
  title: string,
  values: Arbitrary<T>,
  holds: (value: T) => boolean,
  options: Parameters<[T]> = {},
): void {
  // oxlint-disable-next-line vitest/valid-title -- it is a literal at every call
  test(title, () => {
    expect(brokenBy(check(property(values, holds), options))).toBeNull();
  });
}

/** The same for what takes more than a moment. */
export function asyncLaw<T>(
  title: string,
  values: Arbitrary<T>,
  holds: (value: T) => Promise<boolean>,
  options: Parameters<[T]> = {},
): void {
  // oxlint-disable-next-line vitest/valid-title -- it is a literal at every call
  test(title, async () => {
    expect(brokenBy(await check(asyncProperty(values, holds), options))).toBeNull();
  });
}

/** The smallest value that breaks a law, and how to get it again. */
function brokenBy<T>({ failed, counterexample, seed, counterexamplePath, errorInstance }: RunDetails<[T]>) {
  return failed ? { value: counterexample?.[0], by: errorInstance, seed, path: counterexamplePath } : null;
}

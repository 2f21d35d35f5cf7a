// Laws: what holds for all values of a kind, tried with random ones by fast-check.
import { check, property, type Arbitrary, type Parameters } from 'fast-check';
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
    const { counterexample, seed, counterexamplePath, errorInstance } = check(
      property(values, holds),
      options,
    );
    if (errorInstance instanceof Error && counterexample === null) throw errorInstance;
    expect(
      counterexample && { broken: counterexample[0], by: errorInstance, seed, path: counterexamplePath },
    ).toBeNull();
  });
}

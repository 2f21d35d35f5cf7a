// How much of a thing a test does: `npm test` shows in seconds what `npm run soak` shows in minutes, and `npm run soak:long`
// in an hour.

const scales = ['test', 'soak', 'long'] as const;

const named = process.env['S3SYNCD_TEST_SCALE'] ?? 'test';
const index = scales.findIndex((scale) => scale === named);
if (index === -1) throw new Error(`S3SYNCD_TEST_SCALE=${named} is none of ${scales.join(', ')}`);

/** @param long as in `npm run soak`, unless something else is said */
export function atScale<T>(test: T, soak: T, long: T = soak): T {
  return [test, soak, long][index]!;
}

import { defineConfig } from 'vitest/config';

// `unit` needs no build and no other process and takes seconds; `system` drives the built dist/main.js as a child process
// against a real HTTP S3 server; `soak` does so for minutes, and is not part of `npm test`.
export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/system/**', 'test/soak/**'],
          // A test that hangs is found; one that a busy machine keeps waiting is not one that fails.
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'system',
          include: ['test/system/**/*.test.ts'],
          // Files share two cores and each starts processes of its own.
          fileParallelism: false,
          testTimeout: 120_000,
          // 200,000 files take their time to remove.
          hookTimeout: 300_000,
        },
      },
      {
        test: {
          name: 'soak',
          include: ['test/soak/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 600_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});

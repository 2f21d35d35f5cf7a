import { expect, test } from 'vitest';
import { estimate, usagesOf } from '../src/estimate.ts';
import type { DestinationConfig } from '../src/config/config.ts';

const MiB = 1024 ** 2;
const GiB = 1024 ** 3;

test.each<[action: string, bytes: number, isConditional: boolean, requests: Record<string, number>]>([
  ['upload', 8 * MiB, true, { PutObject: 1 }],
  ['upload', 8 * MiB + 1, false, { CreateMultipartUpload: 1, UploadPart: 1, CompleteMultipartUpload: 1 }],
  [
    'upload',
    100 * MiB,
    true,
    { HeadObject: 1, CreateMultipartUpload: 1, UploadPart: 7, CompleteMultipartUpload: 1 },
  ],
  ['copy', GiB, false, { CopyObject: 1 }],
  ['archive', GiB, false, { CopyObject: 1, DeleteObject: 1 }],
  ['delete', GiB, false, { DeleteObject: 1 }],
  ['adopted', GiB, false, {}],
  ['conflict', GiB, true, {}],
])('%s of %d bytes, conditional %s, takes %j', (action, bytes, isConditional, requests) => {
  const usages = usagesOf(action, { bytes, storageClass: '', isConditional });
  const place = { folder: 'docs', destination: 'backup' };
  expect(estimate(place, usages, { region: 'us-east-1' } as DestinationConfig).requests).toEqual(requests);
});

test('a class has its price, for requests and for storage', () => {
  const usages = [1, 2].flatMap(() =>
    usagesOf('upload', { bytes: 5 * MiB, storageClass: 'DEEP_ARCHIVE', isConditional: false }),
  );
  const place = { folder: 'docs', destination: 'backup' };
  const { bytes, cost } = estimate(place, usages, { region: 'eu-central-1' } as DestinationConfig);
  expect(bytes).toBe(10 * MiB);
  expect(cost!.requests).toBeCloseTo((2 * 0.06) / 1000, 12);
  expect(cost!.storage).toBeCloseTo((10 / 1024) * 0.0018, 12);
  expect(cost!.prices).toBe('eu-central-1, 2025-11');
});

import { describe, expect, test } from 'vitest';
import { storageClasses } from '../../src/core/description.ts';
import { costOfRequests, costOfStorage, priceList, pricedRegion } from '../../src/core/prices.ts';
import { dayOf, firstOfMonth } from '../../src/core/usage.ts';

function cost(operation: string, storageClass = '', region = 'us-east-1'): number {
  return costOfRequests([{ operation, storageClass, requests: 1_000, bytes: 0 }], region);
}

describe('a thousand requests cost', () => {
  test.each([
    ['PutObject', '', 0.005],
    ['UploadPart', '', 0.005],
    ['CompleteMultipartUpload', '', 0.005],
    ['CopyObject', 'STANDARD_IA', 0.01],
    ['PutObject', 'DEEP_ARCHIVE', 0.05],
    ['PutObjectTagging', '', 0.005],
    ['ListObjectsV2', '', 0.005],
    ['HeadObject', '', 0.0004],
    ['GetObjectTagging', '', 0.0004],
    ['DeleteObject', '', 0],
    ['AbortMultipartUpload', '', 0],
    ['PutObject', 'A_CLASS_TO_COME', 0.005],
  ])('%s %s: $%d', (operation, storageClass, usd) => {
    expect(cost(operation, storageClass)).toBeCloseTo(usd, 10);
  });

  test('what they do in their region, and elsewhere what they do in us-east-1', () => {
    expect(cost('PutObject', '', 'eu-central-1')).toBeCloseTo(0.0054, 10);
    expect(cost('PutObject', '', 'ap-south-1')).toBeCloseTo(0.005, 10);
    expect([pricedRegion('eu-central-1'), pricedRegion('ap-south-1'), pricedRegion(undefined)]).toEqual([
      'eu-central-1',
      'us-east-1',
      'us-east-1',
    ]);
  });
});

test('a month of a GiB costs what its class does', () => {
  expect(costOfStorage(1024 ** 3, 'STANDARD', 'us-east-1')).toBeCloseTo(0.023, 10);
  expect(costOfStorage(10 * 1024 ** 3, 'STANDARD_IA', 'eu-central-1')).toBeCloseTo(0.135, 10);
});

test('every class has a price in every region of the list', () => {
  for (const prices of Object.values(priceList.regions))
    expect(Object.keys(prices).toSorted()).toEqual([...storageClasses].toSorted());
});

test.each([
  ['2026-03-01T00:00:00Z', '2026-03-01'],
  ['2026-03-31T23:59:59.999Z', '2026-03-01'],
  ['2024-02-29T12:00:00Z', '2024-02-01'],
])('%s is in the month that begins on %s', (moment, first) => {
  expect(firstOfMonth(dayOf(Date.parse(moment)))).toBe(dayOf(Date.parse(first)));
});

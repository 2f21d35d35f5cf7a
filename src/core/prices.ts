// Prices: what Amazon charges for requests and storage, as data. An estimate: list prices without discounts, free tiers,
// taxes, retrieval, transfer, tags or minimum durations.
import type { StorageClass } from './description.ts';
import type { Usage } from './usage.ts';

/** Of one storage class. */
interface ClassPrices {
  /** USD per 1,000 PUT, COPY, POST and LIST requests. */
  readonly put: number;
  /** USD per 1,000 GET, HEAD and other requests. DELETE and abort are free. */
  readonly get: number;
  /** USD per GiB and month, of the first 50 TiB. */
  readonly storage: number;
}

/** From https://aws.amazon.com/s3/pricing/. */
export const priceList = {
  date: '2025-11',
  regions: {
    'us-east-1': {
      STANDARD: { put: 0.005, get: 0.0004, storage: 0.023 },
      REDUCED_REDUNDANCY: { put: 0.005, get: 0.0004, storage: 0.024 },
      INTELLIGENT_TIERING: { put: 0.005, get: 0.0004, storage: 0.023 },
      STANDARD_IA: { put: 0.01, get: 0.001, storage: 0.0125 },
      ONEZONE_IA: { put: 0.01, get: 0.001, storage: 0.01 },
      GLACIER_IR: { put: 0.02, get: 0.01, storage: 0.004 },
      GLACIER: { put: 0.03, get: 0.0004, storage: 0.0036 },
      DEEP_ARCHIVE: { put: 0.05, get: 0.0004, storage: 0.00099 },
      EXPRESS_ONEZONE: { put: 0.00113, get: 0.00003, storage: 0.11 },
    },
    'eu-central-1': {
      STANDARD: { put: 0.0054, get: 0.00043, storage: 0.0245 },
      REDUCED_REDUNDANCY: { put: 0.0054, get: 0.00043, storage: 0.026 },
      INTELLIGENT_TIERING: { put: 0.0054, get: 0.00043, storage: 0.0245 },
      STANDARD_IA: { put: 0.01, get: 0.001, storage: 0.0135 },
      ONEZONE_IA: { put: 0.01, get: 0.001, storage: 0.0108 },
      GLACIER_IR: { put: 0.02, get: 0.01, storage: 0.005 },
      GLACIER: { put: 0.036, get: 0.00043, storage: 0.00405 },
      DEEP_ARCHIVE: { put: 0.06, get: 0.00043, storage: 0.0018 },
      // It is not to be had there: as in us-east-1.
      EXPRESS_ONEZONE: { put: 0.00113, get: 0.00003, storage: 0.11 },
    },
  },
} as const satisfies {
  date: string;
  regions: Readonly<Record<string, Readonly<Record<StorageClass, ClassPrices>>>>;
};

type PricedRegion = keyof typeof priceList.regions;

/** The region whose prices stand for those of another: they differ by a fifth at most where most people are. */
export function pricedRegion(region: string | undefined): PricedRegion {
  return region !== undefined && Object.hasOwn(priceList.regions, region)
    ? (region as PricedRegion)
    : 'us-east-1';
}

/** In USD. */
export function costOfRequests(usages: readonly Usage[], region: string | undefined): number {
  return usages.reduce(
    (sum, { operation, storageClass, requests }) =>
      sum + (requests / 1000) * priceOf(operation, pricesFor(storageClass, region)),
    0,
  );
}

/** Of one month, in USD. */
export function costOfStorage(bytes: number, storageClass: string, region: string | undefined): number {
  return (bytes / 1024 ** 3) * pricesFor(storageClass, region).storage;
}

function pricesFor(storageClass: string, region: string | undefined): ClassPrices {
  const prices: Readonly<Record<string, ClassPrices>> = priceList.regions[pricedRegion(region)];
  return prices[storageClass] ?? prices['STANDARD']!;
}

function priceOf(operation: string, { put, get }: ClassPrices): number {
  if (/^(Delete|Abort)/.test(operation)) return 0;
  return /^(Head|Get)/.test(operation) ? get : put;
}

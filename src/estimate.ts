// Estimate: what it would take and cost to carry out a plan.
import type { DestinationConfig } from './config/config.ts';
import { costOfRequests, costOfStorage, priceList, pricedRegion } from './core/prices.ts';
import { requestsByOperation, type Usage } from './core/usage.ts';
import { partSizeFor, singlePutMax } from './transfer/part-size.ts';

/** Of one folder's way to one destination. */
export interface Estimate {
  readonly folder: string;
  readonly destination: string;
  readonly requests: Readonly<Record<string, number>>;
  /** Of content that would be sent. */
  readonly bytes: number;
  /** In USD, where the store's prices are known: of the requests, and of storing for a month what they add. */
  readonly cost?: { readonly requests: number; readonly storage: number; readonly prices: string };
}

/** Adds up what would be asked of a store. */
export function estimate(
  place: Pick<Estimate, 'folder' | 'destination'>,
  usages: readonly Usage[],
  { endpoint, region }: DestinationConfig,
): Estimate {
  const bytes = usages.reduce((sum, usage) => sum + usage.bytes, 0);
  const storage = usages.reduce(
    (sum, usage) => sum + costOfStorage(usage.bytes, usage.storageClass, region),
    0,
  );
  const prices = `${pricedRegion(region)}, ${priceList.date}`;
  return {
    ...place,
    requests: requestsByOperation(usages),
    bytes,
    ...(endpoint === undefined && { cost: { requests: costOfRequests(usages, region), storage, prices } }),
  };
}

/** The requests for one planned action, when nothing goes wrong. */
export function usagesOf(
  action: string,
  upload: { readonly bytes: number; readonly storageClass: string; readonly isConditional: boolean },
): Usage[] {
  switch (action) {
    case 'upload':
      return usagesOfUpload(upload);
    case 'copy':
    case 'meta-updated':
      return [usageOf('CopyObject')];
    case 'archive':
      return [usageOf('CopyObject'), usageOf('DeleteObject')];
    case 'delete':
      return [usageOf('DeleteObject')];
    default:
      return [];
  }
}

function usagesOfUpload({ bytes, storageClass, isConditional }: Parameters<typeof usagesOf>[1]): Usage[] {
  if (bytes <= singlePutMax) return [{ ...usageOf('PutObject'), storageClass, bytes }];
  const parts = Math.ceil(bytes / partSizeFor(bytes));
  return [
    // S3 takes conditions only when all is sent: it is looked at before.
    ...(isConditional ? [usageOf('HeadObject')] : []),
    { ...usageOf('CreateMultipartUpload'), storageClass },
    { ...usageOf('UploadPart'), storageClass, requests: parts, bytes },
    usageOf('CompleteMultipartUpload'),
  ];
}

/** One request without content. */
export function usageOf(operation: string): Usage {
  return { operation, storageClass: '', requests: 1, bytes: 0 };
}

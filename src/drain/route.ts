// A route: one folder's way to one destination, with all that handling its changes takes.
import type { FolderConfig, RouteConfig } from '../config/config.ts';
import type { Capabilities } from '../core/capabilities.ts';
import type { Judgement } from '../core/decide.ts';
import type { ObjectDescription } from '../core/description.ts';
import type { FileState } from '../core/file.ts';
import type { ChecksumAlgorithm } from '../core/object.ts';
import type { DescribedFile, TailOf } from '../core/rules.ts';
import type { Clock } from '../edge/clock.ts';
import type { Destination } from '../transfer/destination.ts';
import type { Root } from '../transfer/open.ts';
import type { Selection } from '../watch/selection.ts';
import type { Endpoint } from './endpoint.ts';
import type { KeysInFlight } from './keys-in-flight.ts';

export interface Route {
  readonly routeId: number;
  readonly folderId: number;
  readonly destinationId: number;
  readonly folder: FolderConfig;
  readonly to: RouteConfig;
  readonly root: Root;
  readonly clock: Clock;
  /** What of the folder is synced at all. */
  readonly selection: Selection;
  /** What of it goes this way, as it is now. */
  readonly selects: (path: string, file: DescribedFile) => boolean;
  readonly destination: Destination;
  readonly endpoint: Endpoint;
  /** Of its keys. */
  readonly prefix: string;
  /** What follows it, by the rules: `keyOfFile` is who asks. */
  readonly tailOf: TailOf;
  /** Routes whose files may want the same keys: of other folders in the bucket, and this one where rules make keys. */
  sharing: readonly { readonly routeId: number; readonly prefix: string }[];
  /** Of its bucket. */
  keysInFlight: KeysInFlight;
  readonly judgement: Judgement;
  readonly checksum: ChecksumAlgorithm | 'none';
  /** For an upload that begins now, or began then. */
  readonly describe: (path: string, file: FileState, nowMs?: number) => ObjectDescription;
  /** True when the policy, or a delete that archives, asks S3 to enforce conditions, which not every store does. */
  readonly needsConditions: boolean;
  /** Where the store cannot enforce conditions: look first, write without, and accept the race. */
  readonly unsafeEmulation: boolean;
  /** It cannot, as the probe found. */
  emulates: boolean;
  /** It cannot for DeleteObject. */
  looksBeforeDelete: boolean;
  /** What the store was found to do; undefined until it was probed. */
  capabilities: Capabilities | undefined;
  /** While that is being found out. */
  learning: Promise<Capabilities> | undefined;
  /** When uploads that no change ends are looked for: at the start, and where one may have come late. */
  leftUploadsDueMs: number;
}

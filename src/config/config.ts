// The effective configuration: what the rest of the program reads. Every value is present, expanded and validated;
// durations are milliseconds, sizes bytes.
import type { ChecksumAlgorithm } from '../core/object.ts';
import type {
  Compare,
  DeleteMode,
  Policy,
  Preservable,
  PreserveChanges,
  SymlinkMode,
} from '../core/policy.ts';
import type { Rule } from '../core/rules.ts';
import type { DeleteLimits } from '../core/safety.ts';
import type { Selector } from '../core/selector.ts';

export interface Config {
  /** Absolute path of the file that it was read from. */
  readonly file: string;
  /** Absolute. Holds the journal, its lock and the control socket; 0700; never inside a watched folder. */
  readonly stateDir: string;
  readonly logLevel: LogLevel;
  /** What `{host}` stands for in prefixes and tags. */
  readonly host: string;
  readonly destinations: ReadonlyMap<string, DestinationConfig>;
  /** In the order of the file. */
  readonly folders: readonly FolderConfig[];
}

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** Checksums that can be sent with an upload for S3 to verify and store. */
export const checksumsSent = ['none', 'crc32', 'sha256', 'crc64nvme'] as const satisfies readonly (
  | 'none'
  | ChecksumAlgorithm
)[];

export interface DestinationConfig {
  readonly name: string;
  readonly bucket: string;
  /** `{host}` is expanded already; `{folder}` is left for `routePrefix`. */
  readonly prefix: string;
  /** Absent: the SDK's own resolution ($AWS_REGION, profile). */
  readonly region?: string;
  readonly endpoint?: string;
  readonly pathStyle: boolean;
  /** From `${env:…}` or `${cred:…}` only. Absent: profile, role or the SDK's default chain. */
  readonly credentials?: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string;
  };
  readonly profile?: string;
  /** Absolute. Absent: that of the SDK. */
  readonly sharedCredentialsFile?: string;
  readonly roleArn?: string;
  readonly externalId?: string;
  /** Absolute. Who has the token in it may assume the role. */
  readonly webIdentityTokenFile?: string;
  readonly expectedBucketOwner?: string;
  readonly requestPayer: boolean;
  readonly accelerate: boolean;
  readonly dualstack: boolean;
  readonly fips: boolean;
  /** PEM file with the certificate authority of a private endpoint. */
  readonly caFile?: string;
  /** What is computed over a body and sent for S3 to verify and store. */
  readonly checksum: (typeof checksumsSent)[number];
  /** Requests that it may get in a UTC day. Absent: any number. */
  readonly requestsPerDay?: number;
  /** Run a policy that the store cannot enforce by looking first: a race may then replace another's object. */
  readonly unsafeEmulation: boolean;
  /** The bucket is meant to be public; `check` refuses one otherwise. */
  readonly allowPublic: boolean;
}

export interface FolderConfig {
  readonly name: string;
  /** Absolute. */
  readonly path: string;
  /** At least one, each destination once. */
  readonly to: readonly RouteConfig[];
  /** For so long a file must be absent before its object may be deleted. */
  readonly deleteGraceMs: number;
  /** More deletes than these are held. */
  readonly maxDelete: DeleteLimits;
  /** Of the keys to which `delete: archive` moves objects; templates are filled. */
  readonly archivePrefix: string;
  readonly settleMs: number;
  readonly settleMaxMs: number;
  readonly rescanMs: number;
  /** Gitignore patterns, relative to the folder. */
  readonly exclude: readonly string[];
  /** Gitignore patterns; when there are any, only files that match one are synced. */
  readonly include: readonly string[];
  readonly symlinks: SymlinkMode;
  readonly preserve: readonly Preservable[];
  readonly preserveChanges: PreserveChanges;
  readonly rules: readonly Rule[];
}

/** One folder's way to one destination. What the folder says for all of its ways is filled in. */
export interface RouteConfig {
  /** Its name. */
  readonly destination: string;
  /** Which files go this way. Absent: all. */
  readonly when?: Selector;
  readonly policy: Policy;
  readonly compare: Compare;
  readonly delete: DeleteMode;
}

/** Prefix of the keys of one folder at one destination. */
export function routePrefix(destination: DestinationConfig, folder: FolderConfig): string {
  return destination.prefix.replaceAll('{folder}', folder.name);
}

/** True where everybody on the way can read what is sent. */
export function isInTheOpen({ endpoint }: DestinationConfig): boolean {
  if (endpoint === undefined || !/^http:/i.test(endpoint)) return false;
  const { hostname: host } = new URL(endpoint);
  const isLoopback =
    host === 'localhost' || host.endsWith('.localhost') || host.startsWith('127.') || host === '[::1]';
  return !isLoopback;
}

/** By what the journal knows a route, and what makes its knowledge void. */
export interface RouteIdentity {
  readonly folder: string;
  readonly folderPath: string;
  readonly destination: string;
  /** Endpoint and bucket. */
  readonly store: string;
  /** Endpoint, bucket and prefix. */
  readonly identity: string;
  /** Policy and compare. */
  readonly judgement: string;
}

export function routeIdentity(
  folder: FolderConfig,
  { policy, compare }: RouteConfig,
  destination: DestinationConfig,
): RouteIdentity {
  const store = JSON.stringify([destination.endpoint ?? 'aws', destination.bucket]);
  return {
    folder: folder.name,
    folderPath: folder.path,
    destination: destination.name,
    store,
    identity: JSON.stringify([store, routePrefix(destination, folder)]),
    judgement: JSON.stringify([policy, compare]),
  };
}

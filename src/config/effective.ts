// From what the file says to what the program reads: paths absolute, durations in milliseconds, templates filled.
import { resolve } from 'node:path';
import type { z } from 'zod';
import { fillTemplate } from '../core/template.ts';
import type { Config, DestinationConfig, FolderConfig, RouteConfig } from './config.ts';
import { asMapping } from './document.ts';
import type { ConfigDocument } from './document.ts';
import { effectiveRule, effectiveSelector } from './effective-rule.ts';
import type { Environment } from './expand.ts';
import { present } from './present.ts';
import type { Problem } from './problem.ts';
import { configSchema, destinationSchema, folderSchema } from './schema.ts';
import type { DestinationInput, FolderInput } from './schema.ts';
import { parseDuration } from './units.ts';

/** Where a config is loaded: what it is completed with. */
export interface Surroundings {
  readonly file: string;
  /** Relative paths start here, so that a config and its folders can be moved together. */
  readonly directory: string;
  readonly host: string;
  readonly env: Environment;
}

/** Those parts of a config that are valid by themselves, so that they are checked although others are not. */
export interface ConfigParts {
  readonly stateDir: string | undefined;
  readonly destinations: ReadonlyMap<string, DestinationConfig>;
  /** Every name that stands under `destinations`, valid or not. */
  readonly destinationNames: readonly string[];
  readonly folders: readonly FolderConfig[];
  readonly logLevel: Config['logLevel'];
  readonly problems: readonly Problem[];
}

/** Completes every part of a document that fits the schema. */
export function effectiveParts(document: ConfigDocument, place: Surroundings): ConfigParts {
  const top = asMapping(document.value);
  const destinations = validEntries(destinationSchema, document, 'destinations').map(
    ([name, input]) => [name, effectiveDestination(name, input, place)] as const,
  );
  const folders = validEntries(folderSchema, document, 'folders').map(([name, input]) =>
    effectiveFolder(name, input, place),
  );
  const log = configSchema.shape.log.safeParse(top['log']);
  const { stateDir, problems } = effectiveStateDir(document, place);
  return {
    stateDir,
    destinations: new Map(destinations),
    destinationNames: Object.keys(asMapping(top['destinations'])),
    folders,
    logLevel: log.data?.level ?? 'info',
    problems,
  };
}

/** The whole configuration, once nothing is wrong with its parts. */
export function effectiveConfig(parts: ConfigParts, place: Surroundings): Config {
  if (parts.stateDir === undefined) throw new Error('a config without a state directory passed its checks');
  const { stateDir, logLevel, destinations, folders } = parts;
  return { file: place.file, stateDir, logLevel, host: place.host, destinations, folders };
}

function effectiveStateDir(
  document: ConfigDocument,
  place: Surroundings,
): { stateDir: string | undefined; problems: Problem[] } {
  const given = asMapping(document.value)['state-dir'];
  if (given !== undefined) {
    const valid = configSchema.shape['state-dir'].safeParse(given).data;
    const usable = valid !== undefined && document.resolved(['state-dir']);
    return { stateDir: usable ? resolve(place.directory, valid) : undefined, problems: [] };
  }
  // systemd puts several directories of one unit in a list; the first one is the daemon's.
  const fromUnit = place.env['STATE_DIRECTORY']?.split(':')[0];
  if (fromUnit) return { stateDir: resolve(fromUnit), problems: [] };
  const message =
    'missing, and $STATE_DIRECTORY is not set. Add "state-dir: /var/lib/s3syncd", a directory for the journal outside every folder';
  return { stateDir: undefined, problems: [document.problemAt(['state-dir'], message, 'key')] };
}

/** Entries of a section that fit the schema, in the order of the file. */
function validEntries<Schema extends z.ZodType>(
  schema: Schema,
  document: ConfigDocument,
  section: 'destinations' | 'folders',
): [name: string, entry: z.output<Schema>][] {
  const entries = Object.entries(asMapping(asMapping(document.value)[section]));
  const valid: [string, z.output<Schema>][] = [];
  for (const [name, value] of entries) {
    const parsed = schema.safeParse(value);
    if (parsed.success && document.resolvedWithin([section, name])) valid.push([name, parsed.data]);
  }
  return valid.toSorted(([a], [b]) => document.offsetOf([section, a]) - document.offsetOf([section, b]));
}

function effectiveDestination(name: string, input: DestinationInput, place: Surroundings): DestinationConfig {
  const { credentials } = input;
  return present({
    name,
    bucket: input.bucket,
    prefix: fillTemplate(input.prefix, ['host'], () => place.host),
    region: input.region,
    endpoint: input.endpoint,
    pathStyle: input['path-style'] ?? input.endpoint !== undefined,
    credentials:
      credentials &&
      present({
        accessKeyId: credentials['access-key-id'],
        secretAccessKey: credentials['secret-access-key'],
        sessionToken: credentials['session-token'],
      }),
    profile: input.profile,
    sharedCredentialsFile: absolute(input['shared-credentials-file'], place),
    roleArn: input['role-arn'],
    externalId: input['external-id'],
    webIdentityTokenFile: absolute(input['web-identity-token-file'], place),
    expectedBucketOwner: input['expected-bucket-owner'],
    requestPayer: input['request-payer'],
    accelerate: input.accelerate,
    dualstack: input.dualstack,
    fips: input.fips,
    caFile: absolute(input['ca-file'], place),
    checksum: input.checksum,
    requestsPerDay: input['requests-per-day'],
    unsafeEmulation: input['unsafe-emulation'],
    allowPublic: input['allow-public'],
  });
}

function effectiveFolder(name: string, input: FolderInput, place: Surroundings): FolderConfig {
  return {
    name,
    path: resolve(place.directory, input.path),
    to: [input.to].flat().map((entry) => effectiveRoute(entry, input)),
    deleteGraceMs: milliseconds(input['delete-grace']),
    maxDelete: input['max-delete'],
    archivePrefix: fillTemplate(input['archive-prefix'], ['host', 'folder'], (template) =>
      template === 'host' ? place.host : name,
    ),
    settleMs: milliseconds(input.settle),
    settleMaxMs: milliseconds(input['settle-max']),
    rescanMs: milliseconds(input.rescan),
    exclude: patternList(input.exclude),
    include: patternList(input.include),
    symlinks: input.symlinks,
    preserve: input.preserve,
    preserveChanges: input['preserve-changes'],
    rules: input.rules.map(effectiveRule),
  };
}

function effectiveRoute(
  entry: Exclude<FolderInput['to'], readonly unknown[]>,
  folder: FolderInput,
): RouteConfig {
  const { destination, when, ...own } = typeof entry === 'string' ? { destination: entry } : entry;
  return present({
    destination,
    when: when && effectiveSelector(when),
    policy: own.policy ?? folder.policy,
    compare: own.compare ?? folder.compare,
    delete: own.delete ?? folder.delete,
  });
}

function absolute(file: string | undefined, { directory }: Surroundings): string | undefined {
  return file === undefined ? undefined : resolve(directory, file);
}

/** A text is one pattern or, when it has several lines, what would stand in a .gitignore. */
function patternList(input: string | readonly string[]): readonly string[] {
  if (typeof input !== 'string') return input;
  if (!input.includes('\n')) return [input];
  return input.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'));
}

function milliseconds(duration: string): number {
  const ms = parseDuration(duration);
  if (ms === undefined) throw new Error(`the schema let a bad duration pass: ${duration}`);
  return ms;
}

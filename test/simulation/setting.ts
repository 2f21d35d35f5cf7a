// Setting: what a seed makes of a config, and what of a world goes wrong in its run.
import type { Config, DestinationConfig, FolderConfig, RouteConfig } from '../../src/config/config.ts';
import { compares, deleteModes, policies, preserveChanges } from '../../src/core/policy.ts';
import type { Chance } from './chance.ts';

/** @param rescans false: so seldom that events have to do */
export function settingOf(chance: Chance, stateDir: string, rescans: boolean): Config {
  const destinations = Array.from({ length: chance.between(1, 2) }, (_, index) => destination(index));
  const folders = Array.from(
    { length: chance.weighted([[5, 1] as const, [3, 2] as const, [1, 3] as const]) },
    (_, index) => folder(chance, index, destinations, rescans),
  );
  return {
    file: '/sim/config.yaml',
    stateDir,
    logLevel: 'info',
    host: 'web-1',
    destinations: new Map(destinations.map((each) => [each.name, each])),
    folders,
  };
}

function destination(index: number): DestinationConfig {
  return {
    name: `s${index}`,
    bucket: `bucket-${index}`,
    prefix: 'files/{folder}/',
    pathStyle: true,
    requestPayer: false,
    accelerate: false,
    dualstack: false,
    fips: false,
    checksum: index === 0 ? 'crc32' : 'none',
    unsafeEmulation: false,
    allowPublic: false,
  };
}

function folder(
  chance: Chance,
  index: number,
  destinations: readonly DestinationConfig[],
  rescans: boolean,
): FolderConfig {
  const name = `f${index}`;
  const chosen = destinations.filter((_, at) => at === 0 || chance.is(0.6));
  const mode = chance.oneOf(deleteModes);
  const to = chosen.map((each): RouteConfig => ({
    destination: each.name,
    policy: chance.oneOf(policies),
    // What `aws` and sizes alone take for equal need not be: those have tests of their own.
    compare: chance.weighted([
      [4, compares[0]],
      [1, compares[1]],
    ]),
    delete: mode,
  }));
  const settleMs = chance.oneOf([0, 200, 1_000]);
  return {
    name,
    path: `/sim/${name}`,
    to,
    settleMs,
    settleMaxMs: Math.max(settleMs, chance.oneOf([1_000, 10_000])),
    rescanMs: rescans ? chance.oneOf([30_000, 120_000]) : 86_400_000,
    deleteGraceMs: chance.oneOf([0, 1_000, 5_000]),
    maxDelete: { count: chance.oneOf([2, 5, 50]), percent: chance.oneOf([25, 100]) },
    archivePrefix: `archive/${name}/`,
    exclude: chance.is(0.3) ? ['*.tmp'] : [],
    include: [],
    symlinks: 'skip',
    preserve: chance.is(0.3) ? ['mtime', 'mode'] : [],
    preserveChanges: chance.oneOf(preserveChanges),
    rules: [],
  };
}

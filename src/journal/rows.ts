// Between SQL rows and core's types. Statements that return nanoseconds run with safe integers, so every integer of
// their rows is a bigint.
import type { Baseline } from '../core/baseline.ts';
import type { SettledOutcome } from '../core/action.ts';
import type { Fingerprint } from '../core/file.ts';
import type { ChecksumAlgorithm } from '../core/object.ts';

/** States in which a change waits for something other than time, conflicts apart. */
const stuckStates = ['failed', 'blocked', 'held'] as const;
export type StuckState = (typeof stuckStates)[number];

/** What of the table a `BaselineRow` is: with the text of its description. */
export const baselineColumns = `baseline.*,
  (SELECT text FROM description WHERE description_id = baseline.description_id) AS description`;

export interface BaselineRow {
  name: string;
  outcome: SettledOutcome;
  owned: bigint;
  gone: bigint;
  size: bigint;
  mtime_ns: bigint;
  ctime_ns: bigint;
  ino: bigint;
  dev: bigint;
  mode: bigint;
  uid: bigint;
  gid: bigint;
  tail: string | null;
  description: string | null;
  described_at: bigint | null;
  etag: string | null;
  version_id: string | null;
  checksum_algorithm: ChecksumAlgorithm | null;
  checksum: string | null;
  part_size: bigint | null;
  transform: string | null;
}

export function baselineFromRow(row: BaselineRow): Baseline {
  return {
    outcome: row.outcome,
    owned: row.owned === 1n,
    gone: row.gone === 1n,
    file: {
      ...fingerprintFromRow(row),
      dev: BigInt.asUintN(64, row.dev),
      mode: Number(row.mode),
      uid: Number(row.uid),
      gid: Number(row.gid),
    },
    ...(row.tail !== null && { tail: row.tail }),
    ...(row.description !== null && {
      recorded: { text: row.description, atMs: Number(row.described_at) },
    }),
    ...(row.etag !== null && { etag: row.etag }),
    ...(row.version_id !== null && { versionId: row.version_id }),
    ...(row.transform !== null && { transform: row.transform }),
    ...(row.checksum !== null &&
      row.checksum_algorithm !== null && {
        checksum: {
          algorithm: row.checksum_algorithm,
          value: row.checksum,
          ...(row.part_size !== null && { partSize: Number(row.part_size) }),
        },
      }),
  };
}

export function rowFromBaseline(baseline: Baseline) {
  const { file, checksum } = baseline;
  return {
    outcome: baseline.outcome,
    owned: baseline.owned ? 1 : 0,
    gone: baseline.gone ? 1 : 0,
    ...rowFromFingerprint(file),
    dev: BigInt.asIntN(64, file.dev),
    mode: file.mode,
    uid: file.uid,
    gid: file.gid,
    tail: baseline.tail ?? null,
    described_at: baseline.recorded?.atMs ?? null,
    etag: baseline.etag ?? null,
    version_id: baseline.versionId ?? null,
    checksum_algorithm: checksum?.algorithm ?? null,
    checksum: checksum?.value ?? null,
    part_size: checksum?.partSize ?? null,
    transform: baseline.transform ?? null,
  };
}

export interface FingerprintRow {
  size: bigint;
  mtime_ns: bigint;
  ctime_ns: bigint;
  ino: bigint;
}

export function fingerprintFromRow(row: FingerprintRow): Fingerprint {
  return {
    size: Number(row.size),
    mtimeNs: row.mtime_ns,
    ctimeNs: row.ctime_ns,
    ino: BigInt.asUintN(64, row.ino),
  };
}

/** SQLite's integers are signed: an inode number above 2^63 wraps, and comes back the same. */
export function rowFromFingerprint(file: Fingerprint) {
  return {
    size: file.size,
    mtime_ns: file.mtimeNs,
    ctime_ns: file.ctimeNs,
    ino: BigInt.asIntN(64, file.ino),
  };
}

// One folder on its way to one bucket: files on disk, a real journal, a drain, the local S3 server. Nothing watches:
// what is written here is observed at once.
import fs from 'node:fs';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import { systemClock } from '../../src/edge/clock.ts';
import { systemFiles } from '../../src/edge/files.ts';
import type { FolderConfig, RouteConfig } from '../../src/config/config.ts';
import type { Outcome } from '../../src/core/action.ts';
import type { Compare, DeleteMode, Policy, Preservable, PreserveChanges } from '../../src/core/policy.ts';
import { compileRules, compileTails, customerKeys, makesKeys, type Rule } from '../../src/core/rules.ts';
import { compileSelector, type Selector } from '../../src/core/selector.ts';
import type { Handled } from '../../src/drain/handled.ts';
import { driftPages, type DriftPage } from '../../src/drain/apply.ts';
import { KeysInFlight } from '../../src/drain/keys-in-flight.ts';
import type { DeleteLimits } from '../../src/core/safety.ts';
import { FolderDeletes } from '../../src/drain/deletes.ts';
import { Drain } from '../../src/drain/drain.ts';
import { Endpoint } from '../../src/drain/endpoint.ts';
import type { Route } from '../../src/drain/route.ts';
import { Journal } from '../../src/journal/journal.ts';
import { ByteBudget } from '../../src/transfer/limits.ts';
import { describeFile } from '../../src/transfer/metadata.ts';
import { connect } from '../../src/transfer/connect.ts';
import { S3Destination } from '../../src/transfer/s3.ts';
import { lookAtRoot } from '../../src/watch/root.ts';
import { Selection } from '../../src/watch/selection.ts';
import { Bucket, testBucket } from './bucket.ts';
import { atOnce, identity, TestJournal } from './journal.ts';
import { temporaryDirectory } from './temporary.ts';

export interface FolderOptions {
  readonly policy?: Policy;
  readonly compare?: Compare;
  readonly unsafeEmulation?: boolean;
  /** Where nobody listens, say. */
  readonly endpoint?: string;
  readonly prefix?: string;
  readonly rules?: readonly Rule[];
  readonly delete?: DeleteMode;
  readonly deleteGraceMs?: number;
  readonly maxDelete?: DeleteLimits;
  readonly when?: Selector;
  readonly preserve?: readonly Preservable[];
  readonly preserveChanges?: PreserveChanges;
}

/** What came of a change: `uploaded (new)`. */
interface Report {
  readonly path: string;
  readonly outcome: Outcome;
  readonly words: string;
}

export class DrainedFolder {
  readonly bucket: Bucket;
  readonly root: string;
  readonly it: TestJournal;
  readonly budget = new ByteBudget(1024 ** 2);
  readonly partBudget = new ByteBudget(32 * 1024 ** 2);
  readonly reports: Report[] = [];
  readonly log: { level: string; message: string }[] = [];
  route: Route;
  /** Of the last drain. */
  deletes: FolderDeletes | undefined;
  /** A scan of the folder has ended before the next drain begins. */
  isScanned = true;
  /** Called for each change that was handled, before it is recorded. */
  onHandled: (report: Report) => void = () => undefined;
  #options: FolderOptions;

  constructor(bucket: Bucket, it: TestJournal, options: FolderOptions, endpoint = new Endpoint('local')) {
    this.bucket = bucket;
    this.root = temporaryDirectory();
    this.it = it;
    this.#options = options;
    this.route = this.#makeRoute(endpoint);
  }

  #makeRoute(endpoint: Endpoint): Route {
    const {
      policy = 'overwrite',
      compare = 'content',
      prefix = 'files/',
      unsafeEmulation = false,
      rules = [],
      when,
      preserve = [],
      preserveChanges = 'lazy',
      delete: deleteMode = 'keep',
      deleteGraceMs = 0,
      maxDelete = { count: 50, percent: 100 },
    } = this.#options;
    const config = this.bucket.destination({
      prefix,
      unsafeEmulation,
      ...(this.#options.endpoint !== undefined && { endpoint: this.#options.endpoint }),
    });
    const client = connect(config);
    onTestFinished(() => client.destroy());
    const folder = `${prefix}${this.root}`;
    const row = this.it.journal.registerRoute(
      identity({ folder, destination: config.name, judgement: `${policy}, ${compare}` }),
    );
    const context = { host: 'web-1', folder };
    const describe = compileRules(rules, context);
    const selects = compileSelector(when, rules, context);
    const to: RouteConfig = { destination: config.name, policy, compare, delete: deleteMode };
    return {
      ...row,
      folder: {
        name: folder,
        path: this.root,
        to: [to],
        settleMs: 0,
        settleMaxMs: 0,
        deleteGraceMs,
        maxDelete,
        archivePrefix: 'archive/',
        rules,
      } as unknown as FolderConfig,
      to,
      root: { path: this.root, symlinks: 'skip', files: systemFiles },
      clock: systemClock,
      selection: new Selection({ include: [], exclude: ['excluded/'] }, systemFiles),
      selects: (filePath, file) => selects(filePath, file, Date.now()),
      destination: new S3Destination(config, client, customerKeys(rules)),
      endpoint,
      prefix,
      tailOf: compileTails(rules, { host: 'web-1', folder }),
      sharing:
        makesKeys(rules) || this.it.journal.hasTails(row.routeId) ? [{ routeId: row.routeId, prefix }] : [],
      keysInFlight: new KeysInFlight(),
      judgement: { policy, compare, delete: deleteMode, preserve, preserveChanges, toleranceMs: 2_000 },
      checksum: config.checksum,
      describe: (filePath, file, nowMs = Date.now()) =>
        describeFile(describe(filePath, file, nowMs), file, preserve),
      needsConditions: policy !== 'overwrite' || deleteMode === 'archive',
      unsafeEmulation,
      emulates: false,
      looksBeforeDelete: false,
      capabilities: undefined,
      learning: undefined,
      leftUploadsDueMs: 0,
    };
  }

  get journal(): Journal {
    return this.it.journal;
  }

  key(filePath: string): string {
    return this.route.prefix + filePath;
  }

  absolute(filePath: string): string {
    return path.join(this.root, filePath);
  }

  /** Writes a file without a word to the journal. */
  writeUnseen(filePath: string, content: string | Buffer, mtime?: Date): void {
    fs.mkdirSync(path.dirname(this.absolute(filePath)), { recursive: true });
    fs.writeFileSync(this.absolute(filePath), content);
    if (mtime) fs.utimesSync(this.absolute(filePath), mtime, mtime);
  }

  write(filePath: string, content: string | Buffer, mtime?: Date): void {
    this.writeUnseen(filePath, content, mtime);
    this.observe(filePath);
  }

  remove(filePath: string): void {
    fs.rmSync(this.absolute(filePath));
    this.observe(filePath);
  }

  mtimeNs(filePath: string): bigint {
    return fs.statSync(this.absolute(filePath), { bigint: true }).mtimeNs;
  }

  observe(...paths: readonly string[]): void {
    const observations = paths.map((each) => ({
      directory: path.dirname(each) === '.' ? '' : path.dirname(each),
      name: path.basename(each),
    }));
    const { folderId, routeId } = this.route;
    this.journal.observe(folderId, [routeId], observations, atOnce, Date.now());
  }

  /** As after a scan that found the root in order. */
  #makeDeletes(): FolderDeletes {
    const { folder, folderId } = this.route;
    const lookAtFolder = () => lookAtRoot(systemFiles, folder.name, this.root);
    const root = lookAtFolder();
    if (root.state === 'ok' && this.journal.deletes.root(folderId) === undefined) {
      this.journal.deletes.recordRoot(folderId, root);
    }
    const log = this.#logger();
    const deletes = new FolderDeletes({
      folder,
      folderId,
      journal: this.journal,
      lookAtRoot: lookAtFolder,
      log,
    });
    deletes.isScanned = this.isScanned;
    this.deletes = deletes;
    return deletes;
  }

  drain(): Drain {
    return new Drain(this.route, {
      journal: this.journal,
      deletes: this.#makeDeletes(),
      budget: this.budget,
      partBudget: this.partBudget,
      log: this.#logger(),
      onHandled: (_route, claim, handled) => this.#report(claim.path, handled),
    });
  }

  /** What of it differs from the rules. */
  drift(nowMs = Date.now()): DriftPage[] {
    return [...driftPages(this.route, this.journal, nowMs)];
  }

  /** How many objects are not known to be as the rules have them, or not to be. */
  get unknown(): number {
    return this.drift().reduce((sum, { unknown }) => sum + unknown.length, 0);
  }

  markDrift(): void {
    const known = this.drift().flatMap(({ drifted }) => drifted.map((object) => object.known));
    this.journal.markForApply(this.route.routeId, known, Date.now());
  }

  /** Brings objects in line with the rules, as `apply` does. @returns what came of each path, in words */
  async applied(): Promise<Record<string, string>> {
    this.markDrift();
    return this.drained();
  }

  /** A drain that works until the end of the test. */
  run(): Drain {
    const drain = this.drain();
    const ended = drain.run();
    onTestFinished(async () => {
      drain.stop();
      await ended;
    });
    return drain;
  }

  /** Works off what is ready, as `once` does. @returns what came of each path, in words */
  async drained(): Promise<Record<string, string>> {
    const first = this.reports.length;
    const drain = this.drain();
    drain.finish();
    await drain.run();
    return Object.fromEntries(this.reports.slice(first).map(({ path, words }) => [path, words]));
  }

  /** Resolves when a change has been handled and recorded, for the n-th time. */
  async untilHandled(n: number): Promise<void> {
    await until(() => this.reports.length >= n && this.counts.claimed === 0);
  }

  /** Resolves when the program has the file open. */
  async untilOpen(filePath: string): Promise<void> {
    const isOpen = (fd: string) => {
      try {
        return fs.readlinkSync(`/proc/self/fd/${fd}`) === this.absolute(filePath);
      } catch {
        return false;
      }
    };
    await until(() => fs.readdirSync('/proc/self/fd').some(isOpen));
  }

  /** As after a crash: nothing that was in memory is left. With other options, as after a change of the config. */
  restart(changed: Partial<FolderOptions> = {}): void {
    this.#options = { ...this.#options, ...changed };
    this.it.reopen();
    this.route = this.#makeRoute(new Endpoint('local'));
  }

  get counts() {
    return this.journal.counts(this.route.routeId);
  }

  baseline(filePath: string) {
    return this.journal.baseline(this.route.routeId, filePath);
  }

  #report(filePath: string, { outcome, reason }: Handled): void {
    const report = { path: filePath, outcome, words: `${outcome} (${reason})` };
    this.reports.push(report);
    this.onHandled(report);
  }

  #logger() {
    const entry =
      (level: string) =>
      (...args: unknown[]) =>
        void this.log.push({ level, message: String(args.at(-1)) });
    return {
      trace: entry('trace'),
      debug: entry('debug'),
      info: entry('info'),
      warn: entry('warn'),
      error: entry('error'),
    };
  }
}

/** Resolves when a fact has become true that nobody announces. */
export async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise(setImmediate);
}

/** A folder under a policy, with a bucket of its own unless it is given one. */
export async function drainedFolder(options: FolderOptions = {}, bucket?: Bucket): Promise<DrainedFolder> {
  const place = bucket ?? (await testBucket());
  const it = new TestJournal(temporaryDirectory());
  onTestFinished(() => it.journal.close());
  return new DrainedFolder(place, it, options);
}

// World: one run of the whole daemon in a world of its own. Folders, stores, other writers, a person, and everything that
// goes wrong; then all of it is mended, and the world must become quiet, and equal.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { createHash } from 'node:crypto';
import { routePrefix, type Config, type FolderConfig, type RouteConfig } from '../../src/config/config.ts';
import { resolutions } from '../../src/core/conflict.ts';
import { openConflicts } from '../../src/conflicts.ts';
import { Daemon, type Edges } from '../../src/daemon.ts';
import { heldDeletes } from '../../src/deletes.ts';
import { failures } from '../../src/failures.ts';
import { halts } from '../../src/halts.ts';
import type { Logger } from '../../src/observe/log.ts';
import { Chance } from './chance.ts';
import { digestOf, Disk, error, type Operation } from './disk.ts';
import { Guard } from './guard.ts';
import { settingOf } from './setting.ts';
import { fine, Store, StoreDestination } from './store.ts';
import { Life, Time } from './time.ts';
import { clear, WatchSystem } from './watching.ts';

export interface Outcome {
  readonly seed: number;
  readonly violations: readonly string[];
  /** Of everything that happened, in its order. */
  readonly hash: string;
  readonly trace: readonly string[];
  readonly config: Config;
  readonly turns: number;
  readonly simulatedMs: number;
}

/** After the last fault: so long the world may take until it is quiet, in simulated time. */
const quietWithinMs = 30 * 60_000;

export async function simulate(seed: number): Promise<Outcome> {
  const world = new World(seed);
  try {
    await world.play();
  } finally {
    await world.end();
  }
  return world.outcome();
}

/** How a daemon bears a time without network, in which there is work to do. */
export interface Outage {
  /** When each store was asked meanwhile, in milliseconds since it began. */
  readonly attemptsMs: readonly (readonly number[])[];
  /** Lines of the log meanwhile, errors and warnings. */
  readonly complaints: readonly string[];
  /** After the network was back. */
  readonly drainedMs: number;
  readonly failedAfterwards: number;
  readonly routes: number;
  readonly violations: readonly string[];
}

export async function outage(seed: number, forMs: number): Promise<Outage> {
  const world = new World(seed);
  try {
    return await world.bearOutage(forMs);
  } finally {
    await world.end();
  }
}

const memory = fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir();
const logLevelsKept = ['info', 'warn', 'error'] as const;

class World {
  readonly seed: number;
  readonly chance: Chance;
  readonly time: Time;
  readonly disk: Disk;
  readonly watch: WatchSystem;
  readonly stores: ReadonlyMap<string, Store>;
  readonly config: Config;
  readonly guard: Guard;
  readonly trace: string[] = [];
  readonly violations: string[] = [];
  readonly #stateDir: string;
  /** No event is ever lost, and no daemon ends: what events tell has to do, for there is no scan but the first. */
  readonly #isAttentive: boolean;
  readonly #folders: readonly SimulatedFolder[];
  #life: Life | undefined;
  #daemon: Daemon | undefined;
  #closers: (() => void)[] = [];
  #backup: Map<string, Buffer> | undefined;
  /** Calls of the file system that fail from now on. */
  #failing: { operations: readonly Operation[]; code: string; left: number } | undefined;
  #contents = 0;

  constructor(seed: number) {
    this.seed = seed;
    this.chance = new Chance(seed);
    this.time = new Time(this.chance);
    this.#stateDir = fs.mkdtempSync(path.join(memory, 's3syncd-simulation-'));
    this.disk = new Disk(this.time, this.chance, (...change) => this.watch.changed(...change));
    this.watch = new WatchSystem(this.time, this.chance, this.disk);
    this.#isAttentive = this.chance.is(0.3);
    this.config = settingOf(this.chance, this.#stateDir, !this.#isAttentive);
    this.stores = new Map(
      [...this.config.destinations.keys()].map((name) => [name, new Store(name, this.time, this.chance)]),
    );
    this.#folders = this.config.folders.map((folder) => new SimulatedFolder(folder));
    this.guard = new Guard(this.config, this.disk, this.time, () => this.watch.isTrusted(120_000));
    this.guard.onViolation = (violation) => this.#violated(violation);
    for (const store of this.stores.values()) this.#attend(store);
    this.disk.onCall = (operation, at) => this.#failMaybe(operation, at);
  }

  outcome(): Outcome {
    const hash = createHash('sha256').update(this.trace.join('\n')).digest('hex');
    const { seed, violations, trace, config, time } = this;
    return { seed, violations, hash, trace, config, turns: time.turns, simulatedMs: time.elapsedMs };
  }

  async end(): Promise<void> {
    await this.#die();
    fs.rmSync(this.#stateDir, { recursive: true, force: true });
  }

  async play(): Promise<void> {
    this.#furnish();
    this.#start();
    const acts = this.chance.between(15, 50);
    for (let act = 0; act < acts && this.violations.length === 0; act++) {
      await this.#pass(
        this.chance.weighted([
          [4, 30],
          [4, 400],
          [3, 3_000],
          [1, 30_000],
        ] as const),
      );
      await this.#act();
    }
    this.#mend();
    // The longest pause between two tries; and what nobody was told of is found by scans only.
    const scansMs = this.#isAttentive
      ? 0
      : 3 * Math.max(...this.config.folders.map(({ rescanMs }) => rescanMs));
    await this.#pass(scansMs + 70_000, 'exactly');
    for (let round = 0; round < 6 && this.violations.length === 0; round++) {
      await this.#becomeQuiet();
      if (!(await this.#answer())) break;
    }
    if (this.violations.length > 0) return;
    await this.#awaitLate();
    this.guard.checkEquality(this.#daemon!, this.stores);
    await this.#checkRest(Math.max(scansMs, 300_000));
  }

  async bearOutage(forMs: number): Promise<Outage> {
    this.#furnish();
    this.#start();
    await this.#pass(60_000, 'exactly');
    const stores = [...this.stores.values()];
    for (const store of stores) store.weather = { ...fine, unreachable: true };
    const [beganMs, told] = [this.time.elapsedMs, this.trace.length];
    while (this.time.elapsedMs < beganMs + forMs) {
      const { root } = this.chance.oneOf(this.#folders);
      this.#write(root, this.#anyPath());
      await this.#pass(10_000, 'exactly');
    }
    const asked = stores.map(({ attemptsMs }) => attemptsMs.filter((ms) => ms >= beganMs));
    const complaints = this.trace.slice(told).filter((line) => /^\d+ (error|warn)/.test(line));
    for (const store of stores) store.weather = fine;
    const backMs = this.time.elapsedMs;
    const handled = this.trace.length;
    await this.#becomeQuiet(100);
    const drainedMs = this.time.elapsedMs - backMs;
    const failedAfterwards = this.trace.slice(handled).filter((line) => line.includes(': retry (')).length;
    while (await this.#answer()) await this.#becomeQuiet();
    await this.#awaitLate();
    this.guard.checkEquality(this.#daemon!, this.stores);
    return {
      attemptsMs: asked.map((times) => times.map((ms) => ms - beganMs)),
      complaints,
      drainedMs,
      failedAfterwards,
      routes: this.#daemon!.drains.length,
      violations: this.violations,
    };
  }

  // The daemon

  #start(): void {
    const life = new Life();
    const clock = this.time.clockOf(life);
    const edges: Edges = {
      clock,
      files: this.disk.filesFor(life),
      connect: ({ name }) => ({
        route: (_customerKeys, meter) => new StoreDestination(this.stores.get(name)!, life, meter),
        close: () => undefined,
      }),
      startWatchThread: (data, handlers) =>
        this.watch.startThread(life, data, handlers, (close) => this.#closers.push(close)),
    };
    this.#life = life;
    this.#say('start');
    this.#daemon = new Daemon(
      this.config,
      {
        log: this.#logger(),
        mode: 'run',
        onHandled: (route, { path: filePath }, { outcome, reason }) =>
          this.#say(`${route.folder.name} to ${route.to.destination}: ${filePath}: ${outcome} (${reason})`),
      },
      edges,
    );
    this.#daemon.ended.catch((failure: unknown) => this.#violated(`the daemon died: ${describe(failure)}`));
    this.#proveHealth(life, this.#daemon);
  }

  /** As the watchdog has it. */
  #proveHealth(life: Life, daemon: Daemon): void {
    this.time.after(life, 30_000, () => {
      try {
        daemon.proveHealth();
      } catch (failure) {
        this.#violated(`not well: ${describe(failure)}`);
      }
      this.#proveHealth(life, daemon);
    });
  }

  /** All memory is lost; what was committed is not. */
  async #die(): Promise<void> {
    if (!this.#life) return;
    // A crash comes between two tasks, not within one.
    await setImmediate();
    this.#life.isOver = true;
    this.#life = undefined;
    this.watch.forget();
    this.disk.closeAll();
    for (const close of this.#closers.splice(0)) close();
    this.#daemon?.journal.close();
    this.#daemon = undefined;
  }

  async #stop(): Promise<void> {
    const daemon = this.#daemon!;
    this.#say('stop');
    let isDone = false;
    void daemon.stop().then(() => (isDone = true));
    await this.time.run(this.time.elapsedMs + 10_000, () => isDone);
    if (isDone) {
      this.#closers = [];
      this.#daemon = undefined;
    }
    await this.#die();
  }

  /** From what was saved of the state directory: all of it as other files, or the journal only, in its place. */
  #restore(): void {
    if (!this.#backup) return;
    this.#say('restore the journal from a backup');
    const isWhole = this.chance.is(0.5);
    for (const [name, bytes] of this.#backup) {
      const file = path.join(this.#stateDir, name);
      if (!isWhole && name !== 'journal.db') continue;
      if (isWhole) fs.rmSync(file, { force: true });
      fs.writeFileSync(file, bytes);
    }
    this.guard.restored();
  }

  #save(): void {
    const names = fs.readdirSync(this.#stateDir).filter((name) => /^journal\.db(\.start)?$/.test(name));
    this.#backup = new Map(names.map((name) => [name, fs.readFileSync(path.join(this.#stateDir, name))]));
  }

  // What happens

  #furnish(): void {
    for (const { config, root } of this.#folders) {
      this.disk.makeDirectory(root);
      for (let count = this.chance.between(0, 6); count > 0; count--) this.#write(root, this.#anyPath());
      // First contact with objects that are there already.
      for (const to of config.to) {
        if (!this.chance.is(0.4)) continue;
        const store = this.stores.get(to.destination)!;
        const prefix = this.#prefix(config, to);
        for (const file of this.disk.filesBelow(root)) {
          if (this.chance.is(0.5)) continue;
          const same = this.disk.content(file)!;
          store.putByOther(
            prefix + file.slice(root.length + 1),
            this.chance.is(0.5) ? same : this.#content(),
          );
        }
      }
    }
  }

  async #act(): Promise<void> {
    const folder = this.chance.oneOf(this.#folders);
    const unseen: [number, () => unknown][] = [
      [1, () => this.#link(folder)],
      [2, () => this.#spoilWatch()],
      [1, () => this.#spoilFiles()],
      [2, () => this.#spoilRoot(folder)],
      [3, () => this.#endLife()],
    ];
    const act = this.chance.weighted<() => unknown>([
      [10, () => this.#write(folder.root, this.#anyPath())],
      [6, () => this.#edit(folder)],
      [5, () => this.#remove(folder)],
      [5, () => this.#rename(folder)],
      [2, () => this.#renameDirectory(folder)],
      [2, () => this.#saveAtomically(folder)],
      [2, () => this.#touch(folder)],
      [2, () => this.#removeMany(folder)],
      [3, () => this.#meddle(folder)],
      [3, () => this.#spoilWeather()],
      [1, () => this.#forbid(folder)],
      [2, () => this.#answerSome()],
      [1, () => void this.#daemon?.retry({ paths: [] })],
      ...(this.#isAttentive ? [] : unseen),
    ]);
    try {
      await act();
    } catch (failure) {
      this.#excuse(failure);
    }
  }

  #later(ms: number, act: () => void): void {
    this.time.after(this.time.world, ms, () => {
      try {
        act();
      } catch (failure) {
        this.#excuse(failure);
      }
    });
  }

  /** People's commands fail, too: the directory is gone, the name is taken. */
  #excuse(failure: unknown): void {
    if (!(failure instanceof Error && 'code' in failure && 'path' in failure)) throw failure;
  }

  #write(root: string, name: string): void {
    const file = `${root}/${name}`;
    this.disk.makeDirectory(path.dirname(file));
    const content = this.chance.is(0.1) ? this.#knownContent(root) : this.#content();
    this.#say(`write ${file}: ${content.length} bytes, ${digestOf(content).slice(0, 6)}`);
    this.disk.write(file, content);
  }

  /** In place, in one step or several. */
  #edit({ root }: SimulatedFolder): void {
    const file = this.#anyFile(root);
    if (!file) return;
    const [steps, everyMs] = [this.chance.oneOf([1, 4, 20]), this.chance.oneOf([5, 30, 300])];
    for (let step = 0; step < steps; step++) {
      this.#later(step * everyMs, () => {
        const size = this.disk.content(file)?.length;
        if (size === undefined) return;
        const position = this.chance.between(0, size);
        this.#say(`edit ${file} at ${position}`);
        const mark = `<${(this.#contents += 1)}>`;
        this.chance.weighted<() => void>([
          [1, () => this.disk.truncate(file, position)],
          [2, () => this.disk.overwrite(file, position, Buffer.from(mark))],
          // From the first byte to the last: a reader that gets some of each has a mixture.
          [3, () => this.disk.overwrite(file, 0, Buffer.alloc(size, mark))],
        ])();
      });
    }
  }

  #remove({ root }: SimulatedFolder): void {
    const file = this.#anyFile(root);
    if (!file) return;
    this.#say(`remove ${file}`);
    this.disk.remove(file);
    if (this.chance.is(0.3)) {
      this.#later(this.chance.between(0, 6_000), () => this.#tryWrite(root, file));
    }
  }

  #removeMany({ root }: SimulatedFolder): void {
    const directory = this.chance.oneOf([root, ...this.disk.directoriesBelow(root)]);
    this.#say(`remove all in ${directory}`);
    for (const file of this.disk.filesBelow(directory)) if (this.chance.is(0.9)) this.disk.remove(file);
    if (directory !== root && this.disk.filesBelow(directory).length === 0) this.disk.remove(directory);
  }

  #tryWrite(root: string, file: string): void {
    if (
      this.disk.isDirectory(root) &&
      !this.disk.isDirectory(file) &&
      this.disk.isDirectory(path.dirname(file))
    )
      this.#write(root, file.slice(root.length + 1));
  }

  #rename({ root }: SimulatedFolder): void {
    const file = this.#anyFile(root);
    if (!file) return;
    const to = `${root}/${this.#anyPath()}`;
    this.disk.makeDirectory(path.dirname(to));
    this.#say(`rename ${file} to ${to}`);
    this.disk.rename(file, to);
  }

  #renameDirectory({ root }: SimulatedFolder): void {
    const from = this.chance.oneOf([root, ...this.disk.directoriesBelow(root)]);
    const to = `${root}/${this.chance.oneOf(['a', 'b', 'c', 'a/d'])}`;
    if (from === root || `${to}/`.startsWith(`${from}/`) || !this.disk.isDirectory(path.dirname(to))) return;
    this.#say(`rename directory ${from} to ${to}`);
    this.disk.rename(from, to);
  }

  #saveAtomically({ root }: SimulatedFolder): void {
    const file = this.#anyFile(root);
    if (!file) return;
    const fresh = `${file}.tmp`;
    this.#say(`save ${file} by a rename`);
    this.disk.write(fresh, this.#content());
    this.#later(this.chance.between(0, 20), () => {
      if (this.disk.content(fresh) && !this.disk.isDirectory(file)) this.disk.rename(fresh, file);
    });
  }

  #touch({ root }: SimulatedFolder): void {
    const file = this.#anyFile(root);
    if (!file) return;
    const mtimeMs = this.time.nowMs - this.chance.oneOf([0, 5_000, 86_400_000]);
    this.#say(`touch ${file}`);
    if (this.chance.is(0.5)) this.disk.setTime(file, mtimeMs);
    else this.disk.setMode(file, this.chance.oneOf([0o644, 0o600]));
  }

  #link({ root }: SimulatedFolder): void {
    const file = this.#anyFile(root);
    if (!file) return;
    const to = `${root}/${this.#anyPath()}`;
    if (this.disk.exists(to)) return;
    this.disk.makeDirectory(path.dirname(to));
    this.#say(`link ${to} to ${file}`);
    if (this.chance.is(0.5)) this.disk.linkHard(file, to);
    else this.disk.linkSymbolic(file, to);
  }

  /** Another writer in the bucket. */
  #meddle({ config, root }: SimulatedFolder): void {
    const to = this.chance.oneOf(config.to);
    const store = this.stores.get(to.destination)!;
    const prefix = this.#prefix(config, to);
    const keys = [...store.current.keys()].filter((key) => key.startsWith(prefix)).toSorted();
    const key = keys.length > 0 && this.chance.is(0.7) ? this.chance.oneOf(keys) : prefix + this.#anyPath();
    const file = `${root}/${key.slice(prefix.length)}`;
    if (this.chance.is(0.25)) {
      this.#say(`somebody deletes ${key} in ${store.name}`);
      store.deleteByOther(key);
    } else {
      const same = this.chance.is(0.3) ? this.disk.content(file) : undefined;
      this.#say(`somebody writes ${key} in ${store.name}${same ? ', the same' : ''}`);
      store.putByOther(key, same ?? this.#content());
    }
  }

  #spoilWeather(): void {
    const store = this.chance.oneOf([...this.stores.values()]);
    const little = () => this.chance.oneOf([0, 0, 0.1, 0.5]);
    const unreachable = this.chance.is(0.4);
    store.weather = {
      unreachable,
      throttled: little(),
      broken: little(),
      lostBefore: little(),
      lostAfter: little(),
      late: this.chance.oneOf([0, 0.2]),
      busy: this.chance.oneOf([0, 0.2]),
      delayMaxMs: this.chance.oneOf([5, 40, 2_000]),
    };
    const ms = this.chance.oneOf([500, 5_000, 60_000, 600_000]);
    this.#say(`${store.name}: ${unreachable ? 'unreachable' : 'bad weather'} for ${ms} ms`);
    const { weather } = store;
    this.time.after(this.time.world, ms, () => {
      if (store.weather === weather) store.weather = fine;
    });
  }

  #spoilWatch(): void {
    this.#say('the watcher is in a haze');
    this.watch.haze = {
      delayMaxMs: this.chance.oneOf([20, 500, 5_000]),
      lost: this.chance.oneOf([0, 0.3, 1]),
      overflow: this.chance.oneOf([0, 0.3]),
      failing: this.chance.oneOf([0, 0, 0.3]),
    };
    this.time.after(this.time.world, this.chance.oneOf([1_000, 20_000]), () => (this.watch.haze = clear));
  }

  #spoilFiles(): void {
    const operations = [this.chance.oneOf<Operation>(['lstat', 'stat', 'names', 'open', 'read', 'realpath'])];
    const code = this.chance.oneOf(['EIO', 'EACCES', 'ENOMEM', 'EMFILE']);
    const left = this.chance.oneOf([1, 3, 20]);
    this.#say(`the next ${left} of ${operations[0]} fail with ${code}`);
    this.#failing = { operations, code, left };
  }

  #failMaybe(operation: Operation, at: string): void {
    const failing = this.#failing;
    if (!failing?.operations.includes(operation) || !at.startsWith('/sim/') || !this.chance.is(0.5)) return;
    failing.left -= 1;
    if (failing.left <= 0) this.#failing = undefined;
    this.#say(`${operation} ${at} fails with ${failing.code}`);
    throw error(failing.code, at);
  }

  #spoilRoot(folder: SimulatedFolder): void {
    if (!folder.isHome) return;
    const { root } = folder;
    const how = this.chance.oneOf(['mounted over', 'moved away', 'made anew', 'below'] as const);
    const ms = this.chance.oneOf([100, 7_000, 60_000]);
    this.#say(`the root ${root}: ${how} for ${ms} ms`);
    const back = (mend: () => void) => {
      folder.mend = () => {
        this.#say(`the root ${root} is back`);
        mend();
        folder.isHome = true;
        folder.mend = () => undefined;
      };
      this.#later(ms, () => folder.mend());
    };
    if (how === 'below') {
      const directory = this.disk.directoriesBelow(root).at(-1);
      if (directory === undefined || directory === root) return;
      this.disk.mount(directory);
      return back(() => this.disk.unmount(directory));
    }
    if (how === 'mounted over') {
      this.disk.mount(root);
      folder.isHome = false;
      if (this.chance.is(0.5)) this.#write(root, this.#anyPath());
      back(() => this.disk.unmount(root));
    } else {
      this.disk.moveAway(root, `${root}.away`);
      folder.isHome = false;
      if (how === 'made anew') this.disk.makeDirectory(root);
      back(() => {
        if (this.disk.exists(root)) this.disk.rename(root, `${root}.other${this.#contents++}`);
        this.disk.rename(`${root}.away`, root);
      });
    }
  }

  #forbid({ root }: SimulatedFolder): void {
    const file = this.#anyFile(root);
    if (!file) return;
    this.#say(`nobody may read ${file}`);
    this.disk.setMode(file, 0);
  }

  async #endLife(): Promise<void> {
    if (!this.#daemon) return;
    const how = this.chance.weighted([
      [4, 'crash'],
      [2, 'stop'],
      [1, 'backup'],
      [1, 'restore'],
    ] as const);
    const downMs = this.chance.oneOf([10, 3_000, 90_000]);
    this.#say(`${how}, for ${downMs} ms`);
    const startAgain = () =>
      this.time.after(this.time.world, downMs, () => {
        if (this.#daemon) return;
        if (how === 'restore') this.#restore();
        this.#start();
      });
    if (how !== 'stop') {
      await this.#die();
      if (how === 'backup') this.#save();
    } else await this.#stop();
    startAgain();
  }

  /** A person answers some of what is asked. */
  #answerSome(): void {
    const daemon = this.#daemon;
    if (!daemon) return;
    const held = heldDeletes(this.config, daemon.journal, undefined, []);
    if (held.length > 0) {
      // Nobody approves of deletes while a disk is not there.
      const isHome = this.#folders.every((folder) => folder.isHome);
      const answer = isHome && this.chance.is(0.7) ? 'approve' : 'discard';
      this.#say(`${answer} ${held.length} deletes`);
      this.guard.answered(answer, held);
      daemon.answerDeletes({ answer, paths: [] });
    }
    const conflicts = openConflicts(this.config, daemon.journal);
    for (const { folder, path: filePath, destination, key } of conflicts) {
      const resolution = this.chance.oneOf(resolutions);
      this.#say(`resolve ${folder} ${filePath} at ${destination}: ${resolution}`);
      this.guard.resolved(key, resolution);
      daemon.decideConflicts({ resolution, folder, paths: [filePath] });
    }
  }

  // The end

  #mend(): void {
    this.#say('everything is mended');
    this.#failing = undefined;
    this.watch.haze = clear;
    for (const store of this.stores.values()) store.weather = fine;
    for (const folder of this.#folders) folder.mend();
    for (const { root } of this.#folders)
      for (const file of this.disk.filesBelow(root)) this.disk.setMode(file, 0o644);
    if (!this.#daemon) this.#start();
  }

  async #becomeQuiet(lookEveryMs = 5_000): Promise<void> {
    const untilMs = this.time.elapsedMs + quietWithinMs;
    while (!this.#isQuiet && !this.#isHalted && this.time.elapsedMs < untilMs && this.violations.length === 0)
      await this.#pass(lookEveryMs, 'exactly');
    if (this.#isQuiet || this.#isHalted || this.violations.length > 0) return;
    this.#violated(
      `not quiet ${quietWithinMs / 60_000} minutes after everything was mended: ${this.#unrest()}`,
    );
  }

  /** An upload that the store may have made when nobody waited for it any more is looked for once more, and then no more. */
  async #awaitLate(): Promise<void> {
    const { drains, journal } = this.#daemon!;
    const left = () => drains.flatMap(({ route }) => journal.uploads.left(route.destinationId));
    if (left().length > 0) await this.#pass(20 * 60_000, 'exactly');
    if (left().length > 0) this.#violated(`uploads are still looked for: ${JSON.stringify(left())}`);
  }

  /** It waits for a person. */
  get #isHalted(): boolean {
    return this.#daemon !== undefined && halts(this.config, this.#daemon.journal, {}).length > 0;
  }

  get #isQuiet(): boolean {
    return this.#daemon !== undefined && this.#unrest() === '';
  }

  #unrest(): string {
    const daemon = this.#daemon;
    if (!daemon) return 'no daemon';
    return daemon.drains
      .flatMap(({ route, status }) => {
        const { pending, claimed, failed, retrying } = daemon.journal.counts(route.routeId);
        const busy = pending + claimed + failed + retrying + status.inFlight.length;
        if (busy === 0) return [];
        const stuck = failures(this.config, daemon.journal, route.folder.name);
        return [
          `${route.folder.name} to ${route.to.destination}: ${pending} pending, ${failed} failed, ${JSON.stringify(stuck)}`,
        ];
      })
      .join('; ');
  }

  /** Whatever a person is asked, or told to do. @returns false when that is nothing */
  async #answer(): Promise<boolean> {
    const daemon = this.#daemon!;
    if (daemon.folders.some(({ doubt }) => doubt !== undefined)) {
      await this.#stop();
      this.#start();
      await this.#pass(30_000, 'exactly');
      return true;
    }
    if (halts(this.config, daemon.journal, {}).length > 0) {
      this.#say('resume');
      this.guard.restored();
      void daemon.resume({});
      await this.#pass(150_000, 'exactly');
      return true;
    }
    const isAsked =
      heldDeletes(this.config, daemon.journal, undefined, []).length > 0 ||
      openConflicts(this.config, daemon.journal).length > 0;
    if (isAsked) this.#answerSome();
    return isAsked;
  }

  /** Where nothing changes, scans ask the store nothing. */
  async #checkRest(ms: number): Promise<void> {
    const asked = () => [...this.stores.values()].reduce((sum, store) => sum + store.attemptsMs.length, 0);
    // A drain that nothing wakes turns every minute: then it may ask whether the store is the same still.
    await this.#pass(60_000, 'exactly');
    const before = asked();
    await this.#pass(ms, 'exactly');
    if (asked() !== before) this.#violated(`${asked() - before} requests although nothing changed`);
    if (this.disk.openCount > 0) this.#violated(`${this.disk.openCount} files are left open`);
  }

  // Within

  async #pass(ms: number, how?: 'exactly'): Promise<void> {
    const untilMs = this.time.elapsedMs + (how ? ms : this.chance.between(0, ms));
    await this.time.run(untilMs, () => this.violations.length > 0);
  }

  #attend(store: Store): void {
    store.onAsk = (operation, key, precondition) => {
      this.#say(`${store.name}: ${operation} ${key} if ${precondition.kind}`);
      this.guard.asked(store, operation, key, precondition);
    };
    store.onDeed = (deed) => {
      this.#say(`${store.name}: done: ${deed.operation} ${deed.key} ${deed.after?.etag ?? ''}`);
      this.guard.done(store, deed);
    };
  }

  #logger(): Logger {
    const keep =
      (level: string) =>
      (subject: object | string, message = '') => {
        const text = typeof subject === 'string' ? subject : `${JSON.stringify(subject, bigints)} ${message}`;
        this.#say(`${level}: ${text.replaceAll(this.#stateDir, 'STATE')}`);
      };
    const kept = Object.fromEntries(logLevelsKept.map((level) => [level, keep(level)]));
    return { trace: () => undefined, debug: () => undefined, ...kept } as unknown as Logger;
  }

  #say(what: string): void {
    this.trace.push(`${this.time.elapsedMs} ${what}`);
  }

  #violated(violation: string): void {
    this.#say(`VIOLATION: ${violation}`);
    this.violations.push(violation);
  }

  #prefix(folder: FolderConfig, to: RouteConfig): string {
    return routePrefix(this.config.destinations.get(to.destination)!, folder);
  }

  #anyPath(): string {
    const directory = this.chance.oneOf(['', '', 'a/', 'b/', 'a/d/']);
    return directory + this.chance.oneOf(['1', '2', '3', '4', '5', 'x.tmp']);
  }

  #anyFile(root: string): string | undefined {
    const files = this.disk.filesBelow(root);
    return files.length === 0 ? undefined : this.chance.oneOf(files);
  }

  /** Like no other. */
  #content(): Buffer {
    this.#contents += 1;
    const size = this.chance.weighted([
      [6, 40],
      [1, 0],
      [2, 1_500],
      [3, 9_000],
      [0.3, 90_000],
    ] as const);
    const head = `content ${this.#contents} of ${this.seed} `;
    return size === 0 ? Buffer.alloc(0) : Buffer.alloc(this.chance.between(size / 2, size), head);
  }

  #knownContent(root: string): Buffer {
    const file = this.#anyFile(root);
    return (file && this.disk.content(file)) || this.#content();
  }
}

class SimulatedFolder {
  readonly config: FolderConfig;
  readonly root: string;
  /** The directory that the folder's files are in stands at its path. */
  isHome = true;
  /** Ends what is wrong with its root. */
  mend: () => void = () => undefined;

  constructor(config: FolderConfig) {
    this.config = config;
    this.root = config.path;
  }
}

function describe(failure: unknown): string {
  return failure instanceof Error ? (failure.stack ?? failure.message) : String(failure);
}

function bigints(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}

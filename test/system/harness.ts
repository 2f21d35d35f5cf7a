// The ground of the system tests: a store, a workspace (folder, state directory, config) and the built program as a child
// process. Everything cleans up by itself when the test ends; a daemon that does not end, or was left in trouble, fails it.
//
// Every secret that the program is given is searched for in all that it printed and left behind (secrets.ts).
//
// With S3SYNCD_TEST_ENDPOINT (and AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION) the store is that server; tests that
// need the local one (faults, legacy switches, the request log, the history) are skipped and say so.
//
// With S3SYNCD_TEST_LEAST_PRIVILEGE=1 the program may do what `s3syncd iam-policy` prints for its config, and nothing else.
import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { runnerPolicy } from '../../src/config/iam-policy.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Status } from '../../src/observe/status.ts';
import { differences, type Difference, type Expected } from './compare.ts';
import { Secrets } from './secrets.ts';
import { external, type Store } from './store.ts';

export { startStore, type Store } from './store.ts';

const checkout = path.resolve(import.meta.dirname, '../..');
const program = path.join(checkout, 'dist/main.js');

/** A loaded machine may take this much longer than the promise; what it took is printed. */
const patience = 3;

/** How long an orderly stop may take (the contract). */
const stopMaxMs = 10_000;

/** For `test.skipIf`: faults, legacy switches, the request log and the history are the local server's only. */
export const noLocalServer = lacks(external, 'the local S3 server, with its faults, log and history');

/** For `test.skipIf`: a person's own undertakings need more than the config asks for. */
export const leastPrivilege = process.env['S3SYNCD_TEST_LEAST_PRIVILEGE'] === '1';

/** For `test.skipIf`: to make devices, or to become somebody else. */
export const noRoot = lacks(process.getuid?.() !== 0, 'root');

/** For `test.skipIf`. */
export function noCommand(command: string): boolean {
  return lacks(spawnSync('sh', ['-c', `command -v ${command}`]).status !== 0, command);
}

function lacks(isLacking: boolean, what: string): boolean {
  if (isLacking) console.log(`skipping the tests that need ${what}`);
  return isLacking;
}

export interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Stdout as the one JSON document that it must be. */
  readonly json: any;
}

export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** Runs as an unprivileged user; needs root. */
  readonly asNobody?: boolean;
  /** A command that runs the program as its last arguments. */
  readonly within?: readonly string[];
}

type Section = Record<string, unknown>;

/** What a test's config says besides the defaults: one folder `docs` that goes to one destination `s3`. */
export interface ConfigParts {
  readonly folder?: Section;
  readonly destination?: Section;
  readonly folders?: Record<string, Section>;
  readonly destinations?: Record<string, Section>;
  readonly top?: Section;
}

/** A directory of a test's own, with a folder to sync, a state directory and a config. */
export class Workspace {
  readonly store: Store;
  readonly directory: string;
  /** The folder `docs`, in which the tests write. */
  readonly folder: string;
  readonly stateDir: string;
  readonly configFile: string;
  /** What must be in no output. */
  readonly secrets = new Secrets();
  env: NodeJS.ProcessEnv;

  constructor(store: Store) {
    this.store = store;
    this.directory = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 's3syncd-test-')));
    this.folder = path.join(this.directory, 'docs');
    this.stateDir = path.join(this.directory, 'state');
    this.configFile = path.join(this.directory, 'config.yaml');
    fs.mkdirSync(this.folder);
    // Nothing of the machine's own AWS setup: what counts is what the test says.
    this.env = {
      PATH: process.env['PATH'],
      HOME: this.directory,
      TZ: 'UTC',
      AWS_ACCESS_KEY_ID: store.accessKey,
      AWS_SECRET_ACCESS_KEY: store.secretKey,
      AWS_EC2_METADATA_DISABLED: 'true',
    };
  }

  configure(parts: ConfigParts): void {
    const { endpoint, region, bucket } = this.store;
    const s3 = { bucket, endpoint, region, 'path-style': true, ...parts.destination };
    const docs = { path: this.folder, to: 's3', settle: '200ms', ...parts.folder };
    const config = {
      version: 1,
      'state-dir': this.stateDir,
      ...parts.top,
      destinations: { s3, ...parts.destinations },
      folders: { docs, ...parts.folders },
    };
    // JSON is YAML.
    fs.writeFileSync(this.configFile, JSON.stringify(config, undefined, 2));
  }

  path(name: string): string {
    return path.join(this.folder, name);
  }

  write(name: string, content: string | Buffer): void {
    fs.mkdirSync(path.dirname(this.path(name)), { recursive: true });
    fs.writeFileSync(this.path(name), content);
  }

  /** Runs the program to its end. */
  async s3syncd(verb: string, ...args: string[]): Promise<Result> {
    return this.run([...verb.split(' '), '--config', this.configFile, ...args]);
  }

  /** Runs the program with exactly these arguments. */
  async run(args: readonly string[], options: RunOptions = {}): Promise<Result> {
    const child = this.spawn(args, options);
    const timeout = setTimeout(() => child.kill('SIGKILL'), 600_000);
    const [stdout, stderr] = [collect(child.stdout!), collect(child.stderr!)];
    const [code] = (await once(child, 'close')) as [number | null];
    clearTimeout(timeout);
    return {
      code,
      stdout: stdout.text,
      stderr: stderr.text,
      get json() {
        return JSON.parse(stdout.text) as unknown;
      },
    };
  }

  /** `once --json`, which must end well unless another code is named. */
  async once(code = 0): Promise<any> {
    const result = await this.s3syncd('once', '--json');
    assert.equal(result.code, code, result.stderr + result.stdout);
    return result.json;
  }

  async status(): Promise<Status> {
    return (await this.s3syncd('status', '--json')).json as Status;
  }

  /** Starts `run`; resolves when it watches. */
  async start(options: RunOptions = {}): Promise<Daemon> {
    const daemon = this.launch(options);
    await daemon.logged('watching for changes');
    return daemon;
  }

  /** Starts `run` and does not wait for anything. */
  launch(options: RunOptions = {}): Daemon {
    const daemon = new Daemon(this.spawn(['run', '--config', this.configFile], options));
    onTestFinished(() => daemon.end());
    return daemon;
  }

  /** Starts the program and leaves the rest to the caller. */
  spawn(args: readonly string[], { env = {}, asNobody = false, within = [] }: RunOptions = {}): ChildProcess {
    const command = [...within, process.execPath, program, ...args];
    if (leastPrivilege) this.#takePrivileges({ ...this.env, ...env });
    if (asNobody) command.unshift('setpriv', '--reuid=65534', '--regid=65534', '--clear-groups');
    const child = spawn(command[0]!, command.slice(1), {
      cwd: this.directory,
      env: { ...this.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.secrets.attend(child, args, { ...this.env, ...env });
    onTestFinished(() => {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL');
        throw new Error(`the test left s3syncd ${args.join(' ')} running`);
      }
    });
    return child;
  }

  #takePrivileges(env: NodeJS.ProcessEnv): void {
    const loaded = loadConfig(this.configFile, env);
    if (loaded.kind === 'config') this.store.limit(this, runnerPolicy(loaded.config));
  }

  /**
   * Waits until the bucket holds what the folder holds.
   * @param withinMs the promise: a loaded machine gets `patience` times as long
   * @returns how long it took
   */
  async awaitEqual(withinMs: number, expected: Expected = {}): Promise<number> {
    const startedAt = performance.now();
    let found: Difference[] = [];
    await until(
      async () => (found = await this.differences(expected)).length === 0,
      withinMs * patience,
      () => `folder and bucket differ: ${JSON.stringify(found.slice(0, 10), undefined, 1)}`,
    );
    const tookMs = Math.round(performance.now() - startedAt);
    if (tookMs > withinMs) console.log(`slow: ${tookMs} ms where ${withinMs} are promised`);
    return tookMs;
  }

  /** Folder and bucket hold the same, now. */
  async expectEqual(expected: Expected = {}): Promise<void> {
    assert.deepEqual(await this.differences(expected), []);
  }

  /** For runs `asNobody`: what that user needs, and not what the test took away. */
  giveToNobody(): void {
    fs.chmodSync(this.directory, 0o755);
    fs.mkdirSync(this.stateDir, { recursive: true });
    fs.chownSync(this.stateDir, 65_534, 65_534);
  }

  /** What folder and bucket differ in, now. */
  differences(expected: Expected = {}): Promise<Difference[]> {
    return differences(expected.store ?? this.store, expected.folder ?? this.folder, expected);
  }

  remove(): void {
    try {
      this.secrets.assertKept(this.stateDir);
    } finally {
      this.#remove();
    }
  }

  #remove(): void {
    fs.rmSync(this.directory, { recursive: true, force: true });
  }
}

export function workspace(store: Store, parts: ConfigParts = {}): Workspace {
  const made = new Workspace(store);
  onTestFinished(() => made.remove());
  made.configure(parts);
  return made;
}

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** A running `s3syncd run`. */
export class Daemon {
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
  readonly #stdout: { text: string };
  readonly #stderr: { text: string };
  #isOver = false;

  constructor(child: ChildProcess) {
    this.child = child;
    this.#stdout = collect(child.stdout!);
    this.#stderr = collect(child.stderr!);
    this.exited = once(child, 'close').then(([code]) => code as number | null);
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  get stdout(): string {
    return this.#stdout.text;
  }

  get stderr(): string {
    return this.#stderr.text;
  }

  /** The log so far; every line must be JSON. */
  get log(): LogLine[] {
    const whole = this.stderr.slice(0, this.stderr.lastIndexOf('\n') + 1);
    return whole
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as LogLine);
  }

  /** What was handled of these paths, as the log tells it on level debug. */
  handled(paths: readonly string[]): LogLine[] {
    return this.log.filter(
      ({ msg, path, outcome }) =>
        msg === 'change handled' && outcome !== 'unchanged' && paths.includes(String(path)),
    );
  }

  /** Waits for a line of the log. */
  async logged(message: string | RegExp, withinMs = 20_000): Promise<LogLine> {
    let found: LogLine | undefined;
    await until(
      () => {
        found = this.log.find(({ msg }) =>
          typeof message === 'string' ? msg === message : message.test(msg),
        );
        if (!found && !this.running)
          throw new Error(`the daemon ended with ${this.child.exitCode}: ${this.stderr}`);
        return found !== undefined;
      },
      withinMs,
      () => `the daemon did not log ${String(message)}:\n${this.stderr}`,
    );
    return found!;
  }

  /** At the end of a test, unless that stopped or killed it. */
  async end(): Promise<void> {
    if (this.#isOver) return;
    if (!this.running)
      throw new Error(`the daemon ended by itself, with ${this.child.exitCode}:\n${this.stderr}`);
    await this.stop();
  }

  /** Ends it orderly, which must take less than the contract says. @returns how long it took */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number> {
    const startedAt = performance.now();
    this.#isOver = true;
    this.child.kill(signal);
    const code = await Promise.race([this.exited, delay(stopMaxMs, 'too late', { ref: false })]);
    if (code === 'too late') {
      await this.kill();
      throw new Error(`the daemon did not stop within ${stopMaxMs} ms:\n${this.stderr}`);
    }
    if (code !== 0) throw new Error(`the daemon ended with ${code}:\n${this.stderr}`);
    return Math.round(performance.now() - startedAt);
  }

  async kill(): Promise<void> {
    this.#isOver = true;
    this.child.kill('SIGKILL');
    await this.exited;
  }
}

/** Waits for a fact. @param what says what is still wrong when time is up */
export async function until(
  isTrue: () => boolean | Promise<boolean>,
  withinMs: number,
  what: () => string = () => 'the fact did not come about',
): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await isTrue())) {
    if (performance.now() > deadline) throw new Error(`${what()}\nafter ${withinMs} ms`);
    await delay(30);
  }
}

/** Another one for every run, printed: S3SYNCD_TEST_SEED repeats a run. */
export function randomSeed(): number {
  const seed = Number(process.env['S3SYNCD_TEST_SEED'] ?? randomBytes(4).readUInt32BE());
  console.log(`seed ${seed} (S3SYNCD_TEST_SEED=${seed} repeats it)`);
  return seed;
}

/** A port of this machine on which nobody listens. */
export async function closedPort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** A generator that gives the same numbers for the same seed. */
export function seededRandom(): () => number {
  let state = randomSeed() >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function collect(stream: NodeJS.ReadableStream): { text: string } {
  const collected = { text: '' };
  stream.setEncoding('utf8');
  stream.on('data', (text: string) => (collected.text += text));
  return collected;
}

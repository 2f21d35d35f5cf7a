// A program that rewrites one file for a while, each time with one state that tells its own number: `node writer.ts FILE
// BYTES MS HOW`. Every write is one system call, so that the file never holds anything but one of these states. Prints how many
// there were.
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { stateOf } from './state.ts';

const [file = '', size, forMs, how] = process.argv.slice(2);
const endAt = performance.now() + Number(forMs);
let state = 0;
while (performance.now() < endAt) {
  state += 1;
  const bytes = stateOf(state, Number(size));
  if (how === 'in place') {
    const fd = fs.openSync(file, fs.constants.O_WRONLY | fs.constants.O_CREAT);
    fs.writeSync(fd, bytes, 0, bytes.length, 0);
    fs.closeSync(fd);
  } else {
    fs.writeFileSync(`${file}.tmp`, bytes);
    fs.renameSync(`${file}.tmp`, file);
  }
  // Often within the settling time, often after it.
  await delay((state * 97) % 160);
}
console.log(state);

// A program that rewrites one file for a while, each time with one state that tells its own number: `node writer.ts FILE
// BYTES MS WAY`. Every write is one system call, so that the file never holds anything but one of these states. Prints how
// many there were, and which were on their way for longer than a tick of the clock: such a write, interrupted by the
// scheduler, is itself a state that the file had for everybody to see.
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { recordsPerState, sizeOfState, stateOf, type Way } from './state.ts';

/** Under this nothing takes what is half written for a file at rest (`clockTickMs` in src/drain/act.ts). */
const tickMs = 20;

const [file = '', size = '', forMs, how] = process.argv.slice(2);
const way = how as Way;
const endAt = performance.now() + Number(forMs);
const slow: number[] = [];
let state = 0;
let record = 0;
while (performance.now() < endAt) {
  if (way !== 'appended to' || record % recordsPerState === 0) state += 1;
  const bytes = stateOf(state, sizeOfState(state, Number(size), way));
  const tookMs = write(bytes);
  if (tookMs > tickMs) slow.push(state);
  record += 1;
  // Often within the settling time, often after it; what is large leaves time to send it.
  await delay((record * 97) % (Number(size) > 1024 ** 2 ? 640 : 160));
}
console.log(JSON.stringify({ states: way === 'appended to' ? record : state, slow }));

/** @returns how long the system call took that wrote */
function write(bytes: Buffer): number {
  if (way === 'replaced') {
    fs.writeFileSync(`${file}.tmp`, bytes);
    fs.renameSync(`${file}.tmp`, file);
    return 0;
  }
  const fd = fs.openSync(file, fs.constants.O_WRONLY | fs.constants.O_CREAT);
  try {
    const length = way === 'appended to' ? bytes.length / recordsPerState : bytes.length;
    const position = way === 'appended to' ? (record % recordsPerState) * length : 0;
    if (position === 0 && way !== 'rewritten in place') fs.ftruncateSync(fd, 0);
    const beganAt = performance.now();
    fs.writeSync(fd, bytes, position, length, position);
    return performance.now() - beganAt;
  } finally {
    fs.closeSync(fd);
  }
}

// Loaded into the threads of a daemon with NODE_OPTIONS=--import, beside the program and without its knowledge: while a file
// $S3SYNCD_TEST_GATE stands, the event loop of the thread that $S3SYNCD_TEST_BLOCKED names stands still, as in a long
// computation or a system call that hangs. A file `.shut` beside it says that it does.
import fs from 'node:fs';
import { isMainThread } from 'node:worker_threads';

const { S3SYNCD_TEST_GATE: gate, S3SYNCD_TEST_BLOCKED: blocked } = process.env;

if (gate !== undefined && blocked === (isMainThread ? 'main' : 'watch')) {
  const nothing = new Int32Array(new SharedArrayBuffer(4));
  setInterval(() => {
    if (!fs.existsSync(gate)) return;
    fs.writeFileSync(`${gate}.shut`, '');
    while (fs.existsSync(gate)) Atomics.wait(nothing, 0, 0, 20);
    fs.rmSync(`${gate}.shut`);
  }, 20).unref();
}

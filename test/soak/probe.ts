// Loaded into both threads of a daemon with NODE_OPTIONS=--import, beside the program and without its knowledge: what keeps
// each thread's event loop alive, as Node itself counts it, written to $S3SYNCD_TEST_PROBE.THREAD whenever that is asked
// for by writing to $S3SYNCD_TEST_PROBE. A timer that is set and never cleared shows here, and so does any handle that is
// not closed.
import fs from 'node:fs';
import { isMainThread } from 'node:worker_threads';

const file = process.env['S3SYNCD_TEST_PROBE'];
const lookMs = 200;

if (file !== undefined) {
  let answered = '';
  // Not among what it counts.
  setInterval(() => {
    const asked = fs.readFileSync(file, 'utf8');
    if (asked === answered) return;
    answered = asked;
    const counts: Record<string, number> = {};
    for (const kind of process.getActiveResourcesInfo()) counts[kind] = (counts[kind] ?? 0) + 1;
    const { heapUsed, external } = process.memoryUsage();
    const answer = `${file}.${isMainThread ? 'main' : 'watch'}`;
    fs.writeFileSync(`${answer}.new`, JSON.stringify({ asked, counts, heapUsed, external }));
    fs.renameSync(`${answer}.new`, answer);
  }, lookMs).unref();
}

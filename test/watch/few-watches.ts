// Watches a folder of 200 directories in a user namespace that grants 60 watches, then many. Argument: an empty directory.
import { mkdirSync, writeFileSync } from 'node:fs';
import { Attentive, folderAt } from './attentive.ts';

const root = process.argv[2] ?? '';
for (let index = 0; index < 200; index++) {
  mkdirSync(`${root}/${index}`);
  writeFileSync(`${root}/${index}/a`, '');
}
const folder = new Attentive(folderAt(root));
await folder.scanned();
const reason = folder.all('degraded')[0]?.reasons.join();
for (let index = 0; index < 200; index++) writeFileSync(`${root}/${index}/b`, '');
await folder.catchesUp();
const foundByPolling = folder.all('scanned').length > 1;

writeFileSync('/proc/sys/user/max_inotify_watches', '1000');
const recoveredAt = () =>
  folder.messages.findIndex((message) => message.kind === 'degraded' && message.reasons.length === 0);
const scansSince = () => folder.messages.slice(recoveredAt()).filter(({ kind }) => kind === 'scanned').length;
await folder.until('recovered', () => recoveredAt() !== -1 && scansSince() > 0);
for (let index = 0; index < 200; index++) writeFileSync(`${root}/${index}/c`, '');
await folder.catchesUp();
const watchedAgain = scansSince() === 1;
await folder.watch.stop();
process.stdout.write(
  JSON.stringify({ reason, foundByPolling, recovered: folder.all('degraded').at(-1)?.reasons, watchedAgain }),
);

// Watches a folder with a directory that may not be read, and then may. To be run as a user other than root.
// Argument: an empty directory of that user.
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { Attentive, folderAt } from './attentive.ts';

const root = process.argv[2] ?? '';
for (const name of ['open', 'closed', 'closed/below']) {
  mkdirSync(`${root}/${name}`);
  writeFileSync(`${root}/${name}/a`, '');
}
chmodSync(`${root}/closed`, 0);
const folder = new Attentive(folderAt(root));
await folder.scanned();
writeFileSync(`${root}/open/b`, '');
await folder.until('open/b', () => folder.known.files().has('open/b'));

chmodSync(`${root}/closed`, 0o700);
await folder.catchesUp();
for (const name of ['closed/c', 'closed/below/c']) writeFileSync(`${root}/${name}`, '');
await folder.catchesUp();

// And away again: what is in it stays as it is known.
chmodSync(`${root}/closed`, 0);
folder.watch.scan();
const scans = folder.all('scanned').length;
await folder.scanned(scans + 1);
chmodSync(`${root}/closed`, 0o700);
await folder.watch.stop();
const observed = folder.all('observed');
process.stdout.write(
  JSON.stringify({
    obstacles: [...new Set(observed.flatMap(({ obstacles }) => obstacles.map(({ name }) => name)))],
    degraded: folder.all('degraded'),
    absent: observed.flatMap(({ observations }) =>
      observations.filter(({ seen }) => seen === 'absent').map(({ name }) => name),
    ),
  }),
);

// Watches a file system that is unmounted and mounted again, or mounted over and uncovered, in a mount namespace of its
// own. Arguments: an empty directory, and `unmounted` or `mounted over`.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { Attentive, folderAt } from './attentive.ts';

const [, , parent = '', what = ''] = process.argv;
const disk = `${parent}/disk`;
const root = `${parent}/root`;
mkdirSync(disk);
mkdirSync(root);
mount('-t', 'tmpfs', 'tmpfs', disk);
for (const name of ['a', 'b', 'c']) writeFileSync(`${disk}/${name}`, '');
mount('--bind', disk, root);

const folder = new Attentive(folderAt(root));
await folder.scanned();
if (what === 'unmounted') execFileSync('umount', [root]);
else mount('-t', 'tmpfs', 'tmpfs', root);
await folder.until('replaced', () => folder.all('root').at(-1)?.state === 'replaced');
await folder.scanned(2);
if (what === 'unmounted') mount('--bind', disk, root);
else execFileSync('umount', [root]);
await folder.until('ok', () => folder.all('root').at(-1)?.state === 'ok');
writeFileSync(`${root}/new`, '');
await folder.catchesUp();
const observations = folder.all('observed').flatMap((message) => message.observations);
await folder.watch.stop();
process.stdout.write(
  JSON.stringify({
    states: folder.all('root').map(({ state }) => state),
    absent: observations.filter(({ seen }) => seen === 'absent').map(({ name }) => name),
    sawNew: folder.known.files().has('new'),
  }),
);

function mount(...args: string[]): void {
  execFileSync('mount', args);
}

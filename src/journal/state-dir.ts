// The state directory belongs to us alone. The journal names every file and decides about deletes, and whoever reaches the
// control socket steers the daemon: another local user must be able to put nothing there, and nothing in its place.
import fs from 'node:fs';
import path from 'node:path';

/** It could be somebody else's hands in which the journal is. */
export class StateDirRefused extends Error {
  override readonly name = 'StateDirRefused';
}

/** Everything of group and others. */
const ofOthers = 0o077;

/** Files that we open by name, and what SQLite opens besides. */
const files = [
  'journal.db',
  'journal.db-wal',
  'journal.db-shm',
  'journal.db.start',
  'lock.db',
  'lock.db-journal',
];

/**
 * Makes the directory, or makes sure that it and what is in it are ours: rights that are too wide are taken away, what
 * is somebody else's is refused.
 * @throws StateDirRefused
 */
export function secureStateDir(stateDir: string): void {
  fs.mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const refusal = whyNotOurs(stateDir);
  if (refusal !== undefined) throw new StateDirRefused(`state-dir ${stateDir} ${refusal}`);
  narrow(stateDir);
  // From here on nobody else can change what is in it. What was planted before is found now.
  for (const name of files) secureFile(path.join(stateDir, name));
}

/** Why the directory cannot be trusted, as a predicate; undefined when it can, or can be made so. */
export function whyNotOurs(stateDir: string, uid = process.geteuid!()): string | undefined {
  for (const place of new Set([...waysTo(stateDir), ...waysTo(fs.realpathSync(stateDir))])) {
    const stats = fs.lstatSync(place);
    // systemd puts a link there where it makes up the user (DynamicUser).
    if (stats.isSymbolicLink() && stats.uid !== 0 && stats.uid !== uid)
      return `leads through the link ${place}, which belongs to another user (uid ${stats.uid}) and may lead elsewhere tomorrow; name the directory itself`;
    const anybodyMayRename = stats.isDirectory() && (stats.mode & 0o1002) === 0o002;
    if (anybodyMayRename && place !== path.resolve(stateDir))
      return `lies in ${place}, where every user may put another one in its place; run: chmod o-w ${place}, or choose another directory`;
  }
  const owner = fs.statSync(stateDir).uid;
  return owner === uid
    ? undefined
    : `belongs to another user (uid ${owner}) than the one that runs s3syncd (uid ${uid}); run it as that user, or chown it`;
}

/** True when others than its owner have rights in it, which `secureStateDir` takes away. */
export function isTooOpen(stateDir: string): boolean {
  return (fs.statSync(stateDir).mode & ofOthers) !== 0;
}

/** The directory and all above it. */
function waysTo(directory: string): string[] {
  const resolved = path.resolve(directory);
  const parent = path.dirname(resolved);
  return parent === resolved ? [resolved] : [...waysTo(parent), resolved];
}

/** A file that is there must be a plain one of ours, under this name only; a link would have us write elsewhere. */
function secureFile(file: string): void {
  const stats = fs.lstatSync(file, { throwIfNoEntry: false });
  if (!stats) return;
  if (!stats.isFile() || stats.uid !== process.geteuid!() || stats.nlink > 1)
    throw new StateDirRefused(
      `${file} is not a plain file of the user that runs s3syncd (uid ${process.geteuid!()}): somebody else put it there. ` +
        'Look at it, and remove it',
    );
  narrow(file);
}

function narrow(place: string): void {
  const { mode } = fs.statSync(place);
  if ((mode & ofOthers) !== 0) fs.chmodSync(place, mode & 0o7777 & ~ofOthers);
}

/** SQLite makes files that every user may read; those that it makes beside one have its mode. */
export function makePrivate(file: string): void {
  fs.closeSync(
    fs.openSync(file, fs.constants.O_CREAT | fs.constants.O_RDWR | fs.constants.O_NOFOLLOW, 0o600),
  );
}

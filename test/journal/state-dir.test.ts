// The state directory among other local users: what is too open is narrowed, what could be somebody else's is refused.
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Journal } from '../../src/journal/journal.ts';
import { secureStateDir, StateDirRefused } from '../../src/journal/state-dir.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';

const noRoot = process.getuid?.() !== 0;
if (noRoot) console.log('skipping the tests that need root to be two users');
const somebody = 12_345;

const mode = (file: string) => (fs.statSync(file).mode & 0o7777).toString(8);

/** Opens and closes a journal, so that all its files are there. @returns while it was open: the modes of what is in it */
function opened(stateDir: string): Record<string, string> {
  const journal = Journal.open(stateDir);
  journal.proveWritable(1);
  const modes = Object.fromEntries(
    fs.readdirSync(stateDir).map((name) => [name, mode(path.join(stateDir, name))]),
  );
  journal.close();
  return modes;
}

describe('the state directory', () => {
  test('is made for us alone, with all that is in it, whatever the umask', () => {
    const mask = process.umask(0);
    onTestFinished(() => void process.umask(mask));
    const stateDir = path.join(temporaryDirectory(), 'later/state');
    const modes = opened(stateDir);
    expect(mode(stateDir)).toBe('700');
    expect(Object.keys(modes)).toEqual(expect.arrayContaining(['journal.db', 'journal.db-wal', 'lock.db']));
    expect(new Set(Object.values(modes))).toEqual(new Set(['600']));
  });

  test.each([0o777, 0o755, 0o770, 0o701])('of mode %o loses what others may, and so do its files', (open) => {
    const stateDir = temporaryDirectory();
    opened(stateDir);
    fs.chmodSync(stateDir, open);
    for (const name of fs.readdirSync(stateDir)) fs.chmodSync(path.join(stateDir, name), 0o666);
    const modes = opened(stateDir);
    expect(mode(stateDir)).toBe('700');
    expect(new Set(Object.values(modes))).toEqual(new Set(['600']));
  });

  test('below a directory in which everybody may rename is refused', () => {
    const parent = path.join(temporaryDirectory(), 'open');
    fs.mkdirSync(path.join(parent, 'x'), { recursive: true });
    fs.chmodSync(parent, 0o777);
    const stateDir = path.join(parent, 'x/state');
    expect(() => Journal.open(stateDir)).toThrow(StateDirRefused);
    expect(() => Journal.open(stateDir)).toThrow(
      `lies in ${parent}, where every user may put another one in its place`,
    );
    expect(fs.readdirSync(stateDir)).toEqual([]);
    // As in /tmp: nobody may rename what is another's.
    fs.chmodSync(parent, 0o1777);
    expect(() => secureStateDir(stateDir)).not.toThrow();
  });

  test('may be a link of ours, and not one through an open directory', () => {
    const base = temporaryDirectory();
    fs.mkdirSync(path.join(base, 'open/state'), { recursive: true });
    fs.symlinkSync(path.join(base, 'open/state'), path.join(base, 'link'));
    expect(() => secureStateDir(path.join(base, 'link'))).not.toThrow();
    fs.chmodSync(path.join(base, 'open'), 0o777);
    expect(() => secureStateDir(path.join(base, 'link'))).toThrow('every user may put another one');
  });

  test.skipIf(noRoot)('that is another user’s, or a link of another user’s, is refused', () => {
    const base = temporaryDirectory();
    const theirs = path.join(base, 'theirs');
    fs.mkdirSync(theirs, { mode: 0o700 });
    fs.chownSync(theirs, somebody, somebody);
    expect(() => Journal.open(theirs)).toThrow(
      `belongs to another user (uid ${somebody}) than the one that runs s3syncd (uid 0); run it as that user, or chown it`,
    );
    const ours = path.join(base, 'ours');
    fs.mkdirSync(ours, { mode: 0o700 });
    const link = path.join(base, 'link');
    fs.symlinkSync(ours, link);
    fs.lchownSync(link, somebody, somebody);
    expect(() => Journal.open(link)).toThrow(`leads through the link ${link}, which belongs to another user`);
    expect(fs.readdirSync(ours)).toEqual([]);
  });

  test.each(['journal.db', 'journal.db-wal', 'lock.db', 'journal.db.start'])(
    'with a link in the place of %s is refused, and nothing is written to where it leads',
    (name) => {
      const base = temporaryDirectory();
      const stateDir = path.join(base, 'state');
      fs.mkdirSync(stateDir);
      const precious = path.join(base, 'precious');
      fs.writeFileSync(precious, 'precious');
      fs.symlinkSync(precious, path.join(stateDir, name));
      expect(() => Journal.open(stateDir)).toThrow('is not a plain file of the user that runs s3syncd');
      fs.rmSync(path.join(stateDir, name));
      fs.linkSync(precious, path.join(stateDir, name));
      expect(() => Journal.open(stateDir), 'nor through a hard link').toThrow(StateDirRefused);
      expect(fs.readFileSync(precious, 'utf8')).toBe('precious');
    },
  );

  test.skipIf(noRoot)('with a file of another user is refused', () => {
    const stateDir = temporaryDirectory();
    fs.writeFileSync(path.join(stateDir, 'journal.db'), '');
    fs.chownSync(path.join(stateDir, 'journal.db'), somebody, somebody);
    expect(() => Journal.open(stateDir)).toThrow('somebody else put it there');
  });
});

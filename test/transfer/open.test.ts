// Files of a folder in which anybody may exchange anything at any moment.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import { once } from 'node:events';
import path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { systemFiles } from '../../src/edge/files.ts';
import { look, openFile, pieces, readAll } from '../../src/transfer/open.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';

const isRoot = process.getuid?.() === 0;

/** A folder with a file `a`, a directory with `d/b`, and next to it another directory with `secret`. */
function folder(symlinks: 'skip' | 'follow' = 'skip') {
  const base = temporaryDirectory();
  const root = { path: path.join(base, 'root'), symlinks, files: systemFiles };
  fs.mkdirSync(path.join(root.path, 'd'), { recursive: true });
  fs.mkdirSync(path.join(base, 'outside'));
  fs.writeFileSync(path.join(root.path, 'a'), 'content');
  fs.writeFileSync(path.join(root.path, 'd/b'), 'below');
  fs.writeFileSync(path.join(base, 'outside/b'), 'secret');
  const absolute = (name: string) => path.join(root.path, name);
  const open = (name: string) => {
    const file = openFile(root, name);
    if (file) onTestFinished(() => file[Symbol.dispose]());
    return file;
  };
  return { root, open, absolute, outside: path.join(base, 'outside') };
}

function openDescriptors(): number {
  return fs.readdirSync('/proc/self/fd').length;
}

describe('a regular file', () => {
  test('is opened and read as it is', async () => {
    const { root, open } = folder();
    const file = open('a')!;
    expect(file.state).toMatchObject({ size: 7 });
    expect(look(root, 'a')).toEqual({ kind: 'file', file: file.state });
    expect((await readAll(file))?.toString()).toBe('content');
    expect(file.unchanged()).toBe(true);
  });

  test.each([0, 1, 64 * 1024, 64 * 1024 + 1, 3 * 1024 ** 2 + 1])(
    'of %i bytes is read in full',
    async (size) => {
      const { open, absolute } = folder();
      const content = Buffer.alloc(size, 'abcdefghijk');
      fs.writeFileSync(absolute('a'), content);
      expect((await readAll(open('a')!))?.equals(content)).toBe(true);
      const read = [];
      for await (const piece of pieces(open('a')!)) read.push(Buffer.from(piece));
      expect(Buffer.concat(read).equals(content)).toBe(true);
    },
  );

  test.each([
    ['grew', (file: string) => fs.appendFileSync(file, '!')],
    ['was cut short', (file: string) => fs.truncateSync(file, 1)],
  ])('that %s after it was opened is not read', async (_what, change) => {
    const { open, absolute } = folder();
    const file = open('a')!;
    change(absolute('a'));
    expect(await readAll(file)).toBeUndefined();
    expect(file.unchanged()).toBe(false);
  });

  test('that was replaced after it was opened is still the one that was opened', async () => {
    const { open, absolute } = folder();
    const file = open('a')!;
    fs.writeFileSync(absolute('new'), 'another');
    fs.renameSync(absolute('new'), absolute('a'));
    expect((await readAll(file))?.toString()).toBe('content');
    expect(file.unchanged(), 'a rename over it changes its ctime').toBe(false);
  });

  test.each(['a\nb', ' ', 'x (deleted)', 'é', String.raw`a\b`, '%2F', '-', '...'])(
    'may be called %j',
    (name) => {
      const { root, open, absolute } = folder();
      fs.writeFileSync(absolute(name), 'content');
      expect(look(root, name)).toMatchObject({ kind: 'file' });
      expect(open(name)?.state.size).toBe(7);
    },
  );

  test.skipIf(isRoot)('that may not be read is an error, not an absence', () => {
    const { root, open, absolute } = folder();
    fs.chmodSync(absolute('a'), 0);
    expect(() => open('a')).toThrow(expect.objectContaining({ code: 'EACCES' }) as Error);
    expect(look(root, 'a')).toMatchObject({ kind: 'file' });
  });
});

describe('what is no regular file', () => {
  test.each([
    ['nothing', 'none', { kind: 'absent' }],
    ['below a file', 'a/b', { kind: 'absent' }],
    ['below nothing', 'none/b', { kind: 'absent' }],
    ['a directory', 'd', { kind: 'other', type: 'directory' }],
    ['a named pipe', 'pipe', { kind: 'other', type: 'fifo' }],
    ['a socket', 'socket', { kind: 'other', type: 'socket' }],
    ['a link to a file', 'link', { kind: 'other', type: 'symlink' }],
    ['a link to nothing', 'dangling', { kind: 'other', type: 'symlink' }],
    ['behind a link to a directory', 'elsewhere/b', { kind: 'absent' }],
  ])('%s is not opened, and leaves no descriptor', async (_what, name, local) => {
    const { root, absolute, outside } = folder();
    execFileSync('mkfifo', [absolute('pipe')]);
    fs.symlinkSync('a', absolute('link'));
    fs.symlinkSync('nowhere', absolute('dangling'));
    fs.symlinkSync(outside, absolute('elsewhere'));
    const server = net.createServer().listen(absolute('socket'));
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const before = openDescriptors();
    expect(openFile(root, name)).toBeUndefined();
    expect(openDescriptors()).toBe(before);
    expect(look(root, name)).toMatchObject(local);
  });

  // A loop of links, or a name longer than the system takes: root, who may look everywhere, gets these errors too.
  test.each([
    ['ELOOP', 'loop/file'],
    ['ENAMETOOLONG', 'x'.repeat(256)],
  ])('%s is an error, and not nothing', (code, name) => {
    const { root, absolute } = folder();
    fs.symlinkSync('loop', absolute('loop'));
    expect(() => look(root, name)).toThrow(code);
  });

  test('a device is not opened', () => {
    const root = { path: '/dev', symlinks: 'skip' as const, files: systemFiles };
    expect(openFile(root, 'null')).toBeUndefined();
    expect(look(root, 'null')).toMatchObject({ kind: 'other', type: 'device' });
  });

  test('a directory above it that was swapped for a link leads nowhere', () => {
    const { root, open, absolute, outside } = folder();
    expect(open('d/b')).toBeDefined();
    fs.renameSync(absolute('d'), absolute('moved'));
    fs.symlinkSync(outside, absolute('d'));
    expect(open('d/b'), 'O_NOFOLLOW guards only the last segment').toBeUndefined();
    expect(look(root, 'd/b')).toEqual({ kind: 'absent' });
  });

  test('a directory that was swapped for a link to a place in the folder leads nowhere either', () => {
    const { root, open, absolute } = folder();
    fs.symlinkSync('d', absolute('e'));
    expect(open('e/b')).toBeUndefined();
    expect(look(root, 'e/b')).toEqual({ kind: 'absent' });
  });
});

describe('where links are followed', () => {
  test('a link inside the folder is the file that it names', () => {
    const { root, open, absolute } = folder('follow');
    fs.symlinkSync('d/b', absolute('link'));
    fs.symlinkSync('d', absolute('e'));
    expect(look(root, 'link')).toMatchObject({ kind: 'file', file: { size: 5 } });
    expect(open('link')?.state.size).toBe(5);
    expect(open('e/b')?.state.size).toBe(5);
  });

  test('a link out of the folder is none', () => {
    const { root, open, absolute, outside } = folder('follow');
    fs.symlinkSync(path.join(outside, 'b'), absolute('link'));
    fs.symlinkSync(outside, absolute('e'));
    expect(look(root, 'link')).toMatchObject({ kind: 'other', type: 'symlink' });
    expect(open('link')).toBeUndefined();
    expect(open('e/b')).toBeUndefined();
  });

  test('a link to nothing is nothing', () => {
    const { root, open, absolute } = folder('follow');
    fs.symlinkSync('nowhere', absolute('link'));
    expect(look(root, 'link')).toEqual({ kind: 'absent' });
    expect(open('link')).toBeUndefined();
  });

  test('a folder whose name begins with that of another is not inside it', () => {
    const { root, absolute } = folder('follow');
    fs.mkdirSync(`${root.path}2`);
    fs.writeFileSync(`${root.path}2/b`, 'secret');
    fs.symlinkSync(`${root.path}2/b`, absolute('link'));
    expect(openFile(root, 'link')).toBeUndefined();
  });
});

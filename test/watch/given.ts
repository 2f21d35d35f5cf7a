// What the tests of the watch thread start from: a directory on disk.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import { Attentive } from './attentive.ts';

/** An empty directory that is gone after the test. */
export function temporaryDirectory(): string {
  const path = realpathSync(mkdtempSync(join(tmpdir(), 's3syncd-watch-')));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Writes files, named by their paths; a path that ends in `/` is an empty directory. */
export function write(root: string, ...paths: readonly string[]): void {
  for (const path of paths) {
    if (path.endsWith('/')) mkdirSync(join(root, path), { recursive: true });
    else {
      mkdirSync(dirname(`${root}/${path}`), { recursive: true });
      writeFileSync(`${root}/${path}`, path);
    }
  }
}

/** A main thread for one folder, until the test ends. */
export function attend(...args: ConstructorParameters<typeof Attentive>): Attentive {
  const attentive = new Attentive(...args);
  onTestFinished(() => attentive.watch.stop());
  return attentive;
}

/** The user id of `nobody`, as whom a root that runs the tests tries what root may do always. */
export const nobody = 65534;

/** True when a script of the tests can be run as `nobody`; else says which tests are skipped for it. */
export function canRunAsNobody(script: URL, what: string): boolean {
  const program = `require('node:fs').accessSync(${JSON.stringify(script.pathname)})`;
  const can =
    process.getuid?.() === 0 &&
    spawnSync(process.execPath, ['-e', program], { uid: nobody, gid: nobody, cwd: '/' }).status === 0;
  if (!can) console.warn(`skipped: ${what} (needs root, and a checkout that others may read)`);
  return can;
}

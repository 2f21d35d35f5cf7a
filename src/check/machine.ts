// This machine: the state directory, credentials in files, the folders, and what the kernel grants.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { systemFiles } from '../edge/files.ts';
import type { Config, FolderConfig } from '../config/config.ts';
import { isTooOpen, whyNotOurs } from '../journal/state-dir.ts';
import { countDirectories } from '../watch/directories.ts';
import { networkFileSystem, watchesMax } from '../watch/limits.ts';
import { lookAtRoot } from '../watch/root.ts';
import { Selection } from '../watch/selection.ts';
import { finding, type Finding } from './finding.ts';

const MiB = 1024 ** 2;

/** A journal of a million files has about this much; without room for it nothing is claimed any more. */
const freeBytesMin = 512 * MiB;

export function checkStateDir(stateDir: string, freeBytes = freeBytesOf): Finding[] {
  const subject = `state-dir ${stateDir}`;
  // It is made at the first start: what counts is the nearest directory that exists.
  let existing = stateDir;
  while (!fs.existsSync(existing)) existing = path.dirname(existing);
  const network = networkFileSystem(systemFiles.fileSystem(existing));
  if (network) {
    const message = `is on ${network}, where a SQLite journal is not safe`;
    return [finding('error', 'state-dir', subject, message, 'choose a directory on a local disk')];
  }
  const findings: Finding[] = [];
  try {
    fs.accessSync(existing, fs.constants.W_OK | fs.constants.X_OK);
    findings.push(finding('ok', 'state-dir', subject, 'can be written'));
  } catch {
    const advice = `give this user the right to write in ${existing}`;
    findings.push(finding('error', 'state-dir', subject, 'cannot be written', advice));
  }
  if (existing === stateDir) {
    // Root looks on behalf of the user that runs it.
    const uid = process.geteuid!() === 0 ? fs.statSync(stateDir).uid : process.geteuid!();
    const refusal = whyNotOurs(stateDir, uid);
    if (refusal !== undefined) findings.push(finding('error', 'state-dir', subject, refusal));
    else if (isTooOpen(stateDir)) {
      const message =
        'can be read by other users, and the journal holds the name of every file: the next start takes that away';
      findings.push(finding('warning', 'state-dir', subject, message, `chmod 700 ${stateDir}`));
    }
  }
  const free = freeBytes(existing);
  if (free < freeBytesMin) {
    const message = `has ${Math.floor(free / MiB)} MiB left on its disk; when that is full, nothing is synced`;
    findings.push(finding('warning', 'disk-space', subject, message, 'make room, or choose another disk'));
  }
  return findings;
}

function freeBytesOf(directory: string): number {
  const { bavail, bsize } = fs.statfsSync(directory);
  return bavail * bsize;
}

/** Files with secrets that the AWS SDK reads by itself. Those that the config names were looked at when it was loaded. */
export function checkCredentials(config: Config, env: NodeJS.ProcessEnv): Finding[] {
  const usesFiles = [...config.destinations.values()].some(
    ({ credentials, sharedCredentialsFile, webIdentityTokenFile }) =>
      credentials === undefined && sharedCredentialsFile === undefined && webIdentityTokenFile === undefined,
  );
  if (!usesFiles) return [];
  const home = env['HOME'] ?? os.homedir();
  const shared = env['AWS_SHARED_CREDENTIALS_FILE'] ?? path.join(home, '.aws/credentials');
  const token = env['AWS_WEB_IDENTITY_TOKEN_FILE'];
  return [...checkSecretFile(shared), ...(token === undefined ? [] : checkSecretFile(token))];
}

function checkSecretFile(file: string): Finding[] {
  try {
    if (!fs.existsSync(file)) return [];
    fs.accessSync(file, fs.constants.R_OK);
    if ((fs.statSync(file).mode & 0o007) === 0) return [];
    const message = 'can be read by every user of this machine';
    return [finding('warning', 'credentials', file, message, `chmod o= ${file}`)];
  } catch {
    const advice = 'give this user the right to read it, or use credentials from elsewhere';
    return [
      finding('warning', 'credentials', file, 'cannot be read, so its credentials are not used', advice),
    ];
  }
}

/** Examples of what is a longer list. */
const examplesMax = 3;

export function checkFolder(folder: FolderConfig): { findings: Finding[]; directories: number } {
  const subject = `folder "${folder.name}"`;
  const root = lookAtRoot(systemFiles, folder.name, folder.path);
  if (root.state !== 'ok') {
    const message = root.message.replace(`${subject}: `, '');
    return { findings: [finding('error', 'folder', subject, message)], directories: 0 };
  }
  const findings = [finding('ok', 'folder', subject, `${folder.path} can be read`)];
  const network = networkFileSystem(systemFiles.fileSystem(folder.path));
  if (network) {
    const message = `is on ${network}, which tells nothing of changes made elsewhere: it is polled`;
    findings.push(finding('warning', 'folder', subject, message));
  }
  const { count, unreadable } = countDirectories(root.path, new Selection(folder, systemFiles));
  if (unreadable.length > 0) {
    const examples = unreadable.slice(0, examplesMax).join(', ');
    const more = unreadable.length > examplesMax ? ', …' : '';
    const message = `cannot be read in ${unreadable.length} of its directories (${examples}${more}): nothing below them is synced`;
    const advice = 'give the user that runs s3syncd read and search access, or exclude them';
    findings.push(finding('warning', 'folder', subject, message, advice));
  }
  return { findings, directories: count };
}

/** @param directories that are watched, each by one of the watches that the kernel grants to this user in all programs */
export function checkWatches(directories: number, granted: number | undefined = watchesMax()): Finding[] {
  if (granted === undefined) return [];
  const subject = 'fs.inotify.max_user_watches';
  const wanted = 2 ** Math.ceil(Math.log2(Math.max(524_288, 2 * directories)));
  const setting = `fs.inotify.max_user_watches=${wanted}`;
  const advice = `echo ${setting} | sudo tee /etc/sysctl.d/60-s3syncd.conf && sudo sysctl ${setting}`;
  const counts = `${directories} directories need a watch each, and the kernel grants ${granted} to a user`;
  if (directories > granted) {
    return [finding('warning', 'inotify', subject, `is too low: ${counts}; the rest is polled`, advice)];
  }
  // Editors and file managers take from the same purse.
  if (directories > 0.8 * granted) {
    return [finding('warning', 'inotify', subject, `is nearly used up: ${counts}`, advice)];
  }
  return [finding('ok', 'inotify', subject, `is enough (${directories} of ${granted})`)];
}

/** @param level of fs.protected_hardlinks: 0 lets a user who may write in a folder link a file into it that only we may read */
export function checkHardLinks(level = protectedHardLinks()): Finding[] {
  if (level !== '0') return [];
  const message =
    'is 0: who may write in a folder can link files into it that s3syncd may read and they may not, and have them uploaded';
  const advice = 'sudo sysctl fs.protected_hardlinks=1';
  return [finding('warning', 'hard-links', 'fs.protected_hardlinks', message, advice)];
}

function protectedHardLinks(): string | undefined {
  try {
    return fs.readFileSync('/proc/sys/fs/protected_hardlinks', 'utf8').trim();
  } catch {
    return undefined;
  }
}

// Check: looks at everything a run depends on and says what is wrong, before it goes wrong.
import fs from 'node:fs';
import path from 'node:path';
import type { Config, DestinationConfig, FolderConfig } from './config/config.ts';
import { routePrefix } from './config/config.ts';
import type { Access } from './core/description.ts';
import { Failure } from './core/failure.ts';
import { customerKeys, type Rule } from './core/rules.ts';
import { probe, probeEncryption } from './transfer/probe.ts';
import { connect, S3Destination } from './transfer/s3.ts';
import { lookAtRoot } from './watch/root.ts';
import { networkFileSystem } from './watch/limits.ts';

export interface Finding {
  readonly level: 'ok' | 'warning' | 'error';
  /** What it is about: `folder "documents"`. */
  readonly subject: string;
  readonly message: string;
  /** Trying again later may do. */
  readonly temporary: boolean;
}

export async function checkConfig(config: Config): Promise<Finding[]> {
  const findings: Finding[] = [finding('ok', config.file, 'is valid')];
  findings.push(checkStateDir(config.stateDir));
  for (const folder of config.folders) findings.push(...checkFolder(folder));
  for (const destination of config.destinations.values()) {
    findings.push(...(await checkDestination(config, destination)));
  }
  return findings;
}

function checkStateDir(stateDir: string): Finding {
  const subject = `state-dir ${stateDir}`;
  // It is made at the first start: what counts is the nearest directory that exists.
  let existing = stateDir;
  while (!fs.existsSync(existing)) existing = path.dirname(existing);
  const network = networkFileSystem(existing);
  if (network) {
    return finding(
      'error',
      subject,
      `is on ${network}, where a SQLite journal is not safe: choose a local disk`,
    );
  }
  try {
    fs.accessSync(existing, fs.constants.W_OK | fs.constants.X_OK);
    return finding('ok', subject, 'can be written');
  } catch {
    return finding('error', subject, `cannot be written: give this user the right to write in ${existing}`);
  }
}

function checkFolder(folder: FolderConfig): Finding[] {
  const subject = `folder "${folder.name}"`;
  const root = lookAtRoot(folder.name, folder.path);
  if (root.state !== 'ok') return [finding('error', subject, root.message.replace(`${subject}: `, ''))];
  const findings = [finding('ok', subject, `${folder.path} can be read`)];
  const network = networkFileSystem(folder.path);
  if (network) {
    findings.push(
      finding(
        'warning',
        subject,
        `is on ${network}, which tells nothing of changes made elsewhere: it is polled`,
      ),
    );
  }
  return findings;
}

async function checkDestination(config: Config, destination: DestinationConfig): Promise<Finding[]> {
  const subject = `destination "${destination.name}"`;
  const routes = config.folders.flatMap((folder) =>
    folder.to
      .filter((route) => route.destination === destination.name)
      .map(({ policy }) => ({ folder, policy })),
  );
  const folders = routes.map(({ folder }) => folder);
  const client = connect(destination);
  try {
    const findings: Finding[] = [];
    for (const prefix of new Set(folders.map((folder) => routePrefix(destination, folder)))) {
      const s3 = new S3Destination(destination, client);
      const capabilities = await probe(s3, prefix);
      const place = `${destination.bucket}/${prefix}`;
      findings.push(finding('ok', subject, `${place} can be written`));
      const needy = routes.filter(({ policy }) => policy !== 'overwrite');
      if (needy.length > 0 && !capabilities.putIfAbsent && !destination.unsafeEmulation) {
        const names = needy.map(({ folder, policy }) => `"${folder.name}" (${policy})`).join(', ');
        findings.push(
          finding(
            'error',
            subject,
            `ignores If-None-Match, so it cannot keep the policy of ${names}: use another store or policy overwrite, ` +
              'or accept the race with `unsafe-emulation: true`',
          ),
        );
      }
      if (capabilities.putIfMatch === 'denied' && needy.some(({ policy }) => policy !== 'skip-existing')) {
        findings.push(
          finding(
            'error',
            subject,
            'policies if-unchanged and newer-wins need the right s3:GetObject: grant it',
          ),
        );
      }
      if (needy.length > 0 && capabilities.putIfAbsent && !capabilities.completeIfAbsent) {
        findings.push(
          finding(
            'warning',
            subject,
            'ignores conditions on multipart uploads: files go up as one request each, and those over 5 GiB are blocked',
          ),
        );
      }
      if (!capabilities.checksums) {
        findings.push(
          finding('warning', subject, 'does not keep checksums: equality is judged by ETag and time'),
        );
      }
      if (!capabilities.multipartTags && folders.some((folder) => folder.rules.some((rule) => rule.tags))) {
        findings.push(
          finding(
            'warning',
            subject,
            'drops tags of files over 8 MiB (multipart uploads): they get them by one more request',
          ),
        );
      }
    }
    findings.push(...(await checkBucket(new S3Destination(destination, client), folders, subject)));
    for (const folder of folders) {
      const s3 = new S3Destination(destination, client, customerKeys(folder.rules));
      findings.push(...(await checkEncryption(s3, routePrefix(destination, folder), folder, subject)));
    }
    return findings;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const temporary =
      error.class === 'unreachable' || error.class === 'transient' || error.class === 'throttled';
    return [{ level: 'error', subject, message: error.message.replace(`${subject}: `, ''), temporary }];
  } finally {
    client.destroy();
  }
}

/** What the rules ask for and the bucket does not have. */
async function checkBucket(
  s3: S3Destination,
  folders: readonly FolderConfig[],
  subject: string,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const need = (needs: (rule: Rule) => boolean) =>
    folders.filter(({ rules }) => rules.some(needs)).map(({ name }) => `"${name}"`);
  const withAccess = need(({ access }) => access !== undefined && !changesNothing(access));
  if (withAccess.length > 0 && (await s3.allowsAcls()) === false) {
    const names = withAccess.join(', ');
    findings.push(
      finding(
        'error',
        subject,
        `its bucket has ACLs disabled (object ownership: bucket owner enforced), and rules of ${names} set some: ` +
          'remove acl and grant-… from them, and use a bucket policy, or enable ACLs for the bucket',
      ),
    );
  }
  const withLock = need(({ objectLock }) => objectLock !== undefined);
  if (withLock.length > 0 && (await s3.allowsLocks()) === false) {
    const names = withLock.join(', ');
    findings.push(
      finding(
        'error',
        subject,
        `its bucket has no Object Lock, and rules of ${names} lock objects: enable it for the bucket, or remove object-lock from them`,
      ),
    );
  }
  return findings;
}

/** Writes the scratch key with every encryption that the rules ask for. */
async function checkEncryption(
  s3: S3Destination,
  prefix: string,
  folder: FolderConfig,
  subject: string,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const wanted = new Map(folder.rules.map(({ encryption }) => [JSON.stringify(encryption), encryption]));
  for (const encryption of wanted.values()) {
    if (!encryption) continue;
    const what = encryption.sse === 'customer' ? 'sse-customer-key' : `"sse: ${encryption.sse}"`;
    try {
      if (await probeEncryption(s3, prefix, encryption)) continue;
      const message = `ignores ${what} of folder "${folder.name}": its objects would not be encrypted`;
      findings.push(finding('error', subject, message));
    } catch (error) {
      if (!(error instanceof Failure) || (error.class !== 'denied' && error.class !== 'permanent'))
        throw error;
      const message = `refuses ${what} of folder "${folder.name}": ${error.message.replace(`${subject}: `, '')}`;
      findings.push(finding('error', subject, message));
    }
  }
  return findings;
}

/** A bucket without ACLs takes those that say what is so in any case. */
function changesNothing(access: Access): boolean {
  return access.kind === 'canned' && (access.acl === 'bucket-owner-full-control' || access.acl === 'private');
}

function finding(level: Finding['level'], subject: string, message: string): Finding {
  return { level, subject, message, temporary: false };
}

// Checks of whose rights a destination uses: keys that do not go together, and files that are read for them.
import type { DestinationConfig } from './config.ts';
import type { Path, Secrets } from './document.ts';
import { problem, warning, type Finding } from './finding.ts';
import { readTextFile } from './text-file.ts';

/** A file of credentials or a token has a few kilobytes: what is larger is another file. */
const fileBytesMax = 1024 * 1024;

/** @param secrets `left-out`: a verb that does without may be run by somebody who may not read them */
export function* checkCredentials(destination: DestinationConfig, secrets: Secrets): Iterable<Finding> {
  const at = (key: string): Path => ['destinations', destination.name, key];
  const { credentials, profile, roleArn, externalId, sharedCredentialsFile, webIdentityTokenFile } =
    destination;
  if (credentials) {
    for (const [key, value] of [
      ['profile', profile],
      ['shared-credentials-file', sharedCredentialsFile],
    ] as const) {
      if (value !== undefined)
        yield problem(
          at(key),
          'there are credentials too, and only one can be used; remove one of them',
          'key',
        );
    }
  }
  if (roleArn === undefined) {
    for (const [key, value] of [
      ['external-id', externalId],
      ['web-identity-token-file', webIdentityTokenFile],
    ] as const) {
      if (value !== undefined)
        yield problem(
          at(key),
          `is for assuming a role, and there is no role-arn; add it or remove ${key}`,
          'key',
        );
    }
  }
  if (webIdentityTokenFile !== undefined) {
    for (const [key, value] of [
      ['external-id', externalId],
      ['credentials', credentials],
      ['profile', profile],
      ['shared-credentials-file', sharedCredentialsFile],
    ] as const) {
      if (value !== undefined)
        yield problem(
          at(key),
          'does not go with web-identity-token-file, whose token says all that the role asks for; remove one of them',
          'key',
        );
    }
    yield* checkFile(webIdentityTokenFile, at('web-identity-token-file'), secrets);
  }
  if (sharedCredentialsFile !== undefined)
    yield* checkFile(sharedCredentialsFile, at('shared-credentials-file'), secrets, profile ?? 'default');
}

/** @param profile that the file must have */
function* checkFile(file: string, path: Path, secrets: Secrets, profile?: string): Iterable<Finding> {
  if (secrets === 'left-out') return;
  const read = readTextFile(file, fileBytesMax);
  if (read.kind === 'unreadable') {
    yield problem(path, `cannot read ${file} (${read.code})`);
    return;
  }
  if (profile !== undefined && !profilesOf(read.text).includes(profile))
    yield problem(path, `${file} has no profile "${profile}"; correct profile, or name another file`);
  // Kubernetes mounts a token for everybody in its container, who is nobody else.
  const isKey = profile !== undefined;
  if (isKey && (read.mode & 0o007) !== 0)
    yield problem(path, `${file} can be read by every user of this machine; run: chmod 600 ${file}`);
  else if ((read.mode & 0o077) !== 0)
    yield warning(path, `${file} can be read by other users; run: chmod 600 ${file}`);
}

/** Names in `[…]`; in a config file of the AWS CLI they stand behind the word `profile`. */
function profilesOf(text: string): string[] {
  return [...text.matchAll(/^\s*\[\s*(?:profile\s+)?"?([^\]"]+?)"?\s*\]/gm)].map(([, name]) => name!);
}

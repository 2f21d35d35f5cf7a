// Expansion of `${env:NAME}`, `${env:NAME:-default}` and `${cred:NAME}`. Only whole scalars expand, so that nothing is
// ever pasted into the middle of a path or a pattern, and what is unset is an error and never an empty text.
import { join } from 'node:path';
import { readTextFile } from './text-file.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export type Expansion =
  /** The scalar means what it says. */
  | { readonly kind: 'literal' }
  | { readonly kind: 'value'; readonly value: string }
  /** The message says what is wrong with it, as a sentence without its place. */
  | { readonly kind: 'problem'; readonly message: string };

const variablePattern = /^\$\{env:([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?\}$/s;
const credentialPattern = /^\$\{cred:([A-Za-z0-9_-][A-Za-z0-9._-]*)\}$/;

// A key or a token has a few hundred bytes: what is larger is another file.
const credentialBytesMax = 64 * 1024;

/**
 * Where a scalar may come from. A `secret` must come from elsewhere, and a default would be a secret in the file; a `key`
 * must not even pass through the environment, which other processes inherit.
 */
export type Secrecy = 'open' | 'secret' | 'key';

/** What a scalar of the config stands for. */
export function expand(text: string, env: Environment, secrecy: Secrecy): Expansion {
  const secret = secrecy !== 'open';
  if (secrecy === 'key' && !credentialPattern.test(text)) {
    return problem('an encryption key comes from a systemd credential only; write ${cred:NAME}');
  }
  if (!text.includes('${')) {
    if (!secret) return { kind: 'literal' };
    return problem(
      'a secret must not stand in the config file; write ${env:NAME} for an environment variable or ${cred:NAME} for a systemd credential',
    );
  }
  const credential = credentialPattern.exec(text)?.[1];
  if (credential !== undefined) return readCredential(credential, env);
  const [whole, variable, fallback] = variablePattern.exec(text) ?? [];
  if (whole === undefined || variable === undefined)
    return problem(whyNotExpandable(secret ? 'the value' : JSON.stringify(text), text));
  if (secret && fallback !== undefined) {
    return problem(
      `a secret must not stand in the config file, not even as a default; write \${env:${variable}}`,
    );
  }
  const value = env[variable];
  if (fallback !== undefined)
    return { kind: 'value', value: value === undefined || value === '' ? fallback : value };
  if (value !== undefined) return { kind: 'value', value };
  const remedy = secret ? 'set it' : `set it, or write \${env:${variable}:-default}`;
  return problem(`environment variable ${variable} is not set; ${remedy}`);
}

function whyNotExpandable(quoted: string, text: string): string {
  if (/^\$\{[^}]*\}$/.test(text)) {
    return `${quoted} is not known here; write \${env:NAME}, \${env:NAME:-default} or \${cred:NAME}`;
  }
  return `${quoted} has \${…} inside a longer text; it expands only where it is the whole value, so put the whole value into the variable`;
}

function readCredential(name: string, env: Environment): Expansion {
  const directory = env['CREDENTIALS_DIRECTORY'];
  if (!directory) {
    return problem(
      `credential ${name} cannot be read because $CREDENTIALS_DIRECTORY is not set; systemd sets it for a unit with LoadCredential=${name}:/path/of/the/file`,
    );
  }
  const file = join(directory, name);
  const read = readTextFile(file, credentialBytesMax);
  if (read.kind === 'unreadable') {
    return problem(
      read.code === 'ENOENT'
        ? `credential ${name} does not exist (${file}); add LoadCredential=${name}:/path/of/the/file to the unit`
        : `credential ${name} cannot be read (${file}: ${read.code})`,
    );
  }
  if (othersMayRead(read.mode, directory)) {
    return problem(`credential ${name} can be read by other users; run: chmod 600 ${file}`);
  }
  return { kind: 'value', value: read.text.replace(/\r?\n$/, '') };
}

// From systemd 254 on the group bits of a credential are the mask of its access list, which names the unit's user only.
function othersMayRead(mode: number, directory: string): boolean {
  return (mode & 0o007) !== 0 || ((mode & 0o070) !== 0 && !directory.startsWith('/run/'));
}

function problem(message: string): Expansion {
  return { kind: 'problem', message };
}

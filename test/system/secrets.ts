// What must be in no output: every secret that a test hands to the program is a canary. All that the program printed and left in
// its state directory is searched for them when the test ends; a find fails it.
import type { ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

/** A header that S3 would take from anybody. */
const signed = ['AWS4-HMAC-SHA256', 'X-Amz-Signature', 'X-Amz-Credential'];

/** Names of variables and credentials with secrets in them. The id of an access key is half of one. */
const secretNames = /SECRET|TOKEN|KEY|CANARY|_ID$/i;

/** Shorter ones stand in other words. */
const lengthMin = 8;

export class Secrets {
  readonly #values = new Map<string, string>();
  readonly #outputs: { readonly of: string; readonly pieces: Buffer[] }[] = [];

  constructor() {
    for (const value of signed) this.#values.set(value, 'a signature');
  }

  /** From now on the value, also in base64, is a secret. */
  add(name: string, value: string): void {
    if (value.length < lengthMin) return;
    this.#values.set(value, name);
    this.#values.set(Buffer.from(value).toString('base64'), `${name}, in base64,`);
  }

  /** Remembers all that a child prints, and what it was told in secret. */
  attend(child: ChildProcess, args: readonly string[], env: NodeJS.ProcessEnv): void {
    for (const [name, value = ''] of Object.entries(env)) if (secretNames.test(name)) this.add(name, value);
    const directory = env['CREDENTIALS_DIRECTORY'];
    for (const name of directory === undefined ? [] : fs.readdirSync(directory))
      this.add(name, fs.readFileSync(path.join(directory!, name), 'utf8').trim());
    const pieces: Buffer[] = [];
    this.#outputs.push({ of: `output of s3syncd ${args[0] ?? ''}`, pieces });
    for (const stream of [child.stdout!, child.stderr!])
      stream.on('data', (piece: Buffer | string) => pieces.push(Buffer.from(piece)));
  }

  /** @throws Error that names what was found, and where */
  assertKept(stateDir: string): void {
    const found = [
      ...this.#outputs.map(({ of, pieces }) => ({ of, bytes: Buffer.concat(pieces) })),
      ...files(stateDir),
    ].flatMap(({ of, bytes }) =>
      [...this.#values]
        .filter(([value]) => bytes.includes(value))
        .map(([, name]) => `${name} is in the ${of}`),
    );
    if (found.length > 0) throw new Error(`secrets were told: ${[...new Set(found)].join('; ')}`);
  }
}

/** The journal with its log, and whatever else is there. */
function files(directory: string): { of: string; bytes: Buffer }[] {
  if (!fs.existsSync(directory)) return [];
  return fs
    .readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => ({ of: `file ${name}`, bytes: fs.readFileSync(path.join(directory, name)) }));
}

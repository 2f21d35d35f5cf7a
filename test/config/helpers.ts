import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Config } from '../../src/config/config.ts';
import type { Environment } from '../../src/config/expand.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Loaded } from '../../src/config/load.ts';

/** A directory that is gone when the test is over. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 's3syncd-config-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return directory;
}

/** Loads a text as config.yaml of a directory of its own, or of the given one. */
function load(text: string, env: Environment = {}, directory = temporaryDirectory()): Loaded {
  const file = join(directory, 'config.yaml');
  writeFileSync(file, text);
  return loadConfig(file, env);
}

/** Problems of a text as `line:column: message`. */
export function problemsOf(text: string, env?: Environment, directory?: string): string[] {
  const loaded = load(text, env, directory);
  return loaded.kind === 'config' ? [] : lines(loaded.problems);
}

/** Warnings of a text as `line:column: message`. */
export function warningsOf(text: string, env?: Environment): string[] {
  return lines(load(text, env).warnings);
}

/** The configuration of a text that must be right. */
export function configOf(text: string, env?: Environment, directory?: string): Config {
  const loaded = load(text, env, directory);
  if (loaded.kind === 'problems') throw new Error(lines(loaded.problems).join('\n'));
  return loaded.config;
}

function lines(problems: Loaded['warnings']): string[] {
  return problems.map(({ line, column, message }) => `${line}:${column}: ${message}`);
}

/** A config with lines of a destination (from line 6, column 5), a folder (after it) or at the top (last). */
export function configWith(extra: { destination?: string; folder?: string; top?: string }): string {
  return [
    'version: 1',
    'state-dir: state',
    'destinations:',
    '  backup:',
    '    bucket: acme-backup',
    ...indented(extra.destination),
    'folders:',
    '  documents:',
    '    path: documents',
    '    to: backup',
    ...indented(extra.folder),
    ...(extra.top === undefined ? [] : extra.top.split('\n')),
    '',
  ].join('\n');
}

function indented(text: string | undefined): string[] {
  return text === undefined ? [] : text.split('\n').map((line) => `    ${line}`);
}

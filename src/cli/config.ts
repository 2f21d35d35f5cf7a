import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { formatProblem } from '../config/problem.ts';

/** Loads the config, or says on stderr all that is wrong with it. Undefined then: exit with 78. */
export function readConfig(file: string): Config | undefined {
  const loaded = loadConfig(file, process.env);
  for (const warning of loaded.warnings) process.stderr.write(`${formatProblem(warning)} (warning)\n`);
  if (loaded.kind === 'config') return loaded.config;
  for (const problem of loaded.problems) process.stderr.write(`${formatProblem(problem)}\n`);
  return undefined;
}

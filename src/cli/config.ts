import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { formatProblem } from '../config/problem.ts';

/**
 * Loads the config, or says on stderr all that is wrong with it. Undefined then: exit with 78.
 * @param warnings takes the warnings of a config that is valid otherwise; without it they go to stderr
 */
export function readConfig(file: string, warnings?: string[]): Config | undefined {
  const loaded = loadConfig(file, process.env);
  const say = (line: string) =>
    loaded.kind === 'config' && warnings ? warnings.push(line) : process.stderr.write(`${line} (warning)\n`);
  for (const warning of loaded.warnings) say(formatProblem(warning));
  if (loaded.kind === 'config') return loaded.config;
  for (const problem of loaded.problems) process.stderr.write(`${formatProblem(problem)}\n`);
  return undefined;
}

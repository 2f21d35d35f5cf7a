import type { Config } from '../config/config.ts';
import type { Secrets } from '../config/document.ts';
import { loadConfig } from '../config/load.ts';
import { formatProblem } from '../config/problem.ts';

/**
 * Loads the config, or says on stderr all that is wrong with it. Undefined then: exit with 78.
 * @param options.warnings takes the warnings of a config that is valid otherwise; without it they go to stderr
 * @param options.secrets whether this verb needs them
 */
export function readConfig(
  file: string,
  { warnings, secrets }: { warnings?: string[]; secrets?: Secrets } = {},
): Config | undefined {
  const loaded = loadConfig(file, process.env, secrets);
  const say = (line: string) =>
    loaded.kind === 'config' && warnings ? warnings.push(line) : process.stderr.write(`${line} (warning)\n`);
  for (const warning of loaded.warnings) say(formatProblem(warning));
  if (loaded.kind === 'config') return loaded.config;
  for (const problem of loaded.problems) process.stderr.write(`${formatProblem(problem)}\n`);
  return undefined;
}

// Check: looks at everything a run depends on and says what is wrong, before it goes wrong.
import type { Config } from '../config/config.ts';
import { checkDestination } from './destination.ts';
import { finding, type Finding } from './finding.ts';
import { checkCredentials, checkFolder, checkHardLinks, checkStateDir, checkWatches } from './machine.ts';

export async function checkConfig(config: Config): Promise<Finding[]> {
  const findings: Finding[] = [finding('ok', 'config', config.file, 'is valid')];
  findings.push(...checkStateDir(config.stateDir));
  findings.push(...checkCredentials(config, process.env));
  const folders = config.folders.map(checkFolder);
  findings.push(...folders.flatMap((folder) => folder.findings));
  findings.push(...checkWatches(folders.reduce((sum, { directories }) => sum + directories, 0)));
  findings.push(...checkHardLinks());
  for (const destination of config.destinations.values()) {
    findings.push(...(await checkDestination(config, destination)));
  }
  return findings;
}

// `iam-policy`: what to allow, as JSON that IAM and S3 take as it is; what else there is to know goes to stderr.
import type { Config, DestinationConfig } from '../config/config.ts';
import { bucketPolicy, destinationPolicy, kmsKeys, runnerPolicy } from '../config/iam-policy.ts';
import { readConfig } from './config.ts';
import { exitCodes, type ExitCode } from './exit.ts';
import type { VerbOptions } from './verb.ts';

export async function run(options: VerbOptions): Promise<ExitCode> {
  const config = readConfig(options.config, { secrets: 'left-out' });
  if (!config) return exitCodes.config;
  const answer = answerTo(config, options);
  if (typeof answer === 'string') {
    process.stderr.write(`${answer}\n`);
    return exitCodes.usage;
  }
  for (const note of answer.notes) process.stderr.write(`${note}\n`);
  process.stdout.write(`${JSON.stringify(answer.policy, undefined, 2)}\n`);
  return exitCodes.ok;
}

/** A text says what is wrong with the options. */
function answerTo(config: Config, { destination: name, bucketPolicy: ofBucket, principal }: VerbOptions) {
  const destinations = [...config.destinations.values()];
  const destination = destinations.find((one) => one.name === name);
  const names = destinations.map((one) => one.name).join(', ');
  if (name !== undefined && !destination) return `there is no destination "${name}": known are ${names}`;
  if (!ofBucket) {
    if (principal !== undefined) return '--principal belongs to --bucket-policy';
    return destination
      ? { policy: destinationPolicy(config, destination), notes: [] }
      : { policy: runnerPolicy(config), notes: notesFor(destinations) };
  }
  if (principal === undefined) return '--bucket-policy needs --principal ARN: the user or role to be allowed';
  const chosen = destination ?? (destinations.length === 1 ? destinations[0] : undefined);
  if (!chosen) return `--bucket-policy is about one bucket: add --destination, one of ${names}`;
  const notes = [
    `The account of ${principal} must allow the same: s3syncd iam-policy --destination ${chosen.name}`,
    ...kmsKeys(config, chosen).map(
      (key) => `The policy of KMS key ${key} must allow it kms:GenerateDataKey and kms:Decrypt`,
    ),
  ];
  return { policy: bucketPolicy(config, chosen, principal), notes };
}

/** Not everything is for one and the same identity. */
function notesFor(destinations: readonly DestinationConfig[]): string[] {
  const direct = destinations.filter(({ roleArn }) => roleArn === undefined);
  const identities = new Set(
    direct.map(({ credentials, profile }) => JSON.stringify([credentials, profile])),
  );
  const notes = destinations.flatMap(({ name, roleArn }) =>
    roleArn === undefined ? [] : [`The policy of ${roleArn}: s3syncd iam-policy --destination ${name}`],
  );
  if (identities.size < 2) return notes;
  return [
    ...notes,
    'The destinations have different credentials: --destination NAME prints the policy for one',
  ];
}

// Credentials: whose rights the requests to a destination have. Given keys, a profile, or the SDK's default chain; and from
// there a role, when one is named.
import type { S3ClientConfig } from '@aws-sdk/client-s3';
import type { DestinationConfig } from '../config/config.ts';

/** Where they are needed only: they bring the STS client. */
const load = () => import('@aws-sdk/credential-providers');

type Providers = Awaited<ReturnType<typeof load>>;

const sessionName = 's3syncd';

export function credentialsConfig(
  config: DestinationConfig,
): Pick<S3ClientConfig, 'credentials' | 'profile'> {
  const { credentials, profile, roleArn, sharedCredentialsFile } = config;
  // Also for the region, whoever has the rights.
  const base = profile === undefined ? {} : { profile };
  if (roleArn !== undefined)
    return { ...base, credentials: async () => ofRole(config, roleArn, await load())() };
  if (sharedCredentialsFile !== undefined)
    return { ...base, credentials: async () => ofProfile(config, await load())() };
  return { ...base, ...(credentials && { credentials }) };
}

function ofRole(config: DestinationConfig, roleArn: string, providers: Providers) {
  const { credentials, profile, externalId, sharedCredentialsFile, webIdentityTokenFile } = config;
  const { fromTemporaryCredentials, fromTokenFile } = providers;
  if (webIdentityTokenFile !== undefined)
    return fromTokenFile({
      webIdentityTokenFile,
      roleArn,
      roleSessionName: sessionName,
      ...inRegion(config),
    });
  const namesProfile = profile !== undefined || sharedCredentialsFile !== undefined;
  const masterCredentials = credentials ?? (namesProfile ? ofProfile(config, providers) : undefined);
  return fromTemporaryCredentials({
    ...(masterCredentials && { masterCredentials }),
    params: {
      RoleArn: roleArn,
      RoleSessionName: sessionName,
      ...(externalId !== undefined && { ExternalId: externalId }),
    },
    ...inRegion(config),
  });
}

function ofProfile(config: DestinationConfig, { fromIni }: Providers) {
  const { profile, sharedCredentialsFile } = config;
  return fromIni({
    ...(profile !== undefined && { profile }),
    ...(sharedCredentialsFile !== undefined && { filepath: sharedCredentialsFile }),
    // Whoever renews the file expects it to be read again.
    ignoreCache: true,
    ...inRegion(config),
  });
}

/** Of STS: the destination's, for the global endpoint is a single one for all the world. */
function inRegion({ region }: DestinationConfig) {
  return region === undefined ? {} : { clientConfig: { region } };
}

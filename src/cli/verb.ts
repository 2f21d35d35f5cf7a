/** What every verb is given. */
export interface VerbOptions {
  readonly config: string;
  readonly json?: boolean;
  readonly exitCode?: boolean;
  readonly destination?: string;
  readonly bucketPolicy?: boolean;
  readonly principal?: string;
}

import type { ExitCode } from './exit.ts';

/** What every verb is given. */
export interface VerbOptions {
  readonly config: string;
  readonly json?: boolean;
  readonly exitCode?: boolean;
  readonly destination?: string;
  readonly bucketPolicy?: boolean;
  readonly principal?: string;
}

/** A verb's file. */
export interface Run {
  readonly run: (options: VerbOptions, args: readonly string[]) => Promise<ExitCode>;
}

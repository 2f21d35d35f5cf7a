/** Exit codes, as the README lists them. 75 and 78 are those of sysexits(3). */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  noDaemon: 3,
  differences: 4,
  undecided: 5,
  temporary: 75,
  config: 78,
} as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

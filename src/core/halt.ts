// Halt: a folder, or a folder's way to a destination, for which nothing is done, with the reason, until that is over.

const haltReasons = [
  'root-missing',
  'root-not-a-directory',
  'root-unreadable',
  'store-emptied',
  'store-replaced',
] as const;
export type HaltReason = (typeof haltReasons)[number];

export interface Halt {
  readonly reason: HaltReason;
  /** What is wrong, and what ends it. */
  readonly message: string;
  readonly sinceMs: number;
}

/** Others end by themselves, as soon as what was missing is back. */
export function needsResume({ reason }: Pick<Halt, 'reason'>): boolean {
  return reason === 'store-emptied' || reason === 'store-replaced';
}

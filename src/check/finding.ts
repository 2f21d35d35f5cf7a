// Findings: what `check` has to say, in one form for people and programs.

/**
 * `ok`: as it should be. `note`: nothing is wrong; could be better, or could not be asked. `warning`: works, and something is
 * lost by it. `error`: does not work, or must not.
 */
const levels = ['ok', 'note', 'warning', 'error'] as const;
export type Level = (typeof levels)[number];

/** What a finding is about, for programs; the same in every version. */
const topics = [
  'config',
  'state-dir',
  'disk-space',
  'credentials',
  'folder',
  'inotify',
  'hard-links',
  'access',
  'owner',
  'clock',
  'conditions',
  'checksums',
  'tags',
  'acls',
  'object-lock',
  'rule-encryption',
  'versioning',
  'public',
  'encryption',
  'lifecycle',
  'uploads',
  'not-asked',
] as const;
export type Topic = (typeof topics)[number];

export interface Finding {
  readonly level: Level;
  readonly topic: Topic;
  /** Whose it is: `folder "documents"`. */
  readonly subject: string;
  /** What was found and what it means, as a predicate of the subject. */
  readonly message: string;
  /** What to do, often a command. Absent where there is nothing to do. */
  readonly advice?: string;
  /** Trying again later may do. */
  readonly temporary: boolean;
}

export function finding(
  level: Level,
  topic: Topic,
  subject: string,
  message: string,
  advice?: string,
): Finding {
  return { level, topic, subject, message, ...(advice !== undefined && { advice }), temporary: false };
}

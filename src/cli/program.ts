// The verbs: one table, one file each, loaded only when it is asked for (`status` must not load the AWS SDK).
import { Command, CommanderError, Option } from 'commander';
import { StateDirRefused } from '../journal/state-dir.ts';
import { JournalUnusable } from '../journal/disk.ts';
import { version } from '../version.ts';
import { exitCodes, type ExitCode } from './exit.ts';
import type { Run, VerbOptions } from './verb.ts';

interface Verb {
  readonly name: string;
  readonly summary: string;
  readonly help: string;
  /** Reports, hence has `--json`. */
  readonly reports: boolean;
  readonly options?: readonly Option[];
  /** What it takes besides, as commander writes it: `[path...]`. */
  readonly argument?: readonly [name: string, description: string];
  /** Each with `-c` and the rest of its own: `conflicts resolve`. Without one of them the verb itself is run. */
  readonly verbs?: readonly Verb[];
  readonly load: () => Promise<Run>;
}

const folderOption = () => new Option('--folder <name>', 'only of this folder');

const deletePaths = ['[path...]', 'files, or directories, as `deletes list` names them'] as const;

const failurePaths = ['[path...]', 'files, or directories, as `failures` names them'] as const;

async function answerHeld(answer: 'approve' | 'discard'): Promise<Run> {
  const { run } = await import('./deletes-answer.ts');
  return { run: (options, paths) => run(answer, options, paths) };
}

const verbs: readonly Verb[] = [
  {
    name: 'run',
    summary: 'watch the folders and keep them in S3, until stopped',
    help: 'This is the daemon: what systemd starts. Ctrl-C or SIGTERM ends it within 10 seconds.',
    reports: false,
    load: () => import('./run.ts'),
  },
  {
    name: 'once',
    summary: 'bring every folder in line once, and exit',
    help:
      'Scans the folders, uploads what is new or changed since the last time, and exits. An unchanged tree costs no ' +
      'request at all. Files are taken as they are now; a file that changes while it is read is read again.',
    reports: true,
    load: () => import('./once.ts'),
  },
  {
    name: 'plan',
    summary: 'say what would be done and why, and touch nothing',
    help: 'Works beside a running daemon. With --exit-code it exits with 4 when there is something to do.',
    reports: true,
    options: [new Option('--exit-code', 'exit with 4 when there is something to do')],
    load: () => import('./plan.ts'),
  },
  {
    name: 'check',
    summary: 'check this machine, the folders, and what the buckets allow and enforce',
    help:
      'Each finding says what to do. ✓ is in order; · could be better, or could not be asked; ! costs something; ✗ does not ' +
      'work, or must not: a bucket that is public without allow-public is one. Writes nothing but one scratch object ' +
      '`.s3syncd-probe` under each prefix, and removes it again.',
    reports: true,
    load: () => import('./check.ts'),
  },
  {
    name: 'iam-policy',
    summary: 'print the least that IAM must allow for this config',
    help:
      'Without options: the policy for whom s3syncd runs as. A destination with a role-arn is only named in it; the policy of ' +
      'the role comes with --destination. For a bucket of another account --bucket-policy prints what its owner must allow; ' +
      'both policies are needed then. Statements called …Check are for `s3syncd check` alone and may be left out. A bucket ' +
      'that encrypts with a KMS key by default needs kms:GenerateDataKey and kms:Decrypt on that key besides, and ' +
      '`prune --remove` s3:DeleteObject where the config deletes nothing.',
    reports: false,
    options: [
      new Option('--destination <name>', 'only for this one'),
      new Option('--bucket-policy', 'print the policy of the bucket instead'),
      new Option('--principal <arn>', 'with --bucket-policy: the user or role that is allowed'),
    ],
    load: () => import('./iam-policy.ts'),
  },
  {
    name: 'status',
    summary: 'what is in S3, what is not yet, since when and why',
    help:
      'Asks the running daemon, or reads the journal when there is none. Exits with 0 when all is well, 1 when something ' +
      'failed or is blocked, 5 when something waits for your decision, 75 when a destination cannot be reached.',
    reports: true,
    load: () => import('./status.ts'),
  },
  {
    name: 'apply',
    summary: 'bring objects in line with rules that were changed, without sending files again',
    help:
      '`plan` lists what differs. Tags, ACLs and locks are put, one request for each object; everything else takes a copy ' +
      'of the object onto itself, which makes a new version where the bucket keeps versions. A running daemon does it, ' +
      'after a restart with the new rules; without one it is done here. What cannot be done where the object is, is listed ' +
      'and left.',
    reports: true,
    options: [folderOption()],
    load: () => import('./apply.ts'),
  },
  {
    name: 'failures',
    summary: 'every file that is not in S3 for a reason of its own, and what to do about it',
    help:
      'What failed, is blocked, is being retried, in conflict or held, with the reason, since when, how often it was tried and when ' +
      'next. With paths only those; a directory stands for all below it. Works with and without a daemon. Exits with 1 when ' +
      'something failed or is blocked, 5 when something waits for your decision, 75 when all will be tried again by itself.',
    reports: true,
    argument: failurePaths,
    options: [folderOption()],
    load: () => import('./failures.ts'),
  },
  {
    name: 'retry',
    summary: 'try failed and blocked files again, now',
    help:
      'All of them, or the paths that are named; a directory stands for all below it. Also ends the waiting between two tries, ' +
      'has conflicts looked at again, and destinations that are in trouble. Held deletes wait for `deletes approve`. Needs a ' +
      'running daemon; without one, the next start or `once` tries everything anyway.',
    reports: true,
    argument: failurePaths,
    options: [folderOption()],
    load: () => import('./retry.ts'),
  },
  {
    name: 'resume',
    summary: 'let go on what was halted until you look at it',
    help:
      'Nothing is sent to a bucket in which none of the objects that were put there is found any more: it was emptied, or ' +
      'another one has its name. `status` says so. If it is meant to be this one, `resume` has everything that is known of it ' +
      'forgotten: every file is compared with what is there, and uploaded where it is missing; nothing is deleted. A folder that ' +
      'is not there goes on by itself when it is back. The daemon does it at once; without one, the next `run` or `once`.',
    reports: true,
    options: [folderOption(), new Option('--destination <name>', 'only to this destination')],
    load: () => import('./resume.ts'),
  },
  {
    name: 'history',
    summary: 'what happened to a file: when, why, to which key, and what S3 answered',
    help:
      'Newest first, times in UTC: uploads, copies, deletes, decisions not to act, conflicts, and failures when they began; what still ' +
      'fails is said first. A directory stands for all below it; without a path everything is listed. The journal remembers 30 ' +
      'days and at most 100,000 changes. Works with and without a daemon.',
    reports: true,
    argument: ['[path...]', 'files, or directories, as `status` names them'],
    options: [folderOption(), new Option('--limit <number>', 'how many entries (50 unless told)')],
    load: () => import('./history.ts'),
  },
  {
    name: 'deletes',
    summary: 'deletes that wait for your decision, and why',
    help:
      'A delete is held when something is in doubt: the folder is empty or is another one than before, something was mounted ' +
      'or unmounted in it, or more files are gone than max-delete allows. Nothing is deleted until you decide; uploads go on. ' +
      'A file that comes back ends the hold by itself. Exits with 5 while one is held.',
    reports: true,
    options: [folderOption()],
    load: () => import('./deletes.ts'),
    verbs: [
      {
        name: 'list',
        summary: 'list held deletes, as without a verb',
        help: 'With paths only those; a directory stands for all below it. Exits with 5 while one is held.',
        reports: true,
        argument: deletePaths,
        options: [folderOption()],
        load: () => import('./deletes.ts'),
      },
      {
        name: 'approve',
        summary: 'let held deletes go: all of them, or the paths that are named',
        help:
          'Exactly those that are held now, and only if their files are still gone and their objects still the same. Where another ' +
          'directory stands at the root of the folder, it is taken for the folder from then on. The daemon does it at once; ' +
          'without one, the next `run` or `once`. Exits with 5 when others are still held.',
        reports: true,
        argument: deletePaths,
        options: [folderOption()],
        load: () => answerHeld('approve'),
      },
      {
        name: 'discard',
        summary: 'keep the objects of held deletes: all of them, or the paths that are named',
        help: 'Their objects stay in S3 as if `delete: keep` were set; the files are not missed any more.',
        reports: true,
        argument: deletePaths,
        options: [folderOption()],
        load: () => answerHeld('discard'),
      },
    ],
  },
  {
    name: 'conflicts',
    summary: 'what waits for your decision, with both sides of it',
    help:
      'A conflict is a file whose policy finds no safe action: somebody else wrote the object. Nothing is changed in S3 until ' +
      'you decide. It is looked at again when the file changes and by `retry`, and ends by itself when both sides are equal ' +
      'or one of them is gone. Exits with 5 while one is open.',
    reports: true,
    options: [folderOption()],
    load: () => import('./conflicts.ts'),
    verbs: [
      {
        name: 'list',
        summary: 'list open conflicts, as without a verb',
        help: 'Exits with 5 while one is open.',
        reports: true,
        options: [folderOption()],
        load: () => import('./conflicts.ts'),
      },
      {
        name: 'resolve',
        summary: 'decide about conflicts',
        help:
          'A decision is about the object that `conflicts` shows. If another one stands there when it is carried out, nothing is ' +
          'changed and there is a conflict again. The daemon carries it out at once; without one, the next `run` or `once` does.',
        reports: true,
        argument: ['[path...]', 'files in conflict, as `conflicts` names them'],
        options: [
          new Option('--overwrite', 'the file replaces the object').conflicts(['skip', 'keepBoth']),
          new Option('--skip', 'the object stays, until the file changes again').conflicts('keepBoth'),
          new Option(
            '--keep-both',
            'the object stays; the file goes beside it, to KEY.conflict-HOST-TIME-HASH',
          ),
          new Option('--all', 'all that are open'),
          folderOption(),
        ],
        load: () => import('./conflicts-resolve.ts'),
      },
    ],
  },
  {
    name: 'prune',
    summary: 'list objects that belong to no file and never did; remove them with --remove',
    help:
      'Objects below the prefixes without a file, which s3syncd neither wrote nor adopted; and those whose files are excluded, ' +
      'named as such. What `delete: keep` kept is not among them. A folder that is halted, not synced to its end or not readable ' +
      'as a whole is left out. --remove needs the daemon to be stopped, and removes no object that changed since it was listed.',
    reports: true,
    options: [folderOption(), new Option('--remove', 'remove what is listed')],
    load: () => import('./prune.ts'),
  },
];

/** All that the README must name. */
export const verbNames: readonly string[] = [...verbs.map((verb) => verb.name), 'config', 'version'];

const defaultConfig = '/etc/s3syncd/config.yaml';

const epilogue = `
Begin:
  s3syncd check  -c config.yaml    is everything in order?
  s3syncd plan   -c config.yaml    what would happen?
  s3syncd once   -c config.yaml    do it once
  s3syncd run    -c config.yaml    keep doing it

Exit codes: 0 all well, 1 something failed, is blocked or halted, 2 usage, 3 no daemon, 4 differences found,
5 conflicts or held deletes are open, 75 temporary (destination unreachable), 78 configuration error.`;

/** Runs the command line. @returns the exit code */
export async function main(argv: readonly string[]): Promise<ExitCode> {
  let result: ExitCode = exitCodes.ok;
  const program = new Command('s3syncd')
    .description(
      'Keeps local folders in S3: every change is remembered, nothing is lost, torn or wrongly overwritten.',
    )
    .usage('<verb> [options]')
    .helpCommand(false)
    .showHelpAfterError('(s3syncd --help lists the verbs)')
    .addHelpText('after', epilogue)
    .version(version, '-V, --version', 'print the version')
    .exitOverride();

  const addVerb = (parent: Command, verb: Verb) => {
    const command = parent
      .command(verb.name)
      .summary(verb.summary)
      .description(`${capitalise(verb.summary)}.\n\n${verb.help}`)
      .option('-c, --config <file>', 'the config file', defaultConfig);
    if (verb.reports) command.option('--json', 'print one JSON document instead of a table');
    for (const option of verb.options ?? []) command.addOption(option);
    if (verb.argument) command.argument(...verb.argument);
    command.action(async () => {
      const { run } = await verb.load();
      // A verb below another one may have its options before its name.
      result = await run(command.optsWithGlobals<VerbOptions>(), command.args);
    });
    for (const below of verb.verbs ?? []) addVerb(command, below);
  };
  for (const verb of verbs) addVerb(program, verb);
  program
    .command('config')
    .summary('about the config file')
    .description('About the config file.')
    .command('schema')
    .description('Print the JSON Schema of the config file, for editors that complete and check it.')
    .action(async () => {
      const { configJsonSchema } = await import('../config/describe.ts');
      process.stdout.write(configJsonSchema());
    });
  program
    .command('version')
    .summary('print the version')
    .description('Print the versions of s3syncd and Node.')
    .option('--json', 'print one JSON document')
    .action(({ json }: { json?: boolean }) => {
      const versions = { s3syncd: version, node: process.versions.node };
      process.stdout.write(
        json ? `${JSON.stringify(versions)}\n` : `s3syncd ${version} (Node ${process.versions.node})\n`,
      );
    });

  try {
    await program.parseAsync(argv);
    return result;
  } catch (error) {
    if (error instanceof StateDirRefused) {
      process.stderr.write(`${error.message}\n`);
      return exitCodes.config;
    }
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    if ((error as NodeJS.ErrnoException).code === 'EACCES') {
      const advice = 'run it as the user that runs s3syncd, or as root';
      process.stderr.write(`${(error as Error).message}; ${advice}\n`);
      return exitCodes.failed;
    }
    if (!(error instanceof JournalUnusable)) throw error;
    process.stderr.write(`${error.message}\n`);
    return error.kind === 'full' ? exitCodes.temporary : exitCodes.failed;
  }
}

function capitalise(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

// The invariants of docs/semantics.md as laws: random histories of files, crashes and other writers, over the real `decide`
// and an S3 in memory.
import { array, constantFrom, option, record, type Arbitrary } from 'fast-check';
import { describe } from 'vitest';
import type { Policy } from '../../src/core/policy.ts';
import { judgement } from '../helpers/given.ts';
import { law } from '../helpers/law.ts';
import { ModelDaemon, World, type Content, type Mishap } from '../helpers/world.ts';

const runs = { numRuns: 10_000 };
const contents: Arbitrary<Content> = constantFrom(0, 1, 2, 3);
const crashes = constantFrom('never', 'never', 'before the write', 'after the write');

/** The file becomes this, or is deleted; then somebody else does something; then the daemon runs. */
interface Step {
  readonly file: Content | 'gone' | 'untouched';
  readonly foreign: Content | 'gone' | null;
  /** Between the daemon's look and its write. */
  readonly meanwhile: Content | 'gone' | null;
  readonly crash: Mishap['crash'];
}

const foreignAct = option(constantFrom<Content | 'gone'>(0, 1, 2, 3, 'gone'), { freq: 2 });
const steps: Arbitrary<Step[]> = array(
  record({
    file: constantFrom<Step['file']>(0, 1, 2, 3, 'gone', 'untouched'),
    foreign: foreignAct,
    meanwhile: foreignAct,
    crash: crashes,
  }),
  { minLength: 1, maxLength: 8 },
);

function somebodyElse(world: World, what: Content | 'gone' | null): void {
  world.now += 1;
  if (what === 'gone') world.remove('somebody else', { kind: 'none' });
  else if (what !== null) world.put('somebody else', what, { kind: 'none' });
}

function play(daemon: ModelDaemon, world: World, { file, foreign, meanwhile, crash }: Step): void {
  if (file !== 'untouched') daemon.edit(file === 'gone' ? undefined : file);
  somebodyElse(world, foreign);
  daemon.run({ crash, meanwhile: () => somebodyElse(world, meanwhile) });
}

function daemonUnder(policy: Policy, deletes: 'keep' | 'propagate' = 'propagate', world = new World()) {
  return { world, daemon: new ModelDaemon('ours', world, judgement(policy, 'content', { delete: deletes })) };
}

describe('I1', () => {
  law(
    'skip-existing never replaces, and if-unchanged neither replaces nor deletes what it neither wrote nor took over',
    record({ policy: constantFrom('skip-existing' as const, 'if-unchanged' as const), steps }),
    ({ policy, steps }) => {
      const { world, daemon } = daemonUnder(policy);
      for (const step of steps) play(daemon, world, step);
      const ours = world.history.filter(({ by, replaced }) => by === 'ours' && replaced !== undefined);
      return ours.every(
        ({ kind, replaced }) =>
          daemon.known.has(replaced!) && (policy === 'if-unchanged' || kind === 'delete'),
      );
    },
    runs,
  );
});

describe('I2', () => {
  law(
    'no DELETE of a key that is not tracked, or whose file is there; none at all under keep',
    record({
      policy: constantFrom<Policy>('overwrite', 'skip-existing', 'if-unchanged', 'newer-wins'),
      deletes: constantFrom('keep' as const, 'propagate' as const),
      steps,
    }),
    ({ policy, deletes, steps }) => {
      const { world, daemon } = daemonUnder(policy, deletes);
      for (const step of steps) play(daemon, world, step);
      const sent = world.history.some(({ by, kind }) => by === 'ours' && kind === 'delete');
      return daemon.deletedUntracked.length === 0 && !(deletes === 'keep' && sent);
    },
    runs,
  );
});

describe('I3', () => {
  law(
    'overwrite: in the end the object is the file, whoever wrote and whatever crashed before',
    record({ steps, last: contents }),
    ({ steps, last }) => {
      const { world, daemon } = daemonUnder('overwrite');
      for (const step of steps) play(daemon, world, step);
      // What is not touched any more is not looked at: an end comes with a last change.
      daemon.edit(last === 0 ? 1 : 0);
      daemon.run();
      daemon.edit(last);
      daemon.run();
      return world.object?.content === last && daemon.isIdle;
    },
    runs,
  );
});

describe('I4', () => {
  law(
    'whatever crashes, the next run comes to the state that is reached without',
    record({
      policy: constantFrom<Policy>('overwrite', 'skip-existing', 'if-unchanged', 'newer-wins'),
      steps: array(record({ file: contents, crash: crashes }), { minLength: 1, maxLength: 8 }),
    }),
    ({ policy, steps }) => {
      const outcome = (mayCrash: boolean) => {
        const { world, daemon } = daemonUnder(policy);
        for (const { file, crash } of steps) {
          daemon.edit(file);
          daemon.run({ crash: mayCrash ? crash : 'never' });
          // As at the next start.
          daemon.run();
        }
        const { etag, owned, gone } = daemon.baseline ?? {};
        return JSON.stringify([world.object?.content, etag, owned, gone, daemon.inConflict, daemon.isIdle]);
      };
      return outcome(true) === outcome(false);
    },
    runs,
  );

  law(
    'a write of ours whose answer was lost is never a conflict, also when the file changes before the next run',
    record({
      policy: constantFrom<Policy>('overwrite', 'skip-existing', 'if-unchanged', 'newer-wins'),
      steps: array(record({ file: contents, crash: crashes }), { minLength: 1, maxLength: 8 }),
    }),
    ({ policy, steps }) => {
      const { world, daemon } = daemonUnder(policy);
      for (const { file, crash } of steps) {
        daemon.edit(file);
        daemon.run({ crash });
      }
      daemon.run();
      const isCurrent = policy === 'skip-existing' || world.object?.content === steps.at(-1)!.file;
      return !daemon.inConflict && isCurrent;
    },
    runs,
  );
});

describe('I5', () => {
  law(
    'what has not changed costs no request, whatever was before',
    record({
      policy: constantFrom<Policy>('overwrite', 'skip-existing', 'if-unchanged', 'newer-wins'),
      steps,
    }),
    ({ policy, steps }) => {
      const { world, daemon } = daemonUnder(policy);
      for (const step of steps) play(daemon, world, step);
      daemon.run();
      const { requests } = world;
      daemon.run();
      return daemon.isIdle && world.requests === requests;
    },
    runs,
  );
});

describe('I6', () => {
  law(
    'of two daemons that write one key under if-unchanged one wins, and the other has a conflict, unless they wrote the same',
    record({
      before: option(contents),
      first: contents,
      second: contents,
      isRace: constantFrom(true, false),
    }),
    ({ before, first, second, isRace }) => {
      const world = new World();
      const [a, b] = ['a', 'b'].map((name) => new ModelDaemon(name, world, judgement('if-unchanged'))) as [
        ModelDaemon,
        ModelDaemon,
      ];
      if (before !== null) {
        for (const daemon of [a, b]) {
          daemon.edit(before);
          daemon.run();
        }
      }
      a.edit(first);
      b.edit(second);
      if (isRace) a.run({ crash: 'never', meanwhile: () => b.run() });
      else {
        a.run();
        b.run();
      }
      const lost = [a, b].filter(({ inConflict }) => inConflict);
      const isWinner = world.object?.content === first || world.object?.content === second;
      const agree = first === second || first === before || second === before;
      return isWinner && (agree ? lost.length <= 1 : lost.length === 1);
    },
    runs,
  );
});

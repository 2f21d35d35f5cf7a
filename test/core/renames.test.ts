// T2's rows of renames, touches and changes of mode or owner, cell by cell, and the laws of copies.
import { boolean, constantFrom, option, record } from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Action } from '../../src/core/action.ts';
import { decide, type Facts } from '../../src/core/decide.ts';
import { kinship } from '../../src/core/origin.ts';
import { compares, policies, preservable, type Preservable } from '../../src/core/policy.ts';
import {
  absent,
  baseline,
  conflict,
  copy,
  describeAnew,
  file,
  given,
  ifMatch,
  judgement,
  look,
  none,
  object,
  settle,
  upload,
  words,
} from '../helpers/given.ts';
import { law } from '../helpers/law.ts';

/** In the order of `policies`: overwrite, skip-existing, if-unchanged, newer-wins; one action stands for all. */
type Cells = readonly [Action, Action, Action, Action] | Action;
type Row = readonly [situation: string, Facts, Cells];

function cellsOf(rows: readonly Row[]) {
  return rows.flatMap(([situation, facts, cells]) =>
    policies.map((policy, column) => {
      const action = Array.isArray(cells) ? (cells as readonly Action[])[column]! : (cells as Action);
      return [policy, situation, words(action), facts, action] as const;
    }),
  );
}

const GiB = 1024 ** 3;
const renamed = file(10, { mtime: -100, ctime: 0 });
const moved = file(10, { mtime: -100 });
const before = baseline('uploaded', moved);
const { checksum: _, ...unverified } = before;
const { etag: __, ...unnamed } = before;
const huge = file(5 * GiB + 1);
const other = baseline('uploaded', file(7, { ino: 2n }), { etag: '"b"' });

const copied = [copy(none), copy(absent), copy(absent), copy(absent)] as const;
const uploaded = [
  upload(none, 'new'),
  upload(absent, 'new'),
  upload(absent, 'new'),
  upload(absent, 'new'),
] as const;

describe('T2, rename a → b', () => {
  test.each(
    cellsOf([
      ['with its directory: nothing about the file changed', given({ local: moved, origin: before }), copied],
      [
        'by itself, which sets its ctime as a write does',
        given({ local: renamed, origin: before }),
        look('origin'),
      ],
      ['its content is that of a', given({ local: renamed, origin: before, originContent: 'same' }), copied],
      [
        'its content is another',
        given({ local: renamed, origin: before, originContent: 'different' }),
        uploaded,
      ],
      [
        'a was deleted already, and its object kept',
        given({ local: moved, origin: { ...before, outcome: 'kept-remote', gone: true } }),
        copied,
      ],
      ['no checksum of a is known', given({ local: moved, origin: unverified }), uploaded],
      ['no ETag of a is known', given({ local: moved, origin: unnamed }), uploaded],
      ['the store would not copy', given({ local: moved, origin: before, copyRefused: true }), uploaded],
      ['it has more than 5 GiB', given({ local: huge, origin: baseline('uploaded', huge) }), uploaded],
      [
        'a was another inode, size, time or device',
        given({ local: file(10, { mtime: -100, ino: 3n }), origin: before }),
        uploaded,
      ],
      [
        'b had another file, whose object is replaced',
        given({ local: moved, baseline: other, origin: before }),
        [
          copy(none),
          settle('skipped-existing', 'exists', 'owned'),
          copy(ifMatch('"b"')),
          copy(ifMatch('"b"')),
        ],
      ],
      [
        'an older object turned up at b',
        given({ local: moved, remote: object(12, { mtime: -200 }), origin: before }),
        [
          copy(none),
          settle('skipped-existing', 'exists', 'not owned'),
          conflict('foreign'),
          copy(ifMatch('"theirs"')),
        ],
      ],
      [
        'a newer object turned up at b',
        given({ local: moved, remote: object(12, { mtime: 200 }), origin: before }),
        [
          copy(none),
          settle('skipped-existing', 'exists', 'not owned'),
          conflict('foreign'),
          settle('remote-newer', 'older', 'not owned'),
        ],
      ],
      [
        'the same object turned up at b',
        given({ local: moved, remote: object(10), content: 'same', origin: before }),
        [
          settle('adopted', 'same', 'owned'),
          settle('adopted', 'same', 'not owned'),
          settle('adopted', 'same', 'not owned'),
          settle('adopted', 'same', 'not owned'),
        ],
      ],
      [
        'the object at b is gone by now',
        given({ local: moved, baseline: other, remote: 'absent', origin: before }),
        copied,
      ],
    ]),
  )('%s: %s: %s', (policy, _situation, _words, facts, action) => {
    expect(decide(facts, judgement(policy))).toEqual(action);
  });

  test.each([
    ['dev', { dev: 2n }],
    ['ino', { ino: 2n }],
    ['mtime', { mtime: -99 }],
  ])('a file with another %s is another file', (_what, more) => {
    expect(kinship({ path: 'a', baseline: before }, file(10, { mtime: -100, ...more }))).toBe('none');
  });
});

describe('T2, touch only and chmod only', () => {
  const touched = file(10, { mtime: 0 });
  const chmodded = file(10, { mtime: -100, ctime: 0, mode: 0o100600 });
  const chowned = { ...file(10, { mtime: -100, ctime: 0 }), uid: 0 };
  const done = settle('touched', 'times-only', 'owned');
  const deferred = settle('meta-deferred', 'times-only', 'owned');
  const atOnce = describeAnew('times-only');

  const kinds: readonly [kind: string, ReturnType<typeof file>, Preservable][] = [
    ['touched', touched, 'mtime'],
    ['chmodded', chmodded, 'mode'],
    ['chowned', chowned, 'owner'],
  ];
  const cells = kinds.flatMap(([kind, local, what]) => {
    const facts = { local, baseline: before, content: 'same' } as const;
    const others = preservable.filter((each) => each !== what);
    return [
      [kind, 'nothing is preserved', [], 'eager', facts, done],
      [kind, 'others are preserved', others, 'eager', facts, done],
      [kind, 'it is preserved lazily', [what], 'lazy', facts, deferred],
      [kind, 'it is preserved eagerly', [what], 'eager', facts, atOnce],
      [
        kind,
        'eagerly, and the store would not copy',
        [what],
        'eager',
        { ...facts, copyRefused: true },
        deferred,
      ],
      [kind, 'eagerly, and no ETag is known', [what], 'eager', { ...facts, baseline: unnamed }, deferred],
    ] as const;
  });

  test.each(cells.flatMap((cell) => policies.map((policy) => [policy, ...cell] as const)))(
    '%s: %s, %s',
    (policy, _kind, _how, preserve, preserveChanges, facts, action) => {
      const by = judgement(policy, 'content', { preserve, preserveChanges });
      expect(decide(given(facts), by)).toEqual(policy === 'skip-existing' ? done : action);
    },
  );

  test('of more than 5 GiB goes with the next upload', () => {
    const facts = given({
      local: { ...huge, mode: 0o100600, ctimeNs: huge.ctimeNs + 1n },
      baseline: baseline('uploaded', huge),
      content: 'same',
    });
    const by = judgement('overwrite', 'content', { preserve: ['mode'], preserveChanges: 'eager' });
    expect(decide(facts, by)).toEqual(deferred);
  });

  test('where sizes alone count the content is not read for it', () => {
    const facts = given({ local: chmodded, baseline: before });
    for (const compare of ['size', 'size-and-time', 'aws'] as const) {
      const by = judgement('if-unchanged', compare, { preserve: ['mode'], preserveChanges: 'eager' });
      expect(decide(facts, by)).toEqual(describeAnew('same'));
    }
  });

  test('compare: aws uploads what was touched', () => {
    expect(decide(given({ local: touched, baseline: before }), judgement('overwrite', 'aws'))).toEqual(
      upload(none, 'newer'),
    );
  });
});

const situations = record({
  local: constantFrom(moved, renamed, file(10, { ino: 3n })),
  known: option(constantFrom(other, before), { nil: undefined }),
  remote: option(constantFrom('absent' as const, object(10), object(12, { mtime: -200 })), {
    nil: undefined,
  }),
  content: option(constantFrom('same' as const, 'different' as const), { nil: undefined }),
  originContent: option(constantFrom('same' as const, 'different' as const, 'incomparable' as const), {
    nil: undefined,
  }),
  copyRefused: boolean(),
  policy: constantFrom(...policies),
  compare: constantFrom(...compares),
});

describe('for all facts', () => {
  law(
    'a copy is held to what the upload that it spares would be held to',
    situations,
    ({ local, known, remote, content, originContent, copyRefused, policy, compare }) => {
      const facts = given({
        local,
        origin: before,
        copyRefused,
        ...(known && { baseline: known }),
        ...(remote && { remote }),
        ...(content && { content }),
        ...(originContent && { originContent }),
      });
      const action = decide(facts, judgement(policy, compare));
      if (action.kind !== 'copy') return true;
      const spared = decide({ ...facts, origin: undefined }, judgement(policy, compare));
      return (
        spared.kind === 'upload' &&
        JSON.stringify(spared.precondition) === JSON.stringify(action.precondition)
      );
    },
    { numRuns: 10_000 },
  );

  law(
    'nothing is copied that is not known to have the content of the file',
    situations,
    ({ local, originContent, copyRefused, policy, compare }) => {
      const facts = given({ local, origin: before, copyRefused, ...(originContent && { originContent }) });
      const action = decide(facts, judgement(policy, compare));
      return action.kind !== 'copy' || local === moved || (local === renamed && originContent === 'same');
    },
    { numRuns: 10_000 },
  );
});

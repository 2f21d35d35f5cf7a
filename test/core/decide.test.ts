// The tables of docs/semantics.md, cell by cell, and the laws that hold for all facts.
import {
  bigInt,
  boolean,
  constant,
  constantFrom,
  integer,
  option,
  record,
  subarray,
  tuple,
  type Arbitrary,
} from 'fast-check';
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, test } from 'vitest';
import { settledOutcomes, type Action } from '../../src/core/action.ts';
import { resolutions, type OpenConflict, type Resolution } from '../../src/core/conflict.ts';
import { decide, type Content, type Facts, type Judgement } from '../../src/core/decide.ts';
import { otherTypes, type FileState, type Local } from '../../src/core/file.ts';
import { contentSize, type ObjectState, type Remote } from '../../src/core/object.ts';
import {
  compares,
  deleteModes,
  policies,
  preservable,
  preserveChanges,
  type Compare,
  type Policy,
} from '../../src/core/policy.ts';
import {
  absent,
  baseline,
  conflict,
  drop,
  file,
  forget,
  given,
  ifMatch,
  judgement,
  listed,
  look,
  none,
  noonMs,
  object,
  recreate,
  remove,
  settle,
  shown,
  upload,
  words,
} from '../helpers/given.ts';
import { law } from '../helpers/law.ts';

/** A row: the facts, and the action under each policy; one action stands for all of them. */
type Row = [facts: string, Facts, Cells | Action];
/** In the order of `policies`: overwrite, skip-existing, if-unchanged, newer-wins. */
type Cells = [Action, Action, Action, Action];
interface Table {
  title: string;
  compare: Compare;
  rows: Row[];
}

function cellsOf(rows: readonly Row[]) {
  return rows.flatMap(([facts, given, actions]) =>
    policies.map((policy, column) => {
      const action = Array.isArray(actions) ? actions[column]! : actions;
      return [policy, facts, words(action), given, action] as const;
    }),
  );
}

const ours = baseline('uploaded', file(10, { mtime: -100 }));
const adoptedByAll: Cells = [
  settle('adopted', 'same', 'owned'),
  settle('adopted', 'same', 'not owned'),
  settle('adopted', 'same', 'not owned'),
  settle('adopted', 'same', 'not owned'),
];

/** The object differs, and nothing of it is known: T1's lower rows, with the file newer, older, or neither. */
function foreign(reason: 'size-differs' | 'newer' | 'older' | 'content-differs', newerWins: Action): Cells {
  return [
    upload(none, reason),
    settle('skipped-existing', 'exists', 'not owned'),
    conflict('foreign'),
    newerWins,
  ];
}
const uploadedIfSame = upload(ifMatch('"theirs"'), 'newer');
const remoteNewer = settle('remote-newer', 'older', 'not owned');

function compressed(size: number) {
  return { transform: 'gzip', size, checksum: { algorithm: 'crc32', value: 'AAAAAA==' } } as const;
}
function encrypted(size: number) {
  return { transform: 'age', size };
}

const unchanged = file(10, { mtime: -100 });
const touchedByAll = settle('touched', 'times-only', 'owned');
const modified = (reason: 'changed' | 'size-differs' | 'newer'): Cells => [
  upload(none, reason),
  settle('skipped-existing', 'exists', 'owned'),
  upload(ifMatch('"ours"'), reason),
  upload(ifMatch('"ours"'), reason),
];

const leftAlone = baseline('skipped-existing', unchanged, { owned: false, etag: '"theirs"' });

const tables: readonly Table[] = [
  {
    title: 'T1: first contact, by content',
    compare: 'content',
    rows: [
      [
        'the object is missing',
        given({ local: file(10), remote: 'absent' }),
        [
          upload(none, 'missing'),
          upload(absent, 'missing'),
          upload(absent, 'missing'),
          upload(absent, 'missing'),
        ],
      ],
      [
        'sizes differ, the file is newer',
        given({ local: file(11, { mtime: 10 }), remote: object(10, { mtime: 0 }) }),
        foreign('size-differs', uploadedIfSame),
      ],
      [
        'sizes differ, the file is older',
        given({ local: file(11, { mtime: -10 }), remote: object(10, { mtime: 0 }) }),
        foreign('size-differs', remoteNewer),
      ],
      [
        'sizes differ, times do not',
        given({ local: file(11), remote: object(10, { mtime: 0 }) }),
        foreign('size-differs', conflict('ambiguous')),
      ],
      [
        'sizes differ, the file is newer than the upload of an object without mtime',
        given({ local: file(11, { mtime: 10 }), remote: object(10) }),
        foreign('size-differs', uploadedIfSame),
      ],
      [
        'sizes differ, the object without mtime was uploaded later, which says nothing',
        given({ local: file(11, { mtime: -1000 }), remote: object(10) }),
        foreign('size-differs', conflict('ambiguous')),
      ],
      [
        'equal size, content not compared yet',
        given({ local: file(10), remote: object(10, { mtime: 0 }) }),
        look('content'),
      ],
      [
        'content differs, the file is newer',
        given({ local: file(10, { mtime: 10 }), remote: object(10, { mtime: 0 }), content: 'different' }),
        foreign('newer', uploadedIfSame),
      ],
      [
        'content differs, the file is older',
        given({ local: file(10, { mtime: -10 }), remote: object(10, { mtime: 0 }), content: 'different' }),
        foreign('older', remoteNewer),
      ],
      [
        'content differs, times do not',
        given({ local: file(10, { mtime: 1 }), remote: object(10, { mtime: 0 }), content: 'different' }),
        foreign('content-differs', conflict('ambiguous')),
      ],
      [
        'content is the same, whatever the times say',
        given({ local: file(10, { mtime: 10 }), remote: object(10, { mtime: 0 }), content: 'same' }),
        adoptedByAll,
      ],
      [
        'no comparable checksum, the file is newer',
        given({ local: file(10, { mtime: 10 }), remote: object(10, { mtime: 0 }), content: 'incomparable' }),
        foreign('newer', uploadedIfSame),
      ],
      [
        'no comparable checksum, the file is older',
        given({ local: file(10, { mtime: -10 }), remote: object(10, { mtime: 0 }), content: 'incomparable' }),
        foreign('older', remoteNewer),
      ],
      [
        'no comparable checksum, times agree within the tolerance',
        given({ local: file(10, { mtime: 2 }), remote: object(10, { mtime: 0 }), content: 'incomparable' }),
        adoptedByAll,
      ],
      [
        'no comparable checksum and no mtime, uploaded after the file was written',
        given({ local: file(10, { mtime: -1000 }), remote: object(10), content: 'incomparable' }),
        adoptedByAll,
      ],
      [
        'no comparable checksum and no mtime, uploaded before the file was written',
        given({ local: file(10, { mtime: 10 }), remote: object(10), content: 'incomparable' }),
        foreign('newer', uploadedIfSame),
      ],
      ['no file and never one', given({ local: 'absent' }), drop('vanished', 'never-synced')],
    ],
  },

  {
    title: 'T1: first contact, from the listing',
    compare: 'content',
    rows: [
      [
        'the ETag is the MD5 of the file',
        given({ local: file(10), remote: listed(10), content: 'same' }),
        adoptedByAll,
      ],
      [
        'the ETag is not: it proves equality, never difference',
        given({ local: file(10), remote: listed(10), content: 'different' }),
        look('remote'),
      ],
      [
        'the ETag is of another kind',
        given({ local: file(10), remote: listed(10), content: 'incomparable' }),
        look('remote'),
      ],
      [
        'sizes differ, the file was written after the upload',
        given({ local: file(11, { mtime: 10 }), remote: listed(10) }),
        foreign('size-differs', uploadedIfSame),
      ],
      [
        'sizes differ, the file was written before the upload: only the mtime could decide, and a listing has none',
        given({ local: file(11, { mtime: -10 }), remote: listed(10) }),
        foreign('size-differs', look('remote')),
      ],
    ],
  },

  {
    title: 'T1: first contact with an object whose body is not the content',
    compare: 'content',
    rows: [
      [
        'it is in a listing, whose size is that of the body: equal by chance',
        given({ local: file(10), remote: listed(10), transforms: true }),
        look('remote'),
      ],
      [
        'it is in a listing, with another size',
        given({ local: file(10), remote: listed(7), transforms: true }),
        look('remote'),
      ],
      [
        'compressed, equal size of the content: the content is asked for',
        given({ local: file(10), remote: object(7, { content: compressed(10) }) }),
        look('content'),
      ],
      [
        'compressed, the same content, whatever the times say',
        given({
          local: file(10, { mtime: 1000 }),
          remote: object(7, { content: compressed(10), mtime: 0 }),
          content: 'same',
        }),
        adoptedByAll,
      ],
      [
        'compressed, another content of the same size',
        given({
          local: file(10, { mtime: 10 }),
          remote: object(7, { content: compressed(10), mtime: 0 }),
          content: 'different',
        }),
        foreign('newer', uploadedIfSame),
      ],
      [
        'the body has the size of the file, the content has not',
        given({ local: file(7, { mtime: 10 }), remote: object(7, { content: compressed(10), mtime: 0 }) }),
        foreign('size-differs', uploadedIfSame),
      ],
      [
        'encrypted, equal size and time',
        given({
          local: file(10),
          remote: object(210, { content: encrypted(10), mtime: 0 }),
          content: 'incomparable',
        }),
        adoptedByAll,
      ],
      [
        'encrypted, equal size, a moment later: nothing says that it is the same',
        given({
          local: file(10, { mtime: 0.001 }),
          remote: object(210, { content: encrypted(10), mtime: 0 }),
          content: 'incomparable',
        }),
        foreign('newer', uploadedIfSame),
      ],
      [
        'encrypted, equal size, a moment earlier',
        given({
          local: file(10, { mtime: -0.001 }),
          remote: object(210, { content: encrypted(10), mtime: 0 }),
          content: 'incomparable',
        }),
        foreign('older', remoteNewer),
      ],
      [
        'encrypted, of a try of ours whose answer was lost',
        given({
          local: file(10),
          remote: object(210, { content: encrypted(10), mtime: 0, writeId: 'this' }),
          content: 'incomparable',
          writeId: 'this',
        }),
        settle('uploaded', 'own-lost-answer', 'owned'),
      ],
    ],
  },

  {
    title: 'T1: first contact, by size, with an object whose body is not the content',
    compare: 'size',
    rows: [
      ['in a listing', given({ local: file(10), remote: listed(10), transforms: true }), look('remote')],
      [
        'equal size of the content',
        given({ local: file(10, { mtime: 1000 }), remote: object(7, { content: compressed(10) }) }),
        adoptedByAll,
      ],
    ],
  },

  {
    title: 'T1: first contact, by size and time',
    compare: 'size-and-time',
    rows: [
      [
        'equal size, equal time',
        given({ local: file(10, { mtime: -2 }), remote: object(10, { mtime: 0 }) }),
        adoptedByAll,
      ],
      [
        'equal size, the file is newer',
        given({ local: file(10, { mtime: 3 }), remote: object(10, { mtime: 0 }) }),
        foreign('newer', uploadedIfSame),
      ],
      [
        'equal size, the file is older',
        given({ local: file(10, { mtime: -3 }), remote: object(10, { mtime: 0 }) }),
        foreign('older', remoteNewer),
      ],
      [
        'sizes differ',
        given({ local: file(11, { mtime: 3 }), remote: object(10, { mtime: 0 }) }),
        foreign('size-differs', uploadedIfSame),
      ],
      [
        'equal size in a listing, which does not tell the mtime',
        given({ local: file(10, { mtime: -3 }), remote: listed(10) }),
        look('remote'),
      ],
      [
        'equal size in a listing, written after the upload',
        given({ local: file(10, { mtime: 3 }), remote: listed(10) }),
        foreign('newer', uploadedIfSame),
      ],
    ],
  },

  {
    title: 'T1: first contact, by size',
    compare: 'size',
    rows: [
      [
        'equal size, whatever the times say',
        given({ local: file(10, { mtime: 1000 }), remote: listed(10) }),
        adoptedByAll,
      ],
      [
        'sizes differ',
        given({ local: file(11, { mtime: 10 }), remote: object(10, { mtime: 0 }) }),
        foreign('size-differs', uploadedIfSame),
      ],
    ],
  },

  {
    title: 'T1: the object is not the one that we left',
    compare: 'content',
    rows: [
      [
        'it was deleted',
        given({ local: file(11), baseline: ours, remote: 'absent' }),
        [recreate(none), recreate(absent), recreate(absent), recreate(absent)],
      ],
      [
        'another of another size is there, older than the file',
        given({ local: file(11), baseline: ours, remote: object(12, { mtime: -10 }) }),
        [
          upload(none, 'size-differs'),
          settle('skipped-existing', 'exists', 'not owned'),
          conflict('remote-changed'),
          uploadedIfSame,
        ],
      ],
      [
        'another with other content is there, newer than the file',
        given({ local: file(10), baseline: ours, remote: object(10, { mtime: 10 }), content: 'different' }),
        [
          upload(none, 'older'),
          settle('skipped-existing', 'exists', 'not owned'),
          conflict('remote-changed'),
          settle('remote-newer', 'older', 'not owned'),
        ],
      ],
      [
        'somebody else put the same content there',
        given({ local: file(10), baseline: ours, remote: object(10, { mtime: 10 }), content: 'same' }),
        adoptedByAll,
      ],
      [
        'it is the one that we left, after all',
        given({
          local: file(11, { mtime: 5 }),
          baseline: ours,
          remote: object(10, { mtime: 0, etag: '"ours"' }),
        }),
        [
          upload(none, 'size-differs'),
          settle('skipped-existing', 'exists', 'owned'),
          upload(ifMatch('"ours"'), 'size-differs'),
          upload(ifMatch('"ours"'), 'newer'),
        ],
      ],
    ],
  },

  {
    title: 'T2: steady state, by content',
    compare: 'content',
    rows: [
      [
        'a file was created',
        given({ local: file(10) }),
        [upload(none, 'new'), upload(absent, 'new'), upload(absent, 'new'), upload(absent, 'new')],
      ],
      ['a file of another size', given({ local: file(11), baseline: ours }), modified('size-differs')],
      [
        'a file of the same size, not compared yet',
        given({ local: file(10), baseline: ours }),
        look('content'),
      ],
      [
        'a file of the same size with other content',
        given({ local: file(10), baseline: ours, content: 'different' }),
        modified('changed'),
      ],
      [
        'a file of the same size, and no checksum to compare with',
        given({ local: file(10), baseline: { ...ours, checksum: undefined! } }),
        modified('changed'),
      ],
      [
        'a file that was only touched',
        given({ local: file(10), baseline: ours, content: 'same' }),
        touchedByAll,
      ],
      [
        'a file with another mode',
        given({
          local: file(10, { mtime: -100, ctime: 0, mode: 0o100600 }),
          baseline: ours,
          content: 'same',
        }),
        touchedByAll,
      ],
      ['a file as it was', given({ local: unchanged, baseline: ours }), drop('unchanged', 'identical')],
      [
        'a file as it was, of which an event told: its content was read',
        given({ local: unchanged, baseline: ours, noticed: true, content: 'same' }),
        drop('unchanged', 'identical'),
      ],
      [
        'a file that is gone',
        given({ local: 'absent', baseline: ours }),
        settle('kept-remote', 'deleted-locally', 'owned'),
      ],
      [
        'a file that is gone, whose object was not ours',
        given({ local: 'absent', baseline: { ...ours, owned: false } }),
        settle('kept-remote', 'deleted-locally', 'not owned'),
      ],
      [
        'a file that is still gone',
        given({ local: 'absent', baseline: { ...ours, gone: true } }),
        drop('unchanged', 'identical'),
      ],
      [
        'a file that is not selected and never was',
        given({ local: 'unselected' }),
        drop('unchanged', 'not-selected'),
      ],
      [
        'a file that is not selected any more',
        given({ local: 'unselected', baseline: ours }),
        settle('kept-remote', 'not-selected', 'owned'),
      ],
      [
        'a file that is still not selected',
        given({ local: 'unselected', baseline: baseline('kept-remote', unchanged, { gone: true }) }),
        drop('unchanged', 'not-selected'),
      ],
      [
        'a file that came back with other content',
        given({ local: file(11), baseline: baseline('kept-remote', unchanged, { gone: true }) }),
        modified('size-differs'),
      ],
      [
        'a file that came back as it was',
        given({
          local: unchanged,
          baseline: baseline('kept-remote', unchanged, { gone: true }),
          content: 'same',
        }),
        touchedByAll,
      ],
      [
        'a directory took the place of a file',
        given({ local: 'directory', baseline: ours }),
        settle('kept-remote', 'deleted-locally', 'owned'),
      ],
      ['a directory', given({ local: 'directory' }), drop('vanished', 'never-synced')],
      ['a symbolic link', given({ local: 'symlink' }), drop('vanished', 'never-synced')],
      ['a named pipe', given({ local: 'fifo' }), { kind: 'block', reason: 'fifo' }],
      ['a socket', given({ local: 'socket' }), { kind: 'block', reason: 'socket' }],
      ['a device', given({ local: 'device' }), { kind: 'block', reason: 'device' }],
    ],
  },

  {
    title: 'T2: a file whose object was left alone',
    compare: 'content',
    rows: [
      ['is as it was', given({ local: unchanged, baseline: leftAlone }), drop('unchanged', 'identical')],
      [
        'changed',
        given({ local: file(11), baseline: leftAlone }),
        [look('remote'), settle('skipped-existing', 'exists', 'not owned'), look('remote'), look('remote')],
      ],
      [
        'is gone',
        given({ local: 'absent', baseline: leftAlone }),
        { kind: 'forget', outcome: 'kept-remote', reason: 'deleted-locally' },
      ],
    ],
  },

  {
    title: 'T2: steady state, by size and time',
    compare: 'size-and-time',
    rows: [
      ['another time', given({ local: file(10), baseline: ours }), modified('changed')],
      ['another size', given({ local: file(11, { mtime: -100 }), baseline: ours }), modified('size-differs')],
      [
        'another mode',
        given({ local: file(10, { mtime: -100, ctime: 0 }), baseline: ours }),
        settle('touched', 'same', 'owned'),
      ],
    ],
  },

  {
    title: 'T2: steady state, by size',
    compare: 'size',
    rows: [
      ['another time', given({ local: file(10), baseline: ours }), settle('touched', 'same', 'owned')],
      ['another size', given({ local: file(11), baseline: ours }), modified('size-differs')],
    ],
  },

  {
    title: 'T2: steady state, as aws s3 sync',
    compare: 'aws',
    rows: [
      ['a later time', given({ local: file(10), baseline: ours }), modified('newer')],
      ['another size', given({ local: file(11, { mtime: -200 }), baseline: ours }), modified('size-differs')],
      [
        'another mode',
        given({ local: file(10, { mtime: -100, ctime: 0 }), baseline: ours }),
        settle('touched', 'same', 'owned'),
      ],
    ],
  },
];

describe.each(tables)('$title', ({ compare, rows }) => {
  test.each(cellsOf(rows))('%s: %s: %s', (policy, _facts, _words, given, action) => {
    expect(decide(given, judgement(policy, compare))).toEqual(action);
  });
});

describe('T1: first contact, as aws s3 sync', () => {
  test.each<[string, Facts, Action]>([
    ['missing: uploaded', given({ local: file(10), remote: 'absent' }), upload(none, 'missing')],
    [
      'sizes differ: uploaded',
      given({ local: file(11, { mtime: -1000 }), remote: listed(10) }),
      upload(none, 'size-differs'),
    ],
    [
      'later than LastModified: uploaded',
      given({ local: file(10, { mtime: 0.001 }), remote: listed(10) }),
      upload(none, 'newer'),
    ],
    [
      'later by less than half a microsecond, which aws-cli does not see: skipped',
      given({ local: file(10, { mtime: 400e-9 }), remote: listed(10) }),
      settle('skipped-not-newer', 'older', 'owned'),
    ],
    [
      'later by a microsecond: uploaded',
      given({ local: file(10, { mtime: 1e-6 }), remote: listed(10) }),
      upload(none, 'newer'),
    ],
    [
      'from before 1970: skipped',
      given({ local: file(10, { mtime: -2e9 + 0.5 }), remote: listed(10) }),
      settle('skipped-not-newer', 'older', 'owned'),
    ],
    [
      'not later than LastModified: skipped, whatever the content',
      given({ local: file(10, { mtime: 0 }), remote: listed(10), content: 'different' }),
      settle('skipped-not-newer', 'older', 'owned'),
    ],
    [
      'its own mtime is not looked at',
      given({ local: file(10, { mtime: 0 }), remote: object(10, { mtime: -1000, modified: 0 }) }),
      settle('skipped-not-newer', 'older', 'owned'),
    ],
  ])('%s', (_name, facts, action) => {
    expect(decide(facts, judgement('overwrite', 'aws'))).toEqual(action);
  });
});

describe('T3.4: an object that an earlier try of ours wrote, whose answer was lost,', () => {
  const before = object(10, { mtime: 5, modified: 6, etag: '"landed"', writeId: 'this' });
  const found = (local: FileState, more: { content?: Content; remote?: ObjectState } = {}) =>
    given({ local, remote: before, writeId: 'this', ...more });
  const own = settle('uploaded', 'own-lost-answer', 'owned');
  const modifiedSince = (reason: 'changed' | 'size-differs'): Cells => [
    upload(none, reason),
    settle('skipped-existing', 'exists', 'owned'),
    upload(ifMatch('"landed"'), reason),
    upload(ifMatch('"landed"'), reason),
  ];
  const rows: Row[] = [
    ['holds what the file holds', found(file(10, { mtime: 5 }), { content: 'same' }), own],
    [
      'holds what the file holds, which was touched since',
      found(file(10, { mtime: 9 }), { content: 'same' }),
      own,
    ],
    [
      'cannot be compared, and has the mtime',
      found(file(10, { mtime: 5 }), { content: 'incomparable' }),
      own,
    ],
    [
      'cannot be compared, and the file changed a moment later',
      found(file(10, { mtime: 5.001 }), { content: 'incomparable' }),
      modifiedSince('changed'),
    ],
    [
      'holds what the file held before it changed',
      found(file(10, { mtime: 9 }), { content: 'different' }),
      modifiedSince('changed'),
    ],
    [
      'holds what the file held before it was replaced by an older one',
      found(file(11, { mtime: -900 })),
      modifiedSince('size-differs'),
    ],
    [
      'may have replaced what the baseline names, which the file equals again',
      given({ local: file(10), baseline: ours, content: 'same', writeId: 'this' }),
      look('remote'),
    ],
    ['was not compared yet', found(file(10, { mtime: 5 })), look('content')],
    [
      'is known from a listing only, which does not tell whose it is',
      found(file(11, { mtime: 5 }), { remote: listed(10) }),
      look('remote'),
    ],
  ];
  test.each(cellsOf(rows))('%s: %s: %s', (policy, _facts, _words, given, action) => {
    expect(decide(given, judgement(policy))).toEqual(action);
  });

  test.each([
    ['by another try', object(10, { mtime: 5, writeId: 'another' })],
    ['by something else', object(10, { mtime: 5 })],
  ])('is somebody else’s when it was written %s', (_what, remote) => {
    const same = given({ local: file(10, { mtime: 5 }), remote, content: 'same', writeId: 'this' });
    expect(decide(same, judgement('if-unchanged'))).toEqual(settle('adopted', 'same', 'not owned'));
    const other = given({ local: file(11, { mtime: 5 }), remote, writeId: 'this' });
    expect(decide(other, judgement('if-unchanged'))).toEqual(conflict('foreign'));
  });
});

describe('a conflict that was found before', () => {
  const changed = file(11, { mtime: 10 });
  const open: OpenConflict = { ...shown('foreign', { object: object(10, { mtime: 0 }) }), sinceMs: noonMs };
  const decided = (resolution: Resolution): OpenConflict => ({
    ...open,
    decision: { resolution, atMs: noonMs },
  });
  const another = object(10, { mtime: 0, etag: '"another"' });
  const over = upload(ifMatch('"theirs"'), 'resolved');
  const skipped = settle('skipped-existing', 'resolved', 'not owned');
  const both: Action = { kind: 'keep-both', reason: 'resolved' };
  const rows: Row[] = [
    ['is looked at before anything is sent', given({ local: changed, conflict: open }), look('remote')],
    [
      'is looked at, also where a baseline says what the object was',
      given({ local: changed, baseline: ours, conflict: open }),
      look('remote'),
    ],
    [
      'is none any more when the file is as it was',
      given({ local: unchanged, baseline: ours, conflict: open }),
      drop('unchanged', 'identical'),
    ],
    [
      'is none any more when the file is gone',
      given({ local: 'absent', conflict: decided('overwrite') }),
      drop('vanished', 'never-synced'),
    ],
    [
      'is forgotten with its file where deletes are kept: nobody said that what stands there may be replaced',
      given({ local: 'absent', baseline: ours, conflict: open }),
      forget('kept-remote', 'deleted-locally'),
    ],
    [
      'is none any more when both sides are equal',
      given({ local: changed, remote: object(11), content: 'same', conflict: open }),
      adoptedByAll,
    ],
    [
      'is none any more when the object is gone',
      given({ local: changed, remote: 'absent', conflict: decided('overwrite') }),
      [
        upload(none, 'missing'),
        upload(absent, 'missing'),
        upload(absent, 'missing'),
        upload(absent, 'missing'),
      ],
    ],
    ['overwrite: replaces what was shown', given({ local: changed, conflict: decided('overwrite') }), over],
    [
      'overwrite: replaces what was shown and is still there',
      given({ local: changed, remote: object(10, { mtime: 0 }), conflict: decided('overwrite') }),
      over,
    ],
    ['skip: needs no request', given({ local: changed, baseline: ours, conflict: decided('skip') }), skipped],
    ['keep-both: leaves the object alone', given({ local: changed, conflict: decided('keep-both') }), both],
    ...resolutions.map((resolution): Row => [
      `${resolution}: is void where another object stands by now`,
      given({ local: changed, remote: another, conflict: decided(resolution) }),
      foreign('size-differs', upload(ifMatch('"another"'), 'newer')),
    ]),
  ];
  test.each(cellsOf(rows))('%s: %s: %s', (policy, _facts, _words, given, action) => {
    expect(decide(given, judgement(policy))).toEqual(action);
  });
});

// Laws. A world is what is true; facts are what was looked at of it.

interface World {
  readonly local: Local;
  readonly facts: Facts;
  readonly head: ObjectState | 'absent';
  readonly contentOfListing: Content;
  readonly contentOfHead: Content;
  readonly contentOfBaseline: Content;
}

const sizes = integer({ min: 0, max: 2 });
const moments = integer({ min: -3, max: 3 });
const files = record({
  size: sizes,
  mtime: moments,
  ctime: moments,
  ino: bigInt(1n, 2n),
  mode: constantFrom(0o100644, 0o100600),
}).map(({ size, ...rest }) => file(size, rest));
const etags = constantFrom('"ours"', '"theirs"');
const contents: Arbitrary<Content> = constantFrom('same', 'different', 'incomparable');
const transformed = option(tuple(sizes, constantFrom(compressed, encrypted)));
const objects = record({
  size: sizes,
  mtime: option(moments),
  modified: moments,
  etag: etags,
  writeId: option(constantFrom('this', 'another')),
  content: transformed,
}).map(({ size, mtime, writeId, content, ...rest }) =>
  object(size, {
    ...rest,
    ...(mtime !== null && { mtime }),
    ...(writeId !== null && { writeId }),
    ...(content && { content: content[1](content[0]) }),
  }),
);
const baselines = record({
  outcome: constantFrom(...settledOutcomes),
  state: files,
  owned: boolean(),
  gone: boolean(),
  etag: option(etags),
  hasChecksum: boolean(),
}).map(({ outcome, state, etag, hasChecksum, ...rest }) => {
  const { etag: _, checksum, ...whole } = baseline(outcome, state, rest);
  return { ...whole, ...(etag !== null && { etag }), ...(hasChecksum && checksum && { checksum }) };
});
const worlds: Arbitrary<World> = record({
  local: option(files),
  other: constantFrom('absent' as const, 'unselected' as const, ...otherTypes),
  baseline: option(baselines),
  head: option(objects),
  /** Known from a listing, from HEAD, or not at all. */
  seen: constantFrom('listing' as const, 'head' as const, 'nothing' as const),
  listing: objects,
  compared: option(contents),
  tried: boolean(),
  noticed: boolean(),
  transforms: boolean(),
  contentOfListing: contents,
  contentOfHead: contents,
  contentOfBaseline: contents,
}).map(({ local, other, baseline, head, seen, listing, compared, tried, noticed, transforms, ...rest }) => {
  const { mtimeNs: _, writeId: __, content: ___, ...asListed } = listing;
  const remotes = { listing: { ...asListed, source: 'listing' as const }, head: head ?? ('absent' as const) };
  const remote = seen === 'nothing' ? undefined : remotes[seen];
  const facts = given({
    local: local ?? other,
    ...(tried && { writeId: 'this' }),
    noticed,
    transforms,
    ...(remote && { remote }),
    ...(baseline && { baseline }),
    ...(compared && { content: compared }),
  });
  return { ...rest, local: facts.local, facts, head: head ?? 'absent' };
});
const judgements: Arbitrary<Judgement> = record({
  policy: constantFrom(...policies),
  compare: constantFrom(...compares),
  preserve: subarray([...preservable]),
  preserveChanges: constantFrom(...preserveChanges),
  delete: constantFrom(...deleteModes),
  toleranceMs: constant(1_000),
});
const cases = tuple(worlds, judgements);

/** What was asked for, in order, with what was known of it before; and the action that it came to. */
function resolve(world: World, by: Judgement, looksMax = 10) {
  let { facts } = world;
  const looks: { at: 'remote' | 'content'; before: unknown }[] = [];
  for (;;) {
    const action = decide(facts, by);
    if (action.kind !== 'look' || looks.length === looksMax) return { looks, action, facts };
    const source = facts.remote?.kind === 'object' ? facts.remote.object.source : facts.remote?.kind;
    if (action.at === 'remote') {
      looks.push({ at: 'remote', before: source });
      const { head } = world;
      const remote: Remote = head === 'absent' ? { kind: head } : { kind: 'object', object: head };
      facts = { ...facts, remote, content: undefined };
    } else {
      looks.push({ at: 'content', before: facts.content });
      const contents = { listing: world.contentOfListing, head: world.contentOfHead, absent: undefined };
      facts = { ...facts, content: source ? contents[source] : world.contentOfBaseline };
    }
  }
}

/** The object is one that an earlier try wrote. */
function isOurLostWrite({ remote, writeId }: Facts, etag: string): boolean {
  if (remote?.kind !== 'object' || remote.object.etag !== etag) return false;
  return writeId !== undefined && remote.object.writeId === writeId;
}

function implies(condition: boolean, consequence: boolean): boolean {
  return !condition || consequence;
}

describe('for all facts', () => {
  law(
    'there is an action after three looks at most',
    cases,
    ([world, by]) => {
      const { looks, action } = resolve(world, by);
      return looks.length <= 3 && action.kind !== 'look';
    },
    { numRuns: 3000 },
  );

  law(
    'nothing is looked at twice, but that HEAD tells more than a listing',
    cases,
    ([world, by]) =>
      resolve(world, by).looks.every(
        ({ at, before }) => before === undefined || (at === 'remote' && before === 'listing'),
      ),
    { numRuns: 3000 },
  );

  law('the same facts give the same action', cases, ([{ facts }, by]) =>
    isDeepStrictEqual(decide(facts, by), decide(structuredClone(facts), structuredClone(by))),
  );

  law('a file as it was is dropped without a look', tuple(baselines, judgements), ([known, by]) => {
    const action = decide(given({ local: known.file, baseline: { ...known, gone: false } }), by);
    return action.kind === 'drop' && action.outcome === 'unchanged';
  });

  law(
    'an event about a file as it was costs at most a reading of the file, while its content is the same',
    tuple(cases, baselines),
    ([[world, by], known]) => {
      const facts = given({ local: known.file, baseline: { ...known, gone: false }, noticed: true });
      const { looks, action } = resolve({ ...world, facts, contentOfBaseline: 'same' }, by);
      return looks.every(({ at }) => at === 'content') && action.kind === 'drop';
    },
  );

  law(
    'skip-existing uploads only where nothing is',
    cases,
    ([world, by]) => {
      const { action } = resolve(world, { ...by, policy: 'skip-existing' });
      return implies(
        action.kind === 'upload',
        isDeepStrictEqual(action, { ...action, precondition: absent }),
      );
    },
    { numRuns: 1000 },
  );

  law(
    'if-unchanged and newer-wins never upload without a condition',
    tuple(cases, constantFrom('if-unchanged' as const, 'newer-wins' as const)),
    ([[world, by], policy]) => {
      const { action } = resolve(world, { ...by, policy });
      return action.kind !== 'upload' || action.precondition.kind !== 'none';
    },
    { numRuns: 1000 },
  );

  law(
    'if-unchanged replaces only an object that we know',
    cases,
    ([world, by]) => {
      const { action, facts } = resolve(world, { ...by, policy: 'if-unchanged' });
      if (action.kind !== 'upload' || action.precondition.kind !== 'etag') return true;
      const { etag } = action.precondition;
      return etag === facts.baseline?.etag || isOurLostWrite(facts, etag);
    },
    { numRuns: 1000 },
  );

  law(
    'overwrite never leaves an object whose content has another size',
    cases,
    ([world, by]) => {
      const { action, facts } = resolve(world, { ...by, policy: 'overwrite' });
      if (facts.local.kind !== 'file' || facts.remote?.kind !== 'object') return true;
      return implies(facts.local.file.size !== contentSize(facts.remote.object), action.kind === 'upload');
    },
    { numRuns: 1000 },
  );

  law(
    'an object becomes ours by a write of ours, or by adoption under overwrite',
    cases,
    ([world, by]) => {
      const { action, facts } = resolve(world, by);
      if (action.kind !== 'settle' || !action.owned) return true;
      if (by.policy === 'overwrite' || facts.baseline?.owned === true) return true;
      return facts.remote?.kind === 'object' && isOurLostWrite(facts, facts.remote.object.etag);
    },
    { numRuns: 1000 },
  );

  law('what a route does not select keeps its object, whatever else is so', cases, ([{ facts }, by]) => {
    const action = decide({ ...facts, local: { kind: 'unselected' } }, by);
    return (
      action.kind === 'drop' ||
      (action.kind !== 'look' && 'outcome' in action && action.outcome === 'kept-remote')
    );
  });

  law(
    'without a regular file nothing is looked at and nothing is written, but an object of unknown ETag before it is archived',
    cases,
    ([world, by]) => {
      const { action, looks, facts } = resolve(world, by);
      const mayLook = by.delete === 'archive' && facts.baseline?.etag === undefined;
      return implies(
        world.local.kind !== 'file',
        action.kind !== 'upload' && (looks.length === 0 || (mayLook && looks[0]?.at === 'remote')),
      );
    },
    { numRuns: 1000 },
  );

  law(
    'I2: nothing is deleted that is not known, is there, or was there no more; outside overwrite nothing that is not ours',
    cases,
    ([world, by]) => {
      const { action, facts } = resolve(world, by);
      if (action.kind !== 'delete') return true;
      const { baseline: known, local } = facts;
      const isGone = local.kind === 'absent' || (local.kind === 'other' && local.type === 'directory');
      const isOurs =
        known?.owned === true &&
        action.precondition.kind === 'etag' &&
        (action.precondition.etag === known.etag || isOurLostWrite(facts, action.precondition.etag));
      return by.delete !== 'keep' && known?.gone === false && isGone && (by.policy === 'overwrite' || isOurs);
    },
    { numRuns: 10_000 },
  );

  law(
    'what is archived is what is deleted',
    cases,
    ([world, by]) => {
      const { action, facts } = resolve(world, { ...by, delete: 'archive' });
      if (action.kind !== 'delete') return true;
      const etag = facts.remote?.kind === 'object' ? facts.remote.object.etag : facts.baseline?.etag;
      return action.outcome === 'archived' && isDeepStrictEqual(action.precondition, { kind: 'etag', etag });
    },
    { numRuns: 1000 },
  );
});

describe('T2: a file is deleted, and its object', () => {
  const known = file(5);
  const foreign = baseline('adopted', known, { owned: false });
  const own = baseline('uploaded', known);
  const left = baseline('skipped-existing', known, { owned: false });
  const kept = settle('kept-remote', 'deleted-locally', 'owned');
  const keptForeign = settle('kept-remote', 'deleted-locally', 'not owned');
  const forgotten = forget('kept-remote', 'deleted-locally');
  const changed = object(6, { etag: '"theirs"' });
  const gone = remove(none);
  const goneIfSame = remove(ifMatch('"ours"'));
  const moved = remove(ifMatch('"ours"'), 'archived');

  const table: [string, Parameters<typeof given>[0], Judgement['delete'], Record<Policy, Action>][] = [
    ['ours, is kept', { local: 'absent', baseline: own }, 'keep', all(kept)],
    [
      'ours, is deleted',
      { local: 'absent', baseline: own },
      'propagate',
      { ...all(goneIfSame), overwrite: gone },
    ],
    ['ours, is archived', { local: 'absent', baseline: own }, 'archive', all(moved)],
    [
      'not ours, is kept outside overwrite',
      { local: 'absent', baseline: foreign },
      'propagate',
      { ...all(keptForeign), overwrite: gone },
    ],
    [
      'not ours, is not archived outside overwrite',
      { local: 'absent', baseline: foreign },
      'archive',
      { ...all(keptForeign), overwrite: moved },
    ],
    ['that was only left alone, is kept', { local: 'absent', baseline: left }, 'propagate', all(forgotten)],
    [
      'that we wrote and then left alone, goes under skip-existing',
      { local: 'absent', baseline: baseline('skipped-existing', known) },
      'propagate',
      { ...all(goneIfSame), overwrite: forgotten },
    ],
    [
      'changed by somebody else',
      { local: 'absent', baseline: own, remote: changed },
      'propagate',
      {
        overwrite: gone,
        'skip-existing': settle('kept-remote', 'remote-changed', 'not owned'),
        'if-unchanged': conflict('remote-changed'),
        'newer-wins': settle('remote-newer', 'remote-changed', 'not owned'),
      },
    ],
    [
      'changed by somebody else, to be archived',
      { local: 'absent', baseline: own, remote: changed },
      'archive',
      {
        overwrite: remove(ifMatch('"theirs"'), 'archived'),
        'skip-existing': settle('kept-remote', 'remote-changed', 'not owned'),
        'if-unchanged': conflict('remote-changed'),
        'newer-wins': settle('remote-newer', 'remote-changed', 'not owned'),
      },
    ],
    [
      'is gone already',
      { local: 'absent', baseline: own, remote: 'absent' },
      'propagate',
      all(forget('deleted', 'remote-deleted')),
    ],
    [
      'was looked at and is the same',
      { local: 'absent', baseline: own, remote: object(5, { etag: '"ours"' }) },
      'propagate',
      { ...all(goneIfSame), overwrite: gone },
    ],
    [
      'of more than 5 GiB is not archived',
      { local: 'absent', baseline: baseline('uploaded', file(5 * 1024 ** 3 + 1)) },
      'archive',
      all({ kind: 'block', reason: 'too-large-to-archive' }),
    ],
    [
      'was kept once, stays',
      { local: 'absent', baseline: { ...own, gone: true } },
      'propagate',
      all(drop('unchanged', 'identical')),
    ],
    ['never was', { local: 'absent' }, 'propagate', all(drop('vanished', 'never-synced'))],
    [
      'goes where a directory took its place (T3.11)',
      { local: 'directory', baseline: own },
      'propagate',
      { ...all(goneIfSame), overwrite: gone },
    ],
    [
      'is kept where a link took its place',
      { local: 'symlink', baseline: own },
      'propagate',
      all(settle('kept-remote', 'not-a-file', 'owned')),
    ],
  ];

  for (const [title, facts, mode, cells] of table) {
    test.each(policies)(`${title}: %s`, (policy) => {
      expect(decide(given(facts), judgement(policy, 'content', { delete: mode }))).toEqual(cells[policy]);
    });
  }

  function all(action: Action): Record<Policy, Action> {
    return { overwrite: action, 'skip-existing': action, 'if-unchanged': action, 'newer-wins': action };
  }
});

describe('a file that looks as it was, of which an event told,', () => {
  const facts = { local: unchanged, baseline: ours, noticed: true } as const;

  test.each(policies.filter((policy) => policy !== 'skip-existing'))(
    'has its content compared and is uploaded if that is another, under %s',
    (policy) => {
      expect(decide(given(facts), judgement(policy))).toEqual({ kind: 'look', at: 'content' });
      const mixed = decide(given({ ...facts, content: 'different' }), judgement(policy));
      expect(mixed).toMatchObject({ kind: 'upload', reason: 'changed' });
    },
  );

  test('is left alone where its object would be, or where content does not count', () => {
    expect(decide(given(facts), judgement('skip-existing'))).toMatchObject({ kind: 'drop' });
    for (const compare of ['size', 'size-and-time', 'aws'] as const) {
      expect(decide(given(facts), { ...judgement('overwrite'), compare })).toMatchObject({ kind: 'drop' });
    }
  });
});

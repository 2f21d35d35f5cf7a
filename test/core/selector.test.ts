import { describe, expect, test } from 'vitest';
import type { Rule } from '../../src/core/rules.ts';
import { compileSelector, type Selector } from '../../src/core/selector.ts';

const noonMs = Date.UTC(2026, 2, 9, 12);
const hourMs = 3_600_000;

const rules: Rule[] = [
  { match: 'x/**', tags: { Project: 'ProjectX' } },
  { match: 'y/**', tags: { Project: 'ProjectY', Year: '{mtime:yyyy}' } },
  { match: '**/*.log', olderThanMs: hourMs, tags: { State: 'closed' } },
];

function selects(selector: Selector | undefined, path: string, size = 10, ageMs = 0): boolean {
  const file = { size, mtimeNs: BigInt(noonMs - ageMs) * 1_000_000n };
  return compileSelector(selector, rules, { host: 'web-1', folder: 'docs' })(path, file, noonMs);
}

type SeenFile = [path: string, size?: number, ageMs?: number];

describe('a selector takes', () => {
  test('everything when there is none', () => {
    expect(selects(undefined, 'any/thing', 0)).toBe(true);
  });

  test.each<[what: string, selector: Selector, taken: SeenFile[], left: SeenFile[]]>([
    ['a path', { match: ['a/**'] }, [['a/1'], ['a/.hidden']], [['b/1'], ['b/a/1']]],
    ['one of several paths', { match: ['a/**', '*.pdf'] }, [['a/1'], ['1.pdf']], [['b/1.pdf']]],
    ['what is larger', { largerThanBytes: 9 }, [['a', 10]], [['a', 9]]],
    ['what is smaller', { smallerThanBytes: 10 }, [['a', 9]], [['a', 10]]],
    ['a tag that a rule gives', { tags: { Project: ['ProjectX'] } }, [['x/1']], [['y/1'], ['z/1']]],
    ['one of several values', { tags: { Project: ['ProjectX', 'ProjectY'] } }, [['x/1'], ['y/1']], [['z']]],
    ['a tag as its template comes out', { tags: { Year: ['2026'] } }, [['y/1']], [['x/1']]],
    ['all tags only', { tags: { Project: ['ProjectY'], Year: ['2025'] } }, [], [['y/1']]],
    [
      'only what meets all conditions',
      { match: ['**/*.pdf'], smallerThanBytes: 20, tags: { Project: ['ProjectX'] } },
      [['x/a.pdf']],
      [['x/a.txt'], ['x/a.pdf', 20], ['y/a.pdf']],
    ],
    [
      'a tag that comes with age, from then on',
      { tags: { State: ['closed'] } },
      [['a.log', 10, hourMs + 1]],
      [['a.log', 10, hourMs - 1]],
    ],
    ['no tag that every object has by its name', { tags: { constructor: ['x'] } }, [], [['x/1']]],
  ])('%s', (_, selector, taken, left) => {
    const see = (file: SeenFile) => selects(selector, ...file);
    expect(taken.filter((file) => !see(file))).toEqual([]);
    expect(left.filter(see)).toEqual([]);
  });
});

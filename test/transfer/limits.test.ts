// Bounds on what is in flight: bytes and requests.
import { array, boolean, integer, record } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteBudget, Concurrency } from '../../src/transfer/limits.ts';
import { asyncLaw, law } from '../helpers/law.ts';

/** Lets what was granted go on. */
const turn = () => new Promise(setImmediate);

describe('a byte budget', () => {
  test('hands out what it has, and no more', () => {
    const budget = new ByteBudget(10);
    const six = budget.tryAcquire(6);
    expect(six).toBeDefined();
    expect(budget.tryAcquire(5)).toBeUndefined();
    expect(budget.tryAcquire(4)).toBeDefined();
    six![Symbol.dispose]();
    expect(budget.tryAcquire(6)).toBeDefined();
  });

  test('serves in the order in which it was asked: a large one is not overtaken', async () => {
    const budget = new ByteBudget(10);
    const first = await budget.acquire(6);
    const granted: string[] = [];
    const large = budget.acquire(8).then((memory) => (granted.push('large'), memory));
    const small = budget.acquire(1).then((memory) => (granted.push('small'), memory));
    await turn();
    expect(granted).toEqual([]);
    expect(budget.tryAcquire(1), 'nor by one that does not want to wait').toBeUndefined();
    first[Symbol.dispose]();
    await large;
    await small;
    expect(granted).toEqual(['large', 'small']);
  });

  test('gives more than it has to one that has nothing, alone', async () => {
    const budget = new ByteBudget(10);
    const huge = await budget.acquire(1000);
    expect(budget.tryAcquire(1)).toBeUndefined();
    huge[Symbol.dispose]();
    expect(budget.tryAcquire(10)).toBeDefined();
  });

  test('counts nothing for an empty file', async () => {
    const budget = new ByteBudget(10);
    await budget.acquire(10);
    expect(budget.tryAcquire(0)).toBeDefined();
  });
});

describe('a budget that is divided', () => {
  test('leaves everyone a share that nobody else can take', () => {
    const [greedy, modest] = ByteBudget.divide(100, 2);
    while (greedy!.tryAcquire(5));
    for (let bytes = 0; bytes < 25; bytes += 5) expect(modest!.tryAcquire(5)).toBeDefined();
    expect(modest!.tryAcquire(5)).toBeUndefined();
  });

  test('keeps the shares when somebody took more than the pool had', () => {
    const [greedy, modest] = ByteBudget.divide(100, 2);
    expect(greedy!.tryAcquire(1000)).toBeDefined();
    for (let bytes = 0; bytes < 25; bytes += 5) expect(modest!.tryAcquire(5)).toBeDefined();
  });

  test('wakes those who wait for what another gives back', async () => {
    const [one, other] = ByteBudget.divide(100, 2);
    const taken = one!.tryAcquire(75)!;
    await other!.acquire(20);
    const waiting = other!.acquire(30);
    taken[Symbol.dispose]();
    await waiting;
    expect(one!.tryAcquire(1)).toBeDefined();
  });

  test('lets one alone use its share and the pool', () => {
    const [one] = ByteBudget.divide(100, 4);
    let bytes = 0;
    while (one!.tryAcquire(1)) bytes += 1;
    expect(bytes).toBe(62);
  });
});

asyncLaw(
  'no more is out than the limit and one request each, everyone is served, and all comes back',
  record({
    limit: integer({ min: 1, max: 50 }),
    members: integer({ min: 1, max: 4 }),
    requests: array(record({ member: integer({ min: 0, max: 3 }), bytes: integer({ min: 0, max: 60 }) }), {
      maxLength: 30,
    }),
  }),
  async ({ limit, members, requests }) => {
    const budgets = ByteBudget.divide(limit, members);
    let [out, most, served] = [0, 0, 0];
    const largest = Math.max(0, ...requests.map(({ bytes }) => bytes));
    await Promise.all(
      requests.map(async ({ member, bytes }) => {
        using _memory = await budgets[member % members]!.acquire(bytes);
        served += 1;
        out += bytes;
        most = Math.max(most, out);
        await turn();
        out -= bytes;
      }),
    );
    return served === requests.length && out === 0 && most <= limit + members * largest;
  },
);

describe('concurrency', () => {
  test('grows by one for as many answers as there are places', () => {
    const concurrency = new Concurrency();
    const before = concurrency.limit;
    for (let answers = 0; answers < before; answers++) concurrency.succeeded();
    expect(concurrency.limit).toBe(before + 1);
  });

  test('is halved at most once a second: one overload answers many requests', () => {
    const concurrency = new Concurrency();
    const before = concurrency.limit;
    for (let answers = 0; answers < 10; answers++) concurrency.throttled(answers);
    expect(concurrency.limit).toBe(before / 2);
    concurrency.throttled(1_001);
    expect(concurrency.limit).toBe(before / 4);
  });

  law(
    'stays between 4 and 256, whatever is answered',
    array(record({ throttled: boolean(), times: integer({ min: 1, max: 3000 }) })),
    (answers) => {
      const concurrency = new Concurrency();
      return answers.every(({ throttled, times }, index) => {
        for (let n = 0; n < times; n++) {
          if (throttled) concurrency.throttled(index * 2_000 + n);
          else concurrency.succeeded();
        }
        return concurrency.limit >= 4 && concurrency.limit <= 256 && Number.isInteger(concurrency.limit);
      });
    },
    { numRuns: 50 },
  );
});

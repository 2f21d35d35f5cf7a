// The budget of a day with a clock of the test's own.
import { constantFrom, integer, tuple } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RequestBudget } from '../../src/drain/request-budget.ts';
import { law } from '../helpers/law.ts';

const midnightMs = Date.UTC(2026, 2, 9);
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

function budgetOf(perDay: number, used = 0, nowMs = midnightMs) {
  const told: number[] = [];
  return { told, budget: new RequestBudget(perDay, used, nowMs, (spent) => told.push(spent)) };
}

function spend(budget: RequestBudget, requests: number, nowMs: number): void {
  for (let count = 0; count < requests; count++) budget.spend(nowMs);
}

describe('a budget of 1,000 requests a day', () => {
  test('is spent as it comes up to 800', () => {
    const { budget, told } = budgetOf(1_000);
    spend(budget, 799, midnightMs + hourMs);
    expect(budget.slowed(midnightMs + hourMs)).toBe(false);
    expect(budget.nextStartMs(midnightMs + hourMs)).toBeLessThanOrEqual(midnightMs + hourMs);
    expect(told).toEqual([]);
  });

  test('then says so, once, and lets the rest go evenly until midnight', () => {
    const { budget, told } = budgetOf(1_000);
    const noonMs = midnightMs + 12 * hourMs;
    spend(budget, 800, noonMs);
    expect(budget.slowed(noonMs)).toBe(true);
    // 200 are left for twelve hours.
    expect(budget.nextStartMs(noonMs)).toBe(noonMs + (12 * hourMs) / 200);
    spend(budget, 3, noonMs);
    expect(told).toEqual([800]);
  });

  test('waits for the requests of one change that took several', () => {
    const [{ budget: one }, { budget: ten }] = [budgetOf(1_000, 800), budgetOf(1_000, 800)];
    spend(one, 1, midnightMs);
    spend(ten, 10, midnightMs);
    const waitMs = (budget: RequestBudget) => budget.nextStartMs(midnightMs) - midnightMs;
    expect(waitMs(ten) / waitMs(one)).toBeCloseTo(10, 0);
  });

  test('begins nothing more when all are used, and goes on at 00:00 UTC', () => {
    const { budget, told } = budgetOf(1_000);
    spend(budget, 1_000, midnightMs);
    expect(budget.nextStartMs(midnightMs + 23 * hourMs)).toBe(midnightMs + dayMs);
    expect(budget.nextStartMs(midnightMs + dayMs)).toBe(0);
    expect(budget.slowed(midnightMs + dayMs)).toBe(false);
    spend(budget, 800, midnightMs + dayMs);
    expect(told).toEqual([800, 800]);
  });

  test('is as far spent as it was before a restart', () => {
    const { budget, told } = budgetOf(1_000, 1_000, midnightMs + hourMs);
    expect(told).toEqual([1_000]);
    expect(budget.nextStartMs(midnightMs + hourMs)).toBe(midnightMs + dayMs);
  });
});

law(
  'whoever begins only when it may uses the whole budget of a day and no more than its last change overruns it',
  tuple(integer({ min: 100, max: 3_000 }), integer({ min: 0, max: 23 * hourMs }), constantFrom(1, 2, 7)),
  ([perDay, beginsMs, perChange]) => {
    const { budget } = budgetOf(perDay);
    let requests = 0;
    let nowMs = midnightMs + beginsMs;
    while (nowMs < midnightMs + dayMs) {
      spend(budget, perChange, nowMs);
      requests += perChange;
      nowMs = Math.max(nowMs, budget.nextStartMs(nowMs));
    }
    return requests >= perDay - perChange && requests < perDay + perChange;
  },
);

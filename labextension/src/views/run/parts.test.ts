import { describe, expect, it } from 'vitest';
import type { Bar } from '../fold.ts';
import { emptyState } from '../fold.ts';
import { left, share } from './bars.ts';
import { wholeness } from './foot.ts';
import { elapsed } from './head.ts';
import { launchCode, literal } from './inputs.ts';
import { differences } from './rerun.ts';

describe('a bar', () => {
  const bar = (more: Partial<Bar>): Bar => ({ key: '', name: null, agent: null, value: 30, total: 100, label: null, first: 10, since: 0, ts: 10_000, ...more });

  it('has a share where its end is known', () => {
    expect([bar({}), bar({ total: null }), bar({ value: 120 }), bar({ value: -1 }), bar({ total: 0 })].map(share)).toEqual([0.3, null, 1, 0, null]);
  });

  it('says how long it takes yet once that is more than a guess', () => {
    expect(left(bar({}), 10_000)).toBe(35);
    expect(left(bar({}), 15_000)).toBe(30);
    expect([left(bar({ ts: 1000 }), 1000), left(bar({ first: 30 }), 10_000), left(bar({ value: 100 }), 10_000), left(bar({ total: null }), 10_000)]).toEqual([null, null, null, null]);
  });
});

describe('times', () => {
  it('count from when it was running, or waiting, in whole seconds until the end', () => {
    const state = { ...emptyState(), started: 1000 };
    expect(elapsed(state, 4900)).toBe('3 s');
    expect(elapsed({ ...state, running: 2000 }, 4900)).toBe('2 s');
    expect(elapsed({ ...state, running: 2000 }, 3_602_000)).toBe('1:00:00 h');
    expect(elapsed({ ...state, running: 2000, ended: 3234 }, 9e9)).toBe('1.2 s');
    expect(elapsed(emptyState(), 1)).toBe('');
  });
});

describe('wholeness', () => {
  it('is said only when it was looked at', () => {
    const state = { ...emptyState(), status: 'finished' as const, events: 1234 };
    expect(wholeness(state)).toBe('1,234 events');
    expect(wholeness({ ...state, checked: true })).toBe('complete · 1,234 events');
    expect(wholeness({ ...state, gaps: [{ from: 10, to: 12 }, { from: 20, to: 20 }] })).toBe('missing: seq 10–12, 20 · 1,234 events');
  });
});

describe('Python', () => {
  it('has the values as it writes them', () => {
    expect(literal({ a: [true, null, 1.5], 'b c': 'say "x"' })).toBe('{"a": [True, None, 1.5], "b c": "say \\"x\\""}');
    expect(launchCode('flows.math:primes', 'primes', { end: 10, key: { secret: true } })).toBe('from flows.math import primes\n\nrun = primes.launch(end=10, key=...)');
    expect(launchCode('', 'svc/enter', { q: 'x' })).toBe('import kodosumi_lab as kl\n\nrun = kl.find("svc/enter").launch(q="x")');
  });
});

describe('what was changed', () => {
  it('is what differs; an empty field is no difference to none', () => {
    expect(differences({ a: '1', b: 'on', c: '' }, { a: '2', c: undefined, d: ['x'] })).toEqual([
      { name: 'a', from: '1', to: '2' }, { name: 'b', from: 'on', to: 'empty' }, { name: 'd', from: 'empty', to: '["x"]' },
    ]);
  });
});

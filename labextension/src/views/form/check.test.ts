import { describe, expect, it } from 'vitest';
import type { Element } from '../../sources/source.ts';
import cases from './cases.json' with { type: 'json' };
import { faults, jsonFault } from './check.ts';

const told = (type: string, more: Record<string, unknown>, value: unknown): string => faults({ type, name: 'x', ...more }, value).join('; ');

describe('what is wrong with a value', () => {
  // the gateway judges the same ones in tests/unit/test_forms_cases.py
  it.each(cases as [Element, unknown, boolean][])('is what the gateway says: %j %j fits: %s', (element, value, fits) => {
    expect(faults({ ...element, name: 'x' }, value).length === 0).toBe(fits);
  });

  it('never judges a secret that stays as it was', () => {
    expect(told('password', { required: true, min_length: 12 }, { secret: true })).toBe('');
  });

  it('is told in words that say what to enter', () => {
    expect(told('text', { min_length: 3 }, 'ab')).toBe('At least 3 characters, this has 2');
    expect(told('text', { pattern: 'a+' }, 'b')).toBe('Has to match a+');
    expect(told('number', { min_value: 1 }, '0')).toBe('At least 1');
    expect(told('number', { step: 1 }, '1.5')).toBe('Has to be a whole number');
    expect(told('number', { step: 0.1, min_value: 0.05 }, '0.2')).toBe('Steps of 0.1 from 0.05');
    expect(told('time', { step: 900 }, '08:20')).toBe('Steps of 15 min');
    expect(told('time', { min_time: '22:00', max_time: '06:00' }, '12:00')).toBe('From 22:00 to 06:00');
    expect(told('datetime-local', { max_datetime: '2026-01-01T00:00' }, '2026-01-01T00:01')).toBe('2026-01-01 00:00 or earlier');
    expect(told('list', { item: { type: 'number', name: 'item', min_value: 1 } }, ['3', '0'])).toBe('Item 2: at least 1');
  });
});

describe('JSON that is none', () => {
  it('says where', () => {
    expect(jsonFault('{"a": 1,\n  b: 2}')).toMatch(/^No JSON: .*line 2, column 3$/);
    expect(jsonFault('{"a": [1, 2]}')).toBeNull();
  });
});

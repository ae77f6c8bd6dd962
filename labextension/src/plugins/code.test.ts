import { describe, expect, it } from 'vitest';
import { launchCode, python, runCode } from './code.ts';

describe('code for a notebook', () => {
  it('launches with the defaults, and leaves dots where something must be given', () => {
    const schema = { properties: { topic: { type: 'string' }, top: { default: 5 }, deep: { default: false }, note: {} }, required: ['topic'] };
    expect(launchCode({ name: 'research', schema })).toBe(
      'import kodosumi_lab as kl\n\nrun = kl.find("research").launch(topic=..., top=5, deep=False)\nrun',
    );
  });

  it('breaks long calls into lines', () => {
    const properties = Object.fromEntries(['one', 'two', 'three', 'four'].map((name) => [name, { default: `a value for ${name}` }]));
    expect(launchCode({ name: 'x', schema: { properties } })).toContain('.launch(\n    one="a value for one",\n    two=');
  });

  it('takes names that are no words of Python', () => {
    expect(launchCode({ name: 'x', schema: { properties: { 'a b': { default: 1 } } } })).toContain('.launch(**{"a b": 1})');
  });

  it('speaks the magic where that is wanted', () => {
    const schema = { properties: { topic: {}, top: { default: 5 } }, required: ['topic'] };
    expect(launchCode({ name: 'research', schema }, 'magic')).toBe('%kodosumi launch research topic=…');
    expect(launchCode({ name: 'primes', schema: { properties: { end: { default: 9 } } } }, 'magic')).toBe('%kodosumi launch primes --defaults');
    expect(launchCode({ name: 'tick', schema: {} }, 'magic')).toBe('%kodosumi launch tick');
    expect(runCode('0199', 'magic')).toBe('%kodosumi show 0199');
    expect(runCode('0199')).toBe('import kodosumi_lab as kl\n\nrun = kl.run("0199")\nrun');
  });

  it('writes values as Python does', () => {
    expect(python({ a: [null, true, 'it\'s "so"', 1.5], b: {} })).toBe('{"a": [None, True, "it\'s \\"so\\"", 1.5], "b": {}}');
  });
});

import { afterEach, describe, expect, it } from 'vitest';
import { catalogueOf } from '../plugins/catalogue.ts';
import { plural, relative } from './format.ts';
import { type Catalogue, setCatalogue, t, tn } from './words.ts';

const GERMAN: Record<string, string[]> = {
  'Loading…': ['Lädt …'], 'place %1 in the queue': ['Platz %1 der Schlange'], '%1 of %2': ['von %2 die %1.'],
  '%1 event': ['%1 Ereignis', '%1 Ereignisse'], '%1 question waiting': ['%1 Frage wartet', '%1 Fragen warten'],
};

const german: Catalogue = {
  language: 'de-DE',
  text: (english) => GERMAN[english]?.[0] ?? english,
  counted: (one, many, n) => GERMAN[one]?.[n === 1 ? 0 : 1] ?? (n === 1 ? one : many),
};

/** A bundle that fills places as JupyterLab's does, whether or not it is given values. */
function jupyters(code: string): Parameters<typeof catalogueOf>[0] {
  const filled = (text: string, values: unknown[]): string => text.replace(/%(\d+)/g, (_, place: string) => String(values[Number(place) - 1]));
  const bundle = {
    __: (text: string, ...values: unknown[]) => filled(german.text(text), values),
    _n: (one: string, many: string, n: number, ...values: unknown[]) => filled(german.counted(one, many, n), [n, ...values]),
  };
  return { languageCode: code, load: () => bundle } as unknown as Parameters<typeof catalogueOf>[0];
}

describe('words', () => {
  afterEach(() => setCatalogue(null));

  it('are English without a catalogue', () => {
    expect([t('Loading…'), t('%1 of %2', 3, 'many'), plural(1, 'event'), plural(1234, 'event'), t('100 %1')]).toEqual(['Loading…', '3 of many', '1 event', '1,234 events', '100 %1']);
    expect(relative(Date.now() - 7_200_000)).toBe('2 hours ago');
  });

  it.each([['its own', german], ['that of JupyterLab', catalogueOf(jupyters('de_DE'))]])('are those of a catalogue: %s', (_, catalogue) => {
    setCatalogue(catalogue);
    expect([t('Loading…'), t('place %1 in the queue', 4), t('%1 of %2', 3, 17)]).toEqual(['Lädt …', 'Platz 4 der Schlange', 'von 17 die 3.']);
    expect([plural(1, 'event'), plural(1234, 'event'), tn('%1 question waiting', '%1 questions waiting', 2)]).toEqual(['1 Ereignis', '1.234 Ereignisse', '2 Fragen warten']);
    expect(t('nobody has translated this: %1', 'x')).toBe('nobody has translated this: x');
    expect(relative(Date.now() - 7_200_000)).toBe('vor 2 Stunden');
  });

  it('are English in a language that no browser knows', () => {
    expect(catalogueOf(jupyters('not a language')).language).toBe('en');
  });
});

// JupyterLab's translations, for the views.

import type { ITranslator } from '@jupyterlab/translation';
import type { Catalogue } from '../views/words.ts';

/** JupyterLab would put nothing in the places of values that it is not given; the views fill them. */
const PLACES = ['%1', '%2', '%3', '%4'];

export function catalogueOf(translator: Pick<ITranslator, 'load' | 'languageCode'>): Catalogue {
  const trans = translator.load('kodosumi_lab');
  return {
    language: tagOf(translator.languageCode),
    text: (english) => trans.__(english, ...PLACES),
    // it writes the number itself, as digits
    counted: (one, many, n) => trans._n(one, many, n, ...PLACES.slice(1)).replace(new RegExp(`(?<![%\\d])${n}(?!\\d)`), '%1'),
  };
}

/** As browsers name a language that JupyterLab names `zh_CN`. */
function tagOf(code: string): string {
  try {
    return Intl.getCanonicalLocales(code.replaceAll('_', '-'))[0] ?? 'en';
  } catch {
    return 'en';
  }
}

// The words that views show, in the person's language. Whoever shows views may set a catalogue, as JupyterLab's plugins do;
// without one they are English. Texts are looked up where they are drawn, never when a module is loaded.

type Given = string | number | null | undefined;

export interface Catalogue {
  /** A tag such as `de-DE`, for dates and numbers. */
  language: string;
  /** The text in the person's language, with `%1`, `%2` … in their places. */
  text(english: string): string;
  /** As `text`, of the form that goes with the number. */
  counted(one: string, many: string, n: number): string;
}

const ENGLISH: Catalogue = { language: 'en', text: (english) => english, counted: (one, many, n) => (n === 1 ? one : many) };

let catalogue = ENGLISH;

/** From now on; null is English again. */
export function setCatalogue(next: Catalogue | null): void {
  catalogue = next ?? ENGLISH;
}

/** A text with values in the places of `%1`, `%2` …: `t('place %1 in the queue', 3)`. */
export function t(english: string, ...values: Given[]): string {
  return placed(catalogue.text(english), values);
}

/** A text about a number of things: `tn('%1 event', '%1 events', n)`; further values are `%2` …. */
export function tn(one: string, many: string, n: number, ...values: Given[]): string {
  return placed(catalogue.counted(one, many, n), [n.toLocaleString(catalogue.language), ...values]);
}

/** A text that is looked up later, where it is drawn: `later('Status')` in a list, `t(column.title)` at its place. */
export function later(english: string): string {
  return english;
}

/** For `Intl`. */
export function language(): string {
  return catalogue.language;
}

function placed(text: string, values: Given[]): string {
  return values.length === 0 ? text : text.replace(/%(\d+)/g, (sign, place: string) => (Number(place) <= values.length ? String(values[Number(place) - 1] ?? '') : sign));
}

/** What a run is said to be; looked up by its status. */
export const STATUS_WORDS = ['starting', 'running', 'awaiting', 'finished', 'error', 'cancelled', 'timeout', 'lost'].map(later);

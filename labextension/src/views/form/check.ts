// What is wrong with a value, told while it is entered. The gateway judges again with the same rules
// (kodosumi_lab/forms/check.py): whatever is let through here is refused there.

import type { Element } from '../../sources/source.ts';

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const DATE = /^\d{4}-\d{2}-\d{2}$/;
const TIME = /^(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?$/;

/** Nothing was entered. */
export function isBlank(value: unknown): boolean {
  return value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0);
}

/** What stands for a secret that was entered before and is not to be changed. */
export function isSecret(value: unknown): boolean {
  return typeof value === 'object' && value !== null && (value as { secret?: unknown }).secret === true;
}

/** A text of the element's dict, or null. Bounds may be numbers there. */
export function wordOf(element: Element, key: string): string | null {
  const value = element[key];
  if (typeof value === 'string') return value === '' ? null : value;
  return typeof value === 'number' ? String(value) : null;
}

/** A number of the element's dict, or null; one that cannot be read is none, as in a browser. */
export function numberOf(element: Element, key: string): number | null {
  const word = wordOf(element, key);
  if (word === null || !NUMBER.test(word.trim())) return null;
  return Number(word);
}

/** Messages for a value as it would be sent; none where it fits. */
export function faults(element: Element, value: unknown): string[] {
  if (isBlank(value)) return element['required'] === true ? ['Required'] : [];
  if (isSecret(value)) return [];
  return CHECKS[element.type]?.(element, value) ?? [];
}

type Check = (element: Element, value: unknown) => string[];

const CHECKS: Record<string, Check> = {
  text: (element, value) => [...lengths(element, asText(value)), ...pattern(element, asText(value))],
  password: (element, value) => [...lengths(element, asText(value)), ...pattern(element, asText(value))],
  textarea: (element, value) => lengths(element, asText(value).replaceAll('\r\n', '\n')),
  number: (element, value) => numbers(element, asText(value)),
  date: (element, value) => dates(element, asText(value)),
  time: (element, value) => times(element, asText(value)),
  'datetime-local': (element, value) => moments(element, asText(value)),
  multiselect: (element, value) => counts(element, value, 'choice'),
  list: lists,
};

function asText(value: unknown): string {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : JSON.stringify(value);
}

function lengths(element: Element, text: string): string[] {
  const size = Array.from(text).length; // as the gateway counts: code points
  const [least, most] = [numberOf(element, 'min_length'), numberOf(element, 'max_length')];
  if (least !== null && size < least) return [`At least ${characters(least)}, this has ${size}`];
  if (most !== null && size > most) return [`At most ${characters(most)}, this has ${size}`];
  return [];
}

function characters(size: number): string {
  return `${size} character${size === 1 ? '' : 's'}`;
}

function pattern(element: Element, text: string): string[] {
  const source = wordOf(element, 'pattern');
  const expression = source === null ? null : expressionOf(source);
  return expression === null || expression.test(text) ? [] : [`Has to match ${source ?? ''}`];
}

/** HTML's own flag first; a pattern that is none asks for nothing. */
function expressionOf(source: string): RegExp | null {
  for (const flags of ['v', 'u', '']) {
    try {
      return new RegExp(`^(?:${source})$`, flags);
    } catch {
      continue;
    }
  }
  return null;
}

function numbers(element: Element, given: string): string[] {
  const text = given.trim();
  if (!NUMBER.test(text) || !Number.isFinite(Number(text))) return ['Has to be a number'];
  const value = Number(text);
  const [least, most] = [numberOf(element, 'min_value'), numberOf(element, 'max_value')];
  if (least !== null && value < least) return [`At least ${least}`];
  if (most !== null && value > most) return [`At most ${most}`];
  const step = wordOf(element, 'step');
  if (step !== null && numberOf(element, 'step') !== 0 && NUMBER.test(step)) {
    const base = least === null ? '0' : (wordOf(element, 'min_value') ?? '0');
    if (!onStep(text, base, step)) return [Number(step) === 1 && Number.isInteger(Number(base)) ? 'Has to be a whole number' : `Steps of ${step} from ${base}`];
  }
  return pattern(element, given);
}

/** In decimal digits, since 0.3 is no multiple of 0.1 for a double. */
function onStep(value: string, base: string, step: string): boolean {
  const parts = [value, base, step].map(decimal);
  const scale = Math.max(...parts.map((part) => part.scale));
  if (scale > 400) return true;
  const [v, b, s] = parts.map((part) => part.digits * 10n ** BigInt(scale - part.scale)) as [bigint, bigint, bigint];
  return (v - b) % s === 0n;
}

function decimal(text: string): { digits: bigint; scale: number } {
  const [mantissa = '', exponent = '0'] = text.trim().toLowerCase().split('e');
  const [whole = '', fraction = ''] = mantissa.replace(/^[+-]/, '').split('.');
  const digits = BigInt(whole + fraction || '0') * (mantissa.startsWith('-') ? -1n : 1n);
  const scale = fraction.length - Number(exponent);
  return scale >= 0 ? { digits, scale } : scale < -400 ? { digits: 0n, scale: 0 } : { digits: digits * 10n ** BigInt(-scale), scale: 0 };
}

function between(value: string, least: string | null, most: string | null): string[] {
  if (least !== null && value < least) return [`${least.replace('T', ' ')} or later`];
  if (most !== null && value > most) return [`${most.replace('T', ' ')} or earlier`];
  return [];
}

function dates(element: Element, text: string): string[] {
  if (!DATE.test(text) || Number.isNaN(Date.parse(text))) return ['Has to be a date like 2026-01-31'];
  return between(text, wordOf(element, 'min_date'), wordOf(element, 'max_date'));
}

/** Milliseconds since midnight, or null. */
function sinceMidnight(text: string | null): number | null {
  const found = text === null ? null : TIME.exec(text);
  if (!found) return null;
  const [hours, minutes, seconds] = [Number(found[1]), Number(found[2]), Number(found[3] ?? 0)];
  if (hours > 23 || minutes > 59 || seconds > 59) return null;
  return ((hours * 60 + minutes) * 60 + seconds) * 1000 + Number(`0.${found[4] ?? '0'}`) * 1000;
}

function times(element: Element, text: string): string[] {
  const value = sinceMidnight(text);
  if (value === null) return ['Has to be a time like 13:45'];
  const [low, high] = [wordOf(element, 'min_time'), wordOf(element, 'max_time')];
  const [least, most] = [sinceMidnight(low), sinceMidnight(high)];
  if (least !== null && most !== null && least > most) {
    if (value > most && value < least) return [`From ${low ?? ''} to ${high ?? ''}`]; // over midnight
  } else if (least !== null && value < least) return [`${low ?? ''} or later`];
  else if (most !== null && value > most) return [`${high ?? ''} or earlier`];
  return seconds(element, value - (least ?? 0));
}

function moments(element: Element, text: string): string[] {
  const value = moment(text);
  if (value === null) return ['Has to be a date and a time like 2026-01-31 13:45'];
  const [low, high] = [wordOf(element, 'min_datetime'), wordOf(element, 'max_datetime')];
  const [least, most] = [moment(low), moment(high)];
  if (least !== null && value < least) return [`${(low ?? '').replace('T', ' ')} or later`];
  if (most !== null && value > most) return [`${(high ?? '').replace('T', ' ')} or earlier`];
  return seconds(element, value - (least ?? 0));
}

/** Milliseconds since 1970 as if it were UTC: local times without a zone have no other order. */
function moment(text: string | null): number | null {
  const [date = '', time = ''] = (text ?? '').split(/[T ]/);
  const at = sinceMidnight(time);
  const day = DATE.test(date) ? Date.parse(date) : NaN;
  return at === null || Number.isNaN(day) ? null : day + at;
}

function seconds(element: Element, since: number): string[] {
  const step = numberOf(element, 'step');
  if (!step || Math.abs(since) % Math.round(step * 1000) === 0) return [];
  return [step % 60 === 0 ? `Steps of ${step / 60} min` : `Steps of ${step} s`];
}

function counts(element: Element, value: unknown, noun: string): string[] {
  const size = Array.isArray(value) ? value.length : 1;
  const [least, most] = [numberOf(element, 'min_items'), numberOf(element, 'max_items')];
  if (least !== null && size < least) return [`At least ${least} ${noun}${least === 1 ? '' : 's'}, this has ${size}`];
  if (most !== null && size > most) return [`At most ${most} ${noun}${most === 1 ? '' : 's'}, this has ${size}`];
  return [];
}

function lists(element: Element, value: unknown): string[] {
  const items: unknown[] = Array.isArray(value) ? value : [value];
  const item = itemOf(element);
  const found = counts(element, items, 'item');
  items.forEach((one, at) => {
    for (const fault of faults(item, one)) found.push(`Item ${at + 1}: ${fault.charAt(0).toLowerCase()}${fault.slice(1)}`);
  });
  return found;
}

/** What each value of a list is entered and checked as. */
export function itemOf(element: Element): Element {
  const item = element['item'];
  return typeof item === 'object' && item !== null && 'type' in item ? (item as Element) : { type: 'text', name: 'item' };
}

/** What is wrong with a JSON text, and where; null where nothing is. */
export function jsonFault(text: string): string | null {
  try {
    JSON.parse(text);
    return null;
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    const at = /position (\d+)/.exec(said);
    if (!at) return `No JSON: ${plain(said)}`;
    const before = text.slice(0, Number(at[1])).split('\n');
    return `No JSON: ${plain(said)}, line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}`;
  }
}

function plain(said: string): string {
  const words = said.replace(/,? ?(in JSON )?at position \d+.*$/s, '').replace(/, ?["“].*is not valid JSON$/s, '').replace(/ in JSON$/, '');
  return words.charAt(0).toLowerCase() + words.slice(1);
}

// Times, sizes and numbers as a person reads them.

import { language, t, tn } from './words.ts';

/** `4.2 s`, `3:05 min`, `1:02:03 h`. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return '–';
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.floor(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n: number): string => String(n).padStart(2, '0');
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)} h` : `${minutes}:${two(rest)} min`;
}

const STEPS: [number, Intl.RelativeTimeFormatUnit][] = [
  [60, 'second'], [3600, 'minute'], [86_400, 'hour'], [86_400 * 30, 'day'], [86_400 * 365, 'month'], [Infinity, 'year'],
];

let words = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
let spoken = 'en';

/** Made once for a language: a list formats many. */
function ago(): Intl.RelativeTimeFormat {
  if (spoken !== language()) words = new Intl.RelativeTimeFormat((spoken = language()), { numeric: 'auto' });
  return words;
}

/** `2 minutes ago`, `in 3 hours`; both in milliseconds since 1970. */
export function relative(at: number, now: number = Date.now()): string {
  const seconds = (at - now) / 1000;
  if (Math.abs(seconds) < 5) return t('just now');
  let unit = 1;
  for (const [limit, name] of STEPS) {
    if (Math.abs(seconds) < limit) return ago().format(Math.trunc(seconds / unit), name);
    unit = limit;
  }
  return '';
}

/** A time in full, in the person's own zone. */
export function absolute(at: number): string {
  return new Date(at).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
}

/** `14:03:05.120` */
export function clock(at: number): string {
  const date = new Date(at);
  const two = (n: number): string => String(n).padStart(2, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}

export function bytes(size: number): string {
  if (size < 1024) return `${size} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = size;
  let unit = -1;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]!}`;
}

export function count(value: number): string {
  return value.toLocaleString(language());
}

/** `3 events`, of a literal noun: its forms are in the list of words. */
export function plural(value: number, noun: string): string {
  return tn(`%1 ${noun}`, `%1 ${noun}s`, value);
}

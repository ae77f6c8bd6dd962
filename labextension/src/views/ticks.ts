// Marks of an axis: round numbers, and how to write them.

const NICE = [1, 2, 2.5, 5];

/** A range that begins and ends at round values. */
export function rounded(min: number, max: number, count: number): [number, number] {
  const step = stepOf(max - min, count, NICE);
  return [Math.floor(min / step + 1e-9) * step, Math.ceil(max / step - 1e-9) * step];
}

/** Round values from `min` to `max`, about `count` of them. */
export function ticks(min: number, max: number, count: number): number[] {
  const step = stepOf(max - min, count, NICE);
  if (!(step > 0) || !Number.isFinite(step)) return [min];
  return multiples(step, min, max);
}

/** Multiples, not sums: 0.1 + 0.2 is not 0.3. */
function multiples(step: number, min: number, max: number): number[] {
  const found: number[] = [];
  for (let n = Math.ceil(min / step - 1e-9) + 0; n * step <= max + step * 1e-9; n++) found.push(n * step);
  return found;
}

function stepOf(span: number, count: number, nice: readonly number[]): number {
  const rough = span / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  for (const factor of nice) if (factor * power >= rough * 0.999) return factor * power;
  return 10 * power;
}

/** Powers of ten, and where there are few of them, also twice and five times those. */
export function logTicks(min: number, max: number): number[] {
  const [low, high] = [Math.floor(Math.log10(min)), Math.ceil(Math.log10(max))];
  const factors = high - low > 3 ? [1] : [1, 2, 5];
  const every = Math.max(1, Math.ceil((high - low) / 8));
  const found: number[] = [];
  for (let power = low; power <= high; power += every) {
    for (const factor of factors) {
      const value = factor * 10 ** power;
      if (value >= min * 0.999 && value <= max * 1.001) found.push(value);
    }
  }
  return found.length > 1 ? found : [min, max];
}

const MS = [1, 2, 5, 10, 20, 50, 100, 200, 500];
const LONGER = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400].map((s) => s * 1000);

/** Round times in ms between `min` and `max`, about `count` of them. */
export function timeTicks(min: number, max: number, count: number): number[] {
  const rough = (max - min) / Math.max(1, count);
  if (!(rough > 0)) return [];
  const day = 86_400_000;
  const step = rough < 1 ? stepOf(max - min, count, [1, 2, 5]) : ([...MS, ...LONGER].find((one) => one >= rough) ?? Math.ceil(rough / day) * day);
  return multiples(step, min, max);
}

/** `0`, `250 ms`, `5 s`, `1:30`, `2:00:00`: time since the start, as exact as the step asks. */
export function timeLabel(ms: number, step: number): string {
  const [sign, at] = [ms < 0 ? '−' : '', Math.abs(ms)];
  if (at === 0) return '0';
  if (step < 1) return `${sign}${Number(at.toPrecision(6))} ms`;
  if (step < 1000 && at < 1000) return `${sign}${Math.round(at)} ms`;
  const seconds = at / 1000;
  const digits = step >= 1000 ? 0 : step >= 100 ? 1 : step >= 10 ? 2 : 3;
  if (seconds < 60) return `${sign}${seconds.toFixed(digits)} s`;
  const rest = seconds % 60;
  const two = (n: number, to = 0): string => n.toFixed(to).padStart(to > 0 ? 3 + to : 2, '0');
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const tail = two(rest, digits);
  return hours > 0 ? `${sign}${hours}:${two(minutes)}:${tail}` : `${sign}${minutes}:${tail}`;
}

/** A number in few characters: `1.2k`, `3.5M`, `0.004`, `1e-9`. */
export function short(value: number): string {
  const size = Math.abs(value);
  if (value === 0) return '0';
  if (!Number.isFinite(value)) return String(value);
  if (size >= 1e15 || size < 1e-4) return value.toExponential(2).replace(/\.?0+e/, 'e').replace('e+', 'e');
  for (const [unit, name] of [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e4, 'k']] as const) {
    if (size >= unit) return `${trim(value / (unit === 1e4 ? 1e3 : unit))}${name}`;
  }
  return trim(value);
}

function trim(value: number): string {
  return String(Number(value.toPrecision(4)));
}

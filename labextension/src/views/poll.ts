// Asking again and again for what may change, cheaply: an unchanged answer is a 304, and nobody looking is asked for less.

import { Refusal, type Source, pause } from '../sources/source.ts';
import { Unreachable, aborted } from '../sources/transport.ts';

export interface PollOptions {
  /** Between two questions, while the page is seen. */
  everyMs?: number | (() => number);
  /** While it is not. */
  hiddenMs?: number;
  /** It answered, be it that nothing has changed. */
  answered?(): void;
  /** It was refused; asked again all the same, less often. */
  refused?(problem: Refusal): void;
}

/** Who has not answered by then will hardly do so; other ways than HTTP do not always notice that nobody is there. */
const PATIENCE_MS = 10_000;
/** Between two questions where the host says when the log has changed; should it forget to. */
const TOLD_MS = 30_000;
/** The longest pause between questions that nobody answers. */
const LONGEST_MS = 15_000;

/**
 * Ask for a path now and from time to time, until the signal is aborted. `take` gets an answer that differs from the
 * one before; the path is asked for each time, and a new one is no repeat. The result asks at once.
 */
export function poll(source: Source, path: () => string, take: (data: unknown) => void, signal: AbortSignal, options: PollOptions = {}): () => void {
  const { everyMs = 1000, hiddenMs = 15_000 } = options;
  const over = (): boolean => signal.aborted;
  let hurry: AbortController | null = null;
  let now = new AbortController();
  const wake = (): void => {
    now.abort();
    hurry?.abort(); // what is on its way was asked before
  };
  document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && wake(), { signal });
  window.addEventListener('online', wake, { signal });
  source.told?.watch(wake, signal);
  void (async () => {
    let failures = 0;
    let known = { path: '', etag: '' };
    while (!over()) {
      now = new AbortController();
      hurry = new AbortController();
      const asked = path();
      const late = new AbortController();
      const timer = setTimeout(() => late.abort(), PATIENCE_MS * (failures + 1));
      try {
        const headers: Record<string, string> = { accept: 'application/json' };
        if (known.path === asked && known.etag !== '') headers['if-none-match'] = known.etag;
        const reply = await source.raw({ method: 'GET', path: asked, headers, signal: AbortSignal.any([signal, hurry.signal, late.signal]) });
        const body = reply.status === 304 ? null : new TextDecoder().decode(await reply.bytes());
        if (over()) return;
        if (asked !== path()) continue;
        failures = 0;
        options.answered?.();
        if (body !== null) {
          known = { path: asked, etag: reply.header('etag') ?? '' };
          take(JSON.parse(body));
        }
      } catch (error) {
        if (over()) return;
        if (aborted(error) && !late.signal.aborted) continue;
        if (late.signal.aborted) source.lost(new Unreachable('no answer in time'));
        else if (!(error instanceof Unreachable) && !(error instanceof Refusal)) throw error;
        failures++;
        known = { path: '', etag: '' };
        if (error instanceof Refusal) options.refused?.(error);
      } finally {
        clearTimeout(timer);
      }
      const seen = source.told ? TOLD_MS : typeof everyMs === 'number' ? everyMs : everyMs();
      const usual = document.visibilityState === 'hidden' ? hiddenMs : seen;
      const wait = failures === 0 ? usual : Math.max(usual, Math.min(LONGEST_MS, 500 * 2 ** failures));
      await pause(wait, AbortSignal.any([signal, now.signal]));
    }
  })();
  return wake;
}

// Several ways to the same log: the first that answers carries, and another takes over when it does not.

import { pause } from './source.ts';
import { type Reply, type Request, type Transport, Unreachable } from './transport.ts';

/** How soon a way that is gone is looked for again, at first and at last. */
const SOON_MS = 250;
const LATE_MS = 4_000;

/**
 * Requests go the way that worked last. `prefer` is tried in the background: a kernel that is busy
 * or gone answers nothing, so HTTP carries as soon as it is found.
 */
export class Failover implements Transport {
  private current: Transport;
  /** Questions that wait for an answer; they are asked again where a better way is found. */
  private readonly waiting = new Set<(way: Transport) => void>();

  private looking = false;
  /** How often a way was preferred. */
  private turns = 0;

  /** With a signal, the way that is preferred is looked for again while another one stands in. */
  constructor(
    private readonly ways: Transport[],
    private readonly signal?: AbortSignal,
  ) {
    const first = ways[0];
    if (!first) throw new Error('no way to a log was given');
    this.current = first;
  }

  get name(): string {
    return this.current.name;
  }

  url(path: string): string | null {
    return this.current.url(path);
  }

  /** Take this way from now on; the ones before stay as a fallback. */
  prefer(way: Transport): void {
    if (!this.ways.includes(way)) this.ways.unshift(way);
    this.current = way;
    this.turns++;
    for (const asked of [...this.waiting]) asked(way);
  }

  async send(request: Request): Promise<Reply> {
    const tried = this.current;
    try {
      return await (request.method === 'GET' ? this.overtaken(tried, request) : tried.send(request));
    } catch (error) {
      if (error instanceof Unreachable && tried === this.ways[0]) void this.lookFor(tried);
      if (!(error instanceof Unreachable) || request.method !== 'GET') throw error;
      for (const way of this.ways) {
        if (way === tried) continue;
        const { turns } = this;
        try {
          const reply = await this.overtaken(way, request);
          if (this.current === tried && this.turns === turns) this.current = way;
          return reply;
        } catch (other) {
          if (!(other instanceof Unreachable)) throw other;
        }
      }
      throw error;
    }
  }

  /** Until it answers: what waits for the other ways, of which a kernel may be busy for long, is asked again then. */
  private async lookFor(way: Transport): Promise<void> {
    const { signal } = this;
    if (this.looking || !signal || this.ways.length < 2) return;
    this.looking = true;
    for (let ms = SOON_MS; !signal.aborted; ms = Math.min(LATE_MS, ms * 2)) {
      await pause(ms, signal);
      try {
        if ((await way.send({ method: 'GET', path: '/api/v1/health', signal })).status >= 500) continue;
        this.looking = false;
        this.prefer(way);
        return;
      } catch {
        continue; // not yet, or never again
      }
    }
  }

  /** A question, asked again by a way that is preferred before this one has answered. */
  private async overtaken(tried: Transport, request: Request): Promise<Reply> {
    const late = new AbortController();
    const signal = request.signal ? AbortSignal.any([request.signal, late.signal]) : late.signal;
    let asked: (way: Transport) => void = () => undefined;
    const better = new Promise<Transport>((resolve) => (asked = resolve));
    this.waiting.add(asked);
    try {
      const first = tried.send({ ...request, signal });
      const won = await Promise.race([first.then((reply) => ({ reply })), better.then((way) => ({ way }))]);
      if ('reply' in won) return won.reply;
      first.catch(() => undefined); // nobody waits for it any more
      late.abort();
      return await won.way.send(request);
    } finally {
      this.waiting.delete(asked);
    }
  }
}

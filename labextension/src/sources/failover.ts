// Several ways to the same log: the first that answers carries, and another takes over when it does not.

import { type Reply, type Request, type Transport, Unreachable } from './transport.ts';

/**
 * Requests go the way that worked last. `prefer` is tried in the background: a kernel that is busy
 * or gone answers nothing, so HTTP carries as soon as it is found.
 */
export class Failover implements Transport {
  private current: Transport;
  /** Questions that wait for an answer; they are asked again where a better way is found. */
  private readonly waiting = new Set<(way: Transport) => void>();

  constructor(private readonly ways: Transport[]) {
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
    for (const asked of [...this.waiting]) asked(way);
  }

  async send(request: Request): Promise<Reply> {
    const tried = this.current;
    try {
      return await (request.method === 'GET' ? this.overtaken(tried, request) : tried.send(request));
    } catch (error) {
      if (!(error instanceof Unreachable) || request.method !== 'GET') throw error;
      for (const way of this.ways) {
        if (way === tried) continue;
        try {
          const reply = await way.send(request);
          if (this.current === tried) this.current = way;
          return reply;
        } catch (other) {
          if (!(other instanceof Unreachable)) throw other;
        }
      }
      throw error;
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

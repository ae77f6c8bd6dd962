// Several ways to the same log: the first that answers carries, and another takes over when it does not.

import { type Reply, type Request, type Transport, Unreachable } from './transport.ts';

/**
 * Requests go the way that worked last. `prefer` is tried in the background: a kernel that is busy
 * or gone answers nothing, so HTTP carries as soon as it is found.
 */
export class Failover implements Transport {
  private current: Transport;

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
  }

  async send(request: Request): Promise<Reply> {
    const tried = this.current;
    try {
      return await tried.send(request);
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
}

// The way to the gateway below a Jupyter server's base URL: whether it is there, and what is wrong where it is not.

import { version as VERSION } from '../../package.json';
import { Refusal, Source, pause } from './source.ts';
import { type Transport, Unreachable } from './transport.ts';
import { Value } from './value.ts';

/**
 * `off`: nobody has asked for it yet. `absent`: the Jupyter server knows no gateway. `silent`: it knows one that has
 * not answered. `denied`: the session has ended. `lost`: it was there, and is tried again.
 */
export type LinkState =
  | { kind: 'off' | 'connecting' }
  | { kind: 'live'; log: string; version: string }
  | { kind: 'absent' | 'silent' | 'denied' | 'lost'; detail: string };

const FIRST_MS = 1000;
const LONGEST_MS = 30_000;

export class Link {
  readonly source: Source;
  readonly state = new Value<LinkState>({ kind: 'off' });
  private started = false;
  private wake: (() => void) | null = null;

  constructor(
    transport: Transport,
    private readonly signal: AbortSignal,
  ) {
    this.source = new Source(transport);
  }

  /** Look for the gateway, and keep at it; calling it again does no harm. */
  start(): void {
    if (this.started) return;
    this.started = true;
    document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && this.wake?.(), { signal: this.signal });
    window.addEventListener('online', () => this.wake?.(), { signal: this.signal });
    void this.keep();
  }

  /** Try again now. */
  retry(): void {
    this.start();
    this.wake?.();
  }

  get live(): boolean {
    return this.state.get().kind === 'live';
  }

  private async keep(): Promise<void> {
    this.state.set({ kind: 'connecting' });
    let known = false;
    let failures = 0;
    const over = (): boolean => this.signal.aborted;
    while (!over()) {
      const found = await this.probe(known);
      if (over()) return;
      const before = this.state.get();
      if (JSON.stringify(before) !== JSON.stringify(found)) this.state.set(found);
      if (found.kind === 'live') {
        known = true;
        failures = 0;
        await this.broken();
      } else {
        await this.sleep(Math.min(LONGEST_MS, FIRST_MS * 2 ** failures++));
      }
    }
  }

  private async probe(known: boolean): Promise<LinkState> {
    try {
      const told = (await this.source.json('GET', '/health', undefined, this.signal)) as { log?: string; version?: string };
      if (typeof told.version !== 'string') throw new Unreachable('something else answers');
      return { kind: 'live', log: told.log ?? '', version: told.version };
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      if (error instanceof Refusal) {
        const { status } = error.problem;
        if (status === 401 || status === 403) return { kind: 'denied', detail };
        if (status === 404) return { kind: 'absent', detail };
      }
      return { kind: known ? 'lost' : 'silent', detail };
    }
  }

  /** Resolves once a request has failed to reach the gateway, or somebody wants to know. */
  private broken(): Promise<void> {
    const over = new AbortController();
    return new Promise((resolve) => {
      const done = (): void => {
        over.abort();
        this.wake = null;
        resolve();
      };
      this.wake = done;
      this.signal.addEventListener('abort', done, { once: true, signal: over.signal });
      this.source.connection.watch((how) => how === 'lost' && done(), over.signal);
    });
  }

  private async sleep(ms: number): Promise<void> {
    const over = new AbortController();
    this.wake = () => over.abort();
    const before = this.source.connection.get();
    this.source.connection.watch((how) => how !== before && over.abort(), AbortSignal.any([over.signal, this.signal]));
    await pause(ms, AbortSignal.any([over.signal, this.signal]));
    this.wake = null;
  }
}

/** What to tell where the page and the server are of different releases; null where they fit. */
export function mismatch(theirs: string, ours: string = VERSION): string | null {
  const release = (text: string): string => text.split('.').slice(0, 2).join('.');
  if (release(theirs) === release(ours)) return null;
  return newer(theirs, ours)
    ? `JupyterLab shows version ${ours} of Kodosumi Lab, its server has ${theirs}: reload the page.`
    : `JupyterLab shows version ${ours} of Kodosumi Lab, its server has ${theirs}: restart the Jupyter server in the environment that was upgraded.`;
}

function newer(one: string, other: string): boolean {
  const [a, b] = [one, other].map((text) => text.split('.').map((part) => Number.parseInt(part, 10) || 0));
  for (let i = 0; i < 3; i++) if (a![i] !== b![i]) return (a![i] ?? 0) > (b![i] ?? 0);
  return false;
}

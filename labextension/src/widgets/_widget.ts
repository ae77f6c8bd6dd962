// How a widget reaches its log: the comm at once, and HTTP as soon as a gateway of the same log answers.

import { type Host, OPEN_RUN } from '../views/host.ts';
import { CommTransport, type Model } from '../sources/comm.ts';
import { Failover } from '../sources/failover.ts';
import { Source } from '../sources/source.ts';
import { Value } from '../sources/value.ts';
import { FetchTransport, type Transport } from '../sources/transport.ts';

export type { Model };

export interface RenderProps {
  model: Model;
  el: HTMLElement;
  signal?: AbortSignal;
}

/** An anywidget module around a function that draws into `el` until the signal is aborted. */
export function widget(draw: (model: Model, el: HTMLElement, source: Source, signal: AbortSignal) => void): {
  render(props: RenderProps): () => void;
} {
  return {
    render({ model, el, signal }) {
      const controller = new AbortController();
      signal?.addEventListener('abort', () => controller.abort(), { once: true });
      draw(model, el, sourceOf(model, controller.signal), controller.signal);
      return () => controller.abort();
    },
  };
}

/**
 * The source that a widget's traits name: `_api` where the gateway is, relative to the page; without it `_log` is
 * the log's id, and `_http` says whether a Jupyter server may be asked for a gateway of this log.
 */
export function sourceOf(model: Model, signal: AbortSignal): Source {
  const api = model.get('_api') as string | undefined;
  if (api) return told(new Source(new FetchTransport(new URL(api, location.href).href)), model, signal);
  const ways = new Failover([new CommTransport(model, signal)], signal);
  if (model.get('_http') !== false) void preferHttp(ways, model.get('_log') as string, signal);
  return told(new Source(ways), model, signal);
}

/** Where the host counts the changes of the log (trait `_changes`), views ask when it has changed. */
function told(source: Source, model: Model, signal: AbortSignal): Source {
  const counted = (): number => model.get('_changes') as number;
  if (typeof counted() !== 'number') return source;
  const changes = new Value(counted());
  const changed = (): void => changes.set(counted());
  model.on('change:_changes', changed);
  signal.addEventListener('abort', () => model.off('change:_changes', changed), { once: true });
  source.told = changes;
  return source;
}

async function preferHttp(ways: Failover, log: string, signal: AbortSignal): Promise<void> {
  const base = jupyterBase();
  if (base === null) return;
  const http: Transport = new FetchTransport(`${base}kodosumi`);
  try {
    const reply = await http.send({ method: 'GET', path: '/api/v1/health', signal });
    if (reply.status !== 200) return;
    const told = JSON.parse(new TextDecoder().decode(await reply.bytes())) as { log?: string };
    if (told.log === log) ways.prefer(http);
  } catch {
    return; // no Jupyter server with a gateway: the comm carries
  }
}

/** What is asked of the page: in the dashboard (trait `_page`) a run has a page of its own, see views/shell.ts. */
export function hostOf(model: Model): Host {
  if (model.get('_page') !== true) return {};
  return { openRun: (runId) => document.dispatchEvent(new CustomEvent(OPEN_RUN, { detail: runId })) };
}

/** A trait as a value of the view; each follows the other. */
export function shared<T>(model: Model, name: string, otherwise: T, signal: AbortSignal): Value<T> {
  const read = (): T => (model.get(name) as T | null | undefined) ?? otherwise;
  const value = new Value(read());
  const changed = (): void => {
    if (JSON.stringify(read()) !== JSON.stringify(value.get())) value.set(read());
  };
  model.on(`change:${name}`, changed);
  signal.addEventListener('abort', () => model.off(`change:${name}`, changed), { once: true });
  value.watch((now) => {
    if (JSON.stringify(now) === JSON.stringify(read())) return;
    model.set(name, now);
    model.save_changes();
  }, signal);
  return value;
}

/** The Jupyter server's base URL, where the page is one of its own. */
export function jupyterBase(): string | null {
  const text = document.getElementById('jupyter-config-data')?.textContent;
  if (!text) return null;
  try {
    const base = (JSON.parse(text) as { baseUrl?: string }).baseUrl;
    return base === undefined ? null : new URL(base, location.href).href;
  } catch {
    return null;
  }
}

// The dashboard's page in the browser: what its address, title and theme are follows from the model's, and back.

import { download } from '../views/host.ts';
import { mountShell, SHELL_CSS } from '../views/shell.ts';
import { root } from '../views/theme.ts';
import type { Model, RenderProps } from './_widget.ts';

function draw(model: Model, el: HTMLElement, signal: AbortSignal): void {
  const told = (name: string, value: unknown): void => {
    model.set(name, value);
    model.save_changes();
  };
  const options = { query: model.get('query') as string, keys: model.get('keys') as Record<string, [string, string]> };
  const shell = mountShell(root(el, SHELL_CSS, signal), options, signal, {
    went: (query) => {
      model.set('visits', (model.get('visits') as number) + 1);
      told('query', query);
    },
    entered: () => told('entered', (model.get('entered') as number) + 1),
    narrow: (is) => told('narrow', is),
    dark: (is) => told('dark', is),
  });
  const follow = (name: string, show: () => void): void => {
    model.on(`change:${name}`, show);
    show(); // which may well change it
    signal.addEventListener('abort', () => model.off(`change:${name}`, show), { once: true });
  };
  const title = (): void => shell.title(model.get('title') as string, model.get('waiting') as number);
  takeFiles(model, signal);
  follow('query', () => shell.show(model.get('query') as string));
  follow('title', title);
  follow('waiting', title);
  follow('cookie', () => signedIn(model.get('cookie') as string));
  follow('dark', () => shell.theme(model.get('dark') as boolean));
}

/** Keep who this is, and come again as them; where a gateway is beside the dashboard it does this itself. */
function signedIn(cookie: string): void {
  if (!cookie) return;
  document.cookie = cookie + (location.protocol === 'https:' ? '; secure' : '');
  location.reload();
}

/** A file that the server has made. */
function takeFiles(model: Model, signal: AbortSignal): void {
  const take = (raw: unknown): void => {
    const told = (raw instanceof Map ? Object.fromEntries(raw) : raw) as { t?: string; name: string; mime: string; buffers: BlobPart[] };
    if (told.t === 'download') download(told.name, new Blob(told.buffers, { type: told.mime }));
  };
  model.on('msg:custom', take);
  signal.addEventListener('abort', () => model.off('msg:custom', take), { once: true });
}

export default {
  render({ model, el, signal }: RenderProps): () => void {
    const controller = new AbortController();
    signal?.addEventListener('abort', () => controller.abort(), { once: true });
    draw(model, el, controller.signal);
    return () => controller.abort();
  },
};

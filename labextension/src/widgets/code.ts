// Code in several languages. Trait: `texts`, a text by the title of its tab.

import { mountSnippets, SNIPPETS_CSS } from '../views/snippets.ts';
import { root } from '../views/theme.ts';
import type { Model, RenderProps } from './_widget.ts';

export default {
  render({ model, el, signal }: RenderProps): () => void {
    const controller = new AbortController();
    signal?.addEventListener('abort', () => controller.abort(), { once: true });
    draw(model, el, controller.signal);
    return () => controller.abort();
  },
};

function draw(model: Model, el: HTMLElement, signal: AbortSignal): void {
  const show = mountSnippets(root(el, SNIPPETS_CSS, signal), signal);
  const changed = (): void => show(model.get('texts') as Record<string, string>);
  model.on('change:texts', changed);
  signal.addEventListener('abort', () => model.off('change:texts', changed), { once: true });
  changed();
}

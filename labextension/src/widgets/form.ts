// The form of a flow, and its launch. Traits: `flow`; `values`, what is entered, both ways; `launched`, the id of the run.

import type { Source } from '../sources/source.ts';
import { mountLaunch, LAUNCH_CSS } from '../views/launch.ts';
import { root } from '../views/theme.ts';
import { hostOf, type Model, widget } from './_widget.ts';

export default widget((model: Model, el: HTMLElement, source: Source, signal: AbortSignal) => {
  const form = mountLaunch(root(el, LAUNCH_CSS, signal), source, model.get('flow') as string, signal, {
    host: hostOf(model),
    values: (model.get('values') as Record<string, unknown> | null) ?? {},
    changed: (values) => {
      model.set('values', values);
      model.save_changes();
    },
    launched: (runId) => {
      model.set('launched', runId);
      model.save_changes();
    },
  });
  const changed = (): void => form.set((model.get('values') as Record<string, unknown> | null) ?? {});
  model.on('change:values', changed);
  signal.addEventListener('abort', () => model.off('change:values', changed), { once: true });
});

// A run in a notebook's cell, in Lab's panels and in the dashboard.

import { root } from '../views/theme.ts';
import { RUN_CSS, mountRun } from '../views/run.ts';
import { hostOf, type Model, widget } from './_widget.ts';

export default widget((model: Model, el, source, signal) => {
  let current = new AbortController();
  const keep = (name: string, value: unknown): void => {
    if (model.get(name) === value) return;
    model.set(name, value);
    model.save_changes();
  };
  const show = (): void => {
    current.abort();
    current = new AbortController();
    const ending = AbortSignal.any([signal, current.signal]);
    const runId = model.get('run_id') as string;
    let shown = runId;
    const onChange = (): void => {
      if (model.get('run_id') !== shown) show();
    };
    model.on('change:run_id', onChange);
    ending.addEventListener('abort', () => model.off('change:run_id', onChange), { once: true });
    const options = {
      tab: (model.get('tab') as string | null | undefined) ?? null,
      compact: model.get('compact') !== false,
      live: model.get('live') !== false,
      onTab: (tab: string) => keep('tab', tab),
      onRun: (other: string) => {
        shown = other;
        keep('run_id', other);
      },
    };
    mountRun(root(el, RUN_CSS, ending), source, runId, options, ending, hostOf(model));
  };
  show();
});

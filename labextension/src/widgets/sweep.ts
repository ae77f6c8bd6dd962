// A sweep. Traits: `sweep_id`; `selected`, id of the run that is shown below, both ways.

import { RUN_CSS, mountRun } from '../views/run.ts';
import { mountSweep, SWEEP_CSS } from '../views/sweep.ts';
import { root } from '../views/theme.ts';
import { hostOf, shared, widget } from './_widget.ts';

export default widget((model, el, source, signal) => {
  const expand = (parent: HTMLElement, runId: string, ending: AbortSignal): void => {
    mountRun(parent, source, runId, { compact: true }, ending, {});
  };
  const options = { sweepId: model.get('sweep_id') as string, selected: shared<string>(model, 'selected', '', signal), expand };
  mountSweep(root(el, SWEEP_CSS + RUN_CSS, signal), source, options, signal, hostOf(model));
});

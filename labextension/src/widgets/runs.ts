// The list of runs. Traits, both ways: `query`, what is asked for; `selected`, ids of the chosen runs.
// `compared` is set to the ids that are to be compared.

import type { RunQuery } from '../sources/source.ts';
import { RUN_CSS, mountRun } from '../views/run.ts';
import { RUNS_CSS, mountRuns } from '../views/runs.ts';
import { root } from '../views/theme.ts';
import { hostOf, shared, widget } from './_widget.ts';

export default widget((model, el, source, signal) => {
  const query = shared<RunQuery>(model, 'query', {}, signal);
  const selected = shared<string[]>(model, 'selected', [], signal);
  const compare = (ids: string[]): void => {
    model.set('compared', ids);
    model.save_changes();
  };
  const expand = (parent: HTMLElement, runId: string, ending: AbortSignal): void => {
    mountRun(parent, source, runId, { compact: true }, ending, {});
  };
  mountRuns(root(el, RUNS_CSS + RUN_CSS, signal), source, { query, selected, compare, comparing: true, expand }, signal, hostOf(model));
});

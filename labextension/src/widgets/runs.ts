// The list of runs. Traits, both ways: `query`, what is asked for; `selected`, ids of the chosen runs.
// `compared` is set to the ids that are to be compared.

import type { RunQuery } from '../sources/source.ts';
import { Value } from '../sources/value.ts';
import { RUN_CSS, mountRun } from '../views/run.ts';
import { RUNS_CSS, mountRuns } from '../views/runs.ts';
import { root } from '../views/theme.ts';
import { hostOf, type Model, widget } from './_widget.ts';

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
  mountRuns(root(el, RUNS_CSS + RUN_CSS, signal), source, { query, selected, compare, code: true, expand }, signal, hostOf(model));
});

/** A trait as a value of the view; each follows the other. */
function shared<T>(model: Model, name: string, otherwise: T, signal: AbortSignal): Value<T> {
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

// A field for files, in a form that is made of other controls.
//
// Traits, from here: `value`, what a form sends for it (both ways); `pending`, how many of its files are not there yet;
// `failed`, why; `settled`, up to which `wanted` it is known how sending ended. To here: `element`, its dict; `used`, a
// value that went to a run and counts no more; `wanted`, a number that is raised when the files are to be there;
// `local`, whether the value names files of the kernel's machine.
//
// A form may be shown twice, or again after its page was loaded again: only the view that has the files sends them and
// says how far they are. Where none has them any more, they have to be chosen again.

import type { Element } from '../sources/source.ts';
import { h, setText } from '../views/dom.ts';
import { FIELDS_CSS } from '../views/form/css.ts';
import { filesField } from '../views/form/files.ts';
import { root } from '../views/theme.ts';
import { type Model, widget } from './_widget.ts';

// whoever made the form tells below what is wrong
const CSS = `${FIELDS_CSS}
.kl .kl-files-alone .kl-form-message { display: none; }
`;
/** Another view may have the files, and says so at once. */
const OTHERS_MS = 1500;

export default widget((model: Model, el, source, signal) => {
  const text = (name: string): string => (model.get(name) as string | null | undefined) ?? '';
  const number = (name: string): number => (model.get(name) as number | null | undefined) ?? 0;
  const spec = { ...(model.get('element') as Element), value: text('value') || null };
  let quiet = false;
  const field = filesField(spec, { source, signal, within: () => true, changed: () => quiet || tell(), build: () => undefined });
  const gone = h('p', { class: 'kl-form-help', role: 'status' });
  root(el, CSS, signal).append(h('div', { class: 'kl-files-alone' }, field.element, gone));

  function value(): string {
    return (field.value() as string | undefined) ?? '';
  }

  function tell(more: Record<string, unknown> = {}): void {
    setText(gone, '');
    const now = { value: value(), pending: field.pending?.() ?? 0, failed: value() === '' ? '' : field.faults().join('\n'), ...more };
    if (Object.entries(now).every(([name, one]) => model.get(name) === one)) return;
    for (const [name, one] of Object.entries(now)) model.set(name, one);
    model.save_changes();
  }

  /** Show a value that comes from elsewhere. */
  function show(given: string): void {
    quiet = true;
    field.set(given || null);
    quiet = false;
  }

  /** Have the files sent; whoever has them answers. */
  async function send(asked: number): Promise<void> {
    const pending = field.pending?.() ?? 0;
    if (pending + number('pending') === 0 && value() !== text('used') && isSent(value())) {
      tell({ heard: asked, settled: asked }); // the last one arrived while whoever asks did not know it yet
      return;
    }
    if (pending === 0) {
      await new Promise((resolve) => setTimeout(resolve, OTHERS_MS));
      if (signal.aborted || number('wanted') !== asked || number('heard') >= asked) return;
      show('');
      setText(gone, 'The files were on the page that was left: choose them again.');
      const told = { value: '', pending: 0, failed: '', heard: asked, settled: asked };
      for (const [name, one] of Object.entries(told)) model.set(name, one);
      model.save_changes();
      return;
    }
    tell({ heard: asked });
    await field.ready?.();
    tell({ settled: asked });
  }

  const told: Record<string, () => void> = {
    'change:value': () => {
      if (text('value') !== value()) show(text('value'));
    },
    'change:used': () => {
      if (text('used') === '' || text('used') !== value() || (field.pending?.() ?? 0) > 0) return;
      quiet = true;
      field.taken?.();
      quiet = false;
      if (text('used') !== value()) tell(); // else another view has them
    },
    'change:wanted': () => void send(number('wanted')),
  };
  for (const [name, act] of Object.entries(told)) {
    model.on(name, act);
    signal.addEventListener('abort', () => model.off(name, act), { once: true });
  }
});

/** Whether a value names a batch for all of its files. */
function isSent(value: string): boolean {
  if (value === '') return false;
  const { batchId, items } = JSON.parse(value) as { batchId: string; items: Record<string, unknown> };
  return batchId !== '' && !Object.keys(items).some((id) => id.startsWith('waiting-'));
}

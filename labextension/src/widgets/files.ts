// A field for files, in a form that is made of other controls. Traits, from here: `value`, what a form sends for it (both
// ways); `pending`, how many of its files are not there yet; `failed`, why. To here: `element`, its dict; `used`, a value
// that went to a run and counts no more; `wanted`, a number that is raised when the files are to be there.

import type { Element } from '../sources/source.ts';
import { h } from '../views/dom.ts';
import { FIELDS_CSS } from '../views/form/css.ts';
import { filesField } from '../views/form/files.ts';
import { root } from '../views/theme.ts';
import { type Model, widget } from './_widget.ts';

// whoever made the form tells below what is wrong
const CSS = `${FIELDS_CSS}
.kl .kl-files-alone .kl-form-message { display: none; }
`;

export default widget((model: Model, el, source, signal) => {
  const text = (name: string): string => (model.get(name) as string | null | undefined) ?? '';
  const spec = { ...(model.get('element') as Element), value: text('value') || null };
  const place = h('div', { class: 'kl-files-alone' });
  const field = filesField(spec, { source, signal, within: () => true, changed: tell, build: () => undefined });
  root(el, CSS, signal).append(place);
  place.append(field.element);

  function value(): string {
    return (field.value() as string | undefined) ?? '';
  }

  function tell(): void {
    const now = { value: value(), pending: field.pending?.() ?? 0, failed: value() === '' ? '' : field.faults().join('\n') };
    if (Object.entries(now).every(([name, one]) => model.get(name) === one)) return;
    for (const [name, one] of Object.entries(now)) model.set(name, one);
    model.save_changes();
  }

  const told: Record<string, () => void> = {
    'change:value': () => {
      if (text('value') === value()) return;
      field.set(text('value') || null);
      tell();
    },
    'change:used': () => {
      if (text('used') === '' || text('used') !== value()) return;
      field.taken?.();
      if (text('used') === value()) field.set(null); // files that this page does not have
      tell();
    },
    'change:wanted': () => void field.ready?.().then(tell),
  };
  for (const [name, act] of Object.entries(told)) {
    model.on(name, act);
    signal.addEventListener('abort', () => model.off(name, act), { once: true });
  }
});

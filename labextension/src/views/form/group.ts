// Fields that belong together; an optional group has a switch.

import type { Element } from '../../sources/source.ts';
import { h, uniqueId } from '../dom.ts';
import { type Around, type Field, titleOf } from './field.ts';

export function groupField(spec: Element, around: Around): Field {
  const optional = spec['optional'] === true;
  const id = uniqueId('kl-group');
  const message = h('p', { class: 'kl-form-message', id, 'aria-live': 'polite', hidden: true });
  const inner = h('div', { class: 'kl-form-inner' });
  const set = h('fieldset', { class: 'kl-form-group', 'data-name': spec.name ?? undefined, 'aria-describedby': id });
  const toggle = h('input', { type: 'checkbox', role: 'switch', class: 'kl-form-switch' });
  const title = titleOf(spec);
  set.append(h('legend', {}, optional ? h('label', { class: 'kl-form-box' }, toggle, h('span', { text: title })) : title));
  if (typeof spec['help'] === 'string' && spec['help'] !== '') set.append(h('p', { class: 'kl-form-help', text: spec['help'] }));
  set.append(message, inner);
  const on = (): boolean => !optional || toggle.checked;
  const draw = (): void => {
    inner.hidden = !on();
    set.classList.toggle('kl-off', !on());
  };
  const field: Field = {
    name: spec.name ?? '', spec, element: set, within: () => around.within(),
    value: () => (optional ? (toggle.checked ? 'on' : 'off') : undefined),
    set(value) {
      toggle.checked = value === true || value === 'on';
      draw();
    },
    faults: () => [],
    show(messages) {
      message.textContent = messages.join('\n');
      message.hidden = messages.length === 0;
    },
    focus: () => (optional ? toggle : inner.querySelector<HTMLElement>('input, select, textarea'))?.focus(),
  };
  const children = Array.isArray(spec['elements']) ? (spec['elements'] as Element[]) : [];
  around.build(children, inner, () => around.within() && on());
  field.set(spec['value']);
  toggle.addEventListener('change', () => {
    draw();
    around.changed(field, true);
  });
  return field;
}

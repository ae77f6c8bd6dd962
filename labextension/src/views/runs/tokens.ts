// Several exact words to filter by, chosen from known ones or typed.

import { h } from '../dom.ts';
import { uniqueId } from '../dom.ts';
import { t } from '../words.ts';

export class Tokens {
  readonly element: HTMLElement;
  readonly input: HTMLInputElement;
  private readonly chips = h('span', { class: 'kl-row kl-runs-chips' });
  private readonly list: HTMLDataListElement;
  private readonly known = new Set<string>();
  private values: string[] = [];

  constructor(private readonly label: string, private readonly changed: (values: string[]) => void) {
    const id = uniqueId('kl-known');
    this.list = h('datalist', { id });
    this.input = h('input', { type: 'text', list: id, placeholder: `${label} …`, 'aria-label': label, autocomplete: 'off', spellcheck: 'false' });
    this.element = h('span', { class: 'kl-runs-tokens' }, this.input, this.list, this.chips);
    this.input.addEventListener('change', () => this.add());
    // a choice from the list comes as an input of a known word at once
    this.input.addEventListener('input', (event) => {
      if (!(event instanceof InputEvent) || event.inputType === 'insertReplacementText') this.add();
    });
    this.input.addEventListener('keydown', (event) => {
      if (event.key === 'Enter') this.add();
      else if (event.key === 'Backspace' && this.input.value === '' && this.values.length > 0) this.put(this.values.slice(0, -1));
    });
  }

  /** Words that can be chosen. */
  offer(words: Iterable<string>): void {
    for (const word of words) {
      if (word === '' || this.known.has(word)) continue;
      this.known.add(word);
      this.list.append(h('option', { value: word }));
    }
  }

  draw(values: readonly string[]): void {
    this.values = [...values];
    this.chips.replaceChildren(
      ...values.map((value) =>
        h('button', {
          type: 'button', class: 'kl-chip', 'aria-label': t('%1 %2: remove', this.label, value), title: t('Remove'),
          onclick: () => {
            this.put(this.values.filter((one) => one !== value));
            this.input.focus();
          },
        }, `${value} ×`),
      ),
    );
  }

  private add(): void {
    const word = this.input.value.trim();
    this.input.value = '';
    if (word !== '' && !this.values.includes(word)) this.put([...this.values, word]);
  }

  private put(values: string[]): void {
    this.draw(values);
    this.changed(values);
  }
}

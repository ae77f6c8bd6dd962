// Which messages stand under which field: own ones first, then the server's, nothing before it was touched.

import { Refusal } from '../../sources/source.ts';
import { aborted } from '../../sources/transport.ts';
import type { Field } from './field.ts';

/** After the last key, before the server is asked and a new fault is told. */
const PAUSE_MS = 350;

type Validate = (values: Record<string, unknown>, signal: AbortSignal) => Promise<void>;

export class Messages {
  private server: Record<string, string[]> = {};
  private readonly touched = new Set<string>();
  private all = false;
  private asked: AbortController | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly fields: readonly Field[],
    private readonly values: () => Record<string, unknown>,
    private readonly validate: Validate | undefined,
    /** Where messages go that belong to no field. */
    private readonly globally: (messages: string[]) => void,
    private readonly signal: AbortSignal,
  ) {
    signal.addEventListener('abort', () => this.stop(), { once: true });
  }

  /** Something was entered: what was said of it no longer holds, and what is wrong is told in a moment. */
  changed(field: Field, done: boolean): void {
    this.touched.add(field.name);
    this.server = Object.fromEntries(Object.entries(this.server).filter(([name]) => name !== field.name && name !== '_global_'));
    if (done || field.faults().length === 0 || field.element.classList.contains('kl-invalid')) this.draw();
    clearTimeout(this.timer);
    this.asked?.abort();
    this.timer = setTimeout(() => {
      this.draw();
      void this.ask();
    }, PAUSE_MS);
  }

  /** Everything is told from now on; the first field that does not fit, or null. */
  judge(): Field | null {
    this.stop();
    this.all = true;
    this.server = {};
    this.draw();
    return this.first((field) => field.faults().length > 0);
  }

  /** What the server said of what was sent; the first field that it means. */
  told(errors: Record<string, string[]>): Field | null {
    this.stop();
    this.all = true;
    this.server = errors;
    this.draw();
    return this.first((field) => field.name in errors);
  }

  forget(): void {
    this.stop();
    this.all = false;
    this.touched.clear();
    this.server = {};
    this.draw();
  }

  private stop(): void {
    clearTimeout(this.timer);
    this.asked?.abort();
    this.asked = null;
  }

  private async ask(): Promise<void> {
    if (!this.validate || this.signal.aborted) return;
    const mine = (this.asked = new AbortController());
    try {
      await this.validate(this.values(), mine.signal);
      if (this.asked === mine) this.server = {};
    } catch (error) {
      // nobody answered: the launch will tell
      if (this.asked !== mine || aborted(error) || !(error instanceof Refusal)) return;
      const found = error.errors;
      this.server = Object.keys(found).length > 0 ? found : { _global_: [error.message] };
    }
    if (this.asked === mine) this.draw();
  }

  private first(wrong: (field: Field) => boolean): Field | null {
    const found = this.fields.filter((field) => field.within() && wrong(field));
    const before = (a: Field, b: Field): number => (a.element.compareDocumentPosition(b.element) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1);
    // a group is where its fields are: those come first
    return found.filter((field) => field.spec.type !== 'group').sort(before)[0] ?? found.sort(before)[0] ?? null;
  }

  private draw(): void {
    const names = new Set<string>();
    for (const field of this.fields) {
      names.add(field.name);
      const own = field.within() && (this.all || this.touched.has(field.name)) ? field.faults() : [];
      const theirs = this.all || this.touched.has(field.name) ? (this.server[field.name] ?? []).map(sentence) : [];
      field.show(own.length > 0 ? own : theirs);
    }
    const others = Object.entries(this.server).filter(([name, texts]) => !names.has(name) && texts.length > 0);
    this.globally(others.flatMap(([name, texts]) => texts.map((text) => (name === '_global_' ? sentence(text) : `${name}: ${text}`))));
  }
}

/** The gateway's messages go on after a field's name; here they stand alone. */
function sentence(text: string): string {
  return text === 'is required' ? 'Required' : text.charAt(0).toUpperCase() + text.slice(1);
}

// A field for files: dropped or chosen, sent at once and in the background, each with its progress.

import type { Element } from '../../sources/source.ts';
import { coalesced, fill, h, setText } from '../dom.ts';
import { bytes, plural } from '../format.ts';
import { accepted, chosen, dropped, type Named } from './drop.ts';
import { type Around, type Field, frame } from './field.ts';
import { Batch, type Upload } from './upload.ts';
import { t } from '../words.ts';

/** A folder may have thousands; so many are listed. */
const LISTED = 50;

export function filesField(spec: Element, around: Around): Field {
  const view = new FilesView(spec, around, (done) => around.changed(field, done));
  const made = frame(spec, (about) => view.draw(about.id, about.describedBy));
  const field: Field = {
    name: spec.name ?? '', spec, element: made.row, within: () => around.within(),
    value: () => view.batch?.value() ?? view.earlier ?? undefined,
    set: (value) => view.reset(typeof value === 'string' && value !== '' ? value : null),
    faults() {
      const failed = view.batch?.uploads.find((upload) => upload.state === 'failed');
      if (failed) return [t('%1 was not sent: try again, or remove it', failed.name)];
      return spec['required'] === true && !field.value() ? [t('Required')] : [];
    },
    show: (messages) => made.show(messages, view.input),
    focus: () => view.input.focus(),
    async ready() {
      await view.batch?.settled();
    },
    pending: () => view.batch?.uploads.filter((upload) => upload.state !== 'done').length ?? 0,
    taken: () => view.batch?.taken(),
  };
  field.set(spec['value']);
  return field;
}

class FilesView {
  readonly input: HTMLInputElement;
  readonly batch: Batch | null;
  /** A value that was there before: files that this page does not have. */
  earlier: string | null = null;
  private readonly many: boolean;
  private readonly endings: string[];
  private readonly zone = h('div', { class: 'kl-form-drop' });
  private readonly rows = h('ul', { class: 'kl-form-files' });
  private readonly told = h('p', { class: 'kl-form-help', role: 'status' });
  private readonly drawn = new Map<Upload, FileRow>();
  private readonly redraw: () => void;
  private settled = '';

  constructor(private readonly spec: Element, around: Around, private readonly changed: (done: boolean) => void) {
    this.many = spec['multiple'] === true || spec['directory'] === true;
    this.endings = Array.isArray(spec['accept']) ? (spec['accept'] as unknown[]).filter((one): one is string => typeof one === 'string') : [];
    this.input = h('input', {
      type: 'file', class: 'kl-visually-hidden', multiple: this.many, webkitdirectory: spec['directory'] === true,
      accept: this.endings.join(',') || null, required: spec['required'] === true, disabled: !around.source,
    });
    this.redraw = coalesced(() => this.list(), around.signal);
    this.batch = around.source ? new Batch(around.source, around.signal, this.redraw) : null;
  }

  draw(id: string, describedBy: string): HTMLElement {
    this.input.id = id;
    this.input.setAttribute('aria-describedby', describedBy);
    const what = this.spec['directory'] === true ? t('a folder') : this.many ? t('files') : t('a file');
    // the input itself is reached by keyboard; the button is what a hand aims at
    const button = h('button', { type: 'button', class: 'kl-btn', tabindex: -1, 'aria-hidden': 'true', text: t('Choose %1', what) });
    button.addEventListener('click', () => this.input.click());
    const hint = this.batch ? t('or drop %1 here', this.many ? t('files and folders') : t('it')) : t('Files cannot be sent from here');
    this.zone.append(this.input, button, h('span', { class: 'kl-muted', text: hint }));
    if (this.endings.length > 0) this.zone.append(h('span', { class: 'kl-muted', text: this.endings.join(', ') }));
    this.input.addEventListener('change', () => {
      this.take(chosen(this.input));
      this.input.value = ''; // so that the same file may be chosen again
    });
    this.drops();
    return h('div', {}, this.zone, this.rows, this.told);
  }

  reset(earlier: string | null): void {
    for (const upload of [...(this.batch?.uploads ?? [])]) this.batch!.remove(upload);
    this.earlier = earlier;
    setText(this.told, '');
    this.list();
  }

  private drops(): void {
    const over = (event: DragEvent): void => {
      if (!this.batch || !event.dataTransfer?.types.includes('Files') || this.input.matches(':disabled')) return;
      event.preventDefault();
      event.stopPropagation(); // the host's own drop area is not meant
      this.zone.classList.add('kl-over');
    };
    this.zone.addEventListener('dragenter', over);
    this.zone.addEventListener('dragover', over);
    this.zone.addEventListener('dragleave', (event) => {
      if (!this.zone.contains(event.relatedTarget as Node | null)) this.zone.classList.remove('kl-over');
    });
    this.zone.addEventListener('drop', (event) => {
      this.zone.classList.remove('kl-over');
      if (!this.batch || !event.dataTransfer || this.input.matches(':disabled')) return;
      event.preventDefault();
      event.stopPropagation();
      dropped(event.dataTransfer).then(
        (files) => this.take(files),
        () => setText(this.told, t('What was dropped cannot be read')),
      );
    });
  }

  private take(files: Named[]): void {
    if (!this.batch || files.length === 0) return;
    const { taken, refused } = accepted(files, this.endings);
    const some = this.many ? taken : taken.slice(0, 1);
    if (!this.many && some.length > 0) for (const upload of [...this.batch.uploads]) this.batch.remove(upload);
    if (some.length > 0) this.earlier = null;
    for (const { file, name } of some) this.batch.add(file, name);
    const left: string[] = [];
    if (refused.length > 0) left.push(t('Left out: %1; expected %2', listed(refused), this.endings.join(', ')));
    if (taken.length > some.length) left.push(t('Only one file is taken'));
    setText(this.told, left.join('. '));
    this.list();
    this.changed(true);
  }

  private list(): void {
    const uploads = this.batch?.uploads ?? [];
    for (const [upload, row] of this.drawn) {
      if (uploads.includes(upload)) continue;
      row.element.remove();
      this.drawn.delete(upload);
    }
    this.rows.querySelector('.kl-form-more')?.remove();
    for (const upload of uploads.slice(0, LISTED)) {
      let row = this.drawn.get(upload);
      if (!row) {
        row = new FileRow(upload, () => this.batch!.retry(upload), () => this.remove(upload));
        this.drawn.set(upload, row);
        this.rows.append(row.element);
      }
      row.draw();
    }
    if (uploads.length > LISTED) this.rows.append(this.more(uploads));
    if (this.earlier !== null && uploads.length === 0) this.before(this.earlier);
    else this.rows.querySelector('.kl-form-earlier')?.remove();
    this.rows.hidden = this.rows.children.length === 0;
    const settled = uploads.map((upload) => upload.state).filter((state) => state === 'done' || state === 'failed').join();
    if (settled !== this.settled) this.changed(false); // the value has become another one
    this.settled = settled;
  }

  private remove(upload: Upload): void {
    this.batch!.remove(upload);
    this.input.focus();
    this.changed(true);
  }

  private more(uploads: readonly Upload[]): HTMLElement {
    const done = uploads.filter((upload) => upload.state === 'done').length;
    const all = h('button', { type: 'button', class: 'kl-link', text: t('Remove all') });
    all.addEventListener('click', () => {
      this.reset(null);
      this.changed(true);
    });
    return h('li', { class: 'kl-form-more' }, `and ${plural(uploads.length - LISTED, 'more file')}; ${done} of ${uploads.length} sent `, all);
  }

  /** Files of a value that was filled in: only their names are known. */
  private before(value: string): void {
    const there = this.rows.querySelector<HTMLElement>('.kl-form-earlier');
    if (there?.dataset['value'] === value) return;
    there?.remove();
    const forget = h('button', { type: 'button', class: 'kl-link', text: t('Remove') });
    forget.addEventListener('click', () => {
      this.reset(null);
      this.changed(true);
    });
    this.rows.append(h('li', { class: 'kl-form-earlier', 'data-value': value }, `${listed(namesIn(value))} `, h('span', { class: 'kl-muted', text: t('sent before') }), forget));
  }

}

class FileRow {
  readonly element = h('li', {});
  private readonly bar = h('progress', { max: 1 });
  private readonly state = h('span', { class: 'kl-muted' });
  private readonly again: HTMLButtonElement;

  constructor(private readonly upload: Upload, retry: () => void, remove: () => void) {
    const { name } = upload;
    this.again = h('button', { type: 'button', class: 'kl-link', text: t('Try again'), 'aria-label': t('Try again: %1', name), onclick: retry });
    this.bar.setAttribute('aria-label', t('Sending %1', name));
    const gone = h('button', { type: 'button', class: 'kl-btn', text: '×', 'aria-label': t('Remove %1', name), title: t('Remove'), onclick: remove });
    fill(this.element, h('span', { class: 'kl-form-file', text: name, title: name }), this.bar, this.state, this.again, gone);
  }

  draw(): void {
    const { state, size, sent, problem } = this.upload;
    this.element.dataset['state'] = state;
    this.bar.hidden = state !== 'sending' && state !== 'paused';
    this.bar.value = size === 0 ? 1 : sent / size;
    this.again.hidden = state !== 'failed';
    const told = {
      waiting: t('%1, waiting', bytes(size)),
      sending: t('%1 of %2', bytes(sent), bytes(size)),
      paused: t('no connection, goes on by itself'),
      done: bytes(size),
      failed: problem,
    };
    setText(this.state, told[state]);
  }
}

function listed(names: string[]): string {
  return names.length <= 3 ? names.join(', ') : `${names.slice(0, 3).join(', ')} and ${names.length - 3} more`;
}

function namesIn(value: string): string[] {
  try {
    const said = JSON.parse(value) as { items?: Record<string, { filename?: string }> };
    return Object.values(said.items ?? {}).map((item) => item.filename ?? '?');
  } catch {
    return [value]; // a path on the cluster's machines
  }
}

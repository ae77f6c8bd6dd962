import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Element, Refusal } from '../sources/source.ts';
import { Unreachable } from '../sources/transport.ts';
import { type FormHandle, type FormOptions, mountForm } from './form.ts';

const controller = { current: new AbortController() };

beforeEach(() => {
  controller.current = new AbortController();
  document.body.replaceChildren();
});
afterEach(() => {
  controller.current.abort();
  vi.useRealTimers();
});

function mounted(elements: Element[], more: Partial<FormOptions> = {}): FormHandle {
  return mountForm(document.body, { elements, signal: controller.current.signal, ...more });
}

function field(label: string): HTMLInputElement {
  const found = [...document.querySelectorAll('label')].find((one) => one.textContent.replace('*', '').trim() === label);
  const control = found?.control ?? document.querySelector(`[aria-label="${label}"]`);
  if (!control) throw new Error(`no field ${label}`);
  return control as HTMLInputElement;
}

function enter(label: string, value: string): void {
  const control = field(label);
  control.value = value;
  control.dispatchEvent(new Event('input', { bubbles: true }));
}

function press(text: string): void {
  [...document.querySelectorAll('button')].find((button) => button.textContent === text)!.click();
}

function message(name: string): string {
  return document.querySelector(`[data-name="${name}"] .kl-form-message`)!.textContent;
}

function refusal(errors: Record<string, string[]>): Refusal {
  return new Refusal({ type: 'urn:kodosumi-lab:problem:inputs', title: '', status: 422, detail: 'does not fit', errors });
}

const ALL: Element[] = [
  { type: 'text', name: 'who', label: 'Who', value: null },
  { type: 'number', name: 'n', label: 'N', value: 2, min_value: 1 },
  { type: 'number', name: 'm', label: 'Maybe', value: null },
  { type: 'password', name: 'key', label: 'Key', value: { secret: true } },
  { type: 'boolean', name: 'gift', label: 'Gift', option: 'Gift', value: false },
  { type: 'select', name: 'room', label: 'Room', value: 's', option: [{ type: 'option', name: 's' }, { type: 'option', name: 'd' }] },
  { type: 'select', name: 'seat', label: 'Seat', value: null, option: [{ type: 'option', name: 'w' }] },
  { type: 'multiselect', name: 'sizes', label: 'Sizes', value: ['M'], option: [{ type: 'option', name: 'S' }, { type: 'option', name: 'M' }] },
  { type: 'list', name: 'tags', label: 'Tags', value: ['a', 'b'], item: { type: 'text', name: 'item' } },
  { type: 'list', name: 'none', label: 'None', value: null },
  { type: 'json', name: 'about', label: 'About', value: '{"a":1,"big":12345678901234567890}' },
  { type: 'datetime-local', name: 'at', label: 'At', value: '2026-01-31 13:45:00.123456' },
  {
    type: 'group', name: 'to', label: 'To', optional: true, value: false,
    elements: [{ type: 'text', name: 'to.street', label: 'Street', value: null, required: true }],
  },
];

describe('values', () => {
  it('are those of the elements as long as nothing was changed', () => {
    expect(mounted(ALL).values()).toEqual({
      who: '', n: 2, key: { secret: true }, room: 's', sizes: ['M'], tags: ['a', 'b'],
      about: '{"a":1,"big":12345678901234567890}', at: '2026-01-31 13:45:00.123456', to: 'off',
    });
  });

  it('are texts, "on" and lists for what was entered', () => {
    const form = mounted(ALL);
    enter('Who', 'Ada');
    enter('N', '3');
    enter('Key', 'hush');
    enter('About', '[1]');
    field('Gift').click();
    field('S').click();
    enter('Tags 1', 'c');
    field('To').click();
    enter('Street', 'Elm');
    expect(form.values()).toEqual({
      who: 'Ada', n: '3', key: 'hush', gift: 'on', room: 's', sizes: ['S', 'M'], tags: ['c', 'b'], about: '[1]',
      at: '2026-01-31 13:45:00.123456', to: 'on', 'to.street': 'Elm',
    });
  });

  it('say what was emptied, and nothing of what always was empty', () => {
    const form = mounted(ALL);
    enter('N', '');
    enter('About', '');
    field('M').click();
    field('Remove Tags 1').click();
    field('Remove Tags 1').click();
    expect(form.values()).toMatchObject({ n: '', about: '', sizes: [], tags: [] });
    expect(form.values()).not.toHaveProperty('m');
    expect(form.values()).not.toHaveProperty('none');
  });

  it('come back as they were: set is the form as opened, but for what is set', () => {
    const form = mounted(ALL);
    enter('Who', 'Ada');
    form.set({ n: '7', gift: 'on', tags: ['x'], to: 'on', 'to.street': 'Elm' });
    expect(form.values()).toMatchObject({ who: '', n: '7', gift: 'on', tags: ['x'], to: 'on', 'to.street': 'Elm', room: 's' });
    const kept = form.values();
    form.reset();
    form.set(kept);
    expect(form.values()).toEqual(kept);
  });

  it('of a box that is on by default are off when set without it, and on again after a reset', () => {
    const form = mounted([{ type: 'boolean', name: 'gift', label: 'Gift', value: true }]);
    form.set({});
    expect(form.values()).toEqual({});
    form.reset();
    expect(form.values()).toEqual({ gift: 'on' });
  });
});

describe('lists', () => {
  it('grow by Enter, take several pasted lines, and can be written one a line', () => {
    const form = mounted([{ type: 'list', name: 'tags', label: 'Tags', value: ['a'] }]);
    const first = field('Tags 1');
    first.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true }));
    enter('Tags 2', 'b');
    const paste = Object.assign(new Event('paste', { bubbles: true, cancelable: true }), { clipboardData: { getData: () => 'c\nd\n' } });
    field('Tags 2').dispatchEvent(paste);
    expect(form.values()).toEqual({ tags: ['a', 'b', 'c', 'd'] });
    press('One a line');
    expect(field('Tags, one a line').value).toBe('a\nb\nc\nd');
    enter('Tags, one a line', 'x\n\n y ');
    expect(form.values()).toEqual({ tags: ['x', ' y '] });
    press('One a row');
    expect(field('Tags 2').value).toBe(' y ');
  });
});

describe('messages', () => {
  it('are told as one types, and of what nobody has touched only when it is sent', async () => {
    vi.useFakeTimers();
    const run = vi.fn(() => Promise.resolve());
    mounted([{ type: 'text', name: 'who', label: 'Who', required: true }, { type: 'number', name: 'n', label: 'N', min_value: 1 }], { submit: { run } });
    enter('N', '0');
    expect(message('n')).toBe(''); // a number that begins so may go on
    await vi.advanceTimersByTimeAsync(400);
    expect(message('n')).toBe('At least 1');
    expect(field('N').getAttribute('aria-invalid')).toBe('true');
    expect(document.getElementById(field('N').getAttribute('aria-describedby')!)!.textContent).toBe('At least 1');
    expect(message('who')).toBe('');
    enter('N', '1');
    expect(message('n')).toBe('');
    press('Submit');
    expect(message('who')).toBe('Required');
    expect(document.activeElement).toBe(field('Who'));
    expect(run).not.toHaveBeenCalled();
  });

  it('of the server stand under the fields that were touched, and an older answer never replaces a newer one', async () => {
    vi.useFakeTimers();
    const answers: ((errors: Record<string, string[]> | null) => void)[] = [];
    const aborted: boolean[] = [];
    const validate = (_: unknown, signal: AbortSignal): Promise<void> =>
      new Promise((resolve, reject) => {
        const at = answers.length;
        signal.addEventListener('abort', () => (aborted[at] = true));
        answers.push((errors) => (errors ? reject(refusal(errors)) : resolve()));
      });
    mounted([{ type: 'text', name: 'who', label: 'Who' }, { type: 'text', name: 'what', label: 'What' }], { validate });
    enter('Who', 'x');
    await vi.advanceTimersByTimeAsync(400);
    enter('Who', 'xy');
    expect(aborted[0]).toBe(true);
    await vi.advanceTimersByTimeAsync(400);
    answers[1]!({ who: ['is not known'], what: ['is required'] });
    await vi.advanceTimersByTimeAsync(0);
    answers[0]!({ who: ['is too short'] });
    await vi.advanceTimersByTimeAsync(0);
    expect(message('who')).toBe('Is not known');
    expect(message('what')).toBe('');
    enter('Who', 'xyz');
    expect(message('who')).toBe(''); // it was said of another text
  });

  it('of the server after sending stand under their fields, the others where errors belong', async () => {
    const run = vi.fn(() => Promise.reject(refusal({ n: ['is taken'], _global_: ['look again'], elsewhere: ['is wrong'] })));
    mounted([{ type: 'errors', name: '_global_' }, { type: 'number', name: 'n', label: 'N' }], { submit: { run } });
    press('Submit');
    await vi.waitFor(() => expect(message('n')).toBe('Is taken'));
    expect(document.querySelector('[role=alert]')!.textContent).toBe('Look again\nelsewhere: is wrong');
    await vi.waitFor(() => expect(document.activeElement).toBe(field('N')));
  });

  it('of fields in a group that is switched off are none', async () => {
    const run = vi.fn(() => Promise.resolve());
    mounted(ALL, { submit: { run } });
    press('Submit');
    await vi.waitFor(() => expect(run).toHaveBeenCalledTimes(1));
    await vi.waitFor(() => expect(document.querySelector('fieldset')!.disabled).toBe(false));
    field('To').click();
    press('Submit');
    expect(message('to.street')).toBe('Required');
    expect(run).toHaveBeenCalledTimes(1);
  });
});

describe('sending', () => {
  it('happens once, however often the button is pressed', async () => {
    let finish: () => void = () => undefined;
    const run = vi.fn(() => new Promise<void>((resolve) => (finish = resolve)));
    mounted([{ type: 'text', name: 'who', label: 'Who', value: 'Ada' }], { submit: { run } });
    const form = document.querySelector('form')!;
    for (let i = 0; i < 3; i++) form.requestSubmit();
    await vi.waitFor(() => expect(form.getAttribute('aria-busy')).toBe('true'));
    expect(document.querySelector('fieldset')!.disabled).toBe(true);
    finish();
    await vi.waitFor(() => expect(form.getAttribute('aria-busy')).toBe('false'));
    expect(run).toHaveBeenCalledTimes(1);
    expect(run).toHaveBeenCalledWith({ who: 'Ada' });
  });

  it('by an action button says which one', async () => {
    const run = vi.fn(() => Promise.resolve());
    mounted([{ type: 'action', name: 'what', value: 'draft', text: 'Save draft' }, { type: 'submit', text: 'Send' }], { submit: { run } });
    press('Save draft');
    await vi.waitFor(() => expect(run).toHaveBeenCalledWith({ what: 'draft' }));
  });

  it('that nobody answered keeps what was entered, and says so', async () => {
    const form = mounted([{ type: 'text', name: 'who', label: 'Who' }], { submit: { run: () => Promise.reject(new Unreachable('down')) } });
    enter('Who', 'Ada');
    press('Submit');
    await vi.waitFor(() => expect(document.querySelector('[role=alert]')!.textContent).toMatch(/Nothing answered/));
    expect(form.values()).toEqual({ who: 'Ada' });
  });

  it('is not possible while it is disabled, which says why', () => {
    const run = vi.fn(() => Promise.resolve());
    const form = mounted([{ type: 'text', name: 'who', label: 'Who' }], { submit: { run } });
    form.setDisabled('no cluster');
    document.querySelector('form')!.requestSubmit();
    expect(run).not.toHaveBeenCalled();
    expect(document.querySelector('[role=status]')!.textContent).toBe('no cluster');
  });
});

describe('everything else', () => {
  it('undoes what was entered, and says whether there is anything', () => {
    const form = mounted(ALL, { submit: { run: () => Promise.resolve() } });
    const undo = [...document.querySelectorAll('button')].find((button) => button.textContent === 'Reset')!;
    expect([undo.disabled, form.dirty()]).toEqual([true, false]);
    enter('Who', 'Ada');
    expect([undo.disabled, form.dirty()]).toEqual([false, true]);
    undo.click();
    expect([undo.disabled, form.dirty(), form.values()['who']]).toEqual([true, false, '']);
  });

  it('shows Markdown and HTML without what they could do', () => {
    mounted([
      { type: 'markdown', text: '# Trip\n<img src=x onerror="globalThis.hit=1">' },
      { type: 'html', text: '<p onclick="globalThis.hit=1">net<script>globalThis.hit=1</script></p>' },
    ]);
    const texts = [...document.querySelectorAll('.kl-prose')].map((prose) => prose.shadowRoot!);
    expect(texts[0]!.querySelector('h1')!.textContent).toBe('Trip');
    expect(texts.map((text) => text.innerHTML).join()).not.toMatch(/onerror|onclick|<script/);
  });

  it('says of an element that it does not know that it is left as it is', () => {
    const form = mounted([{ type: 'map', name: 'where', label: 'Where' }]);
    expect(document.body.textContent).toContain('where (map) cannot be shown here');
    expect(form.values()).toEqual({});
  });

  it('leaves with its signal', () => {
    mounted(ALL);
    controller.current.abort();
    expect(document.querySelector('form')).toBeNull();
  });
});

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Scripted, reply } from '../sources/_testing.ts';
import { type Element, Source } from '../sources/source.ts';
import { type Request, Unreachable } from '../sources/transport.ts';
import { Value } from '../sources/value.ts';
import { mountInbox } from './inbox.ts';
import { mountLock } from './lock.ts';

const FORM: Element[] = [
  { type: 'select', name: 'verdict', label: 'Verdict', required: true, value: null, option: [{ type: 'option', name: 'yes' }, { type: 'option', name: 'no' }] },
  { type: 'number', name: 'copies', label: 'Copies', value: 1 },
  { type: 'submit', text: 'Decide' },
];

interface Asked {
  run_id: string;
  lid: string;
  name: string;
  form: Element[] | null;
  lease: Record<string, unknown> | null;
}

/** What the gateway says of locks; the first answer counts. */
class Desk {
  locks: Asked[] = [];
  answers: unknown[] = [];
  down = false;
  refuse: Record<string, string[]> | null = null;
  readonly transport = new Scripted((request) => {
    if (this.down) throw new Unreachable('down');
    return this.answer(request);
  });
  readonly source = new Source(this.transport);

  ask(lid: string, form: Element[] | null = FORM): Asked {
    const lock = { run_id: 'r1', lid, name: `name of ${lid}`, form, lease: null };
    this.locks.push(lock);
    return lock;
  }

  private answer(request: Request): ReturnType<typeof reply> {
    const path = request.path.split('?')[0]!;
    const found = this.locks.find((lock) => path === `/api/v1/runs/${lock.run_id}/locks/${lock.lid}`);
    const json = (data: unknown, status = 200): ReturnType<typeof reply> => reply(status, JSON.stringify(data));
    if (path === '/api/v1/locks') {
      const open = this.locks.filter((lock) => lock.lease === null);
      return json(open.map(({ run_id, lid, name }, at) => ({ run_id, lid, name, flow: 'review', user: 'ada', ts: `2026-01-01T00:00:0${9 - at}Z`, expires: null })));
    }
    if (path.endsWith('/events')) {
      return json({ items: this.locks.map((lock) => ({ ts: '2026-01-01T00:01:00Z', payload: { lid: lock.lid } })) });
    }
    if (!found) return json({ type: 'x:lock-not-found', title: '', status: 404, detail: 'no such lock' }, 404);
    if (request.method === 'GET') return json({ ...found, data: { title: 'Bees' }, expires: null, open: found.lease === null });
    if (this.refuse) return json({ type: 'x:inputs', title: '', status: 422, detail: 'no', errors: this.refuse }, 422);
    if (found.lease) return json({ type: 'x:lock-closed', title: '', status: 409, detail: 'closed', by: 'bob' }, 409);
    found.lease = { lid: found.lid, by: 'me', result: (JSON.parse(request.body as string) as { result: unknown }).result };
    this.answers.push(found.lease['result']);
    return json({});
  }
}

const controller = { current: new AbortController() };
const desk = { current: new Desk() };

beforeEach(() => {
  controller.current = new AbortController();
  desk.current = new Desk();
  document.body.replaceChildren();
  vi.useFakeTimers();
});
afterEach(() => {
  controller.current.abort();
  vi.useRealTimers();
});

const settle = (ms = 0): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
const button = (name: string): HTMLButtonElement => [...document.querySelectorAll('button')].find((one) => one.textContent.includes(name))!;
const said = (): string => document.body.textContent;

async function open(lid: string): Promise<void> {
  mountLock(document.body, desk.current.source, 'r1', lid, controller.current.signal, {});
  await settle();
}

function enter(name: string, value: string): HTMLInputElement {
  const control = document.querySelector<HTMLInputElement>(`[data-name=${name}] :is(input, select, textarea)`)!;
  control.value = value;
  control.dispatchEvent(new Event('input', { bubbles: true }));
  control.dispatchEvent(new Event('change', { bubbles: true }));
  return control;
}

describe('a lock', () => {
  it('says what is asked, by whom, and takes the answer in place', async () => {
    desk.current.ask('l1');
    await open('l1');
    expect(said()).toContain('name of l1');
    expect(said()).toContain('review, started by ada');
    expect(said()).toContain('Bees');
    enter('verdict', 'yes');
    button('Decide').click();
    await settle();
    expect(desk.current.answers).toEqual([{ verdict: 'yes', copies: 1 }]);
    expect(said()).toContain('Answered');
    expect(document.querySelector('form')).toBeNull();
  });

  it('stays open where the answer does not fit, with messages under the fields', async () => {
    desk.current.ask('l1');
    desk.current.refuse = { copies: ['is more than there are'] };
    await open('l1');
    enter('verdict', 'no');
    button('Decide').click();
    await settle();
    expect(document.querySelector('[data-name=copies] .kl-form-message')!.textContent).toBe('Is more than there are');
    expect(document.querySelector<HTMLSelectElement>('select')!.value).toBe('no');
    desk.current.refuse = null;
    button('Decide').click();
    await settle();
    expect(said()).toContain('Answered');
  });

  it('says who was first, and when, and keeps what was typed', async () => {
    const lock = desk.current.ask('l1');
    await open('l1');
    const control = enter('copies', '7');
    lock.lease = { lid: 'l1', by: 'bob', result: { verdict: 'no' } };
    await settle(2100);
    expect(said()).toContain('bob has answered');
    expect(said()).toContain(new Date('2026-01-01T00:01:00Z').toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' }));
    expect([control.isConnected, control.value, control.matches(':disabled')]).toEqual([true, '7', true]);
  });

  it('says who was first to somebody whose answer comes a moment too late', async () => {
    const lock = desk.current.ask('l1');
    await open('l1');
    enter('verdict', 'yes');
    lock.lease = { lid: 'l1', by: 'bob', result: { verdict: 'no' } };
    button('Decide').click();
    await settle();
    expect(said()).toContain('bob has answered');
    expect(desk.current.answers).toEqual([]);
  });

  it.each([
    [{ expired: true }, 'nobody answered in time'],
    [null, 'nobody answered.'],
  ])('that was closed says why: %j', async (lease, words) => {
    const lock = desk.current.ask('l1');
    await open('l1');
    lock.lease = lease ?? { run: 'ended' };
    desk.current.source.lock = () => Promise.resolve({ lid: 'l1', name: 'x', data: null, expires: null, form: null, open: false, lease });
    await settle(2100);
    expect(said()).toContain(words);
  });

  it('keeps what was typed while nobody answers, and says so', async () => {
    desk.current.ask('l1');
    await open('l1');
    const control = enter('copies', '7');
    enter('verdict', 'yes');
    desk.current.down = true;
    await settle(3000);
    expect(said()).toContain('Reconnecting…');
    button('Decide').click();
    await settle();
    expect(said()).toContain('Nothing answered');
    desk.current.down = false;
    await settle(16_000);
    expect(said()).not.toContain('Reconnecting…');
    expect(control.value).toBe('7');
    button('Decide').click();
    await settle();
    expect(desk.current.answers).toEqual([{ verdict: 'yes', copies: '7' }]);
  });

  it.each([
    ['Yes', '', false, true],
    ['No', '', false, false],
    ['Answer', 'later', false, 'later'],
    ['Answer', '3', false, '3'],
    ['Answer', '{"n": 3}', true, { n: 3 }],
  ])('without a form is answered by %s with %j (as JSON: %s): %j', async (press, text, json, expected) => {
    desk.current.ask('l1', null);
    await open('l1');
    enter('answer', text);
    if (json) document.querySelector<HTMLInputElement>('[data-name=json] input')!.click();
    [...document.querySelectorAll('button')].find((one) => one.textContent === press)!.click();
    await settle();
    expect(desk.current.answers).toEqual([expected]);
  });

  it('without a form takes no JSON that is none, and nothing at all for no answer', async () => {
    desk.current.ask('l1', null);
    await open('l1');
    button('Answer').click();
    await settle();
    expect(said()).toContain('Enter an answer, or choose Yes or No');
    enter('answer', '{n: 3}');
    document.querySelector<HTMLInputElement>('[data-name=json] input')!.click();
    button('Answer').click();
    await settle();
    expect(said()).toContain('No JSON');
    expect(desk.current.answers).toEqual([]);
  });
});

describe('the inbox', () => {
  const names = (): string[] => [...document.querySelectorAll('.kl-inbox-name')].map((one) => one.textContent);

  it('shows what waits, oldest first, counts it, and says what to do when nothing does', async () => {
    const count = new Value(-1);
    mountInbox(document.body, desk.current.source, controller.current.signal, {}, { count });
    await settle();
    expect(said()).toContain('Nothing waits for an answer');
    expect(document.querySelector<HTMLElement>('.kl-empty')!.hidden).toBe(false);
    desk.current.ask('l1');
    desk.current.ask('l2');
    await settle(1100);
    expect(names()).toEqual(['name of l2', 'name of l1']);
    expect(count.get()).toBe(2);
    expect(document.querySelector<HTMLElement>('.kl-empty')!.hidden).toBe(true);
  });

  it('keeps what is typed while others come and go', async () => {
    desk.current.ask('l1');
    const other = desk.current.ask('l2');
    mountInbox(document.body, desk.current.source, controller.current.signal, {});
    await settle();
    button('name of l1').click();
    await settle();
    const control = enter('copies', '7');
    control.focus();
    desk.current.ask('l3');
    other.lease = { by: 'bob' };
    await settle(1100);
    expect(names()).toEqual(['name of l3', 'name of l1']);
    expect([control.value, document.activeElement]).toEqual(['7', control]);
    button('name of l1').click();
    button('name of l1').click();
    expect(control.value).toBe('7');
  });

  it('keeps an opened question that somebody else answered, until it is cleared', async () => {
    const lock = desk.current.ask('l1');
    mountInbox(document.body, desk.current.source, controller.current.signal, {});
    await settle();
    button('name of l1').click();
    await settle();
    lock.lease = { lid: 'l1', by: 'bob', result: null };
    await settle(1100);
    expect(said()).toContain('bob has answered');
    button('Clear answered').click();
    expect(names()).toEqual([]);
    expect(document.querySelector<HTMLElement>('.kl-empty')!.hidden).toBe(false);
  });

  it('says that it is reconnecting, and keeps what it knew', async () => {
    desk.current.ask('l1');
    mountInbox(document.body, desk.current.source, controller.current.signal, {});
    await settle();
    desk.current.down = true;
    await settle(2000);
    expect(said()).toContain('Reconnecting…');
    expect(names()).toEqual(['name of l1']);
  });
});

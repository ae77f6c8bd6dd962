// The panel in the left sidebar: flows, runs, and what waits for an answer. It needs no kernel.

import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, IMovableSectionRegistry } from '@jupyterlab/apputils';
import { ITranslator, type TranslationBundle, nullTranslator } from '@jupyterlab/translation';
import { SidePanel, Toolbar, ToolbarButton, listIcon, refreshIcon } from '@jupyterlab/ui-components';
import { AccordionPanel, Widget } from '@lumino/widgets';
import { Value } from '../sources/value.ts';
import { FLOWLIST_CSS, mountFlowList } from '../views/flowlist.ts';
import { RUNLIST_CSS, mountRunList } from '../views/runlist.ts';
import { root } from '../views/theme.ts';
import type { FlowInfo } from '../wire.ts';
import { launchCode, runCode } from './code.ts';
import { draggable } from './dragging.ts';
import { drawInbox } from './drawn.ts';
import { kodosumiIcon } from './icons.ts';
import { CATEGORY, Commands, SIDEBAR, texts } from './names.ts';
import { mountNotice } from './notice.ts';
import { Movable } from './sections.ts';
import { IConnection, IFeed, IHost, ISettings } from './tokens.ts';
import { View } from './view.ts';

/** Third parties are from 501 to 899. */
const RANK = 600;

/** Between two looks of a section that is not shown. */
const UNSEEN_MS = 60_000;

const forever = new AbortController().signal;

export const sidebar: JupyterFrontEndPlugin<void> = {
  id: 'kodosumi-lab:sidebar',
  description: 'Flows, runs and waiting questions in the left sidebar.',
  autoStart: true,
  requires: [IConnection, IFeed, IHost, ISettings],
  optional: [ILayoutRestorer, ICommandPalette, IMovableSectionRegistry, ITranslator],
  activate: (
    app: JupyterFrontEnd, link: IConnection, feed: IFeed, host: IHost, settings: ISettings, restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null, movable: IMovableSectionRegistry | null, translator: ITranslator | null,
  ) => {
    const trans = (translator ?? nullTranslator).load('kodosumi_lab');
    const panel = new SidePanel({ translator: translator ?? nullTranslator });
    panel.id = SIDEBAR;
    panel.addClass('kl-lab-sidebar');
    panel.title.icon = kodosumiIcon;
    panel.title.caption = trans.__('Kodosumi: flows, runs and questions');
    panel.node.setAttribute('role', 'region');
    panel.node.setAttribute('aria-label', trans.__('Kodosumi'));
    explain(panel, link, trans);

    const seen = new Map<string, FlowInfo>();
    const sections = {
      flows: flows(app, link, trans, seen),
      runs: runs(app, link, feed, host, trans),
      waiting: waiting(link, feed, host, trans),
    };
    Object.values(sections).forEach((section) => panel.addWidget(section));
    if (panel.content instanceof AccordionPanel) panel.content.setRelativeSizes([0.3, 0.42, 0.28]);
    badge(panel, sections.waiting, feed, trans);
    draggable(panel.node, (element) => {
      const { runId, flowName } = element.dataset;
      const style = settings.value.get().insertCodeStyle;
      if (runId !== undefined) return runCode(runId, style);
      return flowName === undefined ? null : launchCode(seen.get(flowName) ?? { name: flowName, schema: {} }, style);
    });
    if (movable && panel.content instanceof AccordionPanel) movable.registerSource('kodosumi-lab:sidebar', trans.__('Kodosumi'), new Movable(panel));

    app.shell.add(panel, 'left', { rank: RANK, type: 'Kodosumi' });
    restorer?.add(panel, SIDEBAR);
    app.commands.addCommand(Commands.showSidebar, {
      label: trans.__('Show Flows and Runs'), caption: trans.__('Show the sidebar of Kodosumi Lab'), icon: kodosumiIcon, describedBy: texts({}),
      execute: () => app.shell.activateById(SIDEBAR),
    });
    palette?.addItem({ command: Commands.showSidebar, category: CATEGORY });
  },
};

/** Above the sections, while the gateway is not there; what they show then is as of before. */
function explain(panel: SidePanel, link: IConnection, trans: TranslationBundle): void {
  const notice = new Widget();
  notice.addClass('kl-lab-notice');
  let shown: AbortController | null = null;
  link.state.watch((state) => {
    const wanted = state.kind !== 'live';
    panel.toggleClass('kl-lab-away', wanted);
    if (wanted && !shown) mountNotice(notice.node, link, trans, (shown = new AbortController()).signal);
    else if (!wanted) {
      shown?.abort();
      shown = null;
    }
    notice.setHidden(!wanted);
  }, forever);
  panel.header.addWidget(notice);
}

function flows(app: JupyterFrontEnd, link: IConnection, trans: TranslationBundle, seen: Map<string, FlowInfo>): View {
  let again = (): void => undefined;
  const view = new View({
    link, trans, quiet: true,
    draw: (element, source, signal) =>
      mountFlowList(root(element, FLOWLIST_CSS, signal), source, {
        waking: (wake) => (again = wake),
        seen: (found) => found.forEach((flow) => seen.set(flow.name, flow)),
        launch: (flow) => void app.commands.execute(Commands.launchFlow, { flow }),
        insert: (flow) => void app.commands.execute(Commands.insertCode, { flow }),
      }, signal),
  });
  const refresh = new ToolbarButton({ icon: refreshIcon, tooltip: trans.__('Ask for the flows again'), onClick: () => again() });
  return section(view, trans.__('Flows'), 'flows', ['refresh', refresh]);
}

function runs(app: JupyterFrontEnd, link: IConnection, feed: IFeed, host: IHost, trans: TranslationBundle): View {
  let again = (): void => undefined;
  const view: View = new View({
    link, trans, quiet: true,
    shown: () => again(),
    draw: (element, source, signal) => {
      const options = { everyMs: () => (view.isVisible ? feed.paceMs : UNSEEN_MS), waking: (wake: () => void) => (again = wake) };
      mountRunList(root(element, RUNLIST_CSS, signal), source, options, signal, host);
      feed.now.watch(() => view.isVisible && again(), signal);
    },
  });
  const all = new ToolbarButton({ icon: listIcon, tooltip: trans.__('Open the table of all runs'), onClick: () => void app.commands.execute(Commands.openRuns) });
  return section(view, trans.__('Runs'), 'runs', ['all', all]);
}

function waiting(link: IConnection, feed: IFeed, host: IHost, trans: TranslationBundle): View {
  const everyMs = (): number => (view.isVisible ? Math.min(1000, feed.paceMs) : 5000);
  const view: View = new View({ link, trans, quiet: true, draw: (element, source, signal) => drawInbox(element, source, signal, host, { everyMs }) });
  return section(view, trans.__('Waiting for me'), 'waiting');
}

function section(view: View, label: string, name: string, ...buttons: [string, Widget][]): View {
  view.id = `${SIDEBAR}-${name}`;
  view.title.label = label;
  view.addClass('kl-lab-section');
  if (buttons.length > 0) {
    const toolbar = new Toolbar();
    toolbar.addClass('kl-lab-toolbar');
    for (const [id, button] of buttons) toolbar.addItem(id, button);
    Object.assign(view, { toolbar });
  }
  return view;
}

/** How many questions wait, at the section and at the sidebar's icon. */
function badge(panel: SidePanel, section: Widget, feed: IFeed, trans: TranslationBundle): void {
  const count = new Value(0);
  feed.now.watch((now) => count.set(now?.locks.length ?? 0), forever);
  count.watch((waiting) => {
    section.title.label = waiting > 0 ? trans.__('Waiting for me (%1)', waiting) : trans.__('Waiting for me');
    panel.title.dataset = waiting > 0 ? { 'kl-waiting': String(waiting) } : {};
    panel.title.caption = waiting > 0 ? trans._n('Kodosumi: %1 question waits for you', 'Kodosumi: %1 questions wait for you', waiting) : trans.__('Kodosumi: flows, runs and questions');
  }, forever);
}

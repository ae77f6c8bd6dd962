// The sidebar's sections, as JupyterLab 4.6 moves them to other sidebars.

import type { IMovableSectionSource, ISectionEntry } from '@jupyterlab/apputils';
import type { SidePanel } from '@jupyterlab/ui-components';
import { type ISignal, Signal } from '@lumino/signaling';
import { AccordionPanel, type Widget } from '@lumino/widgets';

export class Movable implements IMovableSectionSource {
  readonly accordionPanel: AccordionPanel | null;
  private readonly added = new Signal<this, ISectionEntry>(this);

  constructor(private readonly panel: SidePanel) {
    this.accordionPanel = panel.content instanceof AccordionPanel ? panel.content : null;
  }

  get sectionAdded(): ISignal<this, ISectionEntry> {
    return this.added;
  }

  getSections(): readonly ISectionEntry[] {
    return this.panel.widgets.map((widget) => this.entry(widget)).filter((entry) => entry !== null);
  }

  removeSectionById(id: string): Widget | null {
    const found = this.panel.widgets.find((widget) => widget.id === id) ?? null;
    if (found) found.parent = null;
    return found;
  }

  reinsertSection(widget: Widget): void {
    this.panel.addWidget(widget);
    const entry = this.entry(widget);
    if (entry) this.added.emit(entry);
  }

  private entry(widget: Widget): ISectionEntry | null {
    const titleNode = this.accordionPanel?.titles[this.panel.widgets.indexOf(widget)];
    return titleNode ? { id: widget.id, titleNode, widget } : null;
  }
}

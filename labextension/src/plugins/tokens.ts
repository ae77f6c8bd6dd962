// What other extensions may use.

import type { MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { Token } from '@lumino/coreutils';
import type { Feed } from '../sources/feed.ts';
import type { Link } from '../sources/link.ts';
import type { Value } from '../sources/value.ts';
import type { Host } from '../views/host.ts';
import type { View } from './view.ts';

/** The gateway behind this Jupyter server: its `source`, and the `state` of the way to it. */
export type IConnection = Link;
export const IConnection = new Token<IConnection>('kodosumi-lab:IConnection', 'The event log behind this Jupyter server, as a Source.');

/** Runs that are open and questions that wait, kept up to date. */
export type IFeed = Feed;
export const IFeed = new Token<IFeed>('kodosumi-lab:IFeed', 'Runs that are open and questions that wait for an answer.');

/** The tabs with runs, forms and lists. */
export type IViews = WidgetTracker<MainAreaWidget<View>>;
export const IViews = new Token<IViews>('kodosumi-lab:IViews', 'The tabs of Kodosumi Lab.');

/** What views may ask of JupyterLab. */
export type IHost = Required<Host>;
export const IHost = new Token<IHost>('kodosumi-lab:IHost', 'Opening runs, inserting code and telling the person something.');

/** Runs whose end or question is told in a toast. */
export interface IWatched {
  readonly ids: Value<ReadonlySet<string>>;
  add(runId: string): void;
  toggle(runId: string): void;
}
export const IWatched = new Token<IWatched>('kodosumi-lab:IWatched', 'Runs whose end or question is told.');

export type NotifyOn = 'finished' | 'failed' | 'asks';

/** The settings, as schema/plugin.json describes them. */
export interface Settings {
  autoConnect: boolean;
  /** A path below the Jupyter server. */
  serverUrl: string;
  defaultLayout: 'tabs' | 'beside';
  refreshInterval: number;
  notifyOn: NotifyOn[];
  notifyAbout: 'watched' | 'all';
  insertCodeStyle: 'python' | 'magic';
}
export interface ISettings {
  readonly value: Value<Settings>;
  /** The person's own are known. */
  readonly ready: Promise<void>;
}
export const ISettings = new Token<ISettings>('kodosumi-lab:ISettings', 'Settings of Kodosumi Lab.');

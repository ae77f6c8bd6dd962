// The settings of schema/plugin.json, as values that say when they change.

import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { Value } from '../sources/value.ts';
import { ISettings, type Settings } from './tokens.ts';

const DEFAULTS: Settings = {
  autoConnect: true,
  serverUrl: 'kodosumi',
  defaultLayout: 'tabs',
  refreshInterval: 2,
  notifyOn: ['finished', 'failed', 'asks'],
  notifyAbout: 'watched',
  insertCodeStyle: 'python',
};

/** Its id names the schema's file. */
export const settings: JupyterFrontEndPlugin<ISettings> = {
  id: 'kodosumi-lab:plugin',
  description: 'Settings and keyboard shortcuts of Kodosumi Lab.',
  autoStart: true,
  provides: ISettings,
  optional: [ISettingRegistry],
  activate: (_app, registry: ISettingRegistry | null) => {
    const value = new Value<Settings>(DEFAULTS);
    const ready = registry?.load(settings.id).then(
      (held) => {
        const update = (): void => value.set({ ...DEFAULTS, ...(held.composite as Partial<Settings>) });
        held.changed.connect(update);
        update();
      },
      () => undefined, // a site without the schema has the defaults
    );
    return { value, ready: ready ?? Promise.resolve() };
  },
};

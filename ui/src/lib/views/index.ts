import type { Component } from 'svelte';

import type { IconName } from '../components/Icon.svelte';
import type { Desk } from '../desk.svelte';
import type { t } from '../i18n';
import Dictate from './Dictate.svelte';
import Files from './Files.svelte';
import History from './History.svelte';
import Models from './Models.svelte';
import Performance from './Performance.svelte';
import Settings from './Settings.svelte';

/** A tab. It is in the page only while it is shown. */
interface ViewOf {
  /** `t.app.views` has its name. */
  name: keyof (typeof t)['app']['views'];
  icon: IconName;
  view: Component<{ desk: Desk }>;
}

/** All tabs, in their order; the first one is shown first. */
export const views: ViewOf[] = [
  { name: 'dictate', icon: 'microphone', view: Dictate },
  { name: 'files', icon: 'file', view: Files },
  { name: 'history', icon: 'history', view: History },
  { name: 'models', icon: 'books', view: Models },
  { name: 'performance', icon: 'gauge', view: Performance },
  { name: 'settings', icon: 'sliders', view: Settings },
];

export type ViewName = ViewOf['name'];

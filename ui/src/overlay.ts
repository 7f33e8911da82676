import { mount } from 'svelte';

import { connectOverlay } from './lib/backend';
import Overlay from './Overlay.svelte';
import './styles/fonts.css';
import './styles/tokens.css';
import './styles/base.css';

mount(Overlay, { target: document.body, props: { backend: connectOverlay() } });

import { mount } from 'svelte';

import App from './App.svelte';
import { connect } from './lib/backend';
import './styles/fonts.css';
import './styles/tokens.css';
import './styles/base.css';

// The typefaces lie beside the page: waiting for them costs nothing, and spares a flash of others.
const faces = ['1rem "Inter Variable"', '1rem "Source Serif 4 Variable"'];
await Promise.allSettled(faces.map((face) => document.fonts.load(face)));
mount(App, { target: document.body, props: { backend: connect() } });

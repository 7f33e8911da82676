import { svelte } from '@sveltejs/vite-plugin-svelte';
import { svelteTesting } from '@testing-library/svelte/vite';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  plugins: [svelte(), svelteTesting()],
  // The icons lie beside the page's folder, for the app and the page share them.
  server: { fs: { allow: ['..'] } },
  build: {
    // WebKitGTK 2.40, the oldest of the supported distributions.
    target: 'safari16.4',
    // No data: URLs and no inline script: the content security policy allows neither.
    assetsInlineLimit: 0,
    rolldownOptions: { input: ['index.html', 'overlay.html'] },
    modulePreload: { polyfill: false },
  },
  // No test waits so long; it bounds a hang, on a machine that does other things too.
  test: { environment: 'jsdom', css: true, include: ['tests/**/*.test.ts'], testTimeout: 60_000 },
});

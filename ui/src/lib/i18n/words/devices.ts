import type { Device } from '../../backend';
import { number, plural } from '../format';
import { words } from '../words';

/** What computes: kinds of devices by their words, which the history keeps too. */
export const devices = words({
  en: {
    kinds: { cpu: 'CPU', npu: 'NPU', 'npu-simulated': 'simulated NPU' } as Kinds,
    threads: (count: number) => plural(count, { one: 'one thread', other: `${number(count)} threads` }),
  },
  de: {
    kinds: { cpu: 'CPU', npu: 'NPU', 'npu-simulated': 'simulierte NPU' },
    threads: (count) => plural(count, { one: 'ein Thread', other: `${number(count)} Threads` }),
  },
  es: {
    kinds: { cpu: 'CPU', npu: 'NPU', 'npu-simulated': 'NPU simulada' },
    threads: (count) => plural(count, { one: 'un hilo', other: `${number(count)} hilos` }),
  },
  fr: {
    kinds: { cpu: 'CPU', npu: 'NPU', 'npu-simulated': 'NPU simulé' },
    threads: (count) => plural(count, { one: 'un fil', other: `${number(count)} fils` }),
  },
  it: {
    kinds: { cpu: 'CPU', npu: 'NPU', 'npu-simulated': 'NPU simulata' },
    threads: (count) => plural(count, { one: 'un thread', other: `${number(count)} thread` }),
  },
  pt: {
    kinds: { cpu: 'CPU', npu: 'NPU', 'npu-simulated': 'NPU simulada' },
    threads: (count) => plural(count, { one: 'uma thread', other: `${number(count)} threads` }),
  },
});

type Kinds = Record<Device['kind'], string>;

/** A device in a line: what it is, what it calls itself, and with how many threads it computes. */
export function described(words: (typeof devices)['en'], { kind, detail, threads }: Device): string {
  return [words.kinds[kind], detail, threads === null ? '' : words.threads(threads)].filter((part) => part !== '').join(', ');
}

/** What the history calls a device; an older version wrote down more than its kind. */
export function deviceNamed(words: (typeof devices)['en'], word: string): string {
  return Object.entries(words.kinds).find(([kind]) => kind === word)?.[1] ?? word;
}

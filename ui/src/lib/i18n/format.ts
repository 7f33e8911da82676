// Numbers and plural forms as the page's language has them. A unit stays in the line of its number.

import { language } from './language.svelte';

/** A number with this many decimals. */
export function number(value: number, decimals = 0): string {
  return new Intl.NumberFormat(language.current, { minimumFractionDigits: decimals, maximumFractionDigits: decimals }).format(value);
}

/** A share of 1. */
export function percent(share: number): string {
  return new Intl.NumberFormat(language.current, { style: 'percent' }).format(share);
}

/** The form that fits the number. */
export function plural(count: number, forms: Partial<Record<Intl.LDMLPluralRule, string>> & { other: string }): string {
  return forms[new Intl.PluralRules(language.current).select(count)] ?? forms.other;
}

/** A number of which a decimal is of interest only while it is small. */
export function brief(value: number): string {
  return number(value, value < 10 ? 1 : 0);
}

/** A temperature. */
export function celsius(degrees: number): string {
  return `${number(degrees)}\u00a0°C`;
}

export function watts(value: number): string {
  return `${brief(value)}\u00a0W`;
}

/** Minutes and seconds, as on a clock. */
export function minutes(seconds: number): string {
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

/** A time, in the unit in which it is easily read. */
export function milliseconds(ms: number): string {
  return ms < 1000 ? `${brief(ms)}\u00a0ms` : `${number(ms / 1000, 1)}\u00a0s`;
}

export function mebibytes(value: number): string {
  return `${brief(value)}\u00a0MiB`;
}

/** A file's length in 10^6 bytes, in the unit that file managers show. */
export function megabytes(value: number): string {
  const large = value >= 1000;
  const digits = large ? 2 : 0;
  return new Intl.NumberFormat(language.current, {
    style: 'unit',
    unit: large ? 'gigabyte' : 'megabyte',
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(large ? value / 1000 : value);
}

/** How long something will take, as roughly as it is known. */
export function timeLeft(seconds: number): string {
  const long = seconds >= 90;
  return new Intl.NumberFormat(language.current, { style: 'unit', unit: long ? 'minute' : 'second', maximumFractionDigits: 0 }).format(
    long ? seconds / 60 : seconds,
  );
}

/** The time of day. */
export function clock(ms: number): string {
  return new Intl.DateTimeFormat(language.current, { hour: '2-digit', minute: '2-digit' }).format(ms);
}

/** A day, with its year where that is not this one. */
export function day(ms: number): string {
  const year = new Date(ms).getFullYear() === new Date().getFullYear() ? undefined : 'numeric';
  return new Intl.DateTimeFormat(language.current, { weekday: 'long', day: 'numeric', month: 'long', year }).format(ms);
}

/** Languages by their codes, with their names in the page's language, in the order of these. */
export function languageNames(codes: readonly string[]): (readonly [string, string])[] {
  const names = new Intl.DisplayNames(language.current, { type: 'language' });
  const named = codes.map((code) => [code, names.of(code) ?? code] as const);
  return named.sort(([, one], [, other]) => one.localeCompare(other, language.current));
}

/** A length of time as a person says it: `38 s`, `1:05 min`, `1:02:05 h`. */
export function seconds(length: number): string {
  const whole = Math.round(length);
  if (whole < 60) return `${whole}\u00a0s`;
  const two = (value: number) => String(value).padStart(2, '0');
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${two(whole % 60)}\u00a0min`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}\u00a0h`;
}

// What can be said of a transcript without showing it.

import type { Spoken } from './backend';

/** A place in a transcript where something was found: words of a segment. */
export interface Match {
  segment: number;
  from: number;
  to: number;
}

/** The pieces of a segment that are shown one by one: its words, or all of its text where those are not known. */
export function pieces(segment: Spoken): Spoken['words'] {
  return segment.words.length > 0 ? segment.words : [{ text: segment.text, startMs: segment.startMs, endMs: segment.endMs }];
}

/** Where the words asked for are said, in whatever case, in order of time. */
export function matchesIn(segments: Spoken[], query: string): Match[] {
  const wanted = query.trim().toLowerCase();
  if (wanted === '') return [];
  const matches: Match[] = [];
  segments.forEach((segment, index) => {
    let text = '';
    const ends = pieces(segment).map((piece) => (text += piece.text.toLowerCase()).length);
    const pieceAt = (place: number) => ends.findIndex((end) => place < end);
    for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + wanted.length)) {
      matches.push({ segment: index, from: pieceAt(at), to: pieceAt(at + wanted.length - 1) });
    }
  });
  return matches;
}

/** `h:mm:ss`, or `m:ss` within the first hour. */
export function clock(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const two = (value: number) => String(value).padStart(2, '0');
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

import type { Fault } from '../../backend';
import { words } from '../words';
import sentences from './faults.json';

/**
 * What can go wrong, and what to do about it. What a library or the system had to say follows in English.
 *
 * A file of its own, for the app says them too, in the desktop's notifications.
 */
export const faults = words<Record<Fault, string>>(sentences);

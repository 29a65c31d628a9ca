/** Seconds after which a machine that brings its evidence shall come again: agents count in whole seconds, and never in none. */
export const secondsToNext = (quoteInterval: number): number => Math.max(1, Math.ceil(quoteInterval))

/** Intervals without evidence after which such a machine counts as unreachable (protocol 8.5). */
const SILENT_INTERVALS = 5

/** Milliseconds without evidence after which it does. */
export const silenceMs = (quoteInterval: number): number => SILENT_INTERVALS * secondsToNext(quoteInterval) * 1000

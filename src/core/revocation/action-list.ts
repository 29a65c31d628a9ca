const ENTRY = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/
const MAX_ENTRIES = 256

export interface ActionList {
  names: string[]
  /** Entries that are no names: paths, other characters. */
  refused: string[]
}

/**
 * Names of revocation actions, as the configuration and `action_list` give them: separated by commas, blanks or lines, with or without brackets
 * and quotes around (protocol 6.4). A name is a file's name, never a path. Order is kept, repetitions are dropped.
 */
export function parseActionList(text: string): ActionList {
  const entries = text
    .split(/[\s,]+/)
    .map(withoutMarks)
    .filter((entry) => entry !== '')
  const unique = [...new Set(entries)].slice(0, MAX_ENTRIES)
  return { names: unique.filter((entry) => ENTRY.test(entry)), refused: unique.filter((entry) => !ENTRY.test(entry)) }
}

/** Without brackets and quotes around it. A pattern for its end would begin anew at each of them. */
function withoutMarks(entry: string): string {
  let [start, end] = [0, entry.length]
  while (start < end && `['"`.includes(entry[start]!)) start++
  while (end > start && `]'"`.includes(entry[end - 1]!)) end--
  return entry.slice(start, end)
}

/** Prefix that actions of a payload must have, as upstream's documents say. */
export const ACTION_PREFIX = 'local_action_'

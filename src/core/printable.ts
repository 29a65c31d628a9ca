/** What could leave its line, forge another one or turn its direction: control characters, and those of Unicode that do the same. */
export const CONTROLS =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\udb40[\udc00-\udfff]/g

/** A text from outside, fit for one line of a terminal or a log: nothing in it can leave its line or change how the rest is shown. */
export const printable = (text: string): string => text.replace(CONTROLS, '?')

/** The same JSON with the same characters as escapes: a program reads what was there, and a person may look at it on a terminal. */
export const printableJson = (json: string): string => json.replace(CONTROLS, (found) => [...found].map(escaped).join(''))

const escaped = (character: string): string =>
  Array.from({ length: character.length }, (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`).join('')

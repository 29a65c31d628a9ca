import { cutText } from '../verdict/bounded-text.ts'

/** Characters of one text in an event: enough for a path and a digest, too few to fill a disk with. */
const MAX_TEXT = 300
/** Room for the mark of what was left out: a text that was cut once is not cut again when it is read. */
const MARK = 40

/** A text from outside, fit for an event. */
export const boundedText = (text: string): string => (text.length <= MAX_TEXT ? text : cutText(text, MAX_TEXT - MARK))

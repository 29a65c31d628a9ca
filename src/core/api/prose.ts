import { z } from 'zod'

const MAX_CHARACTERS = 65_536

/** A text for people. What is longer is cut: the end of a sentence is no reason to show nothing, and no sender may fill a terminal. */
export const prose = z.string().transform((text) => (text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS)}…` : text))

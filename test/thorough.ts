/** `npm run thorough`: every row of the long tables and all runs of the long properties, of which `npm test` does a sample. */
export const isThorough = process.env['KEYLIME_TESTS'] === 'thorough'

/** `npm test` with names of files has their walks too. */
const isAsked = isThorough || process.env['KEYLIME_WALKS'] === 'asked'

const left = Object.assign(() => undefined, { each: () => () => undefined }) as unknown as typeof test
/** `test` of the file that asks: this module is loaded once for many. */
const done = Object.assign((...it: Parameters<typeof test>) => test(...it), {
  each: (...rows: Parameters<typeof test.each>) => test.each(...rows),
}) as unknown as typeof test

/** A test that `npm test` leaves out unless its file is named: what it safeguards has a shorter one beside it that stays. */
export const walk: typeof test = isAsked ? done : left

/** How many runs a property has. The few are the first of the many, where its seed is fixed. */
export const runs = (all: number, few: number): number => (isThorough ? all : few)

/** Every row; or each `step`th, from a `start` that moves on from table to table, so that together they have all. */
export const sampled = <T>(rows: readonly T[], step: number, start = 0): readonly T[] =>
  isThorough ? rows : rows.filter((_, i) => i % step === start % step)

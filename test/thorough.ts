/** `npm run thorough`: every row of the long tables and all runs of the long properties, of which `npm test` does a sample. */
const isThorough = process.env['KEYLIME_TESTS'] === 'thorough'

/** How many runs a property has. The few are the first of the many, where its seed is fixed. */
export const runs = (all: number, few: number): number => (isThorough ? all : few)

/** Every row; or each `step`th, from a `start` that moves on from table to table, so that together they have all. */
export const sampled = <T>(rows: readonly T[], step: number, start = 0): readonly T[] =>
  isThorough ? rows : rows.filter((_, i) => i % step === start % step)

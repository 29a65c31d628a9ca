/** Digests that a failure names; a policy may list thousands for one name, and failures are stored and sent. */
const MAX_SHOWN = 20

/** The first of the values that a policy allows, and their number when there are more. */
export function boundedExpected(allowed: readonly string[]): { expected: string[]; expected_count?: number } {
  const expected = allowed.slice(0, MAX_SHOWN)
  return allowed.length > expected.length ? { expected, expected_count: allowed.length } : { expected }
}

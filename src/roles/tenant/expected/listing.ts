/** A list with a form of its own: one object for programs, and lines for people. */
export interface Listing {
  readonly type: 'listing'
  readonly json: object
  readonly lines: readonly string[]
}

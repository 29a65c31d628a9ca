/** What a word of `keylime tenant ekroots` found out. */
export interface EkrootsAnswer {
  readonly json: object
  readonly lines: readonly string[]
  /** Things that are beside the point, for people. */
  readonly notes: readonly string[]
}

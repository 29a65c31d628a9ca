import type { PolicyParts } from '../../core/ima/policy-document.ts'

/** What a source of digests works with. */
export interface DigestSourceContext {
  parts: PolicyParts
  /** By which files are hashed. */
  algorithm: string
  /** A note to people that stays. */
  tell(note: string): void
  /** A note that the next one overwrites. */
  progress(note: string): void
}

/** Something that digests of files come from, besides lists and logs. */
export interface DigestSource<T> {
  /** Its options, as a hint names them. */
  flags: string
  isWanted(options: T): boolean
  /** Adds what it finds. @throws KeylimeError. */
  collect(options: T, context: DigestSourceContext): Promise<void>
}

import type { NoticeOutcome } from '../../../core/api/notice.ts'

const CAPACITY = 1024

/** What became of the notices of this run, by the digest of their text. The oldest are forgotten. */
export class NoticeOutcomes {
  readonly #outcomes = new Map<string, NoticeOutcome>()

  set(digest: string, outcome: NoticeOutcome['outcome'], reason: string | null = null): void {
    this.#outcomes.delete(digest)
    this.#outcomes.set(digest, { outcome, reason: reason?.slice(0, 500) ?? null })
    for (const oldest of this.#outcomes.keys()) {
      if (this.#outcomes.size <= CAPACITY) return
      this.#outcomes.delete(oldest)
    }
  }

  get(digest: string): NoticeOutcome | undefined {
    return this.#outcomes.get(digest)
  }
}

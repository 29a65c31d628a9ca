import type { AgentRecord } from '../../core/identity/agent-record.ts'
import type { TpmOfRecord } from '../../core/identity/tpm-of-record.ts'

/** A record as it was read when its machine asked. */
export interface ReadRecord {
  readonly record: AgentRecord
  readonly tpm: TpmOfRecord
}

/** How many are kept, and how many characters their texts have together. */
export interface ReadLimits {
  readonly count: number
  readonly characters: number
}

/** Some seconds of a fleet that registers: an answer comes right after its challenge. */
export const READ_LIMITS: ReadLimits = { count: 1024, characters: 4 << 20 }

/**
 * What was read of registrations that wait, until their answer: to read keys and certificates takes longer than all look-ups together. Never more than a copy of what the
 * database has: it counts only for the very text that is stored there. The oldest go first.
 */
export class ReadBefore {
  readonly #limits: ReadLimits
  readonly #kept = new Map<string, ReadRecord & { text: string }>()
  #characters = 0

  constructor(limits: ReadLimits = READ_LIMITS) {
    this.#limits = limits
  }

  /** @param text the record as it is stored. */
  keep(answer: Buffer, text: string, read: ReadRecord): void {
    this.#drop(nameOf(answer))
    this.#kept.set(nameOf(answer), { ...read, text })
    this.#characters += text.length
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= this.#limits.count && this.#characters <= this.#limits.characters) break
      this.#drop(oldest)
    }
  }

  /** @returns null where nothing of exactly this text is kept. An answer is given once: it is kept no longer. */
  take(answer: Buffer, text: string): ReadRecord | null {
    const kept = this.#drop(nameOf(answer))
    return kept?.text === text ? kept : null
  }

  #drop(name: string): (ReadRecord & { text: string }) | undefined {
    const kept = this.#kept.get(name)
    if (!kept) return undefined
    this.#kept.delete(name)
    this.#characters -= kept.text.length
    return kept
  }
}

const nameOf = (answer: Buffer): string => answer.toString('latin1')

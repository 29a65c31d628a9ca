import { createHash } from 'node:crypto'
import type { Kind } from './kinds.ts'
import { MachineKey, pcrsOf, type QuotedState, quotedState } from './machine-key.ts'
import type { MeasuredFiles } from './measured-files.ts'

/** What a machine does with a request: answers after a while, cuts the connection, or nothing. */
export type Reaction = { status: number; body: string; afterMs: number } | 'cut' | 'hang'

export interface Surroundings {
  files: MeasuredFiles
  /** Lines that are there after a boot. */
  bootLines: number
  /** PEM, of all machines. */
  transportKey: string
  /** Seconds of life between two measurements of a machine, between two reboots, and until a liar lies or a machine freezes; about. */
  measuresEvery: number
  rebootsEvery: number
  liesAfter: number
  /** All of them are as slow as the slow ones, for now. */
  slowed?: boolean
  /** Monotonic milliseconds. */
  now(): number
}

/** How long slow machines take. */
export const SLOW_MS = [200, 2000] as const
const LOST = 0.2
const UNKNOWN_PROGRAM = createHash('sha256').update('unknown program').digest()

/** One machine: an attestation key of its own, a measurement list that grows, a fresh signature over each nonce. */
export class LabMachine {
  readonly id: string
  readonly kind: Kind
  readonly key = new MachineKey()
  /** Milliseconds at which it was asked for evidence the last time; null for never. */
  askedAt: number | null = null
  /** The longest that it was not asked for, since the count was cleared. */
  longestGapMs = 0
  quotes = 0
  /** Monotonic milliseconds of each notice of a revocation. */
  readonly noticedAt: number[] = []
  readonly #around: Surroundings
  #lines: number
  #resets = 1
  #measuredAt: number
  #rebootedAt: number
  readonly #liesAt: number
  readonly #freezesAt: number
  #state: { mask: number; lines: number; quoted: QuotedState } | null = null

  constructor(id: string, kind: Kind, around: Surroundings) {
    this.id = id
    this.kind = kind
    this.#around = around
    this.#lines = around.bootLines
    const now = around.now()
    this.#measuredAt = now + Math.random() * around.measuresEvery * 1000
    this.#rebootedAt = now + Math.random() * around.rebootsEvery * 1000
    const later = now + (0.5 + Math.random()) * around.liesAfter * 1000
    this.#liesAt = kind === 'lying' ? later : Number.POSITIVE_INFINITY
    this.#freezesAt = kind === 'freezing' ? later : Number.POSITIVE_INFINITY
  }

  /** @param target path and query of a request. */
  react(method: string, target: string): Reaction {
    if (this.kind === 'hanging' || this.isFrozen) return 'hang'
    if (this.kind === 'lossy' && Math.random() < LOST) return 'cut'
    const afterMs = this.kind === 'slow' || this.#around.slowed ? SLOW_MS[0] + Math.random() * (SLOW_MS[1] - SLOW_MS[0]) : 0
    const answer = (results: object) => ({ status: 200, body: JSON.stringify({ code: 200, status: 'Success', results }), afterMs })
    if (target.includes('/quotes/integrity?')) return { status: 200, body: this.#evidence(target), afterMs }
    if (target.startsWith('/version')) return answer({ supported_version: '2.6', supported_versions: ['2.5', '2.6'] })
    if (method === 'POST' && target.includes('/notifications/revocation')) this.noticedAt.push(this.#around.now())
    return answer({})
  }

  /** It lies, and should be found out. */
  get isLying(): boolean {
    return this.#around.now() >= this.#liesAt
  }

  /** It answers no more, after it did. */
  get isFrozen(): boolean {
    return this.quotes > 0 && this.#around.now() >= this.#freezesAt
  }

  #evidence(target: string): string {
    const { files, transportKey, bootLines } = this.#around
    this.#live()
    const query = new URLSearchParams(target.slice(target.indexOf('?') + 1))
    const mask = Number(query.get('mask'))
    const first = Number(query.get('ima_ml_entry') ?? 0)
    const quoted = this.#quoted(mask)
    const list = files.lines(first <= this.#lines ? first : 0, this.#lines)
    const quote = this.key.quote(quoted, query.get('nonce') ?? '', this.#resets)
    const pubkey = query.get('partial') === '1' ? '' : `"pubkey":${JSON.stringify(transportKey)},`
    const ima = `"ima_measurement_list":${JSON.stringify(list)},"ima_measurement_list_entry":${first <= this.#lines ? first : 0}`
    this.quotes++
    if (bootLines > files.length) throw new Error('more lines after a boot than there are')
    return `{"code":200,"status":"Success","results":{"quote":"${quote}","hash_alg":"sha256","enc_alg":"ecc256","sign_alg":"ecdsa",${pubkey}${ima}}}`
  }

  /** What happened since it was asked the last time. */
  #live(): void {
    const { bootLines, files, measuresEvery, rebootsEvery, now } = this.#around
    const at = now()
    if (this.askedAt !== null) this.longestGapMs = Math.max(this.longestGapMs, at - this.askedAt)
    this.askedAt = at
    if (at >= this.#measuredAt) {
      this.#lines = Math.min(files.length, this.#lines + 1)
      this.#measuredAt = at + (0.5 + Math.random()) * measuresEvery * 1000
    }
    if (this.kind === 'rebooting' && at >= this.#rebootedAt) {
      this.#lines = bootLines
      this.#resets++
      this.#rebootedAt = at + (0.5 + Math.random()) * rebootsEvery * 1000
    }
  }

  #quoted(mask: number): QuotedState {
    const isLying = this.isLying
    if (this.#state?.mask === mask && this.#state.lines === this.#lines && !isLying) return this.#state.quoted
    const pcr10 = this.#around.files.pcr10(this.#lines)
    const value = isLying ? createHash('sha256').update(pcr10).update(UNKNOWN_PROGRAM).digest() : pcr10
    const quoted = quotedState(mask, pcrsOf(this.#around.transportKey, value))
    this.#state = { mask, lines: this.#lines, quoted }
    return quoted
  }
}

import { algorithmName } from '../../core/tpm/algorithm-names.ts'
import type { KeyKind } from '../../core/tpm/templates.ts'
import { type EkCertificates, readEkCertificates } from './ek.ts'
import { openTpm } from './open-tpm.ts'

/** What a TPM says of itself. */
export interface TpmFacts {
  /** Four letters of the TCG Vendor ID Registry, blanks cut. */
  readonly maker: string
  readonly model: string
  readonly firmware: string
  /** Allocated PCR banks, by name. */
  readonly banks: readonly string[]
  readonly ownerPassword: boolean
  readonly endorsementPassword: boolean
  readonly lockoutPassword: boolean
  readonly inLockout: boolean
  /** Wrong passwords now, and with how many it locks. */
  readonly wrongPasswords: number
  readonly mostWrongPasswords: number
  /** Seconds after which one wrong password is forgotten. */
  readonly forgivenSeconds: number
  readonly ek: EkCertificates | null
}

const PT_FIXED = 0x100
const PT_VARIABLE = 0x200
const PT = { manufacturer: 0x105, vendor: [0x106, 0x107, 0x108, 0x109], firmware: [0x10b, 0x10c], permanent: 0x200 } as const
const LOCKOUT = { counter: 0x20e, most: 0x20f, interval: 0x210 } as const
/** TPMA_PERMANENT (Part 2, section 8.6). */
const PERMANENT = { owner: 1, endorsement: 2, lockout: 4, inLockout: 1 << 9 } as const

/** Asks a TPM for what can be read without any password; an agent that works with it is not disturbed. @throws KeylimeError `tpm_failed`. */
export async function lookAtTpm(tcti: string | undefined, keys: KeyKind, timeoutMs: number): Promise<TpmFacts> {
  const tpm = await openTpm({ tcti, flushLeaked: false, timeoutMs })
  try {
    const fixed = await tpm.properties(PT_FIXED)
    const variable = await tpm.properties(PT_VARIABLE)
    const flags = variable.get(PT.permanent) ?? 0
    const letters = (properties: readonly number[]) =>
      properties
        .map((property) => lettersOf(fixed.get(property) ?? 0))
        .join('')
        .trim()
    const banks = (await tpm.pcrBanks()).filter(({ pcrs }) => pcrs.length > 0)
    return {
      maker: letters([PT.manufacturer]),
      model: letters(PT.vendor),
      firmware: PT.firmware.map((property) => versionText(fixed.get(property) ?? 0)).join('.'),
      banks: banks.map(({ algorithm }) => algorithmName(algorithm, 'hash') ?? `0x${algorithm.toString(16)}`),
      ownerPassword: (flags & PERMANENT.owner) !== 0,
      endorsementPassword: (flags & PERMANENT.endorsement) !== 0,
      lockoutPassword: (flags & PERMANENT.lockout) !== 0,
      inLockout: (flags & PERMANENT.inLockout) !== 0,
      wrongPasswords: variable.get(LOCKOUT.counter) ?? 0,
      mostWrongPasswords: variable.get(LOCKOUT.most) ?? 0,
      forgivenSeconds: variable.get(LOCKOUT.interval) ?? 0,
      ek: await readEkCertificates(tpm, keys),
    }
  } finally {
    tpm.close()
  }
}

function lettersOf(word: number): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(word)
  return bytes.toString('latin1').replace(/[^\x20-\x7e]/g, '')
}

/** Two halves: `7.85`. */
const versionText = (word: number): string => `${word >>> 16}.${word & 0xffff}`

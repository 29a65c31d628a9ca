import type { HashName } from './algorithms.ts'
import { TPM_ALG } from './algorithms.ts'
import { sized } from './byte-writer.ts'
import { type KeyKind, type KeyTemplate, publicArea } from './templates.ts'

/**
 * Templates H-1 to H-4 of "TPM 2.0 Keys for Device Identity and Attestation" (TCG, section 7.3.4): the initial device identity (IDevID, signs
 * anything) and the initial attestation key (IAK, restricted), both primary keys of the endorsement hierarchy.
 */
export type DeviceKey = 'iak' | 'idevid'

interface Strength {
  rsa: KeyKind
  ecc: KeyKind
  policy: Record<DeviceKey, string>
}

const STRENGTH: Partial<Record<HashName, Strength>> = {
  sha256: {
    rsa: 'rsa2048',
    ecc: 'ecc256',
    policy: {
      iak: '5437182326e414fca797d5f174615a1641f61255797c3a2b22c21d120b2d1e07',
      idevid: 'ad6b3a2284fd698a0710bf5cc1b9bdf15e2532e3f601fa4b93a6a8fa8de579ea',
    },
  },
  sha384: {
    rsa: 'rsa3072',
    ecc: 'ecc384',
    policy: {
      iak: '129d94ebf84556652c6eef43bbb757512ac87e52be7b349ca6ce4d826f749fcf672f51716c5cbb605f313bf345aab312',
      idevid: '4db1aa836d0b5615df6ee53a40ef70c61c217f4303d44695925972bc927006cfa5cbdf6dc18c4dbe329b2f1542c3dd33',
    },
  },
  sha512: {
    rsa: 'rsa4096',
    ecc: 'ecc521',
    policy: {
      iak: '8060d1fb31716a29e48a6e5fece088bcfc1b278fc162255e81c3eca3544cd44af94410c3715d561cccd9e39a6cb2646d43535bb54ea88710deb5f7836bd9b586',
      idevid:
        '7dd7500fd6c1b94f97a6af910da147301ef28f662fee06f225a4ccadda3b4e6b38e66b2f3ad5dee1a0503cd2daedb1e68cfe4f84b03a8cd22bb6a976f071a72f',
    },
  },
}

const ATTRIBUTES = { iak: 0x000500f2, idevid: 0x000400f2 } as const

/** @returns null when the profile has no template for this name algorithm (SHA-1). */
export function deviceKeyTemplate(key: DeviceKey, type: 'rsa' | 'ecc', nameAlg: HashName): KeyTemplate | null {
  const strength = STRENGTH[nameAlg]
  if (!strength) return null
  const label = sized(Buffer.from(key === 'iak' ? 'IAK' : 'IDEVID'))
  const algorithm = type === 'ecc' ? TPM_ALG.ECDSA : TPM_ALG.RSAPSS
  const area = publicArea({
    kind: strength[type],
    nameAlg,
    attributes: ATTRIBUTES[key],
    policy: Buffer.from(strength.policy[key], 'hex'),
    unique: type === 'ecc' ? Buffer.concat([label, label]) : label,
    ...(type === 'ecc' || key === 'iak' ? { scheme: { algorithm, hash: nameAlg } } : {}),
  })
  return { public: area, nameAlg, policyOr: [] }
}

import { TPM_ALG } from './algorithms.ts'
import { OBJECT_ATTRIBUTE, type PublicArea } from './public-area.ts'

type Attribute = keyof typeof OBJECT_ATTRIBUTE

/** The key was made inside this TPM and cannot leave it. */
const BOUND_TO_TPM = ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin'] as const
const MIN_RSA_BITS = 2048
const USUAL_EXPONENT = 65_537
const SIGNING: readonly number[] = [TPM_ALG.RSASSA, TPM_ALG.RSAPSS, TPM_ALG.ECDSA]

/** What keeps `area` from being an attestation key, which signs only what the TPM itself made; empty when nothing does (invariant 3). */
export const akDefects = (area: PublicArea): string[] => [
  ...attributeDefects(area, [...BOUND_TO_TPM, 'userWithAuth', 'restricted', 'sign'], ['decrypt']),
  ...weaknesses(area),
  ...schemeDefects(area),
]

/** What keeps `area` from being an initial attestation key: what it certifies is made by its own TPM only if it can sign nothing else. */
export const iakDefects = (area: PublicArea): string[] => [
  ...attributeDefects(area, [...BOUND_TO_TPM, 'restricted', 'sign'], ['decrypt']),
  ...weaknesses(area),
  ...schemeDefects(area),
]

/** What keeps `area` from being an initial device identity: a signing key of this TPM. Unlike an IAK it may sign anything, and needs no scheme of its own. */
export const idevidDefects = (area: PublicArea): string[] => [
  ...attributeDefects(area, [...BOUND_TO_TPM, 'sign'], ['decrypt']),
  ...weaknesses(area),
  ...(area.scheme ? schemeDefects(area) : []),
]

/**
 * What keeps `area` from being an endorsement key that a challenge can be made for. Its attributes are not looked at: nobody but the TPM that has
 * the key can answer, and that it is a TPM's is what its certificate says.
 */
export const ekDefects = (area: PublicArea): string[] => weaknesses(area)

function attributeDefects({ attributes }: PublicArea, needed: readonly Attribute[], refused: readonly Attribute[]): string[] {
  const has = (name: Attribute) => (attributes & OBJECT_ATTRIBUTE[name]) !== 0
  return [
    ...needed.filter((name) => !has(name)).map((name) => `${name} is not set`),
    ...refused.filter(has).map((name) => `${name} is set`),
  ]
}

/** Keys that can be broken, or whose name can belong to two. ECC keys have at least P-256: no weaker curve is read at all. */
function weaknesses({ type, key, exponent, nameAlg }: PublicArea): string[] {
  const bits = type === 'rsa' ? (key.asymmetricKeyDetails?.modulusLength ?? 0) : 0 // of the number itself: zeros in front of it make no strength
  return [
    ...(type === 'rsa' && bits < MIN_RSA_BITS ? [`its RSA key has ${bits} bits, at least ${MIN_RSA_BITS} are needed`] : []),
    ...(exponent !== null && exponent !== USUAL_EXPONENT ? [`its RSA exponent is ${exponent}, not ${USUAL_EXPONENT}`] : []),
    ...(nameAlg === 'sha1' ? ['its name is made by SHA-1'] : []),
  ]
}

/** A restricted key without a scheme lets whoever asks choose one, SHA-1 too. */
function schemeDefects({ type, scheme }: PublicArea): string[] {
  if (!scheme) return ['it has no signing scheme of its own']
  const fits = SIGNING.includes(scheme.algorithm) && (type === 'ecc') === (scheme.algorithm === TPM_ALG.ECDSA)
  if (!fits)
    return [`its scheme 0x${scheme.algorithm.toString(16).padStart(4, '0')} is not a signature of its kind of key that can be judged`]
  return scheme.hash === 'sha1' ? ['its scheme signs with SHA-1'] : []
}

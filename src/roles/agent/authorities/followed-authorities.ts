import fs from 'node:fs'
import { z } from 'zod'
import type { AuthorityIntroduction } from '../../../core/api/authority-introduction.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { parseCertificate, parseCertificates } from '../../../core/pki/certificate.ts'
import { isSignedBy } from '../../../core/pki/chain.ts'
import { judgeSuccessor } from '../../../core/pki/judge-successor.ts'
import { keyHash } from '../../../core/pki/key-hash.ts'
import { parseSingleCertificate } from '../../../core/pki/single-certificate.ts'
import type { Certificate } from '../../../core/pki/types.ts'
import { writeFileAtomic } from '../../../io/files/atomic-file.ts'

/** `added`: certificates of authorities that an authority which was believed has vouched for, PEM. `replaced`: keys of those, SHA-256. `dropped`: of them, what counts no more, whatever a file says. */
const shape = z.object({
  added: z.array(z.string().max(16_384)).max(16),
  replaced: z.array(z.string().length(64)).max(64),
  dropped: z.array(z.string().length(64)).max(64),
})
export type FollowedState = z.output<typeof shape>

const NONE: FollowedState = { added: [], replaced: [], dropped: [] }

/** What was followed so far. @throws KeylimeError `config_invalid` for a file that cannot be read: without it an authority that was dropped would count again. */
export function readFollowed(file: string): FollowedState {
  if (!fs.existsSync(file)) return NONE
  try {
    return shape.parse(JSON.parse(fs.readFileSync(file, 'utf8')))
  } catch (cause) {
    throw new KeylimeError('config_invalid', `${file}, with the authorities that this agent has followed, cannot be read`, {
      cause,
      hint: 'copy the cacert.crt of the verifier to this machine, and delete the file',
    })
  }
}

/** A PEM text without the authorities that count no more. */
export const withoutDropped = (pem: string, { dropped }: FollowedState): string =>
  parseCertificates(pem)
    .filter((certificate) => !dropped.includes(keyHash(certificate)))
    .map((certificate) => certificate.pem)
    .join('')

export interface Introduced {
  readonly file: string
  readonly introduction: AuthorityIntroduction
  /** Authorities that are believed now. */
  readonly believed: readonly Certificate[]
  /** The caller's certificate, DER. */
  readonly caller: Buffer | undefined
  readonly now: number
}

/** `again`: the one before is dropped only for a caller who has a certificate of the next, so that nobody is locked out. */
export type Followed = { readonly kind: 'same' | 'again' } | { readonly kind: 'added' | 'dropped'; readonly subject: string }

/** @param caller his certificate, DER. @throws KeylimeError `refused` for one that nobody vouches for. */
export type FollowAuthority = (introduction: AuthorityIntroduction, caller: Buffer | undefined) => Promise<Followed>

/** Takes the next authority, or drops the one before. Durable when it returns. @throws KeylimeError `refused` for one that nobody vouches for. */
export async function follow({ file, introduction, believed, caller, now }: Introduced): Promise<Followed> {
  const state = readFollowed(file)
  const shown = parseCertificates(introduction.authorities)
  const save = (next: FollowedState) => writeFileAtomic(file, `${JSON.stringify(next, null, 2)}\n`, 0o600)
  if (introduction.bridge !== null) {
    const bridge = parseSingleCertificate(introduction.bridge, 'bridge')
    const next = shown.find(({ spki }) => spki.equals(bridge.spki))
    if (!next) throw new KeylimeError('invalid_request', 'the bridge leads to none of the authorities')
    if (state.dropped.includes(keyHash(next))) throw new KeylimeError('refused', 'the next authority is one that was dropped')
    const verdict = judgeSuccessor({ next, bridge, believed, now })
    if (!verdict.ok) throw new KeylimeError('refused', `the next authority is not believed: ${verdict.reason}`)
    const replaced = keyHash(verdict.before)
    const isKnown = believed.some(({ spki }) => spki.equals(next.spki)) && state.replaced.includes(replaced)
    if (isKnown) return { kind: 'same' }
    await save({ ...state, added: [...new Set([...state.added, next.pem])], replaced: [...new Set([...state.replaced, replaced])] })
    return { kind: 'added', subject: next.subject }
  }
  return drop({ state, shown, believed, caller }, save)
}

interface Dropping {
  readonly state: FollowedState
  readonly shown: readonly Certificate[]
  readonly believed: readonly Certificate[]
  readonly caller: Buffer | undefined
}

/** Only an authority that was followed away from, and only when one that is believed is left for the caller. */
async function drop({ state, shown, believed, caller }: Dropping, save: (next: FollowedState) => Promise<void>): Promise<Followed> {
  const over = believed.filter(
    (authority) => state.replaced.includes(keyHash(authority)) && !shown.some(({ spki }) => spki.equals(authority.spki)),
  )
  const [first] = over
  if (!first) return { kind: 'same' }
  const left = believed.filter((authority) => !over.includes(authority) && shown.some(({ spki }) => spki.equals(authority.spki)))
  const leaf = caller && parseCertificate(caller)
  if (!leaf || !left.some((authority) => isSignedBy(leaf, authority))) return { kind: 'again' }
  const dropped = [...new Set([...state.dropped, ...over.map(keyHash)])]
  await save({ ...state, dropped, added: state.added.filter((pem) => !dropped.includes(keyHash(parseCertificate(pem)))) })
  return { kind: 'dropped', subject: first.subject }
}

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

/** What could not be read again is not written: the machine would not start any more. */
async function writeFollowed(file: string, state: FollowedState): Promise<void> {
  if (!shape.safeParse(state).success)
    throw new KeylimeError(
      'refused',
      'this machine has followed as many authorities as it can, or the next one has a very large certificate',
      {
        hint: `copy the cacert.crt of the verifier to this machine, and delete ${file}`,
      },
    )
  await writeFileAtomic(file, `${JSON.stringify(state, null, 2)}\n`, 0o600)
}

/** A PEM text without the authorities that count no more. */
export const withoutDropped = (pem: string, { dropped }: Pick<FollowedState, 'dropped'>): string =>
  parseCertificates(pem)
    .filter((certificate) => !dropped.includes(keyHash(certificate)))
    .map((certificate) => certificate.pem)
    .join('')

export interface Introduced {
  readonly file: string
  readonly introduction: AuthorityIntroduction
  /** Authorities that are believed now. */
  readonly believed: readonly Certificate[]
  readonly holdsWithout: HoldsWithout
  readonly now: number
}

/** Whether the verifier and this machine still know each other when only `left` of those that were believed count, and not `over`. */
export type HoldsWithout = (left: readonly Certificate[], over: readonly Certificate[]) => boolean | Promise<boolean>

/** `again`: the one before is dropped only where the verifier is of the next one, so that nobody is locked out. */
export type Followed = { readonly kind: 'same' | 'again' } | { readonly kind: 'added' | 'dropped'; readonly subject: string }

/** @throws KeylimeError `refused` for one that nobody vouches for. */
export type FollowAuthority = (introduction: AuthorityIntroduction, holdsWithout: HoldsWithout) => Promise<Followed>

/** Of a caller: his certificate, DER, is of one that is left. */
export const isCalledBy =
  (caller: Buffer | undefined): HoldsWithout =>
  (left) => {
    const leaf = caller && parseCertificate(caller)
    return leaf !== undefined && left.some((authority) => isSignedBy(leaf, authority))
  }

/** For the log; null where nothing changed. */
export function followedText(followed: Followed): string | null {
  if (followed.kind === 'added') return `the authority "${followed.subject}" is trusted from now on: the previous one has vouched for it`
  if (followed.kind === 'dropped') return `the authority "${followed.subject}" is no longer trusted: the next one replaces it`
  return null
}

/** Takes the next authority, or drops the one before. Durable when it returns. @throws KeylimeError `refused` for one that nobody vouches for. */
export async function follow({ file, introduction, believed, holdsWithout, now }: Introduced): Promise<Followed> {
  const state = readFollowed(file)
  const shown = parseCertificates(introduction.authorities)
  const save = (next: FollowedState) => writeFollowed(file, next)
  if (introduction.bridge !== null) {
    const bridge = parseSingleCertificate(introduction.bridge, 'bridge')
    const next = shown.find(({ spki }) => spki.equals(bridge.spki))
    if (!next) throw new KeylimeError('invalid_request', 'the bridge leads to none of the authorities')
    if (state.dropped.includes(keyHash(next))) throw new KeylimeError('refused', 'the next authority is one that was dropped')
    const isBelieved = believed.some(({ spki }) => spki.equals(next.spki))
    const verdict = judgeSuccessor({ next, bridge, believed, now })
    if (!verdict.ok && isBelieved) return { kind: 'same' } // it came with the machine: nobody has to vouch for it
    if (!verdict.ok) throw new KeylimeError('refused', `the next authority is not trusted: ${verdict.reason}`)
    const replaced = keyHash(verdict.before)
    if (isBelieved && state.replaced.includes(replaced)) return { kind: 'same' }
    await save({ ...state, added: [...new Set([...state.added, next.pem])], replaced: [...new Set([...state.replaced, replaced])] })
    return { kind: 'added', subject: next.subject }
  }
  return drop({ state, shown, believed, holdsWithout }, save)
}

interface Dropping {
  readonly state: FollowedState
  readonly shown: readonly Certificate[]
  readonly believed: readonly Certificate[]
  readonly holdsWithout: HoldsWithout
}

/** Only an authority that was followed away from, and only when one that is believed is left, by which verifier and machine know each other. */
async function drop({ state, shown, believed, holdsWithout }: Dropping, save: (next: FollowedState) => Promise<void>): Promise<Followed> {
  const over = believed.filter(
    (authority) => state.replaced.includes(keyHash(authority)) && !shown.some(({ spki }) => spki.equals(authority.spki)),
  )
  const [first] = over
  if (!first) return { kind: 'same' }
  const left = believed.filter((authority) => !over.includes(authority) && shown.some(({ spki }) => spki.equals(authority.spki)))
  if (left.length === 0 || !(await holdsWithout(left, over))) return { kind: 'again' }
  const dropped = [...new Set([...state.dropped, ...over.map(keyHash)])]
  await save({ ...state, dropped, added: state.added.filter((pem) => !dropped.includes(keyHash(parseCertificate(pem)))) })
  return { kind: 'dropped', subject: first.subject }
}

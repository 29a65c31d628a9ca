import path from 'node:path'
import { readAuthorities } from '../../authority/authority-files.ts'
import { BACKDATE_MS } from '../../authority/issue-certificate.ts'
import { finishRotation, rotateAuthority } from '../../authority/rotate-authority.ts'
import { KeylimeError } from '../../core/errors.ts'
import type { Certificate } from '../../core/pki/types.ts'
import { requireFollowed } from './followers.ts'
import type { OpenedCa } from './open-ca.ts'

export interface RotateOptions {
  readonly finish?: boolean | undefined
  /** Although certificates of the one before are in use, and machines have not followed. */
  readonly yes?: boolean | undefined
  /** Although machines have not followed. */
  readonly 'leave-behind'?: boolean | undefined
  /** Verifiers that are asked which machines have followed; default: that of verifier.conf. */
  readonly verifier?: readonly string[] | undefined
}

/** `keylime ca rotate`, and `--finish`. */
export async function rotate(ca: OpenedCa, { finish, yes, verifier, ...more }: RotateOptions) {
  const access = await ca.access()
  for (const name of ['leave-behind', 'verifier'] as const)
    if (!finish && { ...more, verifier }[name]) throw new KeylimeError('usage', `--${name} is for rotate --finish`)
  if (finish && !yes && !more['leave-behind']) await requireReady(ca, verifier ?? [])
  const { authority, before } = finish ? await finishRotation(access, { force: Boolean(yes) }) : await rotateAuthority(access)
  const until = new Date(authority.notAfter).toISOString()
  const lines = finish
    ? [
        `the previous authority${before ? `, "${before.subject}",` : ''} no longer counts in ${ca.directory}: only "${authority.subject}" does, until ${until.slice(0, 10)}`,
        isOfServices(ca)
          ? 'verifier and registrar follow without your help, and so do agents that have followed; an agent that was off learns of it when it answers again; copy cacert.crt to everyone else who has both'
          : 'machines that were given both believe certificates of the previous one until their next payload',
      ]
    : [
        `authority "${authority.subject}" made in ${ca.directory}, valid until ${until.slice(0, 10)}; "${before?.subject}" still counts until ${endOf(before?.notAfter ?? 0, ca.now())}`,
        ...(isOfServices(ca) ? TLS_STEPS : MACHINE_STEPS),
        `then: keylime ca rotate -d ${ca.directory} --finish`,
      ]
  const json = {
    directory: ca.directory,
    subject: authority.subject,
    not_after: until,
    before: before?.subject ?? null,
    finished: Boolean(finish),
  }
  return { lines, json }
}

const endOf = (time: number, now: number) =>
  time < now ? 'it ended; agents that have not followed need a visit' : `${new Date(time).toISOString().slice(0, 10)}, or --finish`

async function requireReady(ca: OpenedCa, verifiers: readonly string[]): Promise<void> {
  const [next, before] = await readAuthorities(ca.directory)
  if (!next || !before) return // what there is to finish has been finished halfway
  if (ca.directory === path.join(ca.config.keylimeDir, 'cv_ca')) return requireFollowed(ca, { next, verifiers })
  if (isOfServices(ca)) refuseTooSoon(next, ca.now())
}

/** The registrar looks at its files every 10 s, and takes what stands still. */
const TAKEN_MS = 30_000

function refuseTooSoon(next: Certificate, now: number): void {
  const seconds = Math.ceil((next.notBefore + BACKDATE_MS + TAKEN_MS - now) / 1000)
  if (seconds <= 0) return
  throw new KeylimeError('refused', 'the next authority was made less than half a minute ago: the registrar may not have taken it', {
    hint: `wait ${seconds} s, or add --yes`,
  })
}

/** Of verifier, registrar and operators, not of machines' payloads. */
const isOfServices = ({ directory, config }: OpenedCa) =>
  ['cv_ca', 'reg_ca'].some((name) => directory === path.join(config.keylimeDir, name))

const TLS_STEPS = [
  'verifier and registrar take both by themselves, and the verifier hands the new one to the agents that it attests',
  'operators: give each a new package (`keylime ca operator NAME --replace`); other hosts and agents of upstream: copy cacert.crt',
]
const MACHINE_STEPS = [
  'machines: `keylime tenant update --all --cert`, with --include and the files that they have, delivers a certificate of the new one and both authorities',
]

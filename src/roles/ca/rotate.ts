import path from 'node:path'
import { finishRotation, rotateAuthority } from '../../authority/rotate-authority.ts'
import type { OpenedCa } from './open-ca.ts'

/** `keylime ca rotate`, and `--finish`. */
export async function rotate(ca: OpenedCa, { finish, yes }: { finish?: boolean | undefined; yes?: boolean | undefined }) {
  const access = await ca.access()
  const { authority, before } = finish ? await finishRotation(access, { force: Boolean(yes) }) : await rotateAuthority(access)
  const until = new Date(authority.notAfter).toISOString()
  const lines = finish
    ? [
        `the authority before${before ? `, "${before.subject}",` : ''} counts no more in ${ca.directory}: "${authority.subject}" alone does, until ${until.slice(0, 10)}`,
        'verifier and registrar take it by themselves, and agents that have followed; copy cacert.crt to whoever else has both',
      ]
    : [
        `authority "${authority.subject}" made in ${ca.directory}, valid until ${until.slice(0, 10)}; "${before?.subject}" counts still, until ${endOf(before?.notAfter ?? 0, ca.now())}`,
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

/** Of verifier, registrar and operators, not of machines' payloads. */
const isOfServices = ({ directory, config }: OpenedCa) =>
  ['cv_ca', 'reg_ca'].some((name) => directory === path.join(config.keylimeDir, name))

const TLS_STEPS = [
  'verifier and registrar take both by themselves, and the verifier hands the new one to the agents that it attests',
  'operators: give each a new package (`keylime ca operator NAME --replace`); other hosts and agents of upstream: copy cacert.crt',
]
const MACHINE_STEPS = ['machines: `keylime tenant update -u ID --cert` delivers a certificate of the new one, and both authorities']

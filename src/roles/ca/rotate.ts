import path from 'node:path'
import { readAuthorities } from '../../authority/authority-files.ts'
import { BACKDATE_MS } from '../../authority/issue-certificate.ts'
import { finishRotation, rotateAuthority } from '../../authority/rotate-authority.ts'
import { KeylimeError } from '../../core/errors.ts'
import type { OpenedCa } from './open-ca.ts'

/** `keylime ca rotate`, and `--finish`. */
export async function rotate(ca: OpenedCa, { finish, yes }: { finish?: boolean | undefined; yes?: boolean | undefined }) {
  const access = await ca.access()
  if (finish && !yes && isOfServices(ca)) await refuseTooSoon(ca)
  const { authority, before } = finish ? await finishRotation(access, { force: Boolean(yes) }) : await rotateAuthority(access)
  const until = new Date(authority.notAfter).toISOString()
  const lines = finish
    ? [
        `the previous authority${before ? `, "${before.subject}",` : ''} no longer counts in ${ca.directory}: only "${authority.subject}" does, until ${until.slice(0, 10)}`,
        isOfServices(ca)
          ? 'verifier and registrar take it by themselves, and so do agents that have followed; copy cacert.crt to whoever else has both'
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

/** Each service looks at its files every 10 s, takes what stands still, and hands it to each agent after its next good round. */
const HANDED_OUT_MS = 60_000

/** Agents that were not given the next authority refuse the verifier after the end, fail for it, and are revoked. */
async function refuseTooSoon(ca: OpenedCa): Promise<void> {
  const [next, before] = await readAuthorities(ca.directory)
  if (!next || !before) return
  const seconds = Math.ceil((next.notBefore + BACKDATE_MS + HANDED_OUT_MS - ca.now()) / 1000)
  if (seconds <= 0) return
  throw new KeylimeError('refused', 'the next authority was made less than a minute ago: verifier and agents have not all taken it', {
    hint: `wait ${seconds} s, and until \`keylime tenant list\` shows no machine that is unreachable; or add --yes: machines that do not know it fail then`,
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

import path from 'node:path'
import { loadConfig } from '../../config/load.ts'
import { verifierOptions } from '../../config/verifier.ts'
import { type AuthorityReport, authorityReport } from '../../core/api/authority-report.ts'
import { parseHost } from '../../core/api/host.ts'
import { urlHostPort } from '../../core/api/host-port.ts'
import { parseMessage } from '../../core/api/parse-message.ts'
import { CURRENT_VERSION } from '../../core/api/versions.ts'
import { KeylimeError } from '../../core/errors.ts'
import { keyHash } from '../../core/pki/key-hash.ts'
import type { Certificate } from '../../core/pki/types.ts'
import { readText } from '../../io/files/read-file.ts'
import { LARGE_ANSWERS, openApiClient } from '../../io/http/api-client.ts'
import type { OpenedCa } from './open-ca.ts'

const TIMEOUT_SECONDS = 15
const SHOWN = 20
const LEAVE = 'or add --leave-behind: what is left behind is unreachable until it hears of the next authority'

export interface FollowersWanted {
  readonly next: Certificate
  /** `HOST[:PORT]`; none: the one of verifier.conf. */
  readonly verifiers: readonly string[]
}

/** Asks each verifier which of its machines do not know the next authority. @throws KeylimeError `refused` that names them; or says that it cannot be told. */
export async function requireFollowed(ca: OpenedCa, { next, verifiers }: FollowersWanted): Promise<void> {
  const { ip, port, password } = configured(ca)
  const places = verifiers.length > 0 ? verifiers.map((text) => placeOf(text, port)) : [{ host: ip, port }]
  const behind: { agent_id: string; reason: string }[] = []
  for (const place of places) behind.push(...(await behindAt(ca, { next, password, place })))
  if (behind.length === 0) return
  const lines = behind.slice(0, SHOWN).map(({ agent_id: id, reason }) => `${id} (${reason})`)
  const more = behind.length > SHOWN ? `, and ${behind.length - SHOWN} more` : ''
  throw new KeylimeError(
    'refused',
    `${behind.length} ${behind.length === 1 ? 'machine does' : 'machines do'} not know the next authority: ${lines.join(', ')}${more}`,
    {
      hint: `switch on what is off, and wait until it passes its next attestation; copy cacert.crt to agents that do not follow authorities; ${LEAVE}`,
    },
  )
}

interface Asked {
  readonly next: Certificate
  readonly password: string
  readonly place: { readonly host: string; readonly port: number }
}

async function behindAt(ca: OpenedCa, asked: Asked) {
  const { host, port } = asked.place
  const name = `the verifier at ${urlHostPort(host, port)}`
  const report = await reportOf(ca, asked).catch((cause) => {
    throw new KeylimeError('refused', `${name} cannot say which machines know the next authority`, {
      cause,
      hint: `start it, or name another with --verifier HOST:PORT; ${LEAVE}`,
    })
  })
  if (report.authority?.key === keyHash(asked.next)) return report.behind
  throw new KeylimeError('refused', `${name} has not taken the next authority yet`, {
    hint: 'it looks at its files every 10 s: try again in half a minute; --verifier HOST:PORT when it is another one',
  })
}

async function reportOf({ directory }: OpenedCa, { password, place: { host, port } }: Asked): Promise<AuthorityReport> {
  const read = (name: string) => readText(path.join(directory, name))
  const [cert, key, authorities] = await Promise.all([read('client-cert.crt'), read('client-private.pem'), read('cacert.crt')])
  const tls = { cert, key, ca: [authorities], ...(password === '' ? {} : { keyPassword: password }) }
  const where = { host, url: `https://${urlHostPort(host, port)}`, timeoutSeconds: TIMEOUT_SECONDS }
  const client = openApiClient({ ...where, name: 'verifier', tls, answers: LARGE_ANSWERS })
  try {
    const { status, message, results } = await client.request('GET', `/v${CURRENT_VERSION}/authorities`)
    if (status !== 200) throw new KeylimeError('unavailable', `it answered ${status} ${message}`.trim())
    return parseMessage(authorityReport, results, 'the answer of the verifier')
  } finally {
    await client.close()
  }
}

function placeOf(text: string, standard: number) {
  const [, host = text, digits] = /^(\[[^\]]*\]|[^:]+):(\d{1,5})$/.exec(text) ?? []
  return { host: parseHost(host, '--verifier'), port: digits === undefined ? standard : Number(digits) }
}

const ANY: Record<string, string> = { '0.0.0.0': '127.0.0.1', '::': '::1', '': '127.0.0.1' }

function configured({ env }: OpenedCa) {
  const { values } = loadConfig('verifier', verifierOptions, { env })
  return { ip: ANY[values.ip] ?? values.ip, port: values.port, password: values.client_key_password.reveal() }
}

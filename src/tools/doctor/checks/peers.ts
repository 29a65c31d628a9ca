import fs from 'node:fs'
import { isKeylimeError, rootCause } from '../../../core/errors.ts'
import { loadTlsIdentity } from '../../../io/files/tls-identity.ts'
import { askPeer, type PeerCredentials, type PeerReply } from '../../../io/http/ask-peer.ts'
import { resolveName } from '../../../io/programs/resolve-name.ts'
import type { Subject } from '../check.ts'
import type { Finding } from '../finding.ts'
import type { Peer } from '../whereabouts.ts'
import { judgePeer, type SeenPeer } from './judge-peer.ts'

/** Whether registrar and verifier are there, which certificate they show, whether they take the one of this side, their versions and their clock. */
export async function checkPeers({ role, where, ...looking }: Subject): Promise<Finding[]> {
  const seen = await Promise.all(where.peers.map((peer) => look(peer, looking)))
  return seen.flatMap((one) => judgePeer(role, one))
}

type Looking = Pick<Subject, 'now' | 'env' | 'limitMs' | 'signal'>

async function look(peer: Peer, looking: Looking): Promise<SeenPeer> {
  const addresses = await addressesOf(peer.host, looking)
  const credentials = await credentialsOf(peer)
  const asked = looking.now()
  const [address] = addresses ?? []
  if (address === undefined) return { peer, addresses, asked, answered: asked, reply: null, taken: undefined }
  const ask = (path: string) => reply(looking, (signal) => askPeer({ address, port: peer.port, path, tls: credentials, signal }))
  const answer = await ask('/version')
  const answered = looking.now()
  const showsItself = 'status' in answer && answer.tls?.distrusted === undefined && credentials?.cert !== undefined
  const known = showsItself ? await ask('/v2.6/agents/') : undefined
  return {
    peer,
    addresses,
    asked,
    answered,
    reply: answer,
    taken: known && ('status' in known ? ![401, 403].includes(known.status) : false),
  }
}

/** Of the time of the check a quarter for each step, so that one peer that is silent is told by its name. */
const stepSignal = ({ limitMs, signal }: Looking): AbortSignal => AbortSignal.any([signal, AbortSignal.timeout(limitMs / 4)])

/** Null when the name server gives no answer. */
async function addressesOf(host: string, looking: Looking): Promise<string[] | null> {
  const signal = stepSignal(looking)
  try {
    return await resolveName(host, { env: looking.env, signal })
  } catch (error) {
    if (signal.aborted) return null
    throw error
  }
}

async function reply(looking: Looking, ask: (signal: AbortSignal) => Promise<PeerReply>): Promise<PeerReply | { failed: string }> {
  const signal = stepSignal(looking)
  try {
    return await ask(signal)
  } catch (error) {
    if (signal.aborted) return { failed: 'ETIMEDOUT' }
    const cause = rootCause(error) as NodeJS.ErrnoException
    return { failed: cause.code ?? cause.message }
  }
}

/** What cannot be read, the check of the configuration tells. */
async function credentialsOf({ tls }: Peer): Promise<PeerCredentials | null> {
  if (!tls) return null
  const ca = tls.trusted.filter((file) => fs.existsSync(file)).map((file) => fs.readFileSync(file, 'utf8'))
  if (!tls.identity) return { ca }
  try {
    const { cert, key, keyPassword } = await loadTlsIdentity(tls.identity)
    return { ca, cert, key, ...(keyPassword === undefined ? {} : { keyPassword }) }
  } catch (error) {
    if (!isKeylimeError(error)) throw error
    return { ca }
  }
}

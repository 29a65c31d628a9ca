import type { Operator, RefusedPeer } from '../../../core/events/verifier-event.ts'
import type { ApiRequest, Peer } from '../../../io/http/route.ts'

type Asked = Pick<ApiRequest, 'peer' | 'remoteAddress'>

/** Who gave a command, for events: what the client certificate says, and the address. */
export function operatorOf({ peer, remoteAddress }: Asked): Operator {
  const address = plainAddress(remoteAddress)
  return peer.kind === 'certificate'
    ? { common_name: peer.commonName, sha256: peer.sha256, address }
    : { common_name: '', sha256: '', address } // no route for operators lets it come here
}

/** Who was refused. */
export function refusedPeer({ peer, remoteAddress }: { peer: Peer; remoteAddress: string }): RefusedPeer {
  const [common_name, sha256] = 'sha256' in peer ? [peer.commonName, peer.sha256] : [null, null]
  return { kind: peer.kind, common_name, sha256, address: plainAddress(remoteAddress) }
}

/** IPv4 as such also on a socket of both families. */
const plainAddress = (address: string) => address.replace(/^::ffff:(?=\d+\.)/, '')

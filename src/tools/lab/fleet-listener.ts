import net, { type AddressInfo, type Socket } from 'node:net'
import tls, { type SecureContext } from 'node:tls'
import type { LabMachine } from './lab-machine.ts'
import type { MachineCertificate } from './machine-certificates.ts'

/** A machine with the certificate that it shows. */
export interface Served {
  machine: LabMachine
  certificate: MachineCertificate
}

export interface FleetListener {
  readonly port: number
  /** Handshakes so far, and how many of them resumed a session; connections that are open. */
  readonly figures: Readonly<{ handshakes: number; resumed: number; open: number }>
  /** Bytes on the wire so far, to and from the machines. */
  bytes(): number
  /** All connections end; for a while, or for good, nobody gets another. */
  cut(): void
  heal(): void
  close(): Promise<void>
}

const IDLE_MS = 5000
const REQUEST_LINE = /^(GET|POST|PUT|DELETE) (\S+) HTTP\/1\.1\r\n/
const LENGTH = /\r\ncontent-length: *(\d+)\r\n/i
const CLOSES = /\r\nconnection: *close\r\n/i
const MAX_REQUEST = 64 << 10
/** A loopback address for each machine. */
const FIRST_ADDRESS = (127 << 24) | (10 << 16)

/** The address of a machine by its number: all of 127.0.0.0/8 is this host. */
export function addressOf(index: number): string {
  const address = FIRST_ADDRESS + index
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join('.')
}

const indexOf = (address: string): number => address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0) - (FIRST_ADDRESS >>> 0)

/** One listener for all machines: which of them is meant is told by the address. It demands a certificate of the verifier's authority, and is as cheap as can be. */
export async function listenForFleet(fleet: readonly Served[], clientCa: string): Promise<FleetListener> {
  const figures = { handshakes: 0, resumed: 0, open: 0 }
  const contexts = new Map<number, SecureContext>()
  const sockets = new Set<Socket>()
  let isCut = false
  /** Of connections that have ended. */
  let bytes = 0
  const bytesOf = (raw: Socket) => raw.bytesRead + raw.bytesWritten

  function contextOf(index: number): SecureContext {
    const { certificate, machine } = fleet[index]!
    // Without a name for its sessions a server that asks for certificates ends each resumption with an alert.
    const sessions = machine.kind === 'foreign' ? {} : { sessionIdContext: 'lab' }
    const made = contexts.get(index) ?? tls.createSecureContext({ ...certificate, ...sessions, ca: clientCa, minVersion: 'TLSv1.2' })
    contexts.set(index, made)
    return made
  }

  const server = net.createServer({ noDelay: true }, (raw) => {
    const index = indexOf(raw.localAddress ?? '')
    if (isCut || !fleet[index]) return void raw.destroy()
    sockets.add(raw)
    raw.on('close', () => {
      sockets.delete(raw)
      bytes += bytesOf(raw)
    })
    raw.on('error', () => undefined)
    const options = { isServer: true, secureContext: contextOf(index), requestCert: true, rejectUnauthorized: true }
    const socket = new tls.TLSSocket(raw, options)
    socket.on('error', () => raw.destroy())
    socket.on('secure', () => {
      if ((socket as Verified).ssl?.verifyError()) return void raw.destroy()
      figures.handshakes++
      if (socket.isSessionReused()) figures.resumed++
      figures.open++
      raw.once('close', () => figures.open--)
    })
    answerOn(socket, fleet[index]!.machine)
  })
  await new Promise<void>((done, refused) => server.once('error', refused).listen({ port: 0, host: '0.0.0.0', backlog: 8192 }, done))
  const endAll = () => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    port: (server.address() as AddressInfo).port,
    figures,
    bytes: () => [...sockets].reduce((sum, raw) => sum + bytesOf(raw), bytes),
    cut() {
      isCut = true
      endAll()
    },
    heal() {
      isCut = false
    },
    async close() {
      endAll()
      await new Promise((done) => server.close(done))
    },
  }
}

/** Of a socket, what its types leave out. */
type Verified = tls.TLSSocket & { ssl?: { verifyError(): unknown } | null }

/** HTTP/1.1 with one request at a time. */
function answerOn(socket: tls.TLSSocket, machine: LabMachine): void {
  let text = ''
  let idle: NodeJS.Timeout | undefined
  const answer = (status: number, body: string, isLast: boolean) => {
    if (socket.destroyed) return
    const connection = isLast ? 'connection: close\r\n' : ''
    socket.write(
      `HTTP/1.1 ${status} OK\r\ncontent-type: application/json\r\n${connection}content-length: ${body.length}\r\n\r\n${body}`,
      'latin1',
    )
    if (isLast) socket.end()
    else if (machine.kind === 'closing' || machine.kind === 'foreign') idle = setTimeout(() => socket.end(), IDLE_MS)
  }
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
    const head = text.indexOf('\r\n\r\n')
    if (text.length > MAX_REQUEST) return void socket.destroy()
    if (head < 0 || text.length < head + 4 + Number(LENGTH.exec(text.slice(0, head + 2))?.[1] ?? 0)) return
    const [, method, target] = REQUEST_LINE.exec(text) ?? []
    const isLast = CLOSES.test(text.slice(0, head + 2))
    text = ''
    clearTimeout(idle)
    if (method === undefined) return void socket.destroy()
    const reaction = machine.react(method, target!)
    if (reaction === 'cut') return void socket.destroy()
    if (reaction === 'hang') return
    if (reaction.afterMs === 0) answer(reaction.status, reaction.body, isLast)
    else setTimeout(() => answer(reaction.status, reaction.body, isLast), reaction.afterMs)
  })
  socket.on('close', () => clearTimeout(idle))
}

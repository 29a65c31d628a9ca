import net, { type AddressInfo } from 'node:net'

const PRE_SHARED_KEY = 0x0029
const SUPPORTED_GROUPS = 0x000a
/** Of `groupsOf`. */
export const X25519_ALONE = '0002001d'
/** Alert of TLS: fatal, internal error. An OpenSSL server that asks for certificates and has no session id context ends a resumption with it, as the Rust agent's does. */
export const INTERNAL_ERROR = Buffer.from('15030300020250', 'hex')

/** Extensions of a ClientHello, by their numbers (RFC 8446, section 4.1.2). */
function extensionsOf(record: Buffer): Map<number, Buffer> {
  let at = 5 + 4 + 2 + 32
  at += 1 + record[at]!
  at += 2 + record.readUInt16BE(at)
  at += 1 + record[at]!
  const end = Math.min(record.length, at + 2 + record.readUInt16BE(at))
  const found = new Map<number, Buffer>()
  for (at += 2; at + 4 <= end; at += 4 + record.readUInt16BE(at + 2))
    found.set(record.readUInt16BE(at), record.subarray(at + 4, at + 4 + record.readUInt16BE(at + 2)))
  return found
}

/** The groups that a ClientHello offers for its key exchange, hexadecimal. */
export const groupsOf = (hello: Buffer): string => extensionsOf(hello).get(SUPPORTED_GROUPS)?.toString('hex') ?? ''

/** Connections before a server, and what they began with. */
export interface TlsFront {
  readonly port: number
  /** How many connections offered a session. */
  offered(): number
  readonly hellos: Buffer[]
  close(): void
}

/** Stands before a server, and does `refuse` to whoever offers a session; null lets everything pass. */
export async function tlsFront(port: number, refuse: ((socket: net.Socket) => void) | null): Promise<TlsFront> {
  let offered = 0
  const hellos: Buffer[] = []
  const server = net.createServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', (hello) => {
      hellos.push(hello as Buffer)
      if (extensionsOf(hello as Buffer).has(PRE_SHARED_KEY)) {
        offered++
        if (refuse) return refuse(socket)
      }
      const behind = net.connect(port, '127.0.0.1')
      behind.on('error', () => socket.destroy())
      behind.write(hello)
      socket.pipe(behind).pipe(socket)
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return { port: (server.address() as AddressInfo).port, offered: () => offered, hellos, close: () => void server.close() }
}

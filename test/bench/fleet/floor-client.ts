// What attestations cost at least in this runtime: asks machines for quotes with `node:tls`, over connections that it keeps or resumes, and verifies nothing but their signatures. It keeps no state, judges nothing
// and stores nothing. Told of its machines by its parent (`floor-part.ts`).
import { randomBytes } from 'node:crypto'
import tls, { type TLSSocket } from 'node:tls'
import { parsePublicArea } from '../../../src/core/tpm/public-area.ts'
import { parseSignature, verifySignature } from '../../../src/core/tpm/signature.ts'

export interface FloorMachine {
  host: string
  port: number
  /** TPM2B_PUBLIC, base64. */
  ak: string
}

export interface FloorStart {
  cert: string
  key: string
  intervalMs: number
}

/** Connections that are being opened at the same time. */
const SIDE_BY_SIDE = 64
const NONCE_BYTES = 10
const CONTENT_LENGTH = /\r\ncontent-length: *(\d+)\r\n/i
/** All connections read into it: what has come is copied before anything else is read. */
const shared = Buffer.allocUnsafeSlow(64 << 10)

let context: tls.SecureContext
/** For a connection that resumes a session: it agrees on its keys by X25519 alone, as the verifier's do. */
let resuming: tls.SecureContext
let intervalMs = 0
let opening = 0
const waiting: FloorMachine[] = []

function openNext(): void {
  while (opening < SIDE_BY_SIDE && waiting.length > 0) {
    opening++
    open(waiting.shift()!)
  }
}

function open(machine: FloorMachine): void {
  const signer = parsePublicArea(Buffer.from(machine.ak, 'base64'))
  let text = ''
  let isOpen = false
  let session: Buffer | undefined
  const came = (part: string) => {
    text += part
    const head = text.indexOf('\r\n\r\n')
    if (head < 0 || text.length < head + 4 + Number(CONTENT_LENGTH.exec(text)?.[1])) return
    const [, attest, signature] = /^r([^:]+):([^:]+):/.exec(JSON.parse(text.slice(head + 4)).results.quote)!
    text = ''
    if (!verifySignature(signer, Buffer.from(attest!, 'base64'), parseSignature(Buffer.from(signature!, 'base64'))))
      throw new Error('a signature does not fit')
    if (!isOpen) {
      isOpen = true
      opening--
      openNext()
    }
    setTimeout(askAgain, intervalMs)
  }
  const reads = (length: number) => {
    came(shared.toString('latin1', 0, length))
    return true
  }

  let socket = connect()

  /** Resumes its session where it has one. */
  function connect(): TLSSocket {
    const { host, port } = machine
    const to = { host, port, secureContext: session ? resuming : context, rejectUnauthorized: false, servername: '', session }
    const made = tls.connect({ ...to, onread: { buffer: shared, callback: reads } } as tls.ConnectionOptions)
    made.setNoDelay(true)
    made.on('error', () => undefined)
    made.once('session', (kept: Buffer) => {
      session = kept
    })
    made.once('secureConnect', () => ask(made))
    return made
  }

  function askAgain(): void {
    if (socket.destroyed || socket.readableEnded) socket = connect()
    else ask(socket)
  }
}

function ask(socket: TLSSocket): void {
  const nonce = randomBytes(NONCE_BYTES).toString('hex')
  const path = `/v2.6/quotes/integrity?nonce=${nonce}&mask=0x0&partial=1&ima_ml_entry=50`
  socket.write(`GET ${path} HTTP/1.1\r\nhost: machine\r\nconnection: keep-alive\r\naccept: application/json\r\n\r\n`, 'latin1')
}

process.on('message', (message: { start?: FloorStart; machine?: FloorMachine }) => {
  if (message.start) {
    const { cert, key } = message.start
    intervalMs = message.start.intervalMs
    context = tls.createSecureContext({ cert, key, minVersion: 'TLSv1.2' })
    resuming = tls.createSecureContext({ cert, key, minVersion: 'TLSv1.2', ecdhCurve: 'X25519' })
  }
  if (message.machine) {
    waiting.push(message.machine)
    openNext()
  }
})
process.on('disconnect', () => process.exit())

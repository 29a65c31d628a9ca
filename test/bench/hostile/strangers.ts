import type net from 'node:net'
import tls from 'node:tls'
import { softwareAk, softwareQuote } from '../../software-ak.ts'
import { signedLog } from './signed-log.ts'

/** What strangers, without a certificate, do to the verifier's port. Each runs until it is aborted. */
export type StrangerAttack = (port: number, signal: AbortSignal) => Promise<void>

const MIB = 1 << 20
const EVIDENCE = '/v2.6/verify/evidence'
const MAX_EVIDENCE = 16 * MIB

export const STRANGER_ATTACKS: Record<string, StrangerAttack> = {
  'evidence-p256': (port, signal) => evidence('P-256', port, signal),
  'evidence-p521': (port, signal) => evidence('P-521', port, signal),
  brackets: (port, signal) => inParallel(4, signal, () => post(port, EVIDENCE, Buffer.alloc(MAX_EVIDENCE, '['), signal)),
  unfinished: (port, signal) => inParallel(60, signal, () => postUnfinished(port, signal)),
  'anonymous-120mb': (port, signal) => inParallel(8, signal, () => post(port, '/v2.6/allowlists/x', Buffer.alloc(120 * MIB, 'x'), signal)),
  connections: (port, signal) => inParallel(50, signal, () => shakeHands(port)),
}

/** A body of half a megabyte with a policy of its own, as often as it is taken. */
async function evidence(curve: 'P-256' | 'P-521', port: number, signal: AbortSignal): Promise<void> {
  const { lines, policy } = signedLog(curve, 2000, false)
  const ak = softwareAk('ecc')
  const nonce = 'nonce'
  const { text } = softwareQuote(ak, { nonce: Buffer.from(nonce), values: new Map([[10, Buffer.alloc(32, 1)]]) })
  const data = {
    quote: text,
    nonce,
    hash_alg: 'sha256',
    tpm_ak: ak.public.toString('base64'),
    tpm_ek: '',
    runtime_policy: policy,
    ima_measurement_list: `${lines.join('\n')}\n`,
  }
  const body = Buffer.from(JSON.stringify({ type: 'tpm', data }))
  await inParallel(4, signal, () => post(port, EVIDENCE, body, signal))
}

async function inParallel(count: number, signal: AbortSignal, once: () => Promise<void>): Promise<void> {
  const worker = async () => {
    while (!signal.aborted) await once()
  }
  await Promise.all(Array.from({ length: count }, worker))
}

/** Strangers have an address of their own. */
const target = (port: number) => ({ port, host: '127.0.0.1', localAddress: '127.0.0.2', rejectUnauthorized: false })

/** One connection that ends with the attack. */
function connect(port: number, signal: AbortSignal): tls.TLSSocket {
  const socket = tls.connect(target(port))
  const end = () => socket.destroy()
  signal.addEventListener('abort', end)
  socket.on('close', () => signal.removeEventListener('abort', end)).on('error', () => undefined)
  return socket
}

const head = (path: string, length: number) => `POST ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: ${length}\r\n\r\n`

async function post(port: number, path: string, body: Buffer, signal: AbortSignal): Promise<void> {
  const socket = connect(port, signal)
  socket.write(head(path, body.length))
  socket.write(body)
  socket.resume()
  await closed(socket)
}

/** All but the last byte, and then nothing until the other side gives up. */
async function postUnfinished(port: number, signal: AbortSignal): Promise<void> {
  const socket = connect(port, signal)
  socket.write(head(EVIDENCE, MAX_EVIDENCE))
  socket.write(Buffer.alloc(MAX_EVIDENCE - 1, ' '))
  socket.resume()
  await closed(socket)
}

async function shakeHands(port: number): Promise<void> {
  const socket = tls.connect(target(port), () => socket.destroy())
  socket.on('error', () => undefined)
  await closed(socket)
}

const closed = (socket: net.Socket): Promise<void> => new Promise((done) => (socket.closed ? done() : socket.once('close', () => done())))

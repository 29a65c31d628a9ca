import tls from 'node:tls'

export interface BareServer {
  readonly port: number
  /** With the CA that the server is verified by. */
  readonly context: tls.SecureContext
  /** The same for a connection that resumes the session of the one before, as our agent does; without one none does. */
  readonly resuming?: tls.SecureContext
}

export interface BareAnswer {
  readonly status: number
  readonly head: string
  readonly body: string
}

interface Asked {
  readonly request: string
  /** It went out on a connection that was there: the server may have closed it meanwhile, and it goes out once more. */
  isRepeatable: boolean
  resolve(answer: BareAnswer): void
  reject(error: Error): void
}

/** All connections of this process read into it: what has come is copied before anything else is read. */
const shared = Buffer.allocUnsafeSlow(64 << 10)
const STATUS = /^HTTP\/1\.1 (\d{3}) /
const LENGTH = /\r\ncontent-length: *(\d{1,9})\r/i
const CLOSES = /\r\nconnection: *close/i

/**
 * One kept connection over TLS, one request at a time on it: as little as a client can be, so that a bench of the server has the processor. Answers have a length, and are text without
 * redirects, compression and pieces.
 */
export class BareConnection {
  static opened = 0
  readonly #server: () => BareServer
  #socket: tls.TLSSocket | null = null
  #asked: Asked | null = null
  #text = ''
  #session: Buffer | null = null

  constructor(server: () => BareServer) {
    this.#server = server
  }

  /** Connects where there is no connection. @throws Error when that fails, or is lost before the answer. */
  send(request: string): Promise<BareAnswer> {
    return new Promise((resolve, reject) => {
      this.#asked = { request, resolve, reject, isRepeatable: this.#socket !== null }
      this.#text = ''
      if (this.#socket) this.#socket.write(request, 'latin1')
      else this.#connect()
    })
  }

  /** As when the way to the server is cut. */
  cut(): void {
    if (this.#asked) this.#asked.isRepeatable = false
    this.#lost(new Error('cut'))
  }

  #connect(): void {
    BareConnection.opened++
    const { port, context, resuming } = this.#server()
    const session = resuming ? this.#session : null
    const socket = tls.connect({
      host: '127.0.0.1',
      port,
      secureContext: session && resuming ? resuming : context,
      ...(session ? { session } : {}),
      checkServerIdentity: () => undefined,
      onread: {
        buffer: shared,
        callback: (length: number) => {
          this.#came(shared.toString('latin1', 0, length))
          return true
        },
      },
    } as tls.ConnectionOptions)
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('secureConnect', () => socket.write(this.#asked!.request, 'latin1'))
    socket.on('session', (given) => {
      this.#session = given
    })
    socket.on('error', (error) => this.#socket === socket && this.#lost(error))
    socket.on('close', () => this.#socket === socket && this.#lost(new Error('closed by the server')))
  }

  #came(text: string): void {
    this.#text += text
    const end = this.#text.indexOf('\r\n\r\n')
    if (end < 0) return
    const head = this.#text.slice(0, end + 2)
    const status = Number(STATUS.exec(head)?.[1])
    const length = Number(LENGTH.exec(head)?.[1])
    const body = this.#text.slice(end + 4)
    if (body.length < length) return
    const asked = this.#asked
    this.#asked = null
    const isWhole = body.length === length && asked !== null
    if (!isWhole || CLOSES.test(head)) this.cut()
    if (isWhole) asked.resolve({ status, head, body })
    else asked?.reject(new Error(`an answer that is none: ${head}`))
  }

  #lost(error: Error): void {
    const socket = this.#socket
    this.#socket = null
    socket?.destroy()
    const asked = this.#asked
    if (asked?.isRepeatable && this.#text === '') {
      asked.isRepeatable = false
      this.#connect()
      return
    }
    this.#asked = null
    asked?.reject(error)
  }
}

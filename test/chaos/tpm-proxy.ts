import net from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Stands between a client and a software TPM, and says in its place what a chip says in trouble. */
export interface TpmProxy {
  /** For `TCTI`. */
  readonly tcti: string
  /** The next commands are answered with this response code, and do not reach the TPM. */
  answer(code: number, times: number): void
  /** Commands that were answered so. */
  readonly answered: number
  stop(): Promise<void>
}

/** @param directory of the TPM, whose socket is `sock`. */
export async function startTpmProxy(directory: string): Promise<TpmProxy> {
  const file = path.join(directory, 'proxy')
  const sockets = new Set<net.Socket>()
  let [code, left, answered] = [0, 0, 0]
  const keep = (socket: net.Socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    return socket
  }

  /** One command on a connection of its own, as our client does it: a software TPM serves one client at a time. */
  async function forward(command: Buffer, client: net.Socket): Promise<void> {
    const waiting = [command]
    const wait = (more: Buffer) => waiting.push(more)
    client.on('data', wait) // also so that its end is seen: a connection for a client who is gone would keep the TPM from all others
    const tpm = await connected(path.join(directory, 'sock'), () => client.destroyed).then(keep, () => null)
    client.off('data', wait)
    if (!tpm || client.destroyed) {
      tpm?.destroy()
      return void client.destroy()
    }
    tpm.on('data', (response) => client.write(response))
    tpm.on('close', () => client.destroy())
    client.on('close', () => tpm.destroy())
    client.on('data', (more) => tpm.write(more))
    for (const bytes of waiting) tpm.write(bytes)
  }

  const server = net.createServer((client) => {
    keep(client)
    const first = (command: Buffer) => {
      if (left === 0) {
        client.off('data', first)
        return void forward(command, client)
      }
      left--
      answered++
      const answer = Buffer.from('80010000000a00000000', 'hex')
      answer.writeUInt32BE(code, 6)
      client.write(answer)
    }
    client.on('data', first)
  })
  await new Promise<void>((done) => server.listen(file, done))
  return {
    tcti: `swtpm:path=${file}`,
    answer(given, times) {
      ;[code, left, answered] = [given, times, 0]
    },
    get answered() {
      return answered
    },
    async stop() {
      for (const socket of sockets) socket.destroy()
      await new Promise((done) => server.close(done))
    },
  }
}

/** It has room for one that waits; who comes then is told EAGAIN. */
async function connected(file: string, isOver: () => boolean): Promise<net.Socket> {
  for (;;) {
    if (isOver()) throw new Error('nobody waits for it any more')
    const socket = net.connect(file)
    const error = await new Promise<NodeJS.ErrnoException | null>((done) => socket.once('connect', () => done(null)).once('error', done))
    if (!error) return socket
    if (error.code !== 'EAGAIN') throw error
    await sleep(2)
  }
}

import { once } from 'node:events'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import * as zeromq from 'zeromq'
import { openPublisher, type Publisher } from '../../../src/io/zeromq/publisher.ts'
import { type Subscription, subscribe } from '../../../src/io/zeromq/subscriber.ts'
import { freePorts, until } from '../../servers.ts'

const open: { close(): unknown }[] = []
const lines: string[] = []
const note = (text: string) => lines.push(text)
const logger = { debug: note, info: note, warn: note, error: note, child: () => logger } as never
afterEach(async () => {
  for (const socket of open.splice(0).reverse()) await socket.close()
  lines.length = 0
})

async function publisher(port = 0): Promise<Publisher> {
  const made = await openPublisher('127.0.0.1', port, 50)
  open.push(made)
  return made
}
async function subscriber(port: number, got: string[], maxBytes = 1000): Promise<Subscription> {
  const take = async (message: Buffer) => {
    if (message.toString() === 'bad') throw new Error('that was bad')
    got.push(message.toString())
  }
  const made = await subscribe({ host: '127.0.0.1', port, maxBytes, logger, take })
  open.push(made)
  return made
}

test('all subscribers get a message; when nobody subscribes the publisher says so, and a restarted one finds them again', async () => {
  const [port] = (await freePorts(1)) as [number]
  const first = await publisher(port)
  await expect(first.publish('{"early":1}')).rejects.toMatchObject({ code: 'unreachable' })
  const [a, b]: [string[], string[]] = [[], []]
  const leaving = await subscriber(port, a)
  await subscriber(port, b)
  await until('both there', () =>
    first.publish('{"n":1}').then(
      () => a.length > 0 && b.length > 0,
      () => false,
    ),
  )
  await leaving.close()
  first.close()
  const second = await publisher(port)
  await until('the second one', () =>
    second.publish('{"n":2}').then(
      () => b.includes('{"n":2}'),
      () => false,
    ),
  )
  expect(a).not.toContain('{"n":2}')
})

test('a thousand messages at once arrive, in order', async () => {
  const sender = await publisher()
  const got: string[] = []
  await subscriber(sender.port, got)
  await until('somebody there', () =>
    sender.publish('0').then(
      () => true,
      () => false,
    ),
  )
  await Promise.all(Array.from({ length: 1000 }, (_, i) => sender.publish(`{${i}`)))
  await until('all', () => got.at(-1) === '{999')
  expect(got.slice(-1000)).toEqual(Array.from({ length: 1000 }, (_, i) => `{${i}`))
})

test('whoever subscribes to everything is told, although a stranger has subscribed to more topics than are kept', async () => {
  const sender = await publisher()
  const stranger = new zeromq.Subscriber({ linger: 0 })
  open.push(stranger)
  stranger.connect(`tcp://127.0.0.1:${sender.port}`)
  for (let i = 0; i < 150; i++) stranger.subscribe(`{"n":${i}`)
  await until('the stranger', () =>
    sender.publish('{"n":99}').then(
      () => true,
      () => false,
    ),
  )
  const got: string[] = []
  await subscriber(sender.port, got)
  await until('the receiver', () =>
    sender.publish('{"told"').then(
      () => got.length > 0,
      () => false,
    ),
  )
  expect(got).toContain('{"told"')
})

test('messages of several frames, and those that are not understood, are left and told; the next one is read', async () => {
  const socket = new zeromq.Publisher({ linger: 0 })
  open.push(socket)
  await socket.bind('tcp://127.0.0.1:*')
  const got: string[] = []
  await subscriber(Number(socket.lastEndpoint!.split(':').at(-1)), got)
  const end = Date.now() + 10_000
  const isTold = () => lines.some((line) => line.includes('of 2 frames')) && got.length > 0 // a subscription may begin in the middle of a turn
  while (!isTold() && Date.now() < end) {
    await socket.send(['two', 'frames'])
    await socket.send('bad')
    await socket.send('good')
    await sleep(20)
  }
  expect(got[0]).toBe('good')
  expect(lines).toEqual(expect.arrayContaining([expect.stringContaining('of 2 frames'), expect.stringContaining('that was bad')]))
})

test('a message that is too long is not read, and those after it are', async () => {
  const sender = await publisher()
  const got: string[] = []
  await subscriber(sender.port, got, 1000)
  await until('somebody there', () =>
    sender.publish('0').then(
      () => true,
      () => false,
    ),
  )
  await sender.publish(`{${'x'.repeat(1000)}`)
  await until('it is there again', () =>
    sender.publish('{after').then(
      () => got.includes('{after'),
      () => false,
    ),
  )
  expect(got.filter((text) => text.length > 100)).toEqual([])
})

test('garbage on the publisher’s port harms nobody', async () => {
  const sender = await publisher()
  const got: string[] = []
  await subscriber(sender.port, got)
  for (const bytes of ['GET / HTTP/1.1\r\n\r\n', '\xff\0\0\0\0\0\0\0\x01\x7f', '\0'.repeat(4096)]) {
    const socket = net.connect(sender.port, '127.0.0.1')
    await once(socket, 'connect')
    socket.on('error', () => {}).write(bytes, 'latin1')
    socket.end()
  }
  await until('a message', () =>
    sender.publish('{still').then(
      () => got.includes('{still'),
      () => false,
    ),
  )
})

test('a port that is taken is told with what to do', async () => {
  const sender = await publisher()
  await expect(openPublisher('127.0.0.1', sender.port)).rejects.toMatchObject({
    code: 'address_in_use',
    hint: expect.stringContaining('zmq_port'),
  })
})

test('a host that is none is told with the option', async () => {
  const options = { host: 'bad host', port: 1, maxBytes: 1000, logger, take: async () => {} }
  await expect(subscribe(options)).rejects.toMatchObject({
    code: 'config_invalid',
    hint: expect.stringContaining('revocation_notification_ip'),
  })
})

import fs from 'node:fs'
import path from 'node:path'
import { withAuthority } from '../../../src/authority/open-authority.ts'
import { startListener } from '../../../src/roles/ca/listen/start.ts'
import { openCa } from '../../../src/roles/ca/open-ca.ts'
import { freePorts, until } from '../../servers.ts'
import { type RealMachine, WholeBed } from '../../whole-bed.ts'

const add = (bed: WholeBed, { id }: RealMachine) => bed.tenant('add', { agentId: id })
/** @returns what `--finish` says. */
const finish = (bed: WholeBed, options = {}) =>
  bed.rotate({ finish: true, ...options }).then(
    ({ lines }) => lines.join('\n'),
    (error: Error & { hint?: string }) => `refused: ${error.message}`,
  )

test('a rotation from its beginning to its end logs no error and no warning where nothing is wrong, and disturbs nobody', async () => {
  const [tlsPort] = (await freePorts(1)) as [number]
  const bed = new WholeBed(250, {
    KEYLIME_CA_LISTEN_PORT: '0',
    KEYLIME_CA_LISTEN_TLS_PORT: String(tlsPort),
    KEYLIME_CA_LISTEN_IP: '127.0.0.1',
  })
  await bed.start()
  const ca = openCa({ directory: bed.path('cv_ca'), passwordFile: undefined }, bed.home.env)
  const listener = await startListener({
    access: await ca.access(),
    config: ca.config,
    notifier: undefined,
    logger: bed.logger('ca'),
    lookMs: bed.lookMs,
  })
  const a = await bed.machine('a')
  await add(bed, a)
  await withAuthority(await ca.access(), async (authority) => {
    const { certificate } = await authority.issue({ name: 'gone', role: 'operator' })
    await authority.revoke(certificate.serial, 'unspecified')
  })
  await bed.isAttestedOn(a)
  bed.log.length = 0
  let isOver = false
  const asking = (async () => {
    while (!isOver) {
      await bed.tenant('list') // lists of revoked certificates are looked at with each request, while the authorities are not read again yet
      await fetch(`https://127.0.0.1:${listener.tlsPort}/`).catch(() => undefined)
    }
  })()
  await bed.rotate()
  await until(
    'that the machine follows',
    async () => (await bed.ask('authorities')).behind.length === 0 && (await bed.ask('authorities')).authority,
  )
  await bed.isAttestedOn(a)
  expect(await finish(bed)).toMatch(/no longer counts/)
  await until('that the one before is dropped', () => bed.log.some(({ text }) => text.includes('is no longer trusted')))
  await bed.isAttestedOn(a)
  isOver = true
  await asking
  await listener.reload()
  const said = bed.log.splice(0)
  expect(
    said.filter(
      ({ level, text }) => level === 'error' || (level === 'warn' && !/is trusted from now on|is no longer trusted|event loop/.test(text)),
    ),
  ).toEqual([])
  expect((await bed.status(a)).operational_state).toBe(3)
  await listener.stop()
  await bed.stop()
}, 90_000)

describe('machines that have not followed', () => {
  const bed = new WholeBed()
  let [a, b]: RealMachine[] = []
  beforeAll(async () => {
    await bed.start()
    a = await bed.machine('a')
    b = await bed.machine('b')
    for (const machine of [a, b]) await add(bed, machine)
    await b.stop()
  }, 60_000)
  afterAll(() => bed.stop())

  test('--finish names them and is refused, until it is said that they are left behind', async () => {
    await bed.rotate()
    expect(await finish(bed)).toMatch(/refused: .*(has not taken the next authority yet|(do|does) not know the next authority)/)
    const text = await until('that the other one follows', async () => {
      const said = await finish(bed)
      return said.includes('1 machine') && said
    })
    expect(text).toMatch(/machine-b \(it (does not answer now|is unreachable)\)/)
    expect(text).not.toContain('machine-a')
    await bed.verifier.stop()
    expect(await finish(bed)).toMatch(/refused: the verifier at .* cannot say which machines/)
    await bed.startVerifier()
    expect(await until('that it reads the store', async () => (await finish(bed)).match(/1 machine .*/)?.[0])).toContain('machine-b') // what was known is kept
    await bed.inState(b!, 7)
    expect(await finish(bed)).toContain('machine-b (it is unreachable)')
    expect(await finish(bed, { 'leave-behind': true })).toMatch(/no longer counts/)
    await until('that the other one drops it', () => bed.log.some(({ text: line }) => line.includes('is no longer trusted')))
    await bed.isAttestedOn(a!)
  })

  test('one that comes back and follows nobody is unreachable with the reason, and is not revoked', async () => {
    await b!.start({ KEYLIME_AGENT_FOLLOW_AUTHORITY: 'false' })
    await until('the reason', () =>
      bed.log.some(
        ({ role, text }) => role === 'verifier' && /machine-b.*does not know the authority .*copy the verifier’s cacert.crt/.test(text),
      ),
    )
    const { operational_state, last_event_id } = await bed.status(b!)
    expect([operational_state, last_event_id]).toEqual([7, expect.stringContaining('not_reachable')])
    const { revocations } = await bed.ask('revocations')
    expect(revocations.filter(({ type }: { type: string }) => type === 'revocation')).toEqual([])
    const { behind } = await bed.ask('authorities')
    expect(behind).toEqual([{ agent_id: 'machine-b', reason: expect.any(String) }])
    await b!.stop()
  })

  test('one that comes back and follows hears of the next authority by what it believes, and is attested on', async () => {
    await b!.start()
    await bed.inState(b!, 3)
    await bed.isAttestedOn(b!)
    expect((await bed.ask('authorities')).behind).toEqual([])
    expect(fs.existsSync(path.join(b!.dir, 'followed-authorities.json'))).toBe(true)
    await until('that it drops the one before', () =>
      bed.log.some(({ role, text }) => role === 'b' && text.includes('is no longer trusted')),
    )
  })
})

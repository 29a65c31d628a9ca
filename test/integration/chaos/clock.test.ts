import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { ensureTlsDirectory } from '../../../src/authority/tls-directory.ts'
import { caOptions, caSettings } from '../../../src/config/ca.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { BUG, endAll, isWhole, listens, type RoleProcess, startRole, wholeTest } from '../../chaos/role-process.ts'
import { adminClient, freePorts, temporaryKeylimeDir, until } from '../../servers.ts'
import { enrolmentBody, type SimulatedAgent, simulatedAgent } from '../../simulated-agent.ts'

/** Debian package libfaketime: what a process is told of the time, changed while it runs. The monotonic clock goes on, as it does when a real clock is set. */
const LIBRARY = '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1'
const describeWithLibrary = fs.existsSync(LIBRARY) ? describe : describe.skip

describeWithLibrary('a clock that jumps', () => {
  let home: ReturnType<typeof temporaryKeylimeDir>
  let port: number
  let machine: SimulatedAgent
  let clock: string

  beforeAll(async () => {
    ;[port] = (await freePorts(1)) as [number]
    home = temporaryKeylimeDir({ KEYLIME_VERIFIER_PORT: `${port}`, KEYLIME_VERIFIER_QUOTE_INTERVAL: '0.05', KEYLIME_REGISTRAR_PORT: '0' })
    clock = path.join(home.dir, 'clock')
    const { values } = loadConfig('ca', caOptions, { env: home.env })
    const request = { role: 'verifier', keylimeDir: home.dir, tlsDir: 'generate', names: [], caPassword: 'default' } as const
    await ensureTlsDirectory({ ...request, settings: caSettings(values), serverKeyPassword: '', clientKeyPassword: '', now: Date.now })
    machine = await simulatedAgent(fs.readFileSync(path.join(home.dir, 'cv_ca/cacert.crt'), 'utf8'))
  })
  afterEach(endAll)
  afterAll(async () => {
    await machine.stop()
    home.remove()
  })

  /** @param offset from now on, such as `+400d`. */
  const set = (offset: string) => fs.writeFileSync(clock, `${offset}\n`)
  const faked = () => ({ LD_PRELOAD: LIBRARY, FAKETIME_TIMESTAMP_FILE: clock, FAKETIME_NO_CACHE: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1' })

  async function start(offset: string): Promise<RoleProcess> {
    set(offset)
    const role = startRole(['verifier'], home.env, { env: faked() })
    expect([offset, await listens(role, port), role.text()]).toEqual([offset, true, expect.not.stringMatching(BUG)])
    return role
  }

  async function isAskedOn(offset: string): Promise<void> {
    const before = machine.quotes.length
    await until(`quotes at ${offset}`, () => machine.quotes.length > before + 3)
  }

  async function status() {
    const admin = adminClient(home.dir, port)
    const { results } = await admin.request('GET', '/v2.6/agents/one').finally(() => admin.close())
    return results
  }

  const OFFSETS = isWhole ? ['+1h', '-1h', '+400d', '-400d'] : ['+400d']

  test('while the verifier runs changes nothing: machines are asked on, V is released once, nobody fails', async () => {
    const role = await start('+0')
    const admin = adminClient(home.dir, port)
    const v = randomBytes(32)
    expect((await admin.request('POST', '/v2.6/agents/one', { body: enrolmentBody(machine, { v: v.toString('base64') }) })).status).toBe(
      200,
    )
    await admin.close()
    await until('V', () => machine.received.length > 0)
    for (const offset of OFFSETS) {
      set(offset)
      await isAskedOn(offset)
    }
    set('+0')
    await isAskedOn('the right time')
    expect(await status()).toMatchObject({ operational_state: 3, failures: [], v_released: true })
    expect([machine.received, role.text()]).toEqual([[v], expect.not.stringMatching(BUG)])
    await role.kill()
  })

  wholeTest(
    'between two starts of the verifier does not keep it from serving, nor operators from calling it, when it is right again',
    async () => {
      for (const offset of OFFSETS) {
        const wrong = await start(offset)
        if (offset.endsWith('h')) await isAskedOn(offset) // with a year between their clocks, no certificate of one is good at the other
        await wrong.kill()
        const right = await start('+0')
        await isAskedOn('the right time')
        expect([offset, await status()]).toMatchObject([offset, { operational_state: 3, failures: [] }])
        expect([offset, right.text()]).toEqual([offset, expect.not.stringMatching(BUG)])
        await right.kill()
      }
      expect(machine.received).toHaveLength(1)
    },
  )
})

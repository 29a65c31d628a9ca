import fs from 'node:fs'
import path from 'node:path'
import { until } from '../servers.ts'
import { Deployment, type Machine } from './deployment.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip
const ZERO = JSON.stringify({ 15: ['0'.repeat(64)] })

/** Two real agents, neither with a certificate: there is no key of an authority that could sign or verify. */
describeAsRoot('machines without a certificate are told of one another', () => {
  const d = new Deployment()
  let one: Machine
  let two: Machine
  const acted = path.join(d.dir, 'acted')
  const marks = () => (fs.existsSync(acted) ? fs.readFileSync(acted, 'utf8').trim().split('\n') : [])

  beforeAll(async () => {
    await d.start()
    const actions = path.join(d.dir, 'actions')
    fs.mkdirSync(actions)
    const script = `#!/bin/sh\ngrep -o '"\\(agent_id\\|event_id\\)": *"[^"]*"' "$1" | tr -d '" ' | tr '\\n' ' ' >> ${acted}\necho >> ${acted}\n`
    fs.writeFileSync(path.join(actions, 'local_action_mark.sh'), script, { mode: 0o755 })
    one = await d.machine()
    two = await d.machine({
      KEYLIME_AGENT_REVOCATION_ACTIONS: "['local_action_mark.sh']",
      KEYLIME_AGENT_REVOCATION_ACTIONS_DIR: actions,
    })
    fs.writeFileSync(path.join(d.dir, 'secret.txt'), 'secret')
    for (const { id } of [one, two])
      expect(await d.tenant('add', '-u', id, '-f', 'secret.txt', '--tpm_policy', ZERO)).toMatchObject({ code: 0 })
    await until('both know the notifier', () =>
      [one, two].every(({ service }) => service.log().includes('the notifier key of the verifier is known')),
    )
  }, 60_000)
  afterAll(() => d.stop())

  test('an operator revokes one: the action of the other runs, and the verifier knows that it did', async () => {
    const { code, stdout } = await d.tenant('revoke', one.id)
    expect([code, stdout]).toEqual([0, expect.stringContaining('1 receivers are being told')])
    await until('the action', () => marks().length === 1)
    expect(marks()[0]).toMatch(new RegExp(`agent_id:${one.id}.*event_id:operator.revoked`))
    await until('the outcome', async () => {
      const { revocations } = JSON.parse((await d.tenant('revocations', '--json')).stdout)
      return revocations[0].told[0]?.outcome === 'acted'
    })
  })

  test('it does not register again at its next start, and says what mends that', async () => {
    await one.service.kill()
    await expect(one.start()).rejects.toThrow(/was revoked by an operator on .*/)
    expect(one.service.log()).toContain('keylime tenant forget ID')
    expect((await d.tenant('forget', one.id)).code).toBe(0)
    await one.start()
    expect(await d.tenant('add', '-u', one.id, '-f', 'secret.txt', '--tpm_policy', ZERO)).toMatchObject({ code: 0 })
  }, 60_000)

  test('a failed attestation is told signed too', async () => {
    await one.tpm.extendPcr(15, Buffer.alloc(32, 0x11))
    await until('the action', () => marks().length === 2, 20)
    expect(marks()[1]).toMatch(new RegExp(`agent_id:${one.id}.*event_id:pcr_validation.invalid_pcr_15`))
    const table = await until('the table', async () => {
      const { stdout } = await d.tenant('revocations')
      return stdout.split('\n')[1]?.match(/Z\s+2\s+2\s+0\s+0/) ? stdout : null
    })
    expect(table).toMatch(/TOLD +ACTED +FAILED +REFUSED/)
  })
})

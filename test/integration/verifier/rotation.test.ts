import path from 'node:path'
import { finishRotation, rotateAuthority } from '../../../src/authority/rotate-authority.ts'
import { servicePassword } from '../../../src/authority/service-password.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { until } from '../../servers.ts'
import { VerifierBed } from '../../verifier-bed.ts'

const bed = new VerifierBed()
beforeAll(() => bed.start())
afterAll(() => bed.stop())

test('the verifier hands the next authority to its agents, once, and says when the one before is over; before that it says nothing', async () => {
  const told: { authorities: string; bridge: string | null }[] = []
  const machine = await bed.machine()
  machine.answer.set('/notifications/authority', (_query, _honest, body) => {
    told.push(body as never)
    return { status: 200, body: '{"code":200,"status":"Success","results":{}}' }
  })
  await bed.add('follower', machine)
  await bed.inState('follower', 3)
  const { ca } = loadVerifierSettings(bed.home.env)
  const directory = path.join(bed.home.dir, 'cv_ca')
  const access = { directory, password: await servicePassword(directory, ca.password), settings: ca.settings, now: Date.now }
  const { authority, before } = await rotateAuthority(access)
  expect(told).toEqual([])
  await bed.verifier.reload()
  const first = await until('the next authority', () => told[0])
  expect([first.authorities.includes(authority.pem), first.authorities.includes(before!.pem), first.bridge]).toEqual([
    true,
    true,
    expect.stringContaining('BEGIN CERTIFICATE'),
  ])
  await bed.verifier.reload()
  await finishRotation(access, { force: true })
  await bed.verifier.reload()
  await until('the end of the one before', () => told.some(({ bridge }) => bridge === null))
  expect(told.at(-1)).toEqual({ authorities: authority.pem, bridge: null })
  expect(told).toHaveLength(2)
})

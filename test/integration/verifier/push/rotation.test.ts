import path from 'node:path'
import { rotateAuthority } from '../../../../src/authority/rotate-authority.ts'
import { servicePassword } from '../../../../src/authority/service-password.ts'
import { loadVerifierSettings } from '../../../../src/roles/verifier/verifier-settings.ts'
import { PushBed } from '../../../push-bed.ts'

const bed = new PushBed()
beforeAll(() => bed.start())
afterAll(() => bed.stop())

test('a rotation names machines that bring their evidence: nobody can tell them of the next authority', async () => {
  const machine = await bed.pushMachine('pusher')
  await machine.attest()
  await bed.judged(machine)
  const { ca } = loadVerifierSettings(bed.home.env)
  const directory = path.join(bed.home.dir, 'cv_ca')
  await rotateAuthority({ directory, password: await servicePassword(directory, ca.password), settings: ca.settings, now: Date.now })
  await bed.verifier.reload()
  const { results } = await bed.admin.request('GET', '/v2.6/authorities')
  expect(results).toMatchObject({ finished: false, behind: [{ agent_id: 'pusher', reason: expect.stringContaining('copy cacert.crt') }] })
})

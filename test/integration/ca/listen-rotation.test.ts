import { withAuthority } from '../../../src/authority/open-authority.ts'
import { finishRotation, rotateAuthority } from '../../../src/authority/rotate-authority.ts'
import { type RunningListener, startListener } from '../../../src/roles/ca/listen/start.ts'
import { authorityBed, notice, post, recordingLogger, serialsOf } from './listener-bed.ts'

let bed: Awaited<ReturnType<typeof authorityBed>>
let listener: RunningListener
let url: string
beforeEach(async () => {
  bed = await authorityBed({}, 2)
  listener = await startListener({ access: bed.access, config: bed.config, notifier: undefined, logger: recordingLogger().logger })
  url = `http://127.0.0.1:${listener.port}/`
})
afterEach(async () => {
  await listener.stop()
  bed.remove()
})
test('a notifier that the authority before had revoked is not believed again, neither while both count nor after that', async () => {
  const send = async (serial: number) => (await post(`${url}revocation`, notice(bed.key, serial))).status
  await withAuthority(bed.access, (authority) => authority.revoke(2n))
  expect(await send(3)).toBe(403)
  await rotateAuthority(bed.access)
  expect(await send(3)).toBe(403)
  await finishRotation(bed.access, { force: true })
  expect(await send(3)).toBe(403)
  expect(serialsOf(bed.directory)).toEqual(['2'])
})

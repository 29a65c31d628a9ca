import fs from 'node:fs'
import path from 'node:path'
import { withAuthority } from '../../../src/authority/open-authority.ts'
import { type RunningListener, startListener } from '../../../src/roles/ca/listen/start.ts'
import { openCa } from '../../../src/roles/ca/open-ca.ts'
import { until } from '../../servers.ts'
import { authorityBed, notice, opensslText, post, program, recordingLogger, serialsOf } from './listener-bed.ts'

let bed: Awaited<ReturnType<typeof authorityBed>>
let listener: RunningListener
const { logger, lines } = recordingLogger()
const log = () => lines.join('\n')
const url = () => `http://127.0.0.1:${listener.port}`
const send = async (serial: number) => (await post(`${url()}/revocation`, notice(bed.key, serial))).status
const ocsp = (serial: string) =>
  opensslText('ocsp', '-issuer', bed.file('cacert.crt'), '-CAfile', bed.file('cacert.crt'), '-url', `${url()}/`, '-serial', serial)

async function listen(passwordFile: string | undefined): Promise<void> {
  lines.length = 0
  const access = await openCa({ directory: bed.directory, passwordFile }, bed.env).access()
  listener = await startListener({ access, config: bed.config, notifier: undefined, logger })
}
afterEach(async () => {
  await listener.stop()
  bed.remove()
})

/** `keylime ca passwd` in a process of its own. */
async function passwd(word: string): Promise<void> {
  const file = path.join(bed.dir, 'new-password')
  fs.writeFileSync(file, `${word}\n`, { mode: 0o600 })
  const changed = program(['ca', 'passwd', '--new-password-file', file], bed.env)
  expect([await changed.exited, changed.log()]).toEqual([0, expect.stringContaining('is encrypted with the new password')])
}

test('ca passwd beside a listener: it says so without being asked, serves on, and goes on when the password file has the new one', async () => {
  bed = await authorityBed()
  const file = path.join(bed.dir, 'password')
  fs.writeFileSync(file, 'secret\n', { mode: 0o600 })
  await listen(file)
  expect(await send(3)).toBe(200)
  await passwd('another')
  await until('the word about it', () => /error .*private\.yml opens no longer: the password does not open the key store/.test(log()), 10)
  expect((await fetch(`${url()}/crl`)).status).toBe(200)
  expect(await ocsp('3')).toMatch(/Response verify OK[\s\S]*3: revoked/)
  expect(await ocsp('4')).toMatch(/Response verify OK[\s\S]*4: good/)
  const { certificate } = await withAuthority({ ...bed.access, password: 'another' }, (authority) => authority.issue({ name: 'm6' }))
  const serial = certificate.serial.toString()
  for (const unknown of [serial, '6']) expect(await ocsp(unknown)).toContain('trylater') // it cannot know whether there is one
  expect([await send(4), await send(Number(serial)), await send(6), await send(1)]).toEqual([503, 503, 503, 404])
  expect(serialsOf(bed.directory)).toEqual(['3'])

  fs.rmSync(file) // an operator who writes it anew
  expect(await send(4)).toBe(503)
  fs.writeFileSync(file, 'another\n', { mode: 0o600 })
  await until('the pending revocation', () => serialsOf(bed.directory).includes('4'), 10)
  expect(log()).toMatch(/warn .*private\.yml opens again/)
  expect([await send(Number(serial)), await ocsp(serial)]).toEqual([200, expect.stringContaining(`${serial}: revoked`)])
  expect([await send(6), await ocsp('6')]).toEqual([404, expect.stringContaining('6: unknown')])
  expect(lines.filter((line) => line.includes('opens no longer'))).toHaveLength(1)
})

test('a password file that was changed first is read with the next revocation', async () => {
  bed = await authorityBed()
  const file = path.join(bed.dir, 'password')
  fs.writeFileSync(file, 'secret\n', { mode: 0o600 })
  await listen(file)
  fs.writeFileSync(file, 'another\n', { mode: 0o600 })
  await passwd('another')
  expect(await send(3)).toBe(200)
  expect(log()).not.toContain('opens no longer')
})

test('a password from the environment cannot change: the revocation stays pending until the old one is good again', async () => {
  bed = await authorityBed()
  await listen(undefined)
  await passwd('another')
  expect(await send(3)).toBe(503)
  await until('the word about it', () => log().includes('private.yml opens no longer'), 10)
  const { password, ...rest } = bed.access
  await withAuthority({ ...rest, password: 'another' }, (authority) => authority.changePassword(password))
  await until('the pending revocation', () => serialsOf(bed.directory).includes('3'), 10)
})

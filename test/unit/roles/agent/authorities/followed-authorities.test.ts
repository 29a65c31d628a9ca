import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type Authority, makeAuthority, makeBridge } from '../../../../../src/core/pki/issue.ts'
import { makeKeyPair } from '../../../../../src/core/pki/keys.ts'
import type { Certificate } from '../../../../../src/core/pki/types.ts'
import { follow, readFollowed } from '../../../../../src/roles/agent/authorities/followed-authorities.ts'

const NOW = Date.UTC(2026, 0, 1)
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-followed-'))
const file = path.join(dir, 'followed-authorities.json')
afterEach(() => fs.rmSync(file, { force: true }))
afterAll(() => fs.rmSync(dir, { recursive: true }))

async function authority(name: string, crlUrl = '') {
  const pair = await makeKeyPair({ type: 'ecdsa' })
  const subject = [{ oid: '2.5.4.3', value: name }]
  const request = { ...pair, subject, crlUrl, givesRoles: true, serial: 1n, notBefore: NOW - 1000, notAfter: NOW + 86_400_000 }
  return { request, certificate: await makeAuthority(request), key: pair.privateKey }
}
type Made = Awaited<ReturnType<typeof authority>>

async function introduce(before: Authority, next: Made, believed: readonly Certificate[]) {
  const bridge = await makeBridge(before, next.request)
  const introduction = { authorities: next.certificate.pem, bridge: bridge.pem }
  return follow({ file, introduction, believed, holdsWithout: () => true, now: NOW })
}

test('an authority with a certificate that could not be read again is refused, and what was followed stays', async () => {
  const before = await authority('before')
  await introduce(before, await authority('next'), [before.certificate])
  const followed = readFollowed(file)
  const huge = introduce(before, await authority('huge', `http://x/${'x'.repeat(14_000)}`), [before.certificate])
  await expect(huge).rejects.toMatchObject({ code: 'refused', hint: expect.stringContaining('followed-authorities.json') })
  expect(readFollowed(file)).toEqual(followed)
})

test('who has an authority’s key cannot have a machine follow so many that it does not start any more', async () => {
  const before = await authority('before')
  for (let i = 0; i < 16; i++) await introduce(before, await authority(`next ${i}`), [before.certificate])
  await expect(introduce(before, await authority('more'), [before.certificate])).rejects.toMatchObject({ code: 'refused' })
  expect(readFollowed(file).added).toHaveLength(16)
})

import { createHash } from 'node:crypto'
import fs from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { failureOf } from '../../../../../src/roles/tenant/enrol/wait-for-verdict.ts'
import { failuresInShort } from '../../../../../src/roles/tenant/explain/failures-in-short.ts'
import { runtimePolicy, tpmPolicyText } from '../../../../../src/roles/tenant/policies/policy-fields.ts'
import { runtimePolicy as runtimePolicyText } from '../../../../ima.ts'

const HEX = 'A'.repeat(64)
const text = (tpmPolicy: string, used: { runtime?: boolean; boot?: boolean } = {}) =>
  JSON.parse(tpmPolicyText({ tpmPolicy }, { runtime: false, boot: false, ...used }))

describe('tpmPolicyText', () => {
  test('adds the mask, makes lists, lowers the hex', () => {
    expect(text(`{"22": ["${HEX}"], "15": "${HEX}"}`)).toEqual({ '15': [HEX.toLowerCase()], '22': [HEX.toLowerCase()], mask: '0x408000' })
    expect(text('')).toEqual({ mask: '0x0' })
  })
  test('policies of IMA and measured boot widen the mask', () => {
    expect(text('{}', { runtime: true }).mask).toBe('0x400')
    expect(text('{}', { boot: true }).mask).toBe('0xfbff')
    expect(text('{}', { boot: true, runtime: true }).mask).toBe('0xffff')
  })
  test.each(['{"10":"00"}', '{"16":"00"}', '{"24":"00"}', '{"x":"00"}', '{"1":"zz"}', '[]', 'x'])('refuses %s', (policy) => {
    expect(() => text(policy)).toThrow(expect.objectContaining({ code: 'invalid_request' }))
  })
  test('refuses a PCR that measured boot judges', () => {
    expect(() => text(`{"7":"${HEX}"}`, { boot: true })).toThrow('PCR 7 is specified in "tpm_policy"')
  })
})

test('an allow list with its excludes is sent as the runtime policy that it means; its checksum is that of the file', async () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-allowlist-'))
  const [allowlist, exclude] = [path.join(dir, 'list'), path.join(dir, 'excludes')]
  fs.writeFileSync(allowlist, `${HEX} /opt/tool\n`)
  fs.writeFileSync(exclude, '# logs\n/var/log/\n')
  const options = { command: 'add', wait: false, timeoutSeconds: 1, allowlist, exclude }
  const sent = JSON.parse(Buffer.from(await runtimePolicy(options), 'base64').toString())
  expect(sent).toMatchObject({ digests: { '/opt/tool': [HEX.toLowerCase()] }, excludes: ['/var/log/'], meta: { version: 1, generator: 3 } })
  await expect(runtimePolicy({ ...options, runtimePolicyChecksum: '0'.repeat(64) })).rejects.toMatchObject({ code: 'refused' })
  await expect(runtimePolicy({ ...options, allowlist: path.join(dir, 'none') })).rejects.toMatchObject({ code: 'not_found' })
  fs.rmSync(dir, { recursive: true })
})

test('a policy by URL counts when its checksum is right, and the server must have it', async () => {
  const policy = runtimePolicyText()
  const server = http.createServer(
    (request, response) => void (request.url === '/policy' ? response.end(policy) : response.writeHead(404).end()),
  )
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const options = { command: 'add', wait: false, timeoutSeconds: 1, runtimePolicyUrl: `${url}/policy` }
  const runtimePolicyChecksum = createHash('sha256').update(policy).digest('hex')
  expect(Buffer.from(await runtimePolicy({ ...options, runtimePolicyChecksum }), 'base64').toString()).toBe(policy)
  await expect(runtimePolicy({ ...options, runtimePolicyChecksum: '00' })).rejects.toMatchObject({ code: 'refused' })
  await expect(runtimePolicy({ ...options, runtimePolicyUrl: `${url}/none` })).rejects.toMatchObject({ code: 'not_found' })
  server.close()
})

describe('failures in words', () => {
  test('of our verifier: each with found, expected and what to do', () => {
    const failures = [
      {
        event_id: 'pcr_validation.invalid_pcr_16',
        severity_label: 'emergency',
        context: { message: 'm', got: ['a', 'b'], expected: { x: 1 } },
      },
      { event_id: 'ima.validation.ima-ng.not_in_allowlist', severity_label: null, context: {} },
    ]
    expect(failuresInShort({ operational_state: 9, failures })).toBe(
      [
        '  m [pcr_validation.invalid_pcr_16, emergency]',
        '    found:    a, b',
        '    expected: {"x":1}',
        '    change:   none: PCR 16 binds the key to which secrets are encrypted: a policy cannot make another key good',
        '    look at:  another program that extends PCR 16; otherwise someone is between agent and TPM: treat the machine as compromised',
        '  ima.validation.ima-ng.not_in_allowlist [ima.validation.ima-ng.not_in_allowlist]',
        '    change:   none: nothing that could be added to the policy accepts it',
        '    look at:  the file and its package on the machine: where it came from, and when it changed',
      ].join('\n'),
    )
  })
  test('of upstream’s verifier: the last event id', () => {
    expect(failuresInShort({ operational_state: 9, last_event_id: 'ima.pcr_mismatch' })).toBe('  ima.pcr_mismatch (state: Invalid Quote)')
    expect(failuresInShort({ operational_state: 42 })).toBe('  no reason given (state: 42)')
  })
  test('an agent that cannot be reached is not called untrusted', () => {
    expect(failureOf('a', { operational_state: 7, last_event_id: 'internal.verifier.not_reachable' }).code).toBe('unreachable')
    expect(failureOf('a', { operational_state: 9, last_event_id: 'ima.pcr_mismatch' }).code).toBe('attestation_failed')
  })
})

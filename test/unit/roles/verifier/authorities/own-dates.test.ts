import { makeSelfSigned } from '../../../../../src/core/pki/issue.ts'
import { makeKeyPair } from '../../../../../src/core/pki/keys.ts'
import type { TlsIdentity } from '../../../../../src/io/files/tls-identity.ts'
import type { ManagedAgent } from '../../../../../src/roles/verifier/agents/managed-agent.ts'
import { blameOwnDates } from '../../../../../src/roles/verifier/authorities/own-dates.ts'
import type { RoundResult } from '../../../../../src/roles/verifier/rounds/attestation-round.ts'

const YEAR_MS = 365 * 86_400_000
const keys = await makeKeyPair({ type: 'ecdsa' })
const certificate = await makeSelfSigned({ commonName: 'x', ...keys, serial: 1n, notBefore: 0, notAfter: YEAR_MS, alternativeNames: [] })
const identity: TlsIdentity = {
  cert: certificate.pem,
  certFile: 'client-cert.crt',
  key: '',
  keyFile: '',
  ca: [],
  trusted: [],
}
const agent = { progress: { attestationCount: 7 } } as ManagedAgent
const refused: RoundResult = { event: { type: 'refused', stage: 'quote', reason: 'the agent answered 403' }, notBelieved: true }

test('a machine that refuses the verifier because its certificate has ended cannot be reached, and has not failed', () => {
  expect(blameOwnDates(agent, refused, { identity, now: 2 * YEAR_MS })).toEqual({
    event: {
      type: 'unreachable',
      stage: 'quote',
      attestedBefore: true,
      reason: 'the agent answered 403; this verifier’s client_cert: client-cert.crt ended on 1971-01-01',
    },
    notBelieved: true,
  })
})

test.each(['is not valid before 2026-11-30', 'expired on 2026-11-30'])('nor has one whose clock is wrong: the certificate %s', (words) => {
  const reason = `the agent answered 403 Action GET requires admin authentication (mTLS certificate): "CN=client" ${words}`
  const result: RoundResult = { event: { type: 'refused', stage: 'quote', reason }, notBelieved: true }
  expect(blameOwnDates(agent, result, { identity, now: YEAR_MS / 2 })).toMatchObject({
    event: { type: 'unreachable', attestedBefore: true, reason: `${reason}; here it is valid: look at the clock of the machine` },
  })
  const elsewhere = { ...result, notBelieved: false }
  expect(blameOwnDates(agent, elsewhere, { identity, now: YEAR_MS / 2 })).toBe(elsewhere)
})

test.each<[string, RoundResult, number]>([
  ['while the certificate is good', refused, YEAR_MS / 2],
  ['that refuses something else than the certificate', { event: refused.event, notBelieved: false }, 2 * YEAR_MS],
  ['whose answer was judged later', { later: 'no room' }, 2 * YEAR_MS],
])('a machine %s is left as it is', (_which, result, now) => {
  expect(blameOwnDates(agent, result, { identity, now })).toBe(result)
})

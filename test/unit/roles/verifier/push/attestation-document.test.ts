import { attestationReply, attestationResource } from '../../../../../src/roles/verifier/push/api/attestation-document.ts'
import type { Attestation } from '../../../../../src/roles/verifier/push/attestations.ts'

const attestation = {
  ...{ index: 7, stage: 'awaiting_evidence', received: null, openedAt: Date.UTC(2026, 0, 1), expiresAt: Date.UTC(2026, 0, 1, 0, 30, 0, 5) },
  chosen: { offer: { bootTime: 'a "time"\n' } },
} as unknown as Attestation

test('an attestation is a resource of JSON:API, whatever the machine says', () => {
  expect(JSON.parse(attestationResource('agent', attestation))).toEqual({
    type: 'attestation',
    id: '7',
    attributes: {
      stage: 'awaiting_evidence',
      system_info: { boot_time: 'a "time"\n' },
      capabilities_received_at: '2026-01-01T00:00:00.000+00:00',
      challenges_expire_at: '2026-01-01T00:30:00.005+00:00',
    },
    links: { self: '/v3.0/agents/agent/attestations/7' },
  })
})

test('an answer with more to say has it in its places', () => {
  const received = { at: Date.UTC(2026, 0, 2), monotonic: 1, sha256: '', toNext: 4 }
  const resource = attestationResource('agent', { ...attestation, received }, '"evidence":[],')
  const { status, headers, raw } = attestationReply(202, resource, ',"meta":{"seconds":4}', { Location: '/x' })
  expect({ status, headers }).toEqual({ status: 202, headers: { Location: '/x' } })
  expect(JSON.parse(String(raw!.body))).toMatchObject({
    data: { attributes: { evidence: [], evidence_received_at: '2026-01-02T00:00:00.000+00:00' } },
    meta: { seconds: 4 },
    jsonapi: { version: '1.1' },
  })
})

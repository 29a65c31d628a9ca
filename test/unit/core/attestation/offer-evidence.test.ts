import { readAsked } from '../../../../src/core/attestation/asked-evidence.ts'
import { chooseEvidence } from '../../../../src/core/attestation/choose-evidence.ts'
import { offerEvidence, type ProvableFacts } from '../../../../src/core/attestation/offer-evidence.ts'
import { parsePublicArea } from '../../../../src/core/tpm/public-area.ts'
import { softwareAk } from '../../../software-ak.ts'

const ak = parsePublicArea(softwareAk('rsa').public)
const facts: ProvableFacts = {
  ak,
  hashAlgorithms: ['sha1', 'sha256', 'sm3_256'],
  signatureSchemes: ['rsassa', 'rsapss', 'ecdsa'],
  banks: new Map([
    ['sha1', [0, 10]],
    ['sha256', [0, 10, 16]],
  ]),
  serverIdentifier: 'ak',
  uefiVersion: '2.1',
  bootEvents: 20,
  imaEntries: 1234,
  bootTime: 1_767_225_600,
}

test('what is offered is what upstream’s agent offers: three kinds in this order, the key by its TPM name and as a TPMT_PUBLIC', () => {
  const { evidence_supported: offered, system_info: system } = offerEvidence(facts).data.attributes
  expect(offered.map(({ evidence_type }) => evidence_type)).toEqual(['tpm_quote', 'uefi_log', 'ima_log'])
  expect(offered[0]!.capabilities).toEqual({
    component_version: '2.0',
    hash_algorithms: ['sha1', 'sha256', 'sm3_256'],
    signature_schemes: ['rsassa', 'rsapss', 'ecdsa'],
    available_subjects: { sha1: [0, 10], sha256: [0, 10, 16] },
    certification_keys: [
      {
        key_class: 'asymmetric',
        key_algorithm: 'rsa',
        key_size: 2048,
        server_identifier: 'ak',
        local_identifier: ak.name.toString('hex'),
        public: ak.bytes.toString('base64'),
        allowable_hash_algorithms: ['sha256'],
        allowable_signature_schemes: ['rsassa'],
      },
    ],
  })
  expect(offered[1]!.capabilities).toMatchObject({ entry_count: 20, evidence_version: '2.1', supports_partial_access: false })
  expect(offered[2]!.capabilities).toMatchObject({ entry_count: 1234, supports_partial_access: true, formats: ['text/plain'] })
  expect(system).toEqual({ boot_time: '2026-01-01T00:00:00Z' })
})

test('a kernel that does not tell when it was booted: the beginning of time', () => {
  expect(offerEvidence({ ...facts, bootTime: null }).data.attributes.system_info).toEqual({ boot_time: '1970-01-01T00:00:00Z' })
})

test('a verifier of ours chooses from it what the agent then reads', () => {
  const choice = chooseEvidence(offerEvidence(facts).data.attributes.evidence_supported, {
    ak,
    accepted: { hash: ['sha256'], encryption: ['rsa'], signing: ['rsassa'] },
    policy: { tpm: { mask: 1, allowed: new Map() }, ima: {} as never, boot: null },
    nextEntry: 1000,
    challenge: Buffer.alloc(16, 5),
  })
  if (!choice.ok) throw new Error(JSON.stringify(choice.errors))
  const document = { data: { attributes: { evidence_requested: choice.requested } } }
  expect(readAsked(document, { scheme: 'rsassa', hash: 'sha256', pcrs: [0, 10, 16] }).items).toEqual([
    { type: 'tpm_quote', challenge: Buffer.alloc(16, 5), pcrs: [0, 10, 16] },
    { type: 'ima_log', offset: 1000, count: null },
  ])
})

import { readOffer } from '../../../../../src/roles/verifier/push/read-offer.ts'

const offer = (attributes: object) => Buffer.from(JSON.stringify({ data: { type: 'attestation', attributes } }))
const EVIDENCE = [{ evidence_class: 'certification', evidence_type: 'tpm_quote', capabilities: { one: 1 } }]
const first = offer({ evidence_supported: EVIDENCE, system_info: { boot_time: '2026-01-01T00:00:00Z' }, early: true })

test('an offer says what the machine can prove, when it was booted, and whether it comes before its time', () => {
  const read = readOffer(first, undefined)
  expect(read).toMatchObject({ early: true, bootTime: '2026-01-01T00:00:00Z' })
  expect(read.evidence()).toEqual(EVIDENCE)
  expect(readOffer(offer({ evidence_supported: [] }), undefined)).toMatchObject({ early: false, bootTime: null })
})

test('the same bytes are known again by their digest, and can still be read', () => {
  const last = { ...readOffer(first, undefined), bootTime: 'as it was read' }
  const again = readOffer(first, last)
  expect(again).toMatchObject({ sha256: last.sha256, early: true, bootTime: 'as it was read' })
  expect(again.evidence()).toEqual(EVIDENCE)
})

test('other bytes are read anew, whatever came before', () => {
  const last = readOffer(first, undefined)
  const other = readOffer(Buffer.concat([first, Buffer.from(' ')]), { ...last, bootTime: 'as it was read' })
  expect(other.sha256).not.toBe(last.sha256)
  expect(other.bootTime).toBe('2026-01-01T00:00:00Z')
})

test.each([
  ['nothing', Buffer.alloc(0)],
  ['no JSON', Buffer.from('{')],
  ['another document', Buffer.from('{"data":{"type":"session"}}')],
  ['too deep a text', Buffer.from('['.repeat(100))],
])('%s is refused', (_, body) => expect(() => readOffer(body, undefined)).toThrow(expect.objectContaining({ code: 'invalid_request' })))

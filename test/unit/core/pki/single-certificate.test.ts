import { parseSingleCertificate } from '../../../../src/core/pki/single-certificate.ts'
import { root } from './fixtures.ts'

const { pem, der } = (await root()).certificate

test.each([
  ['PEM', pem],
  ['PEM with blank lines around', `\n ${pem}\n `],
  ['base64 of DER', der.toString('base64')],
])('one certificate as %s is taken', (_what, text) => expect(parseSingleCertificate(text, 'f').der).toEqual(der))

test.each([
  ['two', pem + pem, 'f holds 2 PEM blocks, exactly one certificate is taken'],
  ['words in front', `x${pem}`, 'f holds no certificate, or more than one certificate'],
  ['words behind', `${pem}x`, 'f holds no certificate, or more than one certificate'],
  ['another block', '-----BEGIN X-----\nAAAA\n-----END X-----\n', 'f holds no certificate, or more than one certificate'],
  ['nothing', '', 'f is not a certificate'],
  ['text', 'text!', 'f is not a certificate'],
  ['a private key', '-----BEGIN EC PRIVATE KEY-----', 'f holds a private key'],
])('%s is refused', (_what, text, message) => {
  expect(() => parseSingleCertificate(text, 'f')).toThrow(expect.objectContaining({ code: 'invalid_request', message }))
})

import { parseMessage } from '../../../../src/core/api/parse-message.ts'
import { registrationRequest } from '../../../../src/core/api/registrar.ts'

const request = (ip: unknown) => ({ aik_tpm: 'AAAA', ek_tpm: 'AAAA', ip })

test.each(['http://h', 'h:9002', 'a/b', 'a b', 'user@h', '\x1b[2J', '1.2.3', '%0a', 7])(
  'a registration with %j as its address is refused',
  (ip) => {
    expect(() => parseMessage(registrationRequest, request(ip), 'the registration')).toThrow(/\bip: /)
  },
)

test('an address is kept without its brackets', () => {
  expect(parseMessage(registrationRequest, request('[::1]'), 'the registration').ip).toBe('::1')
})

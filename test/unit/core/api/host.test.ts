import { isHost, parseHost } from '../../../../src/core/api/host.ts'

test.each(['localhost', 'a.example.org', 'a.example.org.', 'a_b', '10.0.0.7', '::1', 'fe80::1', 'a.b1', '1a.b'])('%s is a host', (text) => {
  expect(parseHost(text, 'the host')).toBe(text)
})

test.each(['', '10.0', 'r.10', 'r.10.', 'r.0x1', '0x7f', '0x', '1.0X', 'a b', 'a:80', '[::1]', '-a', 'a-', 'a..b', 'user@a'])(
  '%s is no host: to a URL it is an address, something else, or nothing',
  (text) => {
    expect(isHost(text)).toBe(false)
    expect(() => parseHost(text, 'the host')).toThrow('neither a host name nor an IP address')
  },
)

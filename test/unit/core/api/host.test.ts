import fc from 'fast-check'
import { isWildcard, parseHost, readHost } from '../../../../src/core/api/host.ts'
import { hostPort, urlHostPort } from '../../../../src/core/api/host-port.ts'

test.each([
  ['10.0.0.7', '10.0.0.7'],
  ['::1', '::1'],
  ['[::1]', '::1'],
  ['fe80::1%eth0', 'fe80::1%eth0'],
  ['[fe80::1%eth0]', 'fe80::1%eth0'],
  ['web1.example.org', 'web1.example.org'],
  ['web1.example.org.', 'web1.example.org.'],
  ['my_host-1', 'my_host-1'],
  ['xn--mnchen-3ya.example', 'xn--mnchen-3ya.example'],
])('%s is the host %s', (text, host) => expect(readHost(text)).toEqual({ host }))

test.each([
  ['', 'is empty'],
  ['a b', 'has a blank in it'],
  [' 10.0.0.7', 'has a blank in it'],
  ['http://1.2.3.4', 'begins with a scheme'],
  ['1.2.3.4:9002', 'has a port'],
  ['web1:9002', 'has a port'],
  ['[::1]:9002', 'has a port'],
  ['[::1', 'is neither'],
  ['[10.0.0.7]', 'has brackets, and no IPv6 address in them'],
  ['[::1]x', 'has something after its brackets'],
  ['10.0.0.7/24', 'has a path'],
  ['user@web1', 'has a user name'],
  ['10.0.0', 'is neither'],
  ['10.0.0.256', 'is neither'],
  ['-web1', 'is neither'],
  ['münchen.example', 'in its ASCII form'],
  ['a\0b', 'is neither'],
  ['web.123', 'is neither'],
  ['0x7f000001', 'is neither'],
  ...['10.0', 'r.10', 'r.10.', 'r.0x1', '0x7f', '0x', '1.0X', 'a-', 'a..b'].map((text): [string, string] => [text, 'is neither']),
])('%j %s', (text, words) => {
  const reading = readHost(text)
  expect('defect' in reading && reading.defect).toMatch(words)
  expect(() => parseHost(text, 'verifier_ip')).toThrow(
    expect.objectContaining({ code: 'invalid_request', message: expect.stringContaining('verifier_ip'), hint: expect.any(String) }),
  )
})

test('whatever is read as a host makes a URL', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.webUrl(),
        fc.domain(),
        fc.ipV4(),
        fc.ipV6(),
        fc.ipV6().map((ip) => `[${ip}]`),
      ),
      (text) => {
        const reading = readHost(text)
        if ('host' in reading) expect(URL.canParse(`https://${urlHostPort(reading.host, 8881)}`)).toBe(true)
      },
    ),
  )
})

test('a scope is shown, and has no place in a URL', () => {
  expect(hostPort('fe80::1%eth0', 1)).toBe('[fe80::1%eth0]:1')
  expect(urlHostPort('fe80::1%eth0', 1)).toBe('[fe80::1]:1')
})

test('wildcards are known in all their forms', () => {
  expect(['0.0.0.0', '::', '0:0:0:0:0:0:0:0', '::0'].map(isWildcard)).toEqual([true, true, true, true])
  expect(['10.0.0.0', '::1', 'localhost', '0'].map(isWildcard)).toEqual([false, false, false, false])
})

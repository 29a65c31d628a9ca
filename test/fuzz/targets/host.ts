import { isAgentId, parseAgentId } from '../../../src/core/api/agent-id.ts'
import { parseHost } from '../../../src/core/api/host.ts'
import { hostPort } from '../../../src/core/api/host-port.ts'
import { compareVersions, isVersion } from '../../../src/core/api/versions.ts'
import { demand, type Target, text, unlessRefused } from '../target.ts'

/** Addresses, ids and versions: a host that is accepted is that host in a URL and nothing else; an id is one part of a path. */
export const host: Target = {
  seeds: () =>
    [
      'localhost',
      '10.0.0.7',
      '::1',
      'fe80::1%eth0',
      'a.example.org.',
      'xn--4ca',
      'a_b',
      '2.10',
      '..',
      'd432fbb3-d2f1-4a97-9ef7-75bd81c00000',
    ].map((one) => text(one)),
  maxBytes: 300,
  words: ['::', '@', '%', '/', '#', '?', ':80', '..'],
  run(input) {
    const one = input.toString('utf8')
    const name = unlessRefused(['invalid_request'], () => parseHost(one, 'the host'))
    // a zone is of the machine, no part of a URL
    if (name !== null && !name.includes('%')) {
      const url = new URL(`https://${hostPort(name, 8443)}/path`)
      demand(url.port === '8443' && url.pathname === '/path' && url.username === '' && url.hash === '', () => `as a URL it is ${url}`)
    }
    const id = unlessRefused(['invalid_request'], () => parseAgentId(one))
    if (id !== null) demand(new URL(`https://host/agents/${id}`).pathname === `/agents/${id}` && isAgentId(id), 'an id changes the path')
    demand(isVersion(one) ? compareVersions(one, one) === 0 : compareVersions(one, '0.0') < 0, 'versions are compared wrongly')
  },
}

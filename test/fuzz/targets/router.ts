import { API_VERSIONS } from '../../../src/core/api/versions.ts'
import { createRouter } from '../../../src/io/http/router.ts'
import { demand, type Target, text } from '../target.ts'

const ROUTES = ['/version', '/v:version/agents', '/v:version/agents/:id', '/v:version/agents/:id/reactivate', '/crl', '/files/*'].map(
  (path) => ({ method: 'GET', path }) as never,
)
const route = createRouter(ROUTES, API_VERSIONS)

/** Paths of requests: a parameter is never empty, and stands in the path as it was sent. */
export const router: Target = {
  seeds: () =>
    [
      '/version',
      '/v2.6/agents/',
      '/v2/agents/a%20b',
      '/v2.1/agents/x/reactivate',
      '/v9/agents',
      '//crl',
      '/v2.6/agents//',
      '/v2.6/agents//reactivate',
      '/v2.6/agents/%',
      '/files/a/b%2fc',
    ].map((path) => text(path)),
  maxBytes: 512,
  words: ['/v2.6', '/agents', '%2e', '%2f', '%00', '/../', '//'],
  run(input) {
    const path = input.toString('latin1')
    const found = route('GET', path)
    if (found.kind !== 'match') return
    const { id } = found.match.params
    if (id !== undefined)
      demand(id !== '' && path.split('/').some((part) => part === id || decoded(part) === id), 'the parameter is not in the path')
    demand(found.match.version === '' || (API_VERSIONS as readonly string[]).includes(found.match.version), 'the version does not exist')
  },
}

function decoded(part: string): string | null {
  try {
    return decodeURIComponent(part)
  } catch {
    return null
  }
}

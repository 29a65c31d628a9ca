import type { ApiReply } from '../../../io/http/route.ts'

interface Scope {
  /** Methods that the scope knows. */
  methods: readonly string[]
  text(method: string): string
  name: string
}

const SCOPES: Record<string, Scope> = {
  agent: { methods: ['GET'], name: '/agent', text: () => 'URI not supported, only /info is supported for GET in /agent interface' },
  keys: {
    methods: ['GET', 'POST'],
    name: '/keys',
    text: (method) =>
      method === 'GET'
        ? 'URI not supported, only /pubkey and /verify are supported for GET in /keys interface'
        : 'URI not supported, only /ukey and /vkey are supported for POST in /keys interface',
  },
  quotes: {
    methods: ['GET'],
    name: '/quotes/',
    text: () => 'URI not supported, only /identity and /integrity are supported for GET in /quotes/ interface',
  },
  notifications: {
    methods: ['POST'],
    name: '/notifications/',
    text: () => 'URI not supported, only /revocation is supported for POST in /notifications/ interface',
  },
}

/**
 * Replies to what no route takes, in upstream's words (protocol 5.1): verifiers search for `API version not supported`.
 * @param versions those that this agent offers.
 */
export function unknownRoute(method: string, path: string, versions: readonly string[]): ApiReply {
  const [first = '', second = ''] = path.split('/').slice(1)
  if (/^v\d+\.\d+/.test(first) && !versions.includes(first.slice(1)))
    return { status: 400, message: `API version not supported: ${first.slice(0, 40)}` }
  const isVersioned = /^v\d/.test(first)
  const scope = isVersioned ? SCOPES[second] : undefined
  if (scope) return outside(method, scope.methods, `Method is not supported in ${scope.name} interface`, scope.text(method))
  const all = versions.map((version) => `/${version}`).join(', ')
  const texts = isVersioned
    ? { GET: 'Not Implemented: Use /agent, /keys, or /quotes interfaces', POST: 'Not Implemented: Use /keys or /notifications interfaces' }
    : { GET: `Not Implemented: Use ${all} or /version interfaces`, POST: `Not Implemented: Use ${all} or /version interfaces` }
  return outside(method, ['GET', 'POST'], 'Method is not supported', texts[method as 'GET'] ?? '')
}

function outside(method: string, methods: readonly string[], wrongMethod: string, wrongPath: string): ApiReply {
  if (methods.includes(method)) return { status: 400, message: wrongPath }
  return { status: 405, message: wrongMethod, headers: { Allow: methods.join(', ') } }
}

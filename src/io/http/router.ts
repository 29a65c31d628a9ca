import type { Route } from './route.ts'

export interface Match {
  route: Route
  version: string
  params: Record<string, string>
}

export type Routing =
  | { kind: 'match'; match: Match }
  | { kind: 'method'; allowed: string[] }
  | { kind: 'version'; version: string }
  | { kind: 'none' }

const VERSION_SEGMENT = /^v(\d{1,3}(?:\.\d{1,3})?)$/

/**
 * Finds the route of a request. A trailing slash makes no difference; a bare major version means its newest minor (protocol 1.1, 1.2).
 * @param versions the versions that exist, oldest first.
 */
export function findRoute(routes: readonly Route[], versions: readonly string[], method: string, path: string): Routing {
  const whole = path.replace(/^\/\/(?=v\d)/, '/') // agents of API 3.0 put a path behind a URL that ends with a slash
  const segments = whole.split('/').slice(1)
  if (segments.at(-1) === '') segments.pop()
  const asked = VERSION_SEGMENT.exec(segments[0] ?? '')?.[1]
  const version = asked === undefined ? '' : resolveVersion(asked, versions)
  if (version === undefined) return { kind: 'version', version: asked! }
  const fitting = routes.flatMap((route) => {
    const params = matchPath(route.path, segments)
    return params ? [{ route, version, params }] : []
  })
  const match = fitting.find((m) => m.route.method === method)
  if (match) return { kind: 'match', match }
  return fitting.length > 0 ? { kind: 'method', allowed: [...new Set(fitting.map((m) => m.route.method))] } : { kind: 'none' }
}

function resolveVersion(asked: string, versions: readonly string[]): string | undefined {
  if (asked.includes('.')) return versions.find((v) => v === asked)
  return versions.filter((v) => v.startsWith(`${asked}.`)).at(-1)
}

function matchPath(pattern: string, segments: readonly string[]): Record<string, string> | undefined {
  const expected = pattern.split('/').slice(1)
  if (expected.at(-1) === '') expected.pop()
  const params: Record<string, string> = {}
  if (expected.at(-1) === '*') {
    expected.pop()
    const rest = segments.slice(expected.length).map(decodeSegment)
    if (segments.length < expected.length || rest.includes(undefined)) return undefined
    params['*'] = rest.join('/')
  } else if (expected.length !== segments.length) return undefined
  for (const [i, want] of expected.entries()) {
    const got = segments[i]!
    if (want === 'v:version') {
      if (!VERSION_SEGMENT.test(got)) return undefined
    } else if (want.startsWith(':')) {
      const decoded = decodeSegment(got)
      if (!decoded) return undefined
      params[want.slice(1)] = decoded
    } else if (want !== got) return undefined
  }
  return params
}

function decodeSegment(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

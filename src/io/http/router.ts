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

/** A path of a route, cut into its segments. `rest`: all that follows them is its parameter `*`. */
interface Pattern {
  readonly route: Route
  readonly segments: readonly string[]
  readonly rest: boolean
}

/**
 * Finds the routes of requests. A trailing slash makes no difference; a bare major version means its newest minor (protocol 1.1, 1.2). Paths of routes are cut once, as each request asks.
 * @param versions the versions that exist, oldest first.
 */
export function createRouter(routes: readonly Route[], versions: readonly string[]): (method: string, path: string) => Routing {
  const patterns = routes.map(patternOf)
  return (method, path) => {
    const whole = path.replace(/^\/\/(?=v\d)/, '/') // agents of API 3.0 put a path behind a URL that ends with a slash
    const segments = segmentsOf(whole)
    const asked = VERSION_SEGMENT.exec(segments[0] ?? '')?.[1]
    const version = asked === undefined ? '' : resolveVersion(asked, versions)
    if (version === undefined) return { kind: 'version', version: asked! }
    const fitting: Match[] = []
    for (const pattern of patterns) {
      const params = matchPath(pattern, segments)
      if (params) fitting.push({ route: pattern.route, version, params })
    }
    const match = fitting.find((m) => m.route.method === method)
    if (match) return { kind: 'match', match }
    return fitting.length > 0 ? { kind: 'method', allowed: [...new Set(fitting.map((m) => m.route.method))] } : { kind: 'none' }
  }
}

function segmentsOf(path: string): string[] {
  const segments = path.split('/')
  segments.shift()
  if (segments.at(-1) === '') segments.pop()
  return segments
}

function patternOf(route: Route): Pattern {
  const segments = segmentsOf(route.path)
  const rest = segments.at(-1) === '*'
  return { route, segments: rest ? segments.slice(0, -1) : segments, rest }
}

function resolveVersion(asked: string, versions: readonly string[]): string | undefined {
  if (asked.includes('.')) return versions.find((v) => v === asked)
  return versions.filter((v) => v.startsWith(`${asked}.`)).at(-1)
}

/** Most patterns differ in a fixed segment: nothing is decoded before all of these fit. */
function matchPath({ segments: expected, rest }: Pattern, segments: readonly string[]): Record<string, string> | undefined {
  if (rest ? segments.length < expected.length : segments.length !== expected.length) return undefined
  for (let i = 0; i < expected.length; i++) {
    const want = expected[i]!
    if (want === 'v:version' ? !VERSION_SEGMENT.test(segments[i]!) : !want.startsWith(':') && want !== segments[i]) return undefined
  }
  const params: Record<string, string> = {}
  for (let i = 0; i < expected.length; i++) {
    const want = expected[i]!
    if (!want.startsWith(':')) continue
    const decoded = decodeSegment(segments[i]!)
    if (!decoded) return undefined
    params[want.slice(1)] = decoded
  }
  if (!rest) return params
  const others = segments.slice(expected.length).map(decodeSegment)
  if (others.includes(undefined)) return undefined
  params['*'] = others.join('/')
  return params
}

function decodeSegment(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

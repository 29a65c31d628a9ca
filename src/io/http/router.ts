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
 * Finds the routes of requests. A trailing slash makes no difference; a bare major version means its newest minor (protocol 1.1, 1.2). Paths of routes are cut once, and looked through only where method and
 * number of segments fit. @param versions the versions that exist, oldest first.
 */
export function createRouter(routes: readonly Route[], versions: readonly string[]): (method: string, path: string) => Routing {
  const patterns = routes.map(patternOf)
  const candidates = candidatesOf(patterns)
  const exact = new Map(versions.map((version) => [`v${version}`, version]))
  return (method, path) => {
    const whole = path.startsWith('//') ? path.replace(/^\/\/(?=v\d)/, '/') : path // agents of API 3.0 put a path behind a URL that ends with a slash
    const segments = segmentsOf(whole)
    const version = exact.get(segments[0] ?? '') ?? versionOf(segments[0] ?? '', versions)
    if (version === undefined) return { kind: 'version', version: segments[0]!.slice(1) }
    for (const pattern of candidates(method, segments.length)) {
      const params = matchPath(pattern, segments)
      if (params) return { kind: 'match', match: { route: pattern.route, version, params } }
    }
    const fitting = patterns.filter((pattern) => matchPath(pattern, segments)).map(({ route }) => route.method)
    return fitting.length > 0 ? { kind: 'method', allowed: [...new Set(fitting)] } : { kind: 'none' }
  }
}

/** Empty for a path without a version; undefined for a version that does not exist. */
function versionOf(segment: string, versions: readonly string[]): string | undefined {
  const asked = VERSION_SEGMENT.exec(segment)?.[1]
  return asked === undefined ? '' : resolveVersion(asked, versions)
}

/** The patterns that may fit, in their order. */
function candidatesOf(patterns: readonly Pattern[]): (method: string, count: number) => readonly Pattern[] {
  const longest = Math.max(0, ...patterns.map(({ segments }) => segments.length)) + 1 // as long or longer: only what takes all the rest
  const byMethod = new Map<string, Pattern[][]>()
  for (const method of new Set(patterns.map(({ route }) => route.method))) {
    const own = patterns.filter(({ route }) => route.method === method)
    const ofLength = (_: unknown, count: number) =>
      own.filter(({ segments, rest }) => (rest ? count >= segments.length : count === segments.length))
    byMethod.set(method, Array.from({ length: longest + 1 }, ofLength))
  }
  return (method, count) => byMethod.get(method)?.[Math.min(count, longest)] ?? NO_PATTERN
}

const NO_PATTERN: readonly Pattern[] = []

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
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

import type { NowOrLater } from '../../core/concurrency/now-or-later.ts'
import { httpStatusOf, isKeylimeError } from '../../core/errors.ts'
import type { ApiReply, ApiRequest, Route } from '../http/route.ts'
import { DURATIONS, type Metrics } from './metrics.ts'

/** Counts what the routes of a listener answer, and how long that takes. What is refused before a route is asked is not among it. */
export function meteredRoutes(routes: readonly Route[], metrics: Metrics): Route[] {
  const seconds = metrics.histogram(
    {
      name: 'http_request_duration_seconds',
      help: 'Time from the end of a request to its answer, by route; requests that are held on purpose are among them.',
      labels: ['method', 'route', 'code'],
    },
    DURATIONS,
  )
  return routes.map((route) => ({ ...route, handle: metered(route, (code, s) => seconds.observe({ ...labelsOf(route), code }, s)) }))
}

const labelsOf = ({ method, path }: Route) => ({ method, route: path })

function metered({ handle }: Route, told: (code: number, seconds: number) => void): Route['handle'] {
  return (request: ApiRequest): NowOrLater<ApiReply> => {
    const began = performance.now()
    const tell = (code: number) => told(code, (performance.now() - began) / 1000)
    const answered = (reply: ApiReply): ApiReply => {
      tell(reply.status ?? 200)
      return reply
    }
    const failed = (error: unknown): never => {
      tell(isKeylimeError(error) ? httpStatusOf(error.code) : 500)
      throw error
    }
    let reply: NowOrLater<ApiReply>
    try {
      reply = handle(request)
    } catch (error) {
      return failed(error)
    }
    return reply instanceof Promise ? reply.then(answered, failed) : answered(reply)
  }
}

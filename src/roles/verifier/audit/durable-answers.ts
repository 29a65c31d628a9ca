import type { Route } from '../../../io/http/route.ts'

/** Answers of commands leave when their events are in the audit log: what an operator was told was done is found there, whatever happens next. */
export const durableAnswers = (routes: readonly Route[], flush: () => Promise<unknown>): Route[] =>
  routes.map((route) => (route.access === 'admin' && route.method !== 'GET' && route.method !== 'HEAD' ? durable(route, flush) : route))

const durable = (route: Route, flush: () => Promise<unknown>): Route => ({
  ...route,
  async handle(request) {
    try {
      return await route.handle(request)
    } finally {
      await flush() // also when it failed: part of it may have been done
    }
  },
})

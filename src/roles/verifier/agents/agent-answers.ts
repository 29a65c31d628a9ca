/** Upstream's codes for "try again" (protocol 4.2), and what proxies answer for them. */
const TRY_AGAIN = new Set([408, 429, 500, 502, 503, 504, 599])

export const isTryAgain = (code: number): boolean => TRY_AGAIN.has(code)

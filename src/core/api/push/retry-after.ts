/**
 * Milliseconds that a `Retry-After` asks to wait: seconds, or a date of HTTP (RFC 9110, section 10.2.3); 0 for a date that has passed. Null for what is neither.
 * @param now milliseconds since the epoch.
 */
export function readRetryAfter(text: string, now: number): number | null {
  if (/^\d{1,9}$/.test(text.trim())) return Number(text) * 1000
  const date = /^[A-Z][a-z]{2}, \d/.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(date) ? null : Math.max(0, date - now)
}

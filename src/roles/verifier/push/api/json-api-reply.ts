import { errorDocument, JSON_API_TYPE, type JsonApiError } from '../../../../core/api/push/json-api.ts'
import type { ApiReply } from '../../../../io/http/route.ts'

/** A document of JSON:API 1.1. */
export const jsonApiReply = (status: number, document: object, headers: Record<string, string> = {}): ApiReply => ({
  status,
  headers,
  raw: { type: JSON_API_TYPE, body: JSON.stringify({ ...document, jsonapi: { version: '1.1' } }) },
})

/** The same of members that are JSON already: `"data":null`. */
export const jsonApiText = (status: number, members: string, headers: Record<string, string> = {}): ApiReply => ({
  status,
  headers,
  raw: { type: JSON_API_TYPE, body: `{${members},"jsonapi":{"version":"1.1"}}` },
})

/** Several errors of one status. */
export const refusal = (errors: readonly JsonApiError[], headers: Record<string, string> = {}): ApiReply => ({
  status: errors[0]!.status,
  headers,
  raw: { type: JSON_API_TYPE, body: errorDocument(errors) },
})

/** @param seconds to wait, at least 1. */
export const retryAfter = (error: JsonApiError, seconds: number): ApiReply =>
  refusal([error], { 'Retry-After': String(Math.max(1, Math.ceil(seconds))) })

/** Of one machine. @param seconds until it may ask again. */
export const askedTooOften = (seconds: number): ApiReply =>
  retryAfter({ status: 429, code: 'too_many_requests', detail: 'this agent asks too often' }, seconds)

/** RFC 3339, with an offset. @param ms since the epoch. */
export function timeText(ms: number): string {
  const second = Math.floor(ms / 1000)
  const text = written.get(second) ?? write(second)
  return `${text}.${String(Math.trunc(ms - second * 1000)).padStart(3, '0')}+00:00`
}

/** Seconds as texts without an end: the answers of a moment say the same few. */
const written = new Map<number, string>()
const MAX_WRITTEN = 8

function write(second: number): string {
  const text = new Date(second * 1000).toISOString().slice(0, -'.000Z'.length)
  if (written.size === MAX_WRITTEN) written.delete(written.keys().next().value!)
  written.set(second, text)
  return text
}

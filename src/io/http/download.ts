import { request } from 'undici'
import { KeylimeError } from '../../core/errors.ts'

const MAX_REDIRECTS = 5
const TIMEOUT_MS = 60_000

export interface Download {
  status: number
  body: AsyncIterable<Uint8Array>
}

export interface DownloadOptions {
  /** The first bytes only, when the server can. */
  firstBytes?: number
}

/** A public file by its URL, streamed. @throws KeylimeError `unreachable`, or `not_found` for a status that is no success. */
export async function download(url: string, options: DownloadOptions = {}): Promise<Download> {
  let target = httpUrl(url)
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const { statusCode, headers, body } = await send(target, options)
    if (statusCode === 200 || statusCode === 206) return { status: statusCode, body: failing(body, target) }
    await body.dump()
    const location = headers['location']
    if (statusCode < 300 || statusCode > 399 || typeof location !== 'string')
      throw new KeylimeError('not_found', `${target}: the server answers ${statusCode}`, { details: { status: statusCode } })
    const next = httpUrl(new URL(location, target).href)
    if (target.startsWith('https:') && !next.startsWith('https:'))
      throw new KeylimeError('refused', `${target}: redirects to ${next}, which is not encrypted`)
    target = next
  }
  throw new KeylimeError('unreachable', `${url}: redirects more than ${MAX_REDIRECTS} times`)
}

/** A small file as a whole. @throws KeylimeError as `download`, `payload_too_large`. */
export async function downloadAll(url: string, maxBytes: number): Promise<Buffer> {
  const { body } = await download(url)
  const pieces: Uint8Array[] = []
  let length = 0
  for await (const piece of body) {
    length += piece.length
    if (length > maxBytes) throw new KeylimeError('payload_too_large', `${url}: is larger than ${maxBytes} bytes`)
    pieces.push(piece)
  }
  return Buffer.concat(pieces)
}

async function send(url: string, { firstBytes }: DownloadOptions) {
  try {
    const headers = firstBytes ? { range: `bytes=0-${firstBytes - 1}` } : {}
    return await request(url, { headers, headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS })
  } catch (cause) {
    throw new KeylimeError('unreachable', `${url}: cannot be fetched: ${(cause as Error).message}`, { cause })
  }
}

async function* failing(body: AsyncIterable<Uint8Array>, url: string): AsyncGenerator<Uint8Array> {
  try {
    yield* body
  } catch (cause) {
    throw new KeylimeError('unreachable', `${url}: the connection broke: ${(cause as Error).message}`, { cause })
  }
}

function httpUrl(text: string): string {
  if (URL.canParse(text) && ['http:', 'https:'].includes(new URL(text).protocol)) return text
  throw new KeylimeError('usage', `${text}: this is not an http or https URL`)
}

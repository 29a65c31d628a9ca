import type { AuthorityWatch, PublishedCrl } from '../../../authority/watch-authority.ts'
import type { RateLimit } from '../../../core/concurrency/rate-limiter.ts'
import { isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import { answerOcsp, type OcspStatus, ocspError } from '../../../core/pki/ocsp.ts'
import type { Access, ApiReply, ApiRequest, Route } from '../../../io/http/route.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { RevocationInbox } from './revocation-inbox.ts'

export interface ListenerContext {
  readonly watch: AuthorityWatch
  readonly inbox: RevocationInbox
  readonly logger: Logger
  now(): number
}

/** A message may have 1 MiB, which JSON's escapes at most double. */
export const MAX_NOTIFICATION_BYTES = 2 << 20
/** Each answer is signed. */
const OCSP_RATE: RateLimit = { ofPeer: { perSecond: 50, burst: 500 }, ofAll: { perSecond: 200, burst: 2000 } }
const signed = (route: Route): Route => ({ ...route, rate: OCSP_RATE })
const MAX_OCSP_BYTES = 16 * 1024
const OCSP_REQUEST = 'application/ocsp-request'

/** The plain port. Everything on it is public or signed: lists and answers by the authority, revocations by the notifier. */
export function listenerRoutes(context: ListenerContext): Route[] {
  const open = { access: 'public', plainHttp: true } as const
  const get = (path: string, handle: Route['handle']): Route[] =>
    (['GET', 'HEAD'] as const).map((method) => ({ method, path, ...open, handle }))
  return [
    ...revocationRoutes(context, 'public'),
    ...get('/ca.crt', async () => ({
      headers: { 'Cache-Control': 'public, max-age=3600' },
      raw: { type: 'application/x-x509-ca-cert', body: (await context.watch.latest()).authority.certificate.pem },
    })),
    ...get('/crl.pem', (request) => serveCrl(context, request, (crl) => ({ type: 'application/x-pem-file', body: crl.pem }))),
    ...get('/ocsp/*', ({ params }) => serveOcsp(context, Buffer.from(params['*'] ?? '', 'base64'))).map(signed), // takes base64url too
    ...get('/*', (request) => serveCrl(context, request, (crl) => ({ type: 'application/pkix-crl', body: crl.list.der }))),
    signed({
      method: 'POST',
      path: '/*',
      ...open,
      body: { maxBytes: MAX_OCSP_BYTES, as: 'bytes' },
      handle: (request) => postedOcsp(context, request),
    }),
  ]
}

/** Where a verifier's webhook, or a verifier that takes us for an agent, posts. */
export function revocationRoutes(context: ListenerContext, access: Access): Route[] {
  return ['/revocation', '/notifications/revocation', '/v:version/notifications/revocation'].map((path) => ({
    method: 'POST',
    path,
    access,
    plainHttp: true,
    body: { maxBytes: MAX_NOTIFICATION_BYTES },
    handle: (request) => takeRevocation(context, request),
  }))
}

async function takeRevocation({ inbox, logger }: ListenerContext, { body, remoteAddress }: ApiRequest): Promise<ApiReply> {
  try {
    const { acted, text } = await inbox.take(body)
    logger.info(text, { from: remoteAddress })
    return { status: acted ? 200 : 202, message: text }
  } catch (error) {
    if (isKeylimeError(error) && error.code !== 'unavailable')
      logger.warn(`notification refused: ${error.message}`, { from: remoteAddress })
    throw error
  }
}

async function serveCrl(
  { watch }: ListenerContext,
  { headers }: ApiRequest,
  form: (crl: PublishedCrl) => NonNullable<ApiReply['raw']>,
): Promise<ApiReply> {
  const crl = await watch.crl()
  if (!crl) return { status: 404, raw: { type: 'text/plain', body: '' } }
  const validators = {
    ETag: crl.etag,
    'Last-Modified': new Date(crl.list.thisUpdate).toUTCString(),
    'Cache-Control': 'no-cache', // ask each time whether it is still the newest: a revocation counts at once
  }
  const known = (headers['if-none-match'] ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''))
  if (known.includes(crl.etag) || known.includes('*')) return { status: 304, headers: validators }
  return { headers: validators, raw: form(crl) }
}

function postedOcsp(context: ListenerContext, { headers, body }: ApiRequest): ApiReply | Promise<ApiReply> {
  if (headers['content-type']?.split(';')[0]?.trim().toLowerCase() !== OCSP_REQUEST) return { status: 415 }
  return serveOcsp(context, body as Buffer)
}

async function serveOcsp({ watch, logger, now }: ListenerContext, request: Buffer): Promise<ApiReply> {
  const reply = (body: Buffer): ApiReply => ({ headers: { 'Cache-Control': 'no-store' }, raw: { type: 'application/ocsp-response', body } })
  if (request.length > MAX_OCSP_BYTES) return reply(ocspError('malformedRequest'))
  try {
    const { authority, before, hasGiven, revokedSerials, isLocked } = await watch.latest()
    const crl = await watch.crl()
    const statusOf = (serial: bigint): OcspStatus => {
      const entry = crl?.revoked.get(serial)
      if (entry) return { kind: 'revoked', date: entry.date, reason: entry.reason }
      if (revokedSerials.includes(serial.toString())) return { kind: 'revoked', date: now() } // its list is being written
      if (serial === 1n || hasGiven(serial)) return { kind: 'good' }
      if (isLocked) throw new KeylimeError('unavailable', `whether there is a certificate ${serial} cannot be read now`)
      return { kind: 'unknown' }
    }
    const answer = answerOcsp(authority, request, statusOf, now())
    const isOfAnother = answer.equals(ocspError('unauthorized'))
    return reply(isOfAnother && before ? answerOcsp(before, request, statusOf, now()) : answer)
  } catch (error) {
    logger.error(`OCSP cannot be answered: ${error instanceof Error ? error.message : String(error)}`)
    return reply(ocspError('tryLater'))
  }
}

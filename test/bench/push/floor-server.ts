// What requests cost at least: a server that answers as the verifier does to the machines of `npm run bench push`, and knows nothing. Arguments: `http` or `koa`, port, certificate, key, seconds between two attestations.
import fs from 'node:fs'
import type http from 'node:http'
import https from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import Koa from 'koa'

interface FloorAnswer {
  status: number
  location?: string
  body: string
}

const [kind, port, cert, key, seconds] = process.argv.slice(2) as [string, string, string, string, string]
const meta = { seconds_to_next_attestation: Number(seconds) }
const time = new Date().toISOString()
const challenge = Buffer.alloc(16).toString('base64')
const requested = {
  evidence_class: 'certification',
  evidence_type: 'tpm_quote',
  chosen_parameters: { signature_scheme: 'ecdsa', challenge, hash_algorithm: 'sha256', selected_subjects: { sha1: null, sha256: [16] } },
}
const times = { system_info: { boot_time: time }, capabilities_received_at: time, challenges_expire_at: time }
const opened = JSON.stringify({ data: { type: 'attestation', id: '1', attributes: { evidence_requested: [requested], ...times } } })
const accepted = JSON.stringify({ data: { type: 'attestation', id: '1', attributes: { evidence: [], ...times } }, meta })
const session = JSON.stringify({
  data: { type: 'session', id: '1', attributes: { chosen_parameters: { challenge }, token: 'x'.repeat(80) } },
})

async function answer(method: string, path: string, body: string): Promise<FloorAnswer> {
  const given = JSON.parse(body)
  if (path.includes('/sessions')) return { status: 200, body: session }
  if (method === 'PATCH') return { status: 202, body: accepted }
  if (path.endsWith('/attestations')) return { status: 201, location: `${path}/1`, body: opened }
  await sleep(given.seconds * 1000)
  return { status: 200, body: '{}' }
}

async function bodyOf(request: http.IncomingMessage): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    request.setEncoding('latin1')
    request.on('data', (chunk) => {
      text += chunk
    })
    request.on('end', () => resolve(text))
  })
}

const bare: http.RequestListener = async (request, response) => {
  const { status, location, body } = await answer(request.method!, request.url!, await bodyOf(request))
  const headers = { 'content-type': 'application/json', 'content-length': String(body.length), ...(location ? { location } : {}) }
  response.writeHead(status, headers).end(body)
}

function withKoa(): http.RequestListener {
  const app = new Koa()
  app.use(async (ctx) => {
    const { status, location, body } = await answer(ctx.method, ctx.path, await bodyOf(ctx.req))
    if (location) ctx.set('Location', location)
    ctx.status = status
    ctx.type = 'application/json'
    ctx.body = body
  })
  return app.callback()
}

const tls = { cert: fs.readFileSync(cert), key: fs.readFileSync(key), keepAliveTimeout: 600_000 }
https.createServer(tls, kind === 'koa' ? withKoa() : bare).listen(Number(port), '127.0.0.1', () => console.log('listening'))

import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { Agent, getGlobalDispatcher, setGlobalDispatcher } from 'undici'
import { downloadAll } from '../../../src/io/http/download.ts'

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-download-'))
const [key, cert] = [path.join(dir, 'key'), path.join(dir, 'cert')]
const plain = http.createServer((request, response) => {
  if (request.url === '/loop') response.writeHead(302, { location: '/loop' }).end()
  else if (request.url === '/on') response.writeHead(301, { location: '/file' }).end()
  else if (request.url === '/file') response.end('content')
  else response.writeHead(404).end()
})
let secure: https.Server
const before = getGlobalDispatcher()
const port = (server: http.Server | https.Server) => (server.address() as AddressInfo).port
const listen = (server: http.Server | https.Server) => new Promise<void>((done) => server.listen(0, '127.0.0.1', done))

beforeAll(async () => {
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', cert, ...subject],
    {
      stdio: 'ignore',
    },
  )
  secure = https.createServer({ key: fs.readFileSync(key), cert: fs.readFileSync(cert) }, (request, response) => {
    const location = request.url === '/down' ? `http://127.0.0.1:${port(plain)}/file` : '/file'
    if (request.url === '/file') response.end('secret content')
    else response.writeHead(302, { location }).end()
  })
  await listen(plain)
  await listen(secure)
  setGlobalDispatcher(new Agent({ connect: { ca: fs.readFileSync(cert, 'utf8') } }))
})
afterAll(async () => {
  await getGlobalDispatcher().close()
  setGlobalDispatcher(before)
  plain.close()
  secure.close()
  fs.rmSync(dir, { recursive: true })
})

test('redirections are followed, a few', async () => {
  const url = `http://127.0.0.1:${port(plain)}`
  expect((await downloadAll(`${url}/on`, 100)).toString()).toBe('content')
  await expect(downloadAll(`${url}/loop`, 100)).rejects.toMatchObject({ code: 'unreachable' })
  await expect(downloadAll(`${url}/none`, 100)).rejects.toMatchObject({ code: 'not_found' })
  await expect(downloadAll(`${url}/file`, 3)).rejects.toMatchObject({ code: 'payload_too_large' })
})

test('from https only to https', async () => {
  const url = `https://127.0.0.1:${port(secure)}`
  expect((await downloadAll(`${url}/up`, 100)).toString()).toBe('secret content')
  await expect(downloadAll(`${url}/down`, 100)).rejects.toMatchObject({
    code: 'refused',
    message: expect.stringContaining('not encrypted'),
  })
})

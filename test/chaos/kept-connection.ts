import fs from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'undici'

/**
 * `kept-connection.ts DIR PORT PATH`: asks again and again over one TLS connection, with the operator's certificate of DIR, and prints a line when one is opened or
 * closed, or something else than 200 comes; `ok N` after each 20 answers.
 */
const [directory, port, path] = process.argv.slice(2) as [string, string, string]
const read = (name: string) => fs.readFileSync(`${directory}/${name}`, 'utf8')
const connect = {
  cert: read('client-cert.crt'),
  key: read('client-private.pem'),
  ca: read('cacert.crt'),
  checkServerIdentity: () => undefined,
}
const client = new Client(`https://127.0.0.1:${port}`, { connect, keepAliveTimeout: 600_000, keepAliveMaxTimeout: 600_000 })
client.on('connect', () => console.log('opened'))
client.on('disconnect', (_origin, _targets, error) => console.log(`closed: ${error.message}`))

for (let answers = 1; ; answers++) {
  const { statusCode, body } = await client.request({ method: 'GET', path })
  await body.dump()
  if (statusCode !== 200) console.log(`answered ${statusCode}`)
  if (answers % 20 === 0) console.log(`ok ${answers}`)
  await sleep(50)
}

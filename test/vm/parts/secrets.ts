import { randomBytes } from 'node:crypto'
import { accepted, type Bench, first, type Subject } from '../bench.ts'
import { contains } from '../find-in-file.ts'

/** A payload with certificates: its secrets are in the tmpfs, and the disk does not have one byte of them. */
export async function secrets(bench: Bench): Promise<void> {
  const { operator, report } = bench
  const [secret, control] = [randomBytes(32).toString('hex'), randomBytes(32).toString('hex')] as [string, string]
  const traces = new Map<string, Buffer>()
  let one!: Subject
  await report.step('the certificate package is delivered, and its script has run', async () => {
    one = await first(bench)
    const script = '#!/bin/sh\nrev secret.txt > made-of-it\n'
    await accepted(bench, one, operator.payload('payload-secrets', { 'secret.txt': `${secret}\n`, 'autorun.sh': script }))
  })
  await report.step('what must not reach the disk is read from the tmpfs', async () => {
    const read = async (file: string) => Buffer.from(await one.machine.sh(`base64 -w0 /var/lib/keylime/secure/${file}`), 'base64')
    const key = Buffer.from((await read('derived_tci_key')).toString(), 'base64')
    if (key.length !== 32) throw new Error(`the derived key has ${key.length} bytes`)
    const privateKey = (await read(`unzipped/${one.id}-private.pem`)).toString().split('\n')
    traces.set('the secret', Buffer.from(secret))
    traces.set('what the script made of it', Buffer.from([...secret].reverse().join('')))
    traces
      .set('the key K', key)
      .set('K in hexadecimal', Buffer.from(key.toString('hex')))
      .set('K in base64', Buffer.from(key.toString('base64')))
    traces.set('a line of the private key', Buffer.from(privateKey[4]!)).set('its bytes', Buffer.from(privateKey[4]!, 'base64'))
    if ((await read('unzipped/made-of-it')).toString().trim() !== [...secret].reverse().join('')) throw new Error('the script did not run')
    await one.machine.sh(`echo ${control} > /var/lib/control; sync`)
  })
  await report.step('after a shutdown none of it is on the disk, and what was written there on purpose is found', async () => {
    await one.machine.vm('stop')
    const disk = one.machine.file('disk.img')
    if (!(await contains(disk, Buffer.from(control)))) throw new Error('the search does not find what is there')
    const found: string[] = []
    for (const [name, bytes] of traces) if (await contains(disk, bytes)) found.push(name)
    if (found.length > 0) throw new Error(`on the disk: ${found.join(', ')}`)
    return `${traces.size} traces looked for`
  })
}

import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Deployment, type Machine } from '../e2e/deployment.ts'
import { until } from '../servers.ts'
import { median, ms, printTable } from './table.ts'

const ROUNDS = 15
/** A PCR that can be reset, so that the same machine can fail again. */
const PCR = 23

/** From a PCR extend on one machine to the end of the action on another, on software TPMs. Needs root (the agents' tmpfs). */
export async function benchRevocation(): Promise<void> {
  if (process.getuid?.() !== 0) return console.log('\nrevocation: left out, the agents need root for their tmpfs')
  const rows: string[][] = []
  for (const interval of ['0', '1']) {
    const d = new Deployment()
    try {
      const times = await rounds(d, interval)
      rows.push([`${interval} s`, ms(median(times)), ms(times.toSorted((a, b) => a - b)[Math.floor(times.length * 0.9)]!)])
    } finally {
      await d.stop()
    }
  }
  printTable(`PCR extend → verdict → signed → action done on the peer, ${ROUNDS} rounds`, ['quote_interval', 'median ms', 'p90 ms'], rows)
}

async function rounds(d: Deployment, interval: string): Promise<number[]> {
  await d.start({ KEYLIME_VERIFIER_QUOTE_INTERVAL: interval })
  const [failing, peer] = [await d.machine(), await d.machine()]
  const stamp = path.join(d.dir, 'stamp')
  d.payload({ action_list: 'local_action_stamp', local_action_stamp: `#!/bin/sh\necho done > ${stamp}\n` })
  const policy = JSON.stringify({ [PCR]: ['0'.repeat(64)] })
  for (const machine of [failing, peer]) {
    const { code, stderr } = await d.tenant('add', '-u', machine.id, '--cert', 'ca', '--include', 'payload', '--tpm_policy', policy)
    if (code !== 0) throw new Error(stderr)
  }
  const times: number[] = []
  for (let i = 0; i < ROUNDS; i++) {
    fs.rmSync(stamp, { force: true })
    await failing.tpm.resetPcr(PCR)
    if (i > 0) await d.tenant('reactivate', '-u', failing.id)
    await attested(d, failing)
    const start = performance.now()
    await failing.tpm.extendPcr(PCR, randomBytes(32))
    while (!fs.existsSync(stamp)) await sleep(1)
    times.push(performance.now() - start)
  }
  return times
}

async function attested(d: Deployment, machine: Machine): Promise<void> {
  const count = async () => Number((await d.status(machine)).attestation_count)
  const before = await count()
  await until('attestation', async () => (await count()) > before).catch(async (error) => {
    throw new Error(`${error.message}: ${JSON.stringify(await d.status(machine))}`)
  })
}

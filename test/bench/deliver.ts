import { spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Deployment, KEYLIME } from '../e2e/deployment.ts'
import { median, ms, printTable } from './table.ts'

const RUNS = 9

interface Run {
  /** Milliseconds of the whole command. */
  total: number
  /** Until the payload stands in the agent's tmpfs, from the start of the command. */
  unpacked: number
  /** When each step was reported, from the start of the command. */
  steps: [string, number][]
}

/** `keylime tenant add`, whole, on a software TPM: verifier, registrar and agent are running. Needs root (the agent's tmpfs). */
export async function benchDeliver(): Promise<void> {
  if (process.getuid?.() !== 0) return console.log('\ndelivery: left out, the agent needs root for its tmpfs')
  const d = new Deployment()
  try {
    await d.start({ KEYLIME_VERIFIER_QUOTE_INTERVAL: '2' })
    for (const keys of [{}, { KEYLIME_AGENT_TPM_ENCRYPTION_ALG: 'ecc384', KEYLIME_AGENT_TPM_SIGNING_ALG: 'ecdsa' }]) await d.machine(keys)
    fs.writeFileSync(path.join(d.dir, 'secret.txt'), 'x'.repeat(1000))
    d.payload({ 'secret.txt': 'x'.repeat(1000) })
    await d.run('keylime', 'ca', 'init', '-d', 'ca')
    const rows: string[][] = []
    for (const [name, number, args] of [
      ['-f, RSA-2048', 0, ['-f', 'secret.txt']],
      ['-f, P-384', 1, ['-f', 'secret.txt']],
      ['--cert --include, RSA-2048', 0, ['--cert', 'ca', '--include', 'payload']],
    ] as const) {
      const runs: Run[] = []
      for (let i = 0; i < RUNS; i++) runs.push(await deliver(d, number, [...args]))
      rows.push([name, ms(median(runs.map((r) => r.total))), ms(median(runs.map((r) => r.unpacked)))])
      printSteps(name, runs)
    }
    printTable('keylime tenant add', ['payload, keys', 'command ms', 'payload on tmpfs ms'], rows)
  } finally {
    await d.stop()
  }
}

async function deliver(d: Deployment, number: number, args: string[]): Promise<Run> {
  const machine = d.machines[number]!
  await d.tenant('delete', '-u', machine.id)
  const target = path.join(machine.secure, args[0] === '-f' ? 'decrypted_payload' : 'unzipped/secret.txt')
  fs.rmSync(target, { force: true })
  const steps: [string, number][] = []
  const start = performance.now()
  const child = spawn(KEYLIME, ['tenant', 'add', '-u', machine.id, ...args, '--json'], {
    env: d.environment,
    cwd: d.dir,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  child.stdout.on('data', (chunk: Buffer) => {
    const at = performance.now() - start
    for (const line of chunk.toString().split('\n').filter(Boolean))
      steps.push([String((JSON.parse(line) as { event?: string }).event ?? 'result'), at])
  })
  let unpacked = 0
  let ended = false
  const end = new Promise<number>((resolve) => child.on('close', (code) => resolve(code ?? 1))).finally(() => (ended = true))
  while (!unpacked) {
    if (fs.existsSync(target)) unpacked = performance.now() - start
    else if (ended && performance.now() - start > 10_000) break
    else await sleep(1)
  }
  if ((await end) !== 0) throw new Error(`keylime tenant add ${args.join(' ')} failed:\n${machine.service.log().slice(-2000)}`)
  return { total: performance.now() - start, unpacked, steps }
}

function printSteps(name: string, runs: Run[]): void {
  const total = median(runs.map((r) => r.total))
  let before = 0
  const rows = runs[0]!.steps.map(([event], i) => {
    const at = median(runs.map((r) => r.steps[i]?.[1] ?? 0))
    const share = [event, ms(at), `${(((at - before) / total) * 100).toFixed(0)} %`]
    before = at
    return share
  })
  printTable(`steps of add ${name}`, ['step reported', 'at ms', 'share'], rows)
}

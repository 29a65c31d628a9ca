import { createPublicKey } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import type { AgentKind } from './config-files.ts'
import { Deployment, type Side, type Sides, type Variant } from './deployment.ts'
import { stopAll } from './processes.ts'
import { PUSH_STORY } from './push-story.ts'
import type { Case, Outcome } from './results.ts'
import { STORY } from './story.ts'
import { cacheDirectory, OLDEST, rustAgent, rustPushAgent } from './upstream.ts'

const SIDES: readonly Side[] = ['ours', 'theirs']
const OURS: Sides = { registrar: 'ours', verifier: 'ours', tenant: 'ours', agent: 'ours' }
const AGENTS: readonly AgentKind[] = ['ours', 'python', 'rust']

/** `theirs-ours-theirs-python`: registrar, verifier, tenant, agent. */
const cellName = ({ registrar, verifier, tenant, agent }: Sides) => [registrar, verifier, tenant, agent].join('-')

/** Every registrar × verifier × tenant × agent: 16 with the agent in Python as theirs, 8 more with the one in Rust. */
export const cells = (): Case[] =>
  AGENTS.flatMap((agent) =>
    SIDES.flatMap((registrar) => SIDES.flatMap((verifier) => SIDES.map((tenant) => cell('cells', { registrar, verifier, tenant, agent })))),
  )

/** One program of upstream's oldest release among ours of today. */
export const skew = (): Case[] => {
  return (['registrar', 'verifier', 'tenant'] as const).map((role) => cell('skew', { ...OURS, [role]: 'theirs' }, { release: OLDEST }))
}

/** Publisher and subscriber of revocations, each ours or theirs. Upstream's verifier of today opens no publisher; its oldest does. */
export const zeromq = (): Case[] => [
  cell('zeromq', { ...OURS, agent: 'python' }, { overZeromq: true }),
  cell('zeromq', { ...OURS, verifier: 'theirs' }, { overZeromq: true, release: OLDEST }),
]

/** The directory of an older agent in Rust, and our agent on it: the key that it bound into PCR 16 stays. */
export const rustDirectory = (): Case[] => [cell('rust-directory', { ...OURS, verifier: 'theirs' }, { rustDirectory: true })]

/** Machines that nobody can call: either agent, at either verifier, with the registrar and the tenant of either side. */
export const push = (): Case[] =>
  (['ours', 'rust'] as const).flatMap((agent) =>
    SIDES.flatMap((verifier) => SIDES.map((other) => cell('push', { registrar: other, verifier, tenant: other, agent }, { push: true }))),
  )

const skipped = (why: string): Outcome => ({ passed: 0, failed: 0, skipped: why, facts: {}, failures: [] })

function cell(part: string, sides: Sides, variant: Variant = {}): Case {
  const name = cellName(sides)
  return { part, name, run: () => runCell(sides, path.join(cacheDirectory(), 'runs', part, name), variant) }
}

async function runCell(sides: Sides, dir: string, variant: Variant): Promise<Outcome> {
  const facts: Record<string, string> = {}
  const [variable, rust] = variant.push ? ['KEYLIME_RUST_PUSH_AGENT', rustPushAgent()] : ['KEYLIME_RUST_AGENT', rustAgent()]
  if (sides.agent === 'rust' && !rust) return skipped(`${variable} names no executable, and no registry has one`)
  const d = new Deployment(dir, sides, variant)
  try {
    for (const { name, run, needsNamedBootPolicies } of variant.push ? PUSH_STORY : STORY) {
      if (needsNamedBootPolicies && variant.release === OLDEST) {
        facts[name] = 'not there'
        continue
      }
      const start = performance.now()
      await run(d).catch((error: Error) => {
        facts[name] = 'failed'
        throw new Error(`${name}: ${error.message}`)
      })
      facts[name] = ((performance.now() - start) / 1000).toFixed(1)
    }
    if (variant.rustDirectory) for (const { dir: agent } of d.machines) demandSameKey(agent)
    return { passed: 1, failed: 0, facts, failures: [] }
  } catch (error) {
    return { passed: 0, failed: 1, facts, failures: [(error as Error).message] }
  } finally {
    await stopAll()
  }
}

function demandSameKey(directory: string): void {
  const [tls, payload] = ['server-private.pem', 'payload-private.pem'].map((name) =>
    createPublicKey(fs.readFileSync(path.join(directory, name))).export({ format: 'jwk' }),
  )
  if (tls?.n !== payload?.n) throw new Error(`${directory}: the agent made a new transport key`)
}

import fs from 'node:fs'
import path from 'node:path'
import { runtimePolicy } from '../../ima.ts'
import { Deployment, type Side } from '../deployment.ts'
import { stopAll } from '../processes.ts'
import { cacheDirectory } from '../upstream.ts'
import { type Answer, readAnswer } from './answer.ts'
import { tenantCalls } from './tenant-calls.ts'

/** What one side's tenant answered, call by call, in a deployment whose services are that side's too. */
export async function askTenant(side: Side): Promise<{ call: string; answer: Answer }[]> {
  const dir = path.join(cacheDirectory(), 'runs/command-lines', side)
  const d = new Deployment(dir, { registrar: side, verifier: side, tenant: side, agent: 'ours' })
  try {
    await d.start()
    const machine = await d.machine()
    const files = { secret: 'x', 'policy.json': runtimePolicy(), 'broken.json': '{', 'state.json': '{}' }
    for (const [name, text] of Object.entries(files)) fs.writeFileSync(d.at('tenant', name), text)
    const { verifier, registrarTls } = d.ports
    const names = new Map([
      [String(verifier), '8881'],
      [String(registrarTls), '8891'],
      [String(machine.port), '9002'],
    ])
    const answers = []
    for (const args of tenantCalls(machine)) {
      const call = ['keylime_tenant', ...args].map((word) => names.get(word) ?? word).join(' ')
      answers.push({ call, answer: readAnswer(await d.run('keylime_tenant', args), names) })
    }
    return answers
  } finally {
    await stopAll()
  }
}

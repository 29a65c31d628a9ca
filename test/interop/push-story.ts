import { once } from 'node:events'
import fs from 'node:fs'
import type { IncomingMessage } from 'node:http'
import https from 'node:https'
import { text } from 'node:stream/consumers'
import { runtimePolicy } from '../ima.ts'
import type { Deployment } from './deployment.ts'
import { digestOf, type Machine } from './machine.ts'
import { must, type Step } from './story.ts'

const POLICY = 'interop-push-policy'
const KNOWN = ['boot_aggregate', '/usr/bin/tool-1', '/usr/bin/tool-2', '/usr/bin/tool-3', '/usr/bin/tool-4']

/** The life of a machine that nobody can call: enrolment, a list that grows, a verifier that restarts, a policy that is broken. */
export const PUSH_STORY: readonly Step[] = [
  { name: 'start', run: start },
  { name: 'static policy', run: staticPolicy },
  { name: 'runtime policy by name, list grows', run: growingList },
  { name: 'restart of the verifier', run: restartedVerifier },
  { name: 'unknown file', run: unknownFile },
]

const machineOf = (d: Deployment) => d.machines[0]!

async function start(d: Deployment): Promise<void> {
  await d.start()
  await d.machine()
}

async function staticPolicy(d: Deployment): Promise<void> {
  const machine = machineOf(d)
  await enrol(d, machine, '--tpm_policy', JSON.stringify({ 15: [await machine.pcr(15)] }))
  await passes(d, machine, 3)
  await machine.tpm.extendPcr(15, Buffer.alloc(32, 1))
  await fails(d, machine)
  await forget(d, machine)
}

async function growingList(d: Deployment): Promise<void> {
  const machine = machineOf(d)
  const digests = Object.fromEntries(KNOWN.map((file) => [file, [digestOf(file)]]))
  fs.writeFileSync(d.at('tenant/policy.json'), runtimePolicy({ digests }))
  await must(d, 'keylime_tenant', ['-c', 'addruntimepolicy', '--runtime-policy-name', POLICY, '--runtime-policy', 'policy.json'])
  await enrol(d, machine, '--runtime-policy-name', POLICY)
  await passes(d, machine, 2)
  await machine.measure('/usr/bin/tool-3')
  await passes(d, machine, (await countOf(d, machine)) + 2)
  const before = fs.readFileSync(machine.imaLog, 'utf8').split('\n').length - 1
  await d.until('the verifier to ask for what is new alone', 20, async () => {
    const offset = await lastOffset(d, machine)
    return offset !== null && offset >= before
  })
  await machine.measure('/usr/bin/tool-4')
  await passes(d, machine, (await countOf(d, machine)) + 2)
}

async function restartedVerifier(d: Deployment): Promise<void> {
  const machine = machineOf(d)
  const before = await countOf(d, machine)
  await d.restartVerifier()
  await passes(d, machine, before + 2)
}

async function unknownFile(d: Deployment): Promise<void> {
  const machine = machineOf(d)
  await machine.measure('/usr/bin/evil')
  await fails(d, machine)
  await forget(d, machine)
}

const enrol = (d: Deployment, machine: Machine, ...args: string[]) =>
  must(d, 'keylime_tenant', ['-c', 'add', '--push-model', '-u', machine.id, ...args])

async function forget(d: Deployment, machine: Machine): Promise<void> {
  await must(d, 'keylime_tenant', ['-c', 'delete', '--push-model', '-u', machine.id])
  await d.until('the verifier to forget the machine', 20, async () => (await d.status(machine)) === null)
}

const countOf = async (d: Deployment, machine: Machine): Promise<number> => (await d.status(machine))?.attestation_count ?? 0

const passes = (d: Deployment, machine: Machine, count: number) =>
  d.until(`${count} good attestations`, 40, async () => {
    const status = await d.status(machine)
    if (status?.['attestation_status'] === 'FAIL') throw new Error(`the machine failed: ${JSON.stringify(status)}`)
    return (status?.attestation_count ?? 0) >= count
  })

const fails = (d: Deployment, machine: Machine) =>
  d.until('the machine to fail', 30, async () => (await d.status(machine))?.['attestation_status'] === 'FAIL')

/** Where the measurement list of the last attestation began; null when none was asked for. Answers of API 3.0 have no envelope. */
async function lastOffset(d: Deployment, { id }: Machine): Promise<number | null> {
  const read = (name: string) => fs.readFileSync(d.at('verifier/cv_ca', name))
  const connection = {
    ca: read('cacert.crt'),
    cert: read('client-cert.crt'),
    key: read('client-private.pem'),
    checkServerIdentity: () => undefined,
  }
  const asked = https.get(`https://127.0.0.1:${d.ports.verifier}/v3.0/agents/${id}/attestations/latest`, { ...connection, agent: false })
  const [answer] = (await once(asked, 'response')) as [IncomingMessage]
  const found = /"starting_offset": ?(\d+)/.exec(await text(answer))
  return found ? Number(found[1]) : null
}

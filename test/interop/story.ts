import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { runtimePolicy } from '../ima.ts'
import { machineFile } from '../machines.ts'
import type { Deployment, Side } from './deployment.ts'
import { digestOf, type Machine } from './machine.ts'

/** One thing that must work between the roles. It throws when it does not. */
export interface Step {
  name: string
  run(d: Deployment): Promise<void>
  /** Releases before 7.12 have no measured boot policies with names. */
  needsNamedBootPolicies?: boolean
}

const FAILED = 9
const ATTESTED = 5
const SECRET = 'the secret of this cell\n'
const POLICY = 'interop-policy'
const REFERENCE_STATE = 'interop-boot'

/** The life of two machines, in the order of an operator's day: every kind of payload and of policy, and what happens when one is broken. */
export const STORY: readonly Step[] = [
  { name: 'start', run: start },
  { name: 'single file', run: singleFile },
  { name: 'prepared payload (-k, -p)', run: preparedPayload },
  { name: 'certificate package, CA directory of the other side', run: foreignAuthority },
  { name: 'runtime policy by name', run: namedRuntimePolicy },
  { name: 'measured boot policy by name', run: namedBootPolicy, needsNamedBootPolicies: true },
  { name: 'static policy, tampering, revocation', run: tampering },
]

/** Of the two machines; they are there after `start`. */
const first = (d: Deployment) => d.machines[0]!

async function start(d: Deployment): Promise<void> {
  await d.start()
  await d.machine()
  await d.machine()
}

async function singleFile(d: Deployment): Promise<void> {
  fs.writeFileSync(d.at('tenant/secret'), SECRET)
  await add(d, first(d), '-f', 'secret', '--verify')
  await payloadArrives(d, first(d))
  await attested(d, first(d))
  await forget(d, first(d))
}

async function preparedPayload(d: Deployment): Promise<void> {
  fs.rmSync(first(d).secret('decrypted_payload')!)
  await must(d, 'keylime_userdata_encrypt', ['secret'])
  await add(d, first(d), '-k', 'content_keys.txt', '-p', 'content_payload.txt')
  await payloadArrives(d, first(d))
  await forget(d, first(d))
}

/** The authority was made by the other side's `keylime_ca`; its keys are read, and certificates issued, by the tenant. */
async function foreignAuthority(d: Deployment): Promise<void> {
  const other: Side = d.sides.tenant === 'ours' ? 'theirs' : 'ours'
  const { code, stdout, stderr } = await d.run('keylime_ca', ['-c', 'init', '-d', 'other-ca'], other)
  if (code !== 0) throw new Error(`keylime_ca -c init: exit ${code}\n${stdout}${stderr}`)
  writeInclude(d)
  await add(d, first(d), '--cert', 'other-ca', '--include', 'include')
  await packageArrives(d, first(d))
  const certificate = `${first(d).unzipped}/${first(d).id}-cert.crt`
  execFileSync('openssl', ['verify', '-CAfile', d.at('tenant/other-ca/cacert.crt'), certificate], { stdio: 'pipe' })
  await forget(d, first(d))
}

async function namedRuntimePolicy(d: Deployment): Promise<void> {
  const machine = first(d)
  const files = ['boot_aggregate', '/usr/bin/tool-1', '/usr/bin/tool-2', '/usr/bin/tool-3']
  const digests = Object.fromEntries(files.map((file) => [file, [digestOf(file)]]))
  fs.writeFileSync(d.at('tenant/policy.json'), runtimePolicy({ digests }))
  await must(d, 'keylime_tenant', ['-c', 'addruntimepolicy', '--runtime-policy-name', POLICY, '--runtime-policy', 'policy.json'])
  const shown = await must(d, 'keylime_tenant', ['-c', 'showruntimepolicy', '--runtime-policy-name', POLICY])
  if (!shown.includes(POLICY)) throw new Error(`showruntimepolicy does not tell the name:\n${shown}`)
  await add(d, machine, '-f', 'secret', '--runtime-policy-name', POLICY)
  await attested(d, machine, 2)
  await machine.measure('/usr/bin/tool-3')
  await attested(d, machine, (await d.status(machine))!.attestation_count + 2)
  await machine.measure('/usr/bin/evil')
  await fails(d, machine, 'ima.validation.ima-ng.not_in_allowlist')
  await forget(d, machine)
  await must(d, 'keylime_tenant', ['-c', 'deleteruntimepolicy', '--runtime-policy-name', POLICY])
}

async function namedBootPolicy(d: Deployment): Promise<void> {
  const machine = first(d)
  fs.writeFileSync(d.at('tenant/boot.bin'), machineFile('secure-boot-ima-ng', 'uefi.bin'))
  await must(d, 'keylime-policy', ['create', 'measured-boot', '-e', 'boot.bin', '-o', 'boot.json'])
  await must(d, 'keylime_tenant', ['-c', 'addmbpolicy', '--mb-policy-name', REFERENCE_STATE, '--mb-policy', 'boot.json'])
  await add(d, machine, '-f', 'secret', '--mb-policy-name', REFERENCE_STATE)
  await attested(d, machine, 2)
  await machine.tpm.extendPcr(4, Buffer.alloc(32, 1))
  await fails(d, machine, /^(measured_boot|pcr_validation)\..*pcr_?4/)
  await forget(d, machine)
  await must(d, 'keylime_tenant', ['-c', 'deletembpolicy', '--mb-policy-name', REFERENCE_STATE])
}

/** Both machines have certificates; the first one's PCR 15 changes: it fails, and the second acts upon its revocation. */
async function tampering(d: Deployment): Promise<void> {
  const [broken, peer] = d.machines as [Machine, Machine]
  for (const machine of [broken, peer]) {
    fs.rmSync(machine.unzipped, { recursive: true, force: true })
    await add(d, machine, '--cert', 'ca', '--include', 'include', '--tpm_policy', JSON.stringify({ 15: [await machine.pcr(15)] }))
  }
  for (const machine of [broken, peer]) {
    await packageArrives(d, machine)
    await attested(d, machine)
  }
  await broken.tpm.extendPcr(15, Buffer.alloc(32, 1))
  await fails(d, broken, 'pcr_validation.invalid_pcr_15')
  const told = await d.until('the peer to act upon the revocation', 20, () => readJson(`${peer.unzipped}/revoked.json`))
  const data = JSON.parse(String(told['meta_data'])) as { subject?: string; cert_serial?: number }
  if (told['agent_id'] !== broken.id || !data.subject?.includes(broken.id) || !data.cert_serial)
    throw new Error(`the revocation does not name ${broken.id} and its certificate: ${JSON.stringify(told)}`)
  const before = (await d.status(peer))!.attestation_count
  await attested(d, peer, before + 2)
}

export async function must(d: Deployment, program: string, args: string[]): Promise<string> {
  const { code, stdout, stderr } = await d.run(program, args)
  if (code !== 0) throw new Error(`${program} ${args.join(' ')}: exit ${code}\n${stdout}${stderr}\n${d.logs()}`)
  return stdout + stderr
}

const add = (d: Deployment, machine: Machine, ...args: string[]) => {
  const place = ['-t', '127.0.0.1', '-tp', String(machine.port)]
  return must(d, 'keylime_tenant', ['-c', 'add', ...place, '-u', machine.id, ...args])
}

async function forget(d: Deployment, machine: Machine): Promise<void> {
  await must(d, 'keylime_tenant', ['-c', 'delete', '-u', machine.id])
  await d.until('the verifier to forget the machine', 20, async () => (await d.status(machine)) === null)
}

const payloadArrives = (d: Deployment, machine: Machine) =>
  d.until('the payload', 20, () => {
    const file = machine.secret('decrypted_payload')
    return file !== undefined && fs.readFileSync(file, 'utf8') === SECRET
  })

const packageArrives = (d: Deployment, machine: Machine) =>
  d.until('autorun.sh of the package to run', 20, () => fs.existsSync(`${machine.unzipped}/autorun.stamp`))

const attested = (d: Deployment, machine: Machine, count = ATTESTED) =>
  d.until(`${count} good attestations`, 30, async () => {
    const status = await d.status(machine)
    if (status?.operational_state === FAILED) throw new Error(`the machine failed: ${status.last_event_id}`)
    return (status?.attestation_count ?? 0) >= count
  })

async function fails(d: Deployment, machine: Machine, event: string | RegExp): Promise<void> {
  const status = await d.until('the machine to fail', 30, async () => {
    const status = await d.status(machine)
    return status?.operational_state === FAILED ? status : undefined
  })
  const id = String(status.last_event_id)
  if (typeof event === 'string' ? id !== event : !event.test(id)) throw new Error(`failed by ${id}, where ${event} was expected`)
}

function writeInclude(d: Deployment): void {
  const file = (name: string, text: string, mode = 0o644) => fs.writeFileSync(d.at('tenant/include', name), text, { mode })
  fs.mkdirSync(d.at('tenant/include'), { recursive: true })
  file('autorun.sh', '#!/bin/sh\ntouch autorun.stamp\n', 0o755)
  const alone = d.sides.agent === 'rust' // it starts actions as programs, by their whole names
  file('action_list', alone ? 'local_action_note.py\n' : 'local_action_note\n')
  const action = `#!/usr/bin/env python3
import asyncio, json, os, sys

async def execute(event):
    place = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(place, "revoked.new"), "w", encoding="utf-8") as file:
        json.dump(event, file)
    os.rename(os.path.join(place, "revoked.new"), os.path.join(place, "revoked.json"))

if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        asyncio.run(execute(json.load(file)))
`
  file('local_action_note.py', action, 0o755)
}

function readJson(file: string): Record<string, unknown> | undefined {
  return fs.existsSync(file) ? (JSON.parse(fs.readFileSync(file, 'utf8')) as Record<string, unknown>) : undefined
}

import { setTimeout as sleep } from 'node:timers/promises'
import { KeylimeError } from '../../core/errors.ts'
import { registrationTag } from '../../core/payload/auth-tag.ts'
import type { ApiClient } from '../../io/http/api-client.ts'
import type { LabMaker } from './machine-certificates.ts'
import { activateCredential, type MachineEk, machineEk } from './machine-ek.ts'

const ASKED_TOO_OFTEN = 429
const MAX_WAITS = 60

/** Where machines register, and whose TPMs they have. */
export interface LabRegistrar {
  /** Its listener for agents, and the one for tenants. */
  readonly agents: ApiClient
  readonly tenants: ApiClient
  readonly maker: LabMaker
}

/** A machine of the fleet. */
export interface Unregistered {
  readonly id: string
  /** TPM2B_PUBLIC of its attestation key. */
  readonly ak: Buffer
  readonly ip: string
  readonly port: number
  /** PEM. */
  readonly certificate: string
}

/** The same with its endorsement key, and with what it sends. */
export interface Registering {
  readonly id: string
  readonly ak: Buffer
  readonly ek: MachineEk
  readonly body: object
}

/** What a registrar says of a machine, as a tenant asks it before it enrols one. */
export interface Registered {
  readonly ak: string
  readonly certificate: string
}

/** Makes what a machine has before it first starts: an endorsement key of its own, and its maker's certificate for it. */
export function readyToRegister({ id, ak, ip, port, certificate: mtls_cert }: Unregistered, maker: LabMaker): Registering {
  const ek = machineEk()
  const ekcert = maker.certify(ek.publicKey).toString('base64')
  return { id, ak, ek, body: { ek_tpm: ek.public.toString('base64'), ekcert, aik_tpm: ak.toString('base64'), ip, port, mtls_cert } }
}

/** Registers a machine as its agent does: its endorsement key answers the registrar's challenge. @throws KeylimeError `unavailable` when it is not accepted. */
export async function registerMachine({ id, ak, ek, body }: Registering, agents: ApiClient): Promise<void> {
  const path = pathOf(id)
  const { blob } = (await taken(id, () => agents.request('POST', path, { body }))) as { blob: string }
  const auth_tag = registrationTag(activateCredential(ek, ak, Buffer.from(blob, 'base64')), id)
  await taken(id, () => agents.request('PUT', path, { body: { auth_tag } }))
}

/** What the registrar has of a machine. @throws KeylimeError `unavailable` when it has nothing. */
export async function registeredMachine(id: string, tenants: ApiClient): Promise<Registered> {
  const found = (await taken(id, () => tenants.request('GET', pathOf(id)))) as { aik_tpm: string; mtls_cert: string }
  return { ak: found.aik_tpm, certificate: found.mtls_cert }
}

const pathOf = (id: string) => `/v2.6/agents/${id}`

/** A whole fleet asks from one address here, which a registrar bounds: it waits when it is told to, as agents do. */
async function taken(id: string, ask: () => ReturnType<ApiClient['request']>): Promise<unknown> {
  let { status, message, results } = await ask()
  for (let waits = 0; status === ASKED_TOO_OFTEN && waits < MAX_WAITS; waits++) {
    await sleep(1000)
    ;({ status, message, results } = await ask())
  }
  if (status < 300) return results
  throw new KeylimeError('unavailable', `the registrar did not accept ${id}: ${status} ${message}`)
}

import { setTimeout as sleep } from 'node:timers/promises'
import { KeylimeError } from '../../core/errors.ts'
import { registrationTag } from '../../core/payload/auth-tag.ts'
import type { ApiClient } from '../../io/http/api-client.ts'
import type { LabMaker } from './machine-certificates.ts'
import { activateCredential, machineEk } from './machine-ek.ts'

const ASKED_TOO_OFTEN = 429
const MAX_WAITS = 60

/** Where machines register, and whose TPMs they have. */
export interface LabRegistrar {
  /** Its listener for agents, and the one for tenants. */
  readonly agents: ApiClient
  readonly tenants: ApiClient
  readonly maker: LabMaker
}

/** A machine as it registers. */
export interface Registering {
  readonly id: string
  /** TPM2B_PUBLIC of its attestation key. */
  readonly ak: Buffer
  readonly ip: string
  readonly port: number
  /** PEM. */
  readonly certificate: string
}

/** What a registrar says of a machine, as a tenant asks it before it enrols one. */
export interface Registered {
  readonly ak: string
  readonly certificate: string
}

/**
 * Registers a machine as its agent does: with an endorsement key of its own, which answers the registrar's challenge.
 * @returns what the registrar has of it. @throws KeylimeError `unavailable` when it does not accept it.
 */
export async function registerMachine({ id, ak, ...rest }: Registering, { agents, tenants, maker }: LabRegistrar): Promise<Registered> {
  const ek = machineEk()
  const path = `/v2.6/agents/${id}`
  const { ip, port, certificate: mtls_cert } = rest
  const keys = {
    ek_tpm: ek.public.toString('base64'),
    ekcert: maker.certify(ek.publicKey).toString('base64'),
    aik_tpm: ak.toString('base64'),
  }
  const body = { ...keys, ip, port, mtls_cert }
  const { blob } = (await taken(id, () => agents.request('POST', path, { body }))) as { blob: string }
  const auth_tag = registrationTag(activateCredential(ek, ak, Buffer.from(blob, 'base64')), id)
  await taken(id, () => agents.request('PUT', path, { body: { auth_tag } }))
  const found = (await taken(id, () => tenants.request('GET', path))) as { aik_tpm: string; mtls_cert: string }
  return { ak: found.aik_tpm, certificate: found.mtls_cert }
}

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

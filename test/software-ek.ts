import { registrationTag } from '../src/core/payload/auth-tag.ts'
import { openApiClient } from '../src/io/http/api-client.ts'
import { activateCredential, type MachineEk, machineEk } from '../src/tools/lab/machine-ek.ts'
import type { SimulatedAgent } from './simulated-agent.ts'

export { activateCredential, machineEk as softwareEk }
export type SoftwareEk = MachineEk

interface Registering {
  machine: SimulatedAgent
  ek: SoftwareEk
  ip?: string
}
interface Told {
  status: number
  message: string
}

/** Asks a real registrar for a challenge. @returns how it is answered, or why there is none. */
export async function askToRegister(
  port: number,
  id: string,
  { machine, ek, ip = '127.0.0.1' }: Registering,
): Promise<Told & { answer(): Promise<Told> }> {
  const request = async (method: 'POST' | 'PUT', body: object) => {
    const client = openApiClient({ url: `http://127.0.0.1:${port}`, name: 'registrar', timeoutSeconds: 30 })
    try {
      return await client.request(method, `/v2.6/agents/${id}`, { body })
    } finally {
      await client.close()
    }
  }
  const { status, message, results } = await request('POST', {
    ek_tpm: ek.public.toString('base64'),
    aik_tpm: machine.ak.public.toString('base64'),
    ip,
    port: machine.port,
    mtls_cert: machine.certificate,
  })
  return {
    status,
    message,
    async answer() {
      const secret = activateCredential(ek, machine.ak.public, Buffer.from((results as { blob: string }).blob, 'base64'))
      return request('PUT', { auth_tag: registrationTag(secret, id) })
    },
  }
}

/** Registers a simulated machine, as an agent does. @returns the status and text of the step that was refused, or 200. */
export async function registerMachine(port: number, id: string, registering: Registering): Promise<Told> {
  const asked = await askToRegister(port, id, registering)
  return asked.status === 200 ? asked.answer() : asked
}

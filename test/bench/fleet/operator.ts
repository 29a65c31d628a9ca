// An operator who changes a policy, in a process of his own: the machines that are simulated in another one do not make him wait. Told what to send by his parent (`once-parts.ts`).
import { type ApiClientOptions, openApiClient } from '../../../src/io/http/api-client.ts'

export interface PolicyChange {
  verifier: ApiClientOptions
  path: string
  /** Policies, which are stored one after the other. */
  policies: string[]
}

/** Milliseconds from a request to its answer, by when every machine is judged by the new policy. */
export type Took = number[]

process.once('message', async ({ verifier, path, policies }: PolicyChange) => {
  const client = openApiClient(verifier)
  const took: Took = []
  for (const policy of policies) {
    const began = performance.now()
    const { status, message } = await client.request('PUT', path, { body: { runtime_policy: Buffer.from(policy).toString('base64') } })
    if (status !== 201) throw new Error(`the policy is not changed: ${status} ${message}`)
    took.push(performance.now() - began)
  }
  await client.close()
  process.send!(took, () => process.disconnect())
})

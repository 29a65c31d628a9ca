import { z } from 'zod'

const id = z.string().max(255)

/** `results` of a list of agents: the registrar gives ids, the verifier rows of one id each (protocol 2.11, 3.1). */
export const agentIds = z
  .object({
    uuids: z
      .array(z.union([id, z.array(id).max(1)]))
      .max(1_000_000)
      .nullish(),
  })
  .transform(({ uuids }) => (uuids ?? []).flat())
export type AgentIds = z.input<typeof agentIds>

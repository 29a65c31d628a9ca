import { z } from 'zod'
import { isAgentId } from './agent-id.ts'
import { UNKNOWN_TPM } from './unknown-tpm.ts'

const agentId = z.string().refine(isAgentId, 'is not an id of an agent')

/** Texts of operators, shown in tables. */
export const MAX_NOTE = 200

/** `POST /v2.x/expected` at the registrar, our own: a TPM that may register. Exactly one of `ek_hash` and `serial`. */
export const expectationRequest = z
  .object({
    ek_hash: z.string().max(200).optional(),
    serial: z.string().max(200).optional(),
    agent_id: agentId.optional(),
    note: z.string().max(MAX_NOTE).optional(),
  })
  .refine(({ ek_hash, serial }) => (ek_hash === undefined) !== (serial === undefined), 'needs either ek_hash or serial')

const expectedTpm = z.object({
  ek_hash: z.string().max(64).nullable(),
  serial: z.string().max(64).nullable(),
  verdict: z.enum(['expected', 'refused']),
  agent_id: z.string().max(255).nullable(),
  note: z.string().max(1000),
  since: z.string().max(64),
  by: z.string().max(255),
})
export type ExpectedTpmView = z.output<typeof expectedTpm>

/** `results` of `GET /v2.x/expected`. */
export const expectedTpms = z.object({ expected: z.array(expectedTpm).max(1_000_000), unknown_tpm: z.enum(UNKNOWN_TPM) })
export type ExpectedTpms = z.output<typeof expectedTpms>

const waitingMachine = z.object({
  agent_id: z.string().max(255),
  ek_hash: z.string().max(64),
  /** Of the EK certificate; null without one. */
  serial: z.string().max(64).nullable(),
  /** Null when no maker in the registrar's `tpm_cert_store` vouches for the TPM. */
  maker: z.string().max(1000).nullable(),
  ip: z.string().max(255).nullable(),
  since: z.string().max(64),
})
export type WaitingMachine = z.output<typeof waitingMachine>

/** `results` of `GET /v2.x/waiting`: machines whose TPM has proved itself, and that wait for an operator. */
export const waitingMachines = z.object({ waiting: z.array(waitingMachine).max(1_000_000), unknown_tpm: z.enum(UNKNOWN_TPM) })
export type WaitingMachines = z.output<typeof waitingMachines>

/** `PUT /v2.x/agents/:id/approve` and `…/refuse`: which one, when several TPMs wait for the id. */
export const waitingDecision = z.object({ ek_hash: z.string().max(200).optional() }).optional()

/** `results` of it. */
export const decidedMachine = z.object({ agent_id: z.string().max(255), ek_hash: z.string().max(64) })
export type DecidedMachine = z.output<typeof decidedMachine>

import { z } from 'zod'
import { readHost } from './host.ts'
import { portNumber } from './port-number.ts'

const PEM_OR_BASE64 = z.string().max(65_536)
/** Ten times a real one: what registers is kept before anybody has proved anything. */
const REGISTERED_CERTIFICATE = z.string().max(16_384)

/** Binary fields come as base64, or as hex with or without `0x` (protocol 2.6). */
export const binary = z
  .string()
  .max(16_384)
  .transform((text, context): Buffer => {
    if (/^(0x)?[0-9a-fA-F]+$/.test(text) && text.replace(/^0x/, '').length % 2 === 0) return Buffer.from(text.replace(/^0x/, ''), 'hex')
    if (/^[A-Za-z0-9+/\s]+={0,2}\s*$/.test(text)) return Buffer.from(text, 'base64')
    context.addIssue({ code: 'custom', message: 'is neither base64 nor hex' })
    return z.NEVER
  })

/** What a registrar hands to tenants and verifiers: a host name or an address, without brackets. */
const host = z
  .string()
  .max(255)
  .transform((text, context): string => {
    const reading = readHost(text)
    if ('host' in reading) return reading.host
    context.addIssue({ code: 'custom', message: `it ${reading.defect}` })
    return z.NEVER
  })

const absentWhenEmpty = <T extends z.ZodType>(schema: T) =>
  z.preprocess((value) => (value === '' || value === null ? undefined : value), schema.optional())

/** `POST /v2.x/agents/:id`, agent to registrar (protocol 2.6). Unknown fields are dropped. */
export const registrationRequest = z.object({
  aik_tpm: binary,
  ek_tpm: absentWhenEmpty(binary),
  ekcert: absentWhenEmpty(REGISTERED_CERTIFICATE),
  ip: absentWhenEmpty(host),
  port: absentWhenEmpty(portNumber),
  mtls_cert: absentWhenEmpty(REGISTERED_CERTIFICATE),
  iak_tpm: absentWhenEmpty(binary),
  iak_cert: absentWhenEmpty(REGISTERED_CERTIFICATE),
  idevid_tpm: absentWhenEmpty(binary),
  idevid_cert: absentWhenEmpty(REGISTERED_CERTIFICATE),
  iak_attest: absentWhenEmpty(binary),
  iak_sign: absentWhenEmpty(binary),
})
export type RegistrationRequest = z.infer<typeof registrationRequest>

export const activationRequest = z.object({ auth_tag: z.string().regex(/^[0-9a-fA-F]{96}$/, 'must be 96 hex digits') })

const numberOrDigits = z.union([
  z.number().int(),
  z
    .string()
    .regex(/^\d{1,10}$/)
    .transform(Number),
])

/** `results` of `GET /v2.x/agents/:id` at the registrar (protocol 2.11). */
export const registeredAgent = z.object({
  agent_id: z.string().max(255).nullish(),
  aik_tpm: z.string().max(16_384),
  ek_tpm: z.string().max(16_384).nullish(),
  ekcert: PEM_OR_BASE64.nullish(),
  mtls_cert: PEM_OR_BASE64.nullish(),
  ip: z.string().max(255).nullish(),
  port: numberOrDigits.nullish(),
  regcount: numberOrDigits.nullish(),
  /** Our registrar: other ids of the same TPM, where that is allowed and so. */
  shares_tpm_with: z.array(z.string().max(255)).max(1000).optional(),
})
export type RegisteredAgent = z.infer<typeof registeredAgent>

/** What a registrar of ours sends: every member of upstream's. */
export type FullRegisteredAgent = Required<Omit<z.input<typeof registeredAgent>, 'shares_tpm_with'>> &
  Pick<z.input<typeof registeredAgent>, 'shares_tpm_with'>

/** `results` of a registration: the challenge for the TPM (protocol 2.9). */
export const registrationChallenge = z.object({ blob: z.string().max(16_384) })
export type RegistrationChallenge = z.input<typeof registrationChallenge>

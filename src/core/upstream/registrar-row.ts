import { z } from 'zod'
import { parseAgentId } from '../api/agent-id.ts'
import { parseMessage } from '../api/parse-message.ts'
import { binary, registrationRequest } from '../api/registrar.ts'
import type { AgentRecord } from '../identity/agent-record.ts'
import { judgeRegistration } from '../identity/judge-registration.ts'
import { parseCertificates, toPem } from '../pki/certificate.ts'
import { sameKey } from '../pki/keys.ts'
import { parsePublicArea } from '../tpm/public-area.ts'

const text = z
  .string()
  .nullish()
  .transform((value) => value ?? '')
/** 1 or 0 in SQLite; releases before 7.13 have a number in PostgreSQL, too. */
const truth = z.union([z.boolean(), z.coerce.number()]).transform(Boolean)

/** Columns of `registrarmain` (protocol 2.11) that mean something here; releases before lack some. */
const row = z.looseObject({
  agent_id: z.string(),
  ek_tpm: text,
  ekcert: text,
  aik_tpm: text,
  iak_tpm: text,
  iak_cert: text,
  idevid_tpm: text,
  idevid_cert: text,
  active: truth,
  ip: text,
  port: z.union([z.string(), z.number()]).nullish(),
  mtls_cert: text,
  regcount: z.coerce.number().int().min(0).nullish(),
})

/**
 * A registration as upstream's registrar has it, judged as one that an agent sends. That its TPM has proved itself is upstream's word (`active`); so is what a device identity says of the AK.
 * @param now milliseconds since the epoch. @throws Error for a row that cannot be used, which says why.
 */
export function upstreamRegistration(given: unknown, now: number): AgentRecord {
  const read = row.parse(given)
  const agentId = parseAgentId(read.agent_id)
  if (!read.active) throw new Error('its TPM has not proved itself: the agent registers again on its own')
  const { ek_tpm, ekcert, aik_tpm, ip, port } = read
  const shown = {
    ek_tpm,
    ekcert,
    aik_tpm,
    ip,
    port: port === null || port === '' ? undefined : Number(port),
    mtls_cert: pemOf(read.mtls_cert),
  }
  const rules = { identity: 'default', malformed: 'ignore', store: [], now } as const
  const { record } = judgeRegistration(agentId, parseMessage(registrationRequest, shown, 'the row'), rules)
  return { ...record, ...deviceOf(read), regcount: Math.max(1, read.regcount ?? 1) }
}

/** Upstream keeps certificates as DER in base64. */
function pemOf(given: string): string {
  if (given === '' || given === 'disabled' || given.includes('-----BEGIN')) return given
  return parseCertificates(given).map(({ der }) => toPem(der))[0] ?? ''
}

type Device = Pick<AgentRecord, 'iak' | 'iakCertificate' | 'idevid' | 'idevidCertificate'>

function deviceOf({ iak_tpm, iak_cert, idevid_tpm, idevid_cert }: z.infer<typeof row>): Device {
  const iak = keyAndCertificate('IAK', iak_tpm, iak_cert)
  const idevid = keyAndCertificate('IDevID', idevid_tpm, idevid_cert)
  return { iak: iak.key, iakCertificate: iak.certificate, idevid: idevid.key, idevidCertificate: idevid.certificate }
}

function keyAndCertificate(name: string, keyText: string, certificateText: string): { key: Buffer | null; certificate: Buffer | null } {
  if (keyText === '') return { key: null, certificate: null }
  const key = binary.parse(keyText)
  const [certificate] = parseCertificates(certificateText)
  if (certificate && !sameKey(certificate.publicKey, parsePublicArea(key).key))
    throw new Error(`its ${name} is not the key of its certificate`)
  return { key, certificate: certificate?.der ?? null }
}

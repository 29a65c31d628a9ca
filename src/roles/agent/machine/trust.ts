import fs from 'node:fs'
import { isKeylimeError } from '../../../core/errors.ts'
import { withVerifiers } from '../../../core/pki/authorized-clients.ts'
import { Problems } from '../../../core/problems.ts'
import { systemClock } from '../../../io/clock.ts'
import { certificateDates, checkDates, type FileDates, type FoundDates } from '../../../io/files/identity-dates.ts'
import { readTextSync } from '../../../io/files/read-file.ts'
import { type ClientCheck, openClientCheck } from '../../../io/http/client-check.ts'
import { type Logger, warningsInto } from '../../../io/log/logger.ts'
import type { AgentSettings } from '../agent-settings.ts'
import { type FollowedState as Followed, readFollowed, withoutDropped } from '../authorities/followed-authorities.ts'

/** Whom the agent believes. */
export interface Trust {
  /** Who may call it: the CAs, PEM, and what else counts; null without TLS. */
  clients: { ca: string[]; check: ClientCheck } | null
  /** Whose operators may order deliveries; null for nobody's: an agent that brings its evidence does without the file. */
  operators: ClientCheck | null
  /** CAs of the registrar, PEM; none when it is reached without TLS. */
  registrar: string[]
  /** CAs of the verifier that the agent brings its evidence to, PEM; none for an agent that is asked. */
  verifier: string[]
  /** What each file said. */
  texts: TrustTexts
}

/** By file: what was read while the agent was root counts on for a file that it may not read any more. */
export type TrustTexts = ReadonlyMap<string, string>

/**
 * Reads them all. While the agent is root still: a copied file often can be read by root alone. @param before what such files said then.
 * @throws KeylimeError `config_invalid`.
 */
export function readTrust(settings: AgentSettings, logger: Logger, before?: TrustTexts): Trust {
  const { values, paths } = settings
  const followed = readFollowed(paths.followed)
  const problems = new Problems()
  const texts = new Map(
    trustedFiles(settings, before).map(({ option, file }) => [file, problems.take(() => readTrusted(file, option, before)) ?? '']),
  )
  problems.refuse()
  const known = (file: string) => [withoutDropped(texts.get(file)!, followed), ...followed.added].filter((pem) => pem !== '')
  const clients = paths.trustedClientCa.some((file) => texts.has(file)) ? clientsOf(paths, texts, followed, logger) : null
  return {
    clients: servesTls(settings) ? clients : null,
    operators: clients?.check ?? null,
    registrar: values.registrar_tls_enabled ? known(paths.registrarCa) : [],
    verifier: verifiesVerifier(settings) ? known(paths.verifierCa) : [],
    texts,
  }
}

const servesTls = ({ push, values }: AgentSettings): boolean => push === null && values.enable_agent_mtls

const verifiesVerifier = ({ push, values }: AgentSettings): boolean => push !== null && !values.tls_accept_invalid_certs

function clientsOf(paths: AgentSettings['paths'], texts: TrustTexts, followed: Followed, logger: Logger): NonNullable<Trust['clients']> {
  const known = paths.trustedClientCa.filter((file) => texts.has(file))
  const files = known.map((file) => ({ file, pem: texts.get(file)! }))
  const added = followed.added.map((pem) => ({ file: paths.followed, pem }))
  const named = files.map(({ file, pem }) => ({ file, pem: followed.dropped.length > 0 ? withoutDropped(pem, followed) : pem }))
  const trusted = [...named.filter(({ pem }) => pem !== '' || added.length === 0), ...added]
  const options = { trusted, listsOf: [...files, ...added], revocationLists: paths.trustedClientCrl }
  const check = openClientCheck({ ...options, authorized: withVerifiers([{ kind: 'default' }]), now: systemClock.now, logger })
  return { ca: trusted.map(({ pem }) => pem), check }
}

function readTrusted(file: string, option: string, before?: TrustTexts): string {
  const hint = "copy cv_ca/cacert.crt from the verifier's machine to the same place here, or correct the option"
  try {
    return readTextSync(file, { option, code: 'config_invalid', hint })
  } catch (error) {
    const known = isNotAllowed(error) ? before?.get(file) : undefined
    if (known !== undefined) return known
    throw error
  }
}

const isNotAllowed = (error: unknown): boolean =>
  isKeylimeError(error) && (error.cause as NodeJS.ErrnoException | undefined)?.code === 'EACCES'

/** Of an agent that brings its evidence: it is attested, and takes no payload. */
export const NO_OPERATORS = 'trusted_client_ca: there is no CA of operators, so payloads will be refused'
export const NO_OPERATORS_HINT = 'copy cv_ca/cacert.crt from the verifier’s machine to this one, or name it in trusted_client_ca'

/** For `--check-config`: what is to be said of CAs and revocation lists. @throws KeylimeError `config_invalid` for what the start would refuse. */
export function checkTrust(settings: AgentSettings, found: FoundDates): void {
  const { operators } = readTrust(settings, warningsInto(found.warnings))
  if (settings.push && !operators) found.warnings.push(`${NO_OPERATORS} (${NO_OPERATORS_HINT})`)
  checkDates(trustDates(settings, systemClock.now()), found)
}

/** Files with CAs that the agent believes, and the option of each. Who brings its evidence needs those of operators for their orders alone, and starts without them. */
export function trustedFiles(settings: AgentSettings, before?: TrustTexts): { option: string; file: string }[] {
  const { values, paths } = settings
  const ofOperators = paths.trustedClientCa.filter(
    (file) => servesTls(settings) || (settings.push && (before?.has(file) || fs.existsSync(file))),
  )
  return [
    ...ofOperators.map((file) => ({ option: 'trusted_client_ca', file })),
    ...(values.registrar_tls_enabled ? [{ option: 'registrar_tls_ca_cert', file: paths.registrarCa }] : []),
    ...(verifiesVerifier(settings) ? [{ option: 'verifier_tls_ca_cert', file: paths.verifierCa }] : []),
  ]
}

/** What is to be said of their dates. @throws KeylimeError `config_invalid` for one that cannot be read. */
export const trustDates = (settings: AgentSettings, now: number, before?: TrustTexts): FileDates[] =>
  trustedFiles(settings, before).flatMap(({ option, file }) =>
    certificateDates({ option, file, pem: readTrusted(file, option, before) }, now),
  )

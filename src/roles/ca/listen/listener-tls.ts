import { checkDates, type FileDates, type FoundDates, identityDates, tellDates } from '../../../io/files/identity-dates.ts'
import {
  filesOf,
  loadTlsIdentity,
  revocationListFiles,
  serverRequest,
  type TlsIdentity,
  tlsDirectory,
} from '../../../io/files/tls-identity.ts'
import { type ClientCheck, type ClientCheckOptions, openClientCheck } from '../../../io/http/client-check.ts'
import type { ServerTls } from '../../../io/http/server.ts'
import { warningsInto } from '../../../io/log/logger.ts'
import type { CaConfig } from '../open-ca.ts'

type Used = Pick<ClientCheckOptions, 'now' | 'logger'>

export interface ListenerTls {
  readonly server: ServerTls
  /** All files that it is from. */
  readonly files: readonly string[]
  dates(): FileDates[]
}

/** The certificate for `listen_tls_port`, and who may call it. What is to be said of dates goes to the log. @throws KeylimeError `config_invalid`. */
export async function listenerTls(config: CaConfig, used: Used): Promise<ListenerTls> {
  const tls = await load(config)
  const dates = () => identityDates(tls, 'server', used.now())
  tellDates(dates(), used.logger)
  return { server: { ...tls, clients: clientsOf(tls, config, used), requireCertificate: false }, files: filesOf(tls), dates }
}

/** For `--check-config`: the same without a start. @throws KeylimeError `config_invalid` for what the start would refuse. */
export async function checkListenerTls(config: CaConfig, now: () => number, found: FoundDates): Promise<void> {
  const tls = await load(config)
  checkDates(identityDates(tls, 'server', now()), found)
  clientsOf(tls, config, { now, logger: warningsInto(found.warnings) })
}

const load = ({ values, keylimeDir }: CaConfig): Promise<TlsIdentity> =>
  loadTlsIdentity(serverRequest(values, { keylimeDir, directory: tlsDirectory(values.tls_dir, keylimeDir, 'tenant') }))

function clientsOf({ trusted }: TlsIdentity, { values, keylimeDir }: CaConfig, { now, logger }: Used): ClientCheck {
  const revocationLists = revocationListFiles(values.trusted_client_crl, tlsDirectory(values.tls_dir, keylimeDir, 'tenant'))
  return openClientCheck({ trusted, revocationLists, authorized: [{ kind: 'default' }], now, logger })
}

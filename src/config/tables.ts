import { agentOptions } from './agent.ts'
import { caOptions } from './ca.ts'
import type { OptionTable } from './option.ts'
import { registrarOptions } from './registrar.ts'
import { tenantOptions } from './tenant.ts'
import { verifierOptions } from './verifier.ts'

/** Roles that have a configuration file of their own, in the order in which they are shown. */
export const CONFIGURED_ROLES = ['agent', 'verifier', 'registrar', 'tenant', 'ca'] as const

export type ConfiguredRole = (typeof CONFIGURED_ROLES)[number]

/** The options of each role: parser, files, reference pages, manual pages and `keylime config` are made of these. */
export const TABLES: Readonly<Record<ConfiguredRole, OptionTable>> = {
  agent: agentOptions,
  verifier: verifierOptions,
  registrar: registrarOptions,
  tenant: tenantOptions,
  ca: caOptions,
}

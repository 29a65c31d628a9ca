import fs from 'node:fs'
import path from 'node:path'
import { agentOptions } from '../../../src/config/agent.ts'
import { caOptions } from '../../../src/config/ca.ts'
import type { Findings } from '../../../src/config/collect-findings.ts'
import type { Component } from '../../../src/config/files.ts'
import { variableOf } from '../../../src/config/load.ts'
import type { OptionTable } from '../../../src/config/option.ts'
import { registrarOptions } from '../../../src/config/registrar.ts'
import { tenantOptions } from '../../../src/config/tenant.ts'
import { verifierOptions } from '../../../src/config/verifier.ts'
import { isKeylimeError } from '../../../src/core/errors.ts'
import { silentLogger } from '../../../src/io/log/logger.ts'
import { loadAgentSettings } from '../../../src/roles/agent/agent-settings.ts'
import { checkAgent } from '../../../src/roles/agent/check-agent.ts'
import { checkCa } from '../../../src/roles/ca/check-ca.ts'
import { startListener } from '../../../src/roles/ca/listen/start.ts'
import { openCa } from '../../../src/roles/ca/open-ca.ts'
import { checkRegistrar } from '../../../src/roles/registrar/check-registrar.ts'
import { loadRegistrarSettings } from '../../../src/roles/registrar/registrar-settings.ts'
import { startRegistrar } from '../../../src/roles/registrar/start.ts'
import { checkTenant } from '../../../src/roles/tenant/check-tenant.ts'
import { runTenantCommand } from '../../../src/roles/tenant/run-command.ts'
import { withTenant } from '../../../src/roles/tenant/start.ts'
import { loadTenantSettings } from '../../../src/roles/tenant/tenant-settings.ts'
import { checkVerifier } from '../../../src/roles/verifier/check-verifier.ts'
import { startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { temporaryKeylimeDir } from '../../servers.ts'
import { sampled } from '../../thorough.ts'

const place = temporaryKeylimeDir({ KEYLIME_CA_PASSWORD: 'x', KEYLIME_CA_LISTEN_PORT: '0', KEYLIME_TENANT_REQUEST_TIMEOUT: '2' })
afterAll(() => place.remove())

const ODD = ['', ' ', 'http://h', '1.2.3.4:99', '[::1', '-1', '9'.repeat(20), '/nowhere/x', 'a\u0001b', "['a", '(']

/** Checks, and when the check finds nothing, starts and ends. */
const roles: Record<
  Exclude<Component, 'logging'>,
  { table: OptionTable; check(env: NodeJS.ProcessEnv): Promise<Findings>; start?(env: NodeJS.ProcessEnv): Promise<unknown> }
> = {
  verifier: {
    table: verifierOptions,
    check: (env) => checkVerifier(loadVerifierSettings(env)),
    start: async (env) => (await startVerifier(loadVerifierSettings(env), silentLogger)).stop(),
  },
  registrar: {
    table: registrarOptions,
    check: (env) => checkRegistrar(loadRegistrarSettings(env)),
    start: async (env) => (await startRegistrar(loadRegistrarSettings(env), silentLogger)).stop(),
  },
  tenant: {
    table: tenantOptions,
    check: (env) => checkTenant(loadTenantSettings(env)),
    start: (env) =>
      withTenant(
        {
          options: { command: 'cvlist', wait: false, timeoutSeconds: 1, hurried: true },
          settings: loadTenantSettings(env),
          report: () => undefined,
        },
        (context) => runTenantCommand(context, 'cvlist'),
      ),
  },
  agent: { table: agentOptions, check: async (env) => checkAgent(loadAgentSettings(env)) },
  ca: {
    table: caOptions,
    check: (env) => checkCa(openCa({ directory: undefined, passwordFile: undefined }, env)),
    start: async (env) => {
      const ca = openCa({ directory: path.join(place.dir, 'cv_ca'), passwordFile: undefined }, env)
      const access = { ...(await ca.access()), password: 'x' }
      await (await startListener({ access, config: ca.config, notifier: undefined, logger: silentLogger })).stop()
    },
  },
}

beforeAll(async () => {
  await roles.verifier.start?.(place.env)
  fs.mkdirSync(path.join(place.dir, 'tpm_cert_store'), { recursive: true })
})

/** What an odd value of one option leads to: never to anything but a refusal in words. */
async function outcome(role: keyof typeof roles, env: NodeJS.ProcessEnv): Promise<string> {
  const { check, start } = roles[role]
  try {
    const { problems } = await check(env)
    if (problems.length > 0) return 'refused'
    await start?.(env)
    return 'taken'
  } catch (error) {
    if (isKeylimeError(error)) return 'refused'
    throw new Error('neither taken nor refused', { cause: error })
  }
}

describe.each(Object.keys(roles) as (keyof typeof roles)[])('%s: no odd value of an option is a bug', (role) => {
  const { table } = roles[role]
  const options = Object.keys(table).filter((name) => !table[name]!.unused)
  test.each(options)('%s', async (name) => {
    const variable = variableOf(role, name, table[name]!)
    for (const value of sampled(ODD, 3, options.indexOf(name))) {
      const env = { ...place.env, [variable]: value }
      await outcome(role, env).catch((error) => {
        throw new Error(`${variable}=${JSON.stringify(value)}: ${String((error as Error).cause)}`, { cause: error })
      })
    }
  })
})

import fs from 'node:fs/promises'
import { KeylimeError } from '../../../core/errors.ts'
import { Problems } from '../../../core/problems.ts'
import { checkPayloadOptions, collectFiles, requirePayloadFiles } from '../enrol/collect-payload.ts'
import { policyFields } from '../policies/policy-fields.ts'
import type { TenantContext } from '../tenant-context.ts'
import type { TenantOptions } from '../tenant-options.ts'
import type { FleetMachine } from './choose-machines.ts'
import type { FleetWord } from './selection.ts'

/** What may be wrong before any machine is asked, and would be told once for each. */
const OF_PARTS = [
  'file',
  'keyFile',
  'payloadFile',
  'runtimePolicy',
  'runtimePolicyName',
  'mbPolicy',
  'mbPolicyName',
  'tpmPolicy',
] as const satisfies readonly (keyof TenantOptions)[]

/**
 * Looks whether payload and policies can be used, before a fleet is begun. @throws KeylimeError the one that each machine would fail with; of several lists
 * that name other files, one that lists all.
 */
export async function checkFirst(context: TenantContext, word: FleetWord, machines: readonly FleetMachine[]): Promise<void> {
  if (word !== 'add' && word !== 'update') return
  const meant = machines.filter(({ skip }) => skip === undefined)
  const kinds = new Map(
    meant.map(({ options }) => {
      const merged = { ...context.options, ...options }
      return [JSON.stringify(OF_PARTS.map((name) => merged[name])), merged]
    }),
  )
  const problems = new Problems()
  for (const options of kinds.values()) await problems.wait(checkParts({ ...context, options, report: () => undefined }, meant.length > 1))
  problems.refuse()
}

async function checkParts(context: TenantContext, forSeveral: boolean): Promise<void> {
  const { options } = context
  checkPayloadOptions(options)
  await requirePayloadFiles(options)
  if (forSeveral) for (const file of [options.file, options.keyFile, options.payloadFile]) await requireRereadable(file)
  await policyFields(context)
  if (options.cert) await (await import('../enrol/certificate-payload.ts')).checkCertificatePayload(context, options.cert)
  else await collectFiles(context)
}

/** A pipe would give the first machine everything, and the others nothing. */
async function requireRereadable(file: string | undefined): Promise<void> {
  if (!file || (await fs.stat(file)).isFile()) return
  throw new KeylimeError('usage', `${file} can be read only once, but several machines should get it`, {
    hint: 'write it into a file first, for example below /dev/shm',
  })
}

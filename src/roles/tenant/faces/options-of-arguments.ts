import { MAX_TIMER_SECONDS } from '../../../config/option.ts'
import { parseMachineName } from '../../../core/api/enrolment-metadata.ts'
import { portNumber } from '../../../core/api/port-number.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { TenantCommand, TenantOptions } from '../tenant-options.ts'
import { machineOf } from './machines-of-command.ts'

/** What `keylime tenant` was given, by the long names of its command line. @throws KeylimeError `usage` for numbers that are none. */
export function optionsOf(argv: Readonly<Record<string, unknown>>, action: TenantCommand): TenantOptions {
  const word = (name: string) => (typeof argv[name] === 'string' && argv[name] !== '' ? { [name]: argv[name] as string } : {})
  const renamed = Object.entries(NAMES).map(([from, to]) => {
    const value = argv[from]
    if (typeof value === 'number' && !(portNumber.safeParse(value).success && value > 0)) throw badPort(from) // ports are all the numbers there are
    return value === undefined || value === '' ? [] : [[to, value]]
  })
  if (argv['push-model'] === true && argv['cv_targethost'])
    throw new KeylimeError('usage', '--push-model and --cv_targethost exclude each other', {
      hint: 'the verifier does not connect to a machine that brings its evidence: leave out one of them',
    })
  const cert = typeof argv['cert'] === 'string' ? { cert: argv['cert'] || 'default' } : {}
  return {
    ...Object.fromEntries(renamed.flat()),
    ...word('file'),
    ...cert,
    command: action,
    ...machineOf(argv, action),
    wait: (argv['wait'] as boolean | undefined) ?? true,
    counts: true,
    ...(typeof argv['name'] === 'string' ? { name: argv['name'] && parseMachineName(argv['name']) } : {}),
    waitScript: (argv['wait-script'] as boolean | undefined) ?? true,
    timeoutSeconds: timeoutOf(argv['timeout'] as number | undefined),
    ...(argv['timeout'] === undefined ? { comesWithinSeconds: COMES_WITHIN_SECONDS } : { hurried: true }),
  }
}

/** An agent that is not enrolled yet asks every `attestation_interval_seconds`, with up to a fifth more: 72. Then it attests twice. */
const COMES_WITHIN_SECONDS = 120

function timeoutOf(seconds = 60): number {
  if (seconds > 0 && seconds <= MAX_TIMER_SECONDS) return seconds
  throw new KeylimeError('usage', `--timeout must be a number of seconds, from a fraction of one to ${MAX_TIMER_SECONDS}`)
}

const badPort = (option: string) => new KeylimeError('usage', `--${option} must be a port number, from 1 to 65535`)

const NAMES: Record<string, keyof TenantOptions> = {
  targetport: 'targetPort',
  cv_targethost: 'cvTargetHost',
  'agent-api-version': 'agentApiVersion',
  'push-model': 'pushModel',
  key: 'keyFile',
  payload: 'payloadFile',
  verify: 'verify',
  sealed: 'sealed',
  'password-file': 'passwordFile',
  tpm_policy: 'tpmPolicy',
  'runtime-policy': 'runtimePolicy',
  'runtime-policy-name': 'runtimePolicyName',
  'runtime-policy-checksum': 'runtimePolicyChecksum',
  'runtime-policy-sig-key': 'runtimePolicyKey',
  'mb-policy': 'mbPolicy',
  'mb-policy-name': 'mbPolicyName',
  registrarhost: 'registrarHost',
  registrarport: 'registrarPort',
  cv: 'verifierHost',
  cvport: 'verifierPort',
  cvid: 'verifierId',
  nvc: 'noVerifierCheck',
  include: 'include',
  drop: 'drop',
  all: 'all',
  patch: 'patch',
  only: 'only',
  judge: 'judge',
  packages: 'packages',
  yes: 'yes',
  'ek-hash': 'ekHash',
  serial: 'serial',
  note: 'note',
  list: 'lists',
  forget: 'forgets',
  refuse: 'refuses',
}

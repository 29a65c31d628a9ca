import { KeylimeError } from '../core/errors.ts'
import type { Written } from './files.ts'
import { isOfKeylime6, successorsOf } from './keylime-6.ts'
import { holdsSecret, isValue, type Option } from './option.ts'
import { CONFIGURED_ROLES, type ConfiguredRole, TABLES } from './tables.ts'

/** A setting that goes on under the name that it has today. */
export interface Converted {
  readonly role: ConfiguredRole
  readonly option: string
  /** As a reader of the file understands it. */
  readonly value: string
  readonly from: Written
  /** What was changed about the value, and why. */
  readonly note: string | undefined
  /** It says what nobody needs to say. */
  readonly isDefault: boolean
}

/** A setting that has no counterpart, or cannot be used. */
export interface Lost {
  readonly from: Written
  readonly reason: string
  readonly isSecret: boolean
}

export interface Conversion {
  readonly converted: readonly Converted[]
  readonly lost: readonly Lost[]
}

/**
 * Settings of upstream's files of any release, as those of today: of the one keylime.conf of Keylime 6, and of the files that each role has had since 6.5. Values
 * that meant something else are translated; nothing is dropped without a word.
 */
export function convertSettings(settings: readonly Written[]): Conversion {
  const isOf6 = isOfKeylime6(settings)
  const converted: Converted[] = []
  const lost: Lost[] = []
  for (const from of isOf6 ? withNotifiers(settings) : settings) {
    const targets = isOf6 ? targetsOf6(from, settings) : targetsOf(from)
    if (typeof targets === 'string') lost.push({ from, reason: targets, isSecret: SECRET_NAME.test(from.key) })
    else
      for (const target of targets) {
        const found = converting(target, from, isOf6)
        if ('reason' in found) lost.push(found)
        else converted.push(found)
      }
  }
  const kept = lastOfEach(converted)
  return { converted: kept, lost: [...lost, ...superseded(converted, kept)] }
}

const isTrue = (value: string | undefined): boolean => /^(1|yes|true|on)$/i.test(value ?? '')

/** A setting that stands for several. */
interface Merged extends Written {
  readonly note?: string
}

/** Before 6.4.1 two switches said whom the verifier tells of revocations, beside the agents: they are one list. */
function withNotifiers(settings: readonly Written[]): Merged[] {
  const find = (name: string) => settings.find(({ section, key }) => section === 'cloud_verifier' && key === name)
  const [zeromq, webhook] = [find('revocation_notifier'), find('revocation_notifier_webhook')]
  const first = zeromq ?? webhook
  if (!first || find('revocation_notifiers')) return [...settings]
  const told = ['agent', ...(isTrue(zeromq?.value) ? ['zeromq'] : []), ...(isTrue(webhook?.value) ? ['webhook'] : [])]
  const names = [zeromq, webhook].flatMap((one) => (one ? [one.key] : []))
  const value = `[${told.map((name) => `'${name}'`).join(', ')}]`
  const list = { ...first, key: 'revocation_notifiers', value, note: `of ${names.join(' and ')}` }
  return [...settings.filter((one) => one !== zeromq && one !== webhook), list]
}

/** Of options that nobody knows any more only the name tells; better one too many. */
const SECRET_NAME = /pass|pw$|secret|token|private|credential|(^|_)key$/i

/** The later one wins, but an empty password takes nothing away. */
function lastOfEach(all: readonly Converted[]): Converted[] {
  const last = new Map<string, Converted>()
  for (const one of all) {
    const key = `${one.role}.${one.option}`
    if (!last.has(key) || !(TABLES[one.role][one.option]!.secret && one.value === '')) last.set(key, one)
  }
  return [...last.values()]
}

/** Those that another setting has the last word about, unless they say something else, too. */
function superseded(all: readonly Converted[], kept: readonly Converted[]): Lost[] {
  const said = new Set(kept.map(({ from }) => from))
  return all
    .filter(({ from }) => !said.has(from))
    .map(({ role, option, value, from }) => {
      const winner = kept.find((one) => one.role === role && one.option === option)!
      const reason = `${option} of the ${role} is as "${winner.from.key}" in [${winner.from.section}] says (${winner.from.where})`
      return { from, reason, isSecret: holdsSecret(TABLES[role][option]!, value) }
    })
}

interface Target {
  readonly role: ConfiguredRole
  readonly option: string
}

function targetsOf({ section, key }: Written): readonly Target[] | string {
  const targets = sameName(section, key)
  if (targets.length > 0) return targets
  const successors = successorsOf(section, key)
  if (typeof successors === 'string') return successors
  const home = CONFIGURED_ROLES.find((role) => TABLES[role][key] !== undefined && isSectionOf(role, section))
  if (home) return `"${key}" is an option of [${TABLES[home][key]!.section ?? home}]: upstream does not read it in [${section}] either`
  return `no role has an option "${key}" in [${section}]`
}

/** Whether the file of a role has such a section. */
const isSectionOf = (role: ConfiguredRole, section: string): boolean =>
  section !== role && Object.values(TABLES[role]).some((option) => option.section === section)

function targetsOf6(from: Written, all: readonly Written[]): readonly Target[] | string {
  const { section, key, value } = from
  const successors = successorsOf(section, key)
  if (successors === undefined) return targetsOf(from)
  if (typeof successors === 'string') return successors
  const unknown = successors.find(({ role, option }) => TABLES[role][option] === undefined)
  if (unknown) return `the ${unknown.role} has no such option`
  // the client certificate of `CV` has the password of the server's
  const isOfCv = key === 'private_key_pw' && section === 'cloud_verifier' && value !== '' && saysCv(all)
  return isOfCv ? [...successors, { role: 'verifier', option: 'client_key_password' }] : successors
}

const saysCv = (all: readonly Written[]): boolean =>
  all.some(({ section, key, value }) => section === 'cloud_verifier' && key === 'agent_mtls_cert' && value === 'CV')

const sameName = (section: string, key: string): Target[] =>
  CONFIGURED_ROLES.flatMap((role) =>
    Object.entries(TABLES[role])
      .filter(([name, option]) => (option.section ?? role) === section && (name === key || option.formerly === key))
      .map(([name]) => ({ role, option: name })),
  )

function converting({ role, option: name }: Target, from: Merged, isOf6: boolean): Converted | Lost {
  const option = TABLES[role][name]!
  if (name === 'version') return { role, option: name, value: String(option.default), from, note: undefined, isDefault: true }
  const { value, note } = isOf6 ? translatedOf6(name, option, from) : translated(role, name, from)
  try {
    option.parse(value)
  } catch (error) {
    return { from, reason: `${(error as Error).message}: the default of ${name} counts`, isSecret: holdsSecret(option, value) }
  }
  return { role, option: name, value, from, note, isDefault: isValue(option, value, option.default) }
}

interface Translated {
  readonly value: string
  readonly note?: string
}

/** Options that templates of upstream's leave empty by a slip, beside those that cannot be empty. */
const SLIPS = ['verifier_url', 'certification_keys_server_identifier', 'uefi_logs_evidence_version']

function translated(role: ConfiguredRole, name: string, { value }: Written): Translated {
  if (role !== 'agent' || value !== '' || (!SLIPS.includes(name) && canBe(TABLES.agent[name]!, value))) return { value }
  return { value: String(TABLES[role][name]!.default), note: 'upstream’s template left it empty by mistake' }
}

function canBe(option: Option<unknown>, text: string): boolean {
  try {
    option.parse(text)
    return true
  } catch {
    return false
  }
}

/** Names of files that the agent of Keylime 6 made by itself, and that nobody has any more. */
const MADE_BY_6 = ['tci_rsa_key', 'tci_mtls_cert']

/** What Keylime 6 said in another way. */
function translatedOf6(name: string, option: Option<unknown>, from: Merged): Translated {
  const value = from.value.replace(/^(['"])(.*)\1$/s, '$2')
  if (value === 'CV' && (name === 'tls_dir' || name === 'client_cert')) return { value: 'default', note: '`CV` is called `default` now' }
  if (MADE_BY_6.includes(value)) return { value: 'default', note: `${value} was made by Keylime 6: the agent makes another` }
  if (value === '' && isFile(option)) return { value: 'default', note: 'empty is called `default` now' }
  if (value === '' && name === 'database_url') return { value: 'sqlite', note: 'empty is called `sqlite` now' }
  return from.note === undefined ? { value } : { value, note: from.note }
}

const isFile = ({ default: standard }: Option<unknown>): boolean =>
  standard === 'default' || (Array.isArray(standard) && standard[0] === 'default')

/** @throws KeylimeError `config_invalid` for settings of no role at all. */
export function requireSome({ converted }: Conversion, files: readonly string[]): void {
  if (converted.length === 0)
    throw new KeylimeError('config_invalid', `nothing in ${files.join(', ')} is a setting of Keylime`, { hint: 'name the right file' })
}

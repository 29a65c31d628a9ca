import type { Converted, Lost } from '../../config/convert.ts'
import { shownText } from '../../config/option.ts'
import { TABLES } from '../../config/tables.ts'
import { cutText } from '../../core/verdict/bounded-text.ts'
import type { Upgrade, UpgradedRole } from './plan-upgrade.ts'

/** What became of each setting, for people: the defaults are only counted. */
export function upgradeLines({ roles, lost }: Upgrade, isWritten: boolean): string[] {
  return [...roles.flatMap((role) => roleLines(role, isWritten)), ...lostLines(lost)]
}

/** The documented form for programs. */
export const upgradeJson = ({ inputs, roles, lost }: Upgrade, isWritten: boolean) => ({
  inputs,
  files: roles.map(({ role, file, isNeeded, options }) => ({
    role,
    file,
    written: isWritten && isNeeded,
    options: options.map((one) => ({
      option: one.option,
      value: shown(one),
      default: one.isDefault,
      from: { section: one.from.section, name: one.from.key, where: one.from.where },
      note: one.note ?? null,
    })),
  })),
  lost: lost.map((one) => ({
    section: one.from.section,
    name: one.from.key,
    where: one.from.where,
    value: lostValue(one),
    reason: one.reason,
  })),
})

function roleLines({ role, file, isNeeded, options }: UpgradedRole, isWritten: boolean): string[] {
  if (!isNeeded) return [`${file}: up to date`]
  const told = options.filter(({ isDefault, note }) => !isDefault || note !== undefined)
  const rest = options.length - told.length
  return [
    `${file}: ${isWritten ? 'written' : 'would be written'}`,
    ...told.map((one) => `  ${one.option} = ${shown(one) || '(empty)'}${renamed(one, role)}${one.note ? ` (${one.note})` : ''}`),
    ...(rest > 0 ? [`  ${rest} ${rest === 1 ? 'other is' : 'others are'} as the default`] : []),
  ]
}

const renamed = ({ from, option }: Converted, role: string): string =>
  from.key === option && (from.section === role || from.section === TABLES[role as 'agent'][option]!.section)
    ? ''
    : `  # [${from.section}] ${from.key}`

/** Those that have the same reason are one line. */
function lostLines(lost: readonly Lost[]): string[] {
  if (lost.length === 0) return []
  const groups = Map.groupBy(lost, ({ reason }) => reason)
  return ['without a counterpart:', ...[...groups.values()].map(lostLine)]
}

function lostLine(group: readonly Lost[]): string {
  const { from, reason } = group[0]!
  const said = group.length === 1 ? ` = ${cutText(lostValue(group[0]!), 60)}` : ''
  const sections = [...Map.groupBy(group, (one) => one.from.section)]
  const names = sections.map(([section, members]) => `[${section}] ${members.map((one) => one.from.key).join(', ')}`)
  return `  ${from.where}: ${names.join('; ')}${said}: ${reason}`
}

const shown = ({ role, option, value }: Converted): string => (value === '' ? value : shownText(TABLES[role][option]!, value))
const lostValue = ({ isSecret, from }: Lost): string => (isSecret && from.value !== '' ? '[secret]' : from.value.replace(/\s+/g, ' '))

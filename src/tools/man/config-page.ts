import { defaultText, remark, sectionsOf } from '../../config/describe.ts'
import { variableOf } from '../../config/load.ts'
import { type ConfiguredRole, TABLES } from '../../config/tables.ts'
import type { Release } from './command-page.ts'
import { RoffPage } from './roff.ts'

/** `keylime-ROLE.conf(5)`: every option of a role. */
export function configPage(role: ConfiguredRole, release: Release): string {
  const table = TABLES[role]
  const page = new RoffPage(`keylime-${role}.conf`, 5, release).name(`keylime-${role}.conf`, `configuration of keylime-${role}(1)`)
  page
    .section('SYNOPSIS')
    .text(`/etc/keylime/${role}.conf, /etc/keylime/${role}.conf.d/*, /usr/etc/keylime/${role}.conf, /usr/etc/keylime/${role}.conf.d/*`)
  page.section('DESCRIPTION').text(...introduction(role))
  for (const section of sectionsOf(role, table)) {
    page.section(`[${section}]`)
    for (const [name, option] of Object.entries(table)) {
      if ((option.section ?? role) !== section) continue
      const standard = defaultText(role, option.default)
      page.entry(
        name,
        `${remark(option)}\nEnvironment: \`${variableOf(role, name, option)}\`.`,
        `= ${standard === '' ? '(empty)' : standard}`,
      )
    }
  }
  return page.section('SEE ALSO').text(`keylime-${role}(1), keylime-config(1), keylime(1)`).toString()
}

function introduction(role: ConfiguredRole): string[] {
  const layers =
    role === 'agent'
      ? 'The agent reads all these files: the file in /usr/etc, its drop-ins, the file in /etc, its drop-ins. A later one overrides an earlier one.'
      : 'The role reads the file in /etc, or the one in /usr/etc if there is none, and then the drop-ins in /usr/etc and in /etc, in the order of their names. If there is no file, it reads no drop-ins.'
  return [
    `${layers} The environment overrides all files. An option that you do not set has the default shown below.`,
    role === 'agent'
      ? 'The file is TOML with one table. Write texts in double quotes; write numbers, `true` and `false` without. A comment begins with `#`.'
      : "The file has sections in brackets, and options as `name = value`. A line that begins with `#` or `;` is a comment; nothing after a value is. A line that begins with blanks continues the value above. Write lists as `['a', 'b']`.",
    `\`keylime config show ${role} --origin\` shows each value and where it comes from. \`keylime config check ${role}\` says whether the role could start. \`keylime config set ${role}\` changes one option and keeps comments; \`keylime config unset ${role}\` removes one.`,
  ]
}

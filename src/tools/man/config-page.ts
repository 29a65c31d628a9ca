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
      ? 'All these files count, and the later one wins: the file of /usr/etc, its drop-ins, the file of /etc, its drop-ins.'
      : 'The file of /etc counts, else that of /usr/etc, and after it the drop-ins of /usr/etc and of /etc, in the order of their names. Without a file no drop-in is read.'
  return [
    `${layers} The environment wins over all files. What nobody says has the default that is shown below.`,
    role === 'agent'
      ? 'The file is TOML with one table: texts stand in double quotes, numbers and `true` and `false` do not. A comment begins with `#`.'
      : "The file has sections in brackets, and options as `name = value`. A comment is a line that begins with `#` or `;`, never what stands behind a value. A line with blanks before it goes on with the value above. Lists are written as `['a', 'b']`.",
    `\`keylime config show ${role} --origin\` shows what counts and who says so, \`keylime config check ${role}\` what a start would refuse, \`keylime config set ${role}\` changes one option and keeps comments.`,
  ]
}

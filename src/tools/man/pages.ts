import { CONFIGURED_ROLES } from '../../config/tables.ts'
import type { CommandNode } from '../../core/cli/command-tree.ts'
import { commandPage, programPage, type Release } from './command-page.ts'
import { configPage } from './config-page.ts'

/** All pages of the manual, by their file names such as `keylime-agent.1`. */
export function manualPages(tree: CommandNode, release: Release): Map<string, string> {
  const commands = tree.words.map((node) => [`keylime-${node.name}.1`, () => commandPage(node, release)] as const)
  const files = CONFIGURED_ROLES.map((role) => [`keylime-${role}.conf.5`, () => configPage(role, release)] as const)
  const others = [...commands, ...files].map(([file]) => file.replace(/\.(\d)$/, '($1)'))
  return new Map([
    ['keylime.1', programPage(tree, others, release)] as const,
    ...[...commands, ...files].map(([file, page]) => [file, page()] as const),
  ])
}

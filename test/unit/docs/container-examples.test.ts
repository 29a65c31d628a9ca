import fs from 'node:fs'
import path from 'node:path'
import { parseAllDocuments } from 'yaml'
import { variableOf } from '../../../src/config/load.ts'
import { CONFIGURED_ROLES, TABLES } from '../../../src/config/tables.ts'

const examples = path.resolve(import.meta.dirname, '../../../docs/examples')
const KNOWN = new Map(
  CONFIGURED_ROLES.flatMap((role) =>
    Object.entries(TABLES[role]).map(([name, option]) => [variableOf(role, name, option), option] as const),
  ),
)

/** Environment and first words of each container, whatever the format. */
function containersIn(value: unknown): { args: string[]; env: [string, string | undefined][] }[] {
  if (Array.isArray(value)) return value.flatMap(containersIn)
  if (typeof value !== 'object' || value === null) return []
  const { image, command, args, env, environment } = value as Record<string, never>
  if (image === undefined) return Object.values(value).flatMap(containersIn)
  const named = (env as { name: string; value?: string }[] | undefined)?.map((one): [string, string | undefined] => [one.name, one.value])
  return [{ args: command ?? args ?? [], env: named ?? Object.entries(environment ?? {}) }]
}

test.each(['compose.yaml', 'kubernetes.yaml'])(
  '%s is well-formed, starts roles that there are, and sets options to values that they take',
  (file) => {
    const documents = parseAllDocuments(fs.readFileSync(path.join(examples, file), 'utf8'))
    expect(documents.flatMap(({ errors }) => errors)).toEqual([])
    const containers = documents.flatMap((document) => containersIn(document.toJS()))
    expect(containers.map(({ args }) => args)).toEqual([['verifier'], ['agent']])
    for (const [name, value] of containers.flatMap(({ env }) => env)) {
      expect([name, KNOWN.has(name)]).toEqual([name, true])
      if (value !== undefined) expect(() => KNOWN.get(name)!.parse(String(value))).not.toThrow()
    }
  },
)

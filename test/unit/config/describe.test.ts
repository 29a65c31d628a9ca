import { caOptions } from '../../../src/config/ca.ts'
import { describeAsFile, describeAsMarkdown } from '../../../src/config/describe.ts'
import { readIniFile } from '../../../src/config/ini-file.ts'
import { CONFIGURED_ROLES, TABLES } from '../../../src/config/tables.ts'
import { verifierOptions } from '../../../src/config/verifier.ts'

describe.each(CONFIGURED_ROLES)('the table of the %s', (component) => {
  const table = TABLES[component]
  test('as a file, it reads back to exactly the defaults', () => {
    const { entries, problems } = readIniFile(describeAsFile(component, table))
    expect(problems).toEqual([])
    const names = Object.keys(table).filter((name) => !table[name]!.ours)
    expect(entries.map((entry) => entry.key).sort()).toEqual(names.sort())
    for (const entry of entries) {
      const option = table[entry.key]!
      expect(entry.section).toBe(option.section ?? component)
      expect(JSON.stringify(option.parse(entry.value))).toBe(JSON.stringify(option.default))
    }
  })
  test('says for each option what it means', () => {
    const markdown = describeAsMarkdown(component, table)
    for (const name of Object.keys(table)) expect(markdown).toContain(`\`${name}\``)
    for (const option of Object.values(table)) expect(option.doc).toMatch(/^[A-Z`].*\.$/)
  })
})

test('additions of ours are marked', () => {
  expect(describeAsFile('verifier', verifierOptions)).toContain('# host_registrar = True')
  expect(describeAsMarkdown('verifier', verifierOptions)).toContain('Not known upstream')
})

test('the markers of upstream stand where upstream has them', () => {
  expect(verifierOptions.quote_interval.default).toBe(2)
  expect(verifierOptions.enabled_revocation_notifications.section).toBe('revocations')
  expect(() => verifierOptions.enabled_revocation_notifications.parse("['agent', 'pigeon']")).toThrow('agent, zeromq, webhook')
  expect(() => verifierOptions.severity_policy.parse('[]')).toThrow('must not be empty')
  expect(() => verifierOptions.severity_policy.parse('[{"event": ".*"}]')).toThrow('event_id')
  expect(() => verifierOptions.database_pool_sz_ovfl.parse('5')).toThrow('two numbers')
  expect(() => caOptions.cert_key_type.parse('dsa')).toThrow('rsa, ecdsa')
})
